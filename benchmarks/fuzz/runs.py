"""Folders of finished runs: a recipe, and beside it a float network or the tensors of the module, whose header says which recipe it was."""

import hashlib
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.fuzz.cases import Case, Random, Reader, odd_entries
from benchmarks.fuzz.tensors import Parts, content_changed, decoded, difference, layout_is_sound
from benchmarks.fuzz.tomls import text_changed
from spikefold.data.files import MODEL, RECIPE, WEIGHTS
from spikefold.network.files.records import pack
from spikefold.quantize.float_file import FLOAT_FORMAT_VERSION
from spikefold.train.modules.export import to_float_network
from spikefold.train.modules.network import SpikingNetwork, build_network
from spikefold.train.modules.neurons import LIF
from spikefold.train.recipes.recipe import Recipe, parse_recipe
from spikefold.train.runs.store import load_run, save_network
from tests.train.recipes import recipe_text
from tests.train.test_store import KINDS

__all__ = ["RUN"]

CONVERTED = recipe_text(norm="none").replace("leak = 0.9", 'kind = "if"').replace("epochs", "method = 'conversion'\nepochs", 1) + "[conversion]\n"
QUANTIZED = recipe_text().replace("epochs", "method = 'quantize'\nstart = 'base'\nepochs", 1) + "[quantize.layer_bits]\nfirst = 4\n"
TEXTS = (*KINDS.values(), CONVERTED, QUANTIZED)
CLASSES = tuple("0123456789")


@cache
def _written(number: int) -> tuple[str, str, bytes]:
    """Return a run's recipe, and the name and the content of what a training left beside it."""
    text = TEXTS[number % len(TEXTS)]
    recipe = parse_recipe(text, "recipe")
    with torch.random.fork_rng():
        torch.manual_seed(number)
        module = build_network(recipe)
        with torch.no_grad():
            for tensor in (*module.parameters(), *module.buffers()):
                tensor.add_(torch.rand(tensor.shape) * 0.2)
    with tempfile.TemporaryDirectory() as folder:
        save_network(module.eval(), recipe, Path(folder), CLASSES, {"recipe_sha256": _sha256(text)})
        # Where both are there, the tensors are read.
        path = next(path for name in (WEIGHTS, MODEL) if (path := Path(folder) / name).is_file())
        return text, path.name, path.read_bytes()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _case(rng: Random) -> Case:
    text, name, content = _written(rng.randrange(2 * len(TEXTS)))
    files = {RECIPE: text.encode(), name: content}
    chance = rng.random()
    if chance < 0.02:
        return odd_entries(rng, files)
    if chance < 0.05:
        return Case(what="as written", files=files, known=name, expect="accepted")
    if chance < 0.08:
        return Case(
            what="another recipe", files=files | {RECIPE: _written(rng.randrange(len(TEXTS)))[0].encode() + b"# a remark\n"}, expect="refused"
        )
    if chance < 0.25:
        # The network claims to be that of the changed recipe.
        other, what = text_changed(rng, text)
        claimed = content.replace(_sha256(text).encode(), _sha256(other).encode())
        return Case(what=f"recipe, {what}", files={RECIPE: other.encode("utf-8", "surrogatepass"), name: claimed}, known=name)
    content, what = content_changed(rng, content)
    return Case(what=f"{name}, {what}", files=files | {name: content}, known=name)


def _differs(case: Case, result: tuple[Recipe, SpikingNetwork]) -> str:
    recipe, module = result
    content, text = case.content(case.known), case.content(RECIPE)
    header, tensors = decoded(content)
    kind = "weights" if case.known == WEIGHTS else "float_network"
    body = header[kind]
    if body["provenance"]["recipe_sha256"] != hashlib.sha256(text).hexdigest():
        return "it is the network of another recipe"
    if case.known == WEIGHTS:
        values = {name: tensor.detach().numpy() for name, tensor in (*module.named_parameters(), *module.named_buffers())}
        thresholds = [float(part.threshold) for part in module.modules() if isinstance(part, LIF)]
        said = {"format_version": 1, "thresholds": thresholds, "provenance": body["provenance"]}
        return difference((header, tensors), ({"kind": kind, kind: said}, values))
    network = to_float_network(module, coding=recipe.input, class_names=body["class_names"], provenance=body["provenance"])
    table, values = pack(network)
    return _near((header, tensors), ({"kind": kind, kind: {"format_version": FLOAT_FORMAT_VERSION, **table}}, values))


def _near(file: Parts, read: Parts) -> str:
    """Compare as :func:`difference` does; a leak that is learned goes through a logit and back, and -0.0 is 0.0."""

    def rounded(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: rounded(item) for key, item in value.items()}
        if isinstance(value, list):
            return [rounded(item) for item in value]
        return float(f"{value:.9g}") + 0.0 if isinstance(value, float) else value

    def near(tensors: Any) -> Any:
        return {name: tensor if "weights" in name else np.round(tensor.astype(np.float64), 9) for name, tensor in tensors.items()}

    return difference((rounded(file[0]), near(file[1])), (rounded(read[0]), near(read[1])))


def _past_header(case: Case) -> bool:
    return case.known is not None and layout_is_sound(case.files.get(case.known))


RUN = Reader(
    name="run", case=_case, read=load_run, differs=_differs, past_header=_past_header,
    covers={"spikefold.train.runs.store": ("load_run", "_fill", "_check", "_hold", "_neurons", "_copy")},
)  # fmt: skip
