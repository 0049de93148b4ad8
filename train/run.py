"""A training run by its recipe: one folder that holds the recipe, the model, the log and what came out."""

import hashlib
import json
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

import spikefold
from spikefold.data.datasets import Dataset, load_dataset
from spikefold.data.files import MODEL, RECIPE, SUMMARY, check_replaceable, write_text
from spikefold.data.toml import read_toml_text
from spikefold.quantize.float_file import load_float, save_float
from spikefold.quantize.float_network import FloatNetwork, float_accuracy
from spikefold.train.errors import RecipeError, TrainError
from spikefold.train.export import to_float_network
from spikefold.train.network import SpikingNetwork, build_network
from spikefold.train.recipe import Recipe, load_recipe
from spikefold.train.training import Epoch, FitResult, fit, repeatable

__all__ = ["CHECKPOINT", "LOG", "TrainResult", "train"]

CHECKPOINT, LOG = "checkpoint.pt", "log.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """A finished run: its folder, the model as saved, and what ``summary.json`` says."""

    folder: Path
    network: FloatNetwork
    best: Epoch
    test_accuracy: float
    seconds: float
    model_sha256: str


def train(
    recipe: Path, out: Path, *, resume: bool = False, force: bool = False, data_dir: Path | None = None,
    progress: Callable[[Epoch], None] | None = None,
) -> TrainResult:  # fmt: skip
    """Train what the file ``recipe`` says and fill the folder ``out``.

    ``recipe.toml`` comes first, ``checkpoint.pt`` and ``log.jsonl`` (a line an epoch) with every epoch, ``model.safetensors`` (a float
    network) and ``summary.json`` at the end. The training split's held-back samples choose the epoch; the test split is run once, on
    the saved model, in float64. ``out`` may not exist already, but for two cases: ``resume`` continues a run of the same recipe,
    and ends as if it had never been interrupted; ``force`` starts anew, keeping the old folder as ``<out>.previous`` until the new run is
    finished. Other folders than runs are never replaced. Bad input is a SpikefoldError.
    """
    start = time.perf_counter()
    plan = load_recipe(recipe)
    splits = load_dataset(plan.data.name, "train", data_dir), load_dataset(plan.data.name, "test", data_dir)
    for split in splits:
        _check_data(str(recipe), plan, split)
    with enough_memory(str(recipe)), repeatable(plan.seed, plan.train.threads):
        module = build_network(plan)
    text = read_toml_text(recipe)
    _open_folder(out, text, resume=resume, force=force)
    with enough_memory(str(recipe)):
        fitted = _fit(plan, module, splits[0], out, resume=resume, progress=progress)
    provenance = {"recipe": plan.name, "recipe_sha256": _sha256(text.encode()), "data": plan.data.name, "seed": str(plan.seed)}
    save_float(to_float_network(module, coding=plan.input, class_names=splits[0].class_names, provenance=provenance), out / MODEL)
    network = load_float(out / MODEL)
    with repeatable(plan.seed, plan.train.threads):
        accuracy = float_accuracy(network, splits[1])
    result = TrainResult(
        folder=out, network=network, best=fitted.best, test_accuracy=accuracy, seconds=time.perf_counter() - start,
        model_sha256=_sha256((out / MODEL).read_bytes()),
    )  # fmt: skip
    write_text(out / SUMMARY, json.dumps(_summary(plan, result, fitted, len(splits[1])), indent=2) + "\n")
    if (_previous(out) / RECIPE).is_file():
        shutil.rmtree(_previous(out))
    return result


@contextmanager
def enough_memory(place: str) -> Iterator[None]:
    """Turn torch's way to say that memory is short into a TrainError."""
    try:
        yield
    except RuntimeError as error:
        # On the CPU it is a plain RuntimeError, told by its words alone; a GPU's says "tried to allocate" too.
        if "allocat" not in str(error):
            raise
        raise TrainError(f"{place}: out of memory; smaller layers, a smaller batch_size or fewer timesteps take less") from error


def _check_data(place: str, plan: Recipe, dataset: Dataset) -> None:
    if dataset.shape != plan.input.shape:
        raise RecipeError(f"{place}: input.shape: {list(plan.input.shape)}; images of {dataset.name!r} are {list(dataset.shape)}")
    outputs, classes = plan.layers[-1].out, len(dataset.class_names)
    if outputs != classes:
        raise RecipeError(f"{place}: layers[{len(plan.layers) - 1}].out: {outputs}; {dataset.name!r} has {classes} classes")


def _previous(out: Path) -> Path:
    # Resolved, since a path such as .. has no name.
    resolved = out.resolve()
    return resolved.with_name(f"{resolved.name}.previous")


def _open_folder(out: Path, recipe: str, *, resume: bool, force: bool) -> None:
    """Make ``out`` the folder of a run of ``recipe``: a new one, or the one to resume."""
    if out.exists() and not out.is_dir():
        raise TrainError(f"{out}: it is a file; a folder's name is needed")
    if out.is_dir() and any(out.iterdir()):
        if not (out / RECIPE).is_file():
            raise TrainError(f"{out}: it is not the folder of a training run (it has no {RECIPE}), so it is left alone; choose another name")
        if resume:
            if (out / RECIPE).read_text(encoding="utf-8") != recipe:
                raise TrainError(f"{out / RECIPE}: it differs from the recipe given; only a run of the same recipe can be resumed")
            return
        if not force:
            raise TrainError(f"{out}: it exists already; resume it with --resume, replace it with --force, or choose another name")
        _set_aside(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainError(f"{out}: {error.strerror}") from error
    write_text(out / RECIPE, recipe)


def _set_aside(out: Path) -> None:
    """Free the name ``out``; the last finished run stays on the disk."""
    check_replaceable(out)
    previous = _previous(out)
    if previous.exists():
        if not (previous / RECIPE).is_file():
            raise TrainError(f"{previous}: it is not the folder of a training run, so it is left alone; move it to replace {out}")
        shutil.rmtree(previous if (out / SUMMARY).is_file() else out)
    if out.exists():
        out.rename(previous)


def _fit(plan: Recipe, module: SpikingNetwork, dataset: Dataset, out: Path, *, resume: bool, progress: Callable[[Epoch], None] | None) -> FitResult:
    log: list[Epoch] = []

    def note(epoch: Epoch) -> None:
        log.append(epoch)
        with (out / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(epoch)) + "\n")
        if progress is not None:
            progress(epoch)

    fitted = fit(
        module, dataset, plan.input, plan.train, timesteps=plan.timesteps, seed=plan.seed, checkpoint=out / CHECKPOINT, resume=resume, progress=note
    )
    # The checkpoint knows every epoch; an interrupt may have come between it and the log's line.
    write_text(out / LOG, "".join(json.dumps(asdict(epoch)) + "\n" for epoch in fitted.epochs))
    return fitted


def _summary(plan: Recipe, result: TrainResult, fitted: FitResult, test_samples: int) -> dict[str, object]:
    return {
        "name": plan.name,
        "data": plan.data.name,
        "seed": plan.seed,
        "timesteps": plan.timesteps,
        "weights": sum(layer.weights.size for layer in result.network.layers),
        "test_accuracy": result.test_accuracy,
        "test_samples": test_samples,
        "validation_accuracy": result.best.validation_accuracy,
        "best_epoch": result.best.epoch,
        "epochs": len(fitted.epochs),
        "training_seconds": round(sum(epoch.seconds for epoch in fitted.epochs), 1),
        "threads": plan.train.threads,
        "model_sha256": result.model_sha256,
        "versions": {
            "spikefold": spikefold.__version__, "python": platform.python_version(), "numpy": np.__version__, "torch": str(torch.__version__),
        },
    }  # fmt: skip


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
