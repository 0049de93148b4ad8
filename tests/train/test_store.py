"""A run's network is kept and comes back the same, whatever its kind."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from spikefold.data.errors import SpikefoldError
from spikefold.network.files import tensor_file
from spikefold.quantize.float_file import load_float, save_float
from spikefold.train.errors import TrainError
from spikefold.train.modules.network import SpikingNetwork, build_network
from spikefold.train.recipes.recipe import parse_recipe
from spikefold.train.runs.store import load_run, save_network
from tests.train.recipes import recipe_text

CLASSES = tuple("0123456789")
SRM = recipe_text(norm="psp-bn").replace("leak = 0.9", 'kind = "srm"\ntau_s = 2.0')
LEARNED = recipe_text().replace("leak = 0.9", "leak = 0.9\nlearn_leak = true")
TDBN = recipe_text(norm="tdbn")
BIASED = recipe_text(norm="bn").replace("out = 4\n", "out = 4\nbias = true\n")
SHARED = recipe_text().replace(
    "[[layers]]\nkind", '[[layers]]\nname = "second"\nkind = "conv2d"\nout = 4\nkernel = 3\npadding = 1\n[[layers]]\nkind', 1
)
SHARED = SHARED.replace('name = "second"', 'name = "second"\nadd = "first"') + 'classifier = "stochmax"\n'
KINDS = {"bntt": recipe_text(), "learned leak": LEARNED, "tdbn": TDBN, "bias": BIASED, "srm": SRM, "residual and stochmax": SHARED}


def trained(text: str) -> SpikingNetwork:
    """Return a network with values as training leaves them, all exact in float32."""
    torch.manual_seed(1)
    module = build_network(parse_recipe(text, "recipe"))
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.add_(torch.rand(tensor.shape) * 0.2)
    return module.eval()


def stored(tmp_path: Path, text: str, beside: str = "") -> tuple[SpikingNetwork, str]:
    """Write the network of a recipe, and that recipe, or another that it claims to be of, beside it."""
    module = trained(text)
    (tmp_path / "recipe.toml").write_text(beside or text)
    provenance = {"recipe_sha256": hashlib.sha256((tmp_path / "recipe.toml").read_bytes()).hexdigest()}
    _, reason = save_network(module, parse_recipe(text, "recipe"), tmp_path, CLASSES, provenance)
    return module, reason


@pytest.mark.parametrize("kind", KINDS)
def test_network_comes_back(tmp_path: Path, kind: str) -> None:
    module, reason = stored(tmp_path, KINDS[kind])
    files = {"srm": {"model", "weights"}, "residual and stochmax": {"weights"}}.get(kind, {"model"})
    assert {path.name for path in tmp_path.iterdir()} == {"recipe.toml", *(f"{name}.safetensors" for name in files)}
    assert bool(reason) is ("model" not in files)
    recipe, back = load_run(tmp_path)
    assert recipe == parse_recipe(KINDS[kind], "recipe")
    for name, tensor in module.state_dict().items():
        torch.testing.assert_close(back.state_dict()[name], tensor.double(), rtol=1e-6, atol=0)
    x = torch.rand(3, 2, 1, 8, 8, dtype=torch.float64)
    before, after = module.double().outputs(x), back.outputs(x)
    assert not back.training
    torch.testing.assert_close(after, before)


def test_reason_names_the_part(tmp_path: Path) -> None:
    assert stored(tmp_path, SRM)[1] == ""
    assert stored(tmp_path, SHARED)[1].endswith("(Stochmax): its scores take an exponential of every class; train with the classifier 'softmax'")


def test_what_is_missing_or_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match=r"it is not the folder of a training run \(it has no recipe\.toml\)"):
        load_run(tmp_path)
    (tmp_path / "recipe.toml").write_text(SRM)
    with pytest.raises(TrainError, match=r"neither model\.safetensors nor weights\.safetensors is in it; is the run finished\?"):
        load_run(tmp_path)
    for old, new, words in (
        ("out = 6", "out = 7", r"tensor 'chain\.\d+\.weight': shape \[6, 64\]; the recipe beside it says \[7, 64\]"),
        ('"psp-bn"', '"psp-ln"', r"the tensor '.*running.*' is unknown"),
    ):
        stored(tmp_path, SRM, SRM.replace(old, new))
        with pytest.raises(TrainError, match=words):
            load_run(tmp_path)
    stored(tmp_path, SRM)
    header, tensors = tensor_file.read(tmp_path / "weights.safetensors")
    for thresholds in ([1.0], 1.0):
        tensor_file.write(tmp_path / "weights.safetensors", tensors, header | {"weights": header["weights"] | {"thresholds": thresholds}})
        with pytest.raises(TrainError, match=r"thresholds: .*1\.0.*; the recipe beside it has 0 layers of LIF neurons"):
            load_run(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"no tensors")
    with pytest.raises(SpikefoldError, match=r"weights\.safetensors"):
        load_run(tmp_path)
    (tmp_path / "weights.safetensors").unlink()
    last = '[[layers]]\nkind = "dense"\nout = 10\n'
    more = BIASED.replace(last, '[[layers]]\nkind = "dense"\nout = 6\n' + last)
    for beside, words in (
        (BIASED.replace("out = 6", "out = 7"), r"layer 'dense2' weights: shape \[6, 64\]; the recipe beside it says \[7, 64\]"),
        (more, r"model\.safetensors: it has 3 layers; the recipe beside it has more"),
    ):
        stored(tmp_path, BIASED, beside)
        with pytest.raises(TrainError, match=words):
            load_run(tmp_path)


@pytest.mark.parametrize("text", [BIASED, SRM], ids=["float network", "weights"])
def test_another_recipe_beside_the_network_is_refused(tmp_path: Path, text: str) -> None:
    """A leak or a reset is in the recipe alone, so nothing else would tell."""
    stored(tmp_path, text)
    (tmp_path / "recipe.toml").write_text(text + "# a remark\n")
    with pytest.raises(TrainError, match=r"it was trained by another recipe than the recipe\.toml beside it"):
        load_run(tmp_path)


def test_thresholds_of_shared_layers_come_back(tmp_path: Path) -> None:
    text = recipe_text().replace(
        'kind = "dense"\nout = 6\npool = 2',
        'kind = "conv2d"\nout = 4\nkernel = 3\npadding = 1\n[[layers]]\nkind = "conv2d"\nout = 4\nkernel = 3\npadding = 1\nweights = "conv2"',
    )
    module = trained(text)
    for i, part in enumerate(part for part in module.chain if hasattr(part, "threshold")):
        part.threshold = 1.5 + i  # type: ignore[assignment]
    (tmp_path / "recipe.toml").write_text(text)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    path, reason = save_network(module, parse_recipe(text, "recipe"), tmp_path, CLASSES, {"recipe_sha256": sha256})
    assert (path.name, reason) == ("model.safetensors", "")
    _, back = load_run(tmp_path)
    assert [part.threshold for part in back.chain if hasattr(part, "threshold")] == [1.5, 2.5, 3.5]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("leak", 0.5, r"layer 'first' leak: .*0\.5.*; the recipe beside it says 0\.9"),
        ("threshold", 2.0, r"layer 'first' threshold: .*2\..*; the recipe beside it says 1\.0"),
        ("reset", "hard", "layer 'first' reset: 'hard'; the recipe beside it says 'soft'"),
        ("fires_at_threshold", True, "layer 'first' fires_at_threshold: True; the recipe beside it says False"),
        ("name", "other", "layer 'other' name: 'other'; the recipe beside it says 'first'"),
        ("bias", None, "layer 'first' bias: it is missing; the recipe beside it says otherwise"),
    ],
)
def test_what_the_network_says_otherwise_than_the_recipe_is_refused(tmp_path: Path, field: str, value: Any, words: str) -> None:
    stored(tmp_path, BIASED)
    network = load_float(tmp_path / "model.safetensors")
    layers = (replace(network.layers[0], **{field: value}), *network.layers[1:])
    save_float(replace(network, layers=layers), tmp_path / "model.safetensors")
    with pytest.raises(TrainError, match=words):
        load_run(tmp_path)


def test_a_normalisation_that_the_recipe_has_not_is_refused(tmp_path: Path) -> None:
    stored(tmp_path, BIASED)
    network = load_float(tmp_path / "model.safetensors")
    for change, words in (
        ({"eps": 0.01}, r"layer 'first' norm eps: 0\.01; the recipe beside it says 0\.0001"),
        ({"kind": "bntt"}, "norm kind: 'bntt'; the recipe beside it says 'bn'"),
        ({"beta": network.layers[0].norm.gamma}, "norm beta: it does something; by the recipe beside it, there is none"),
    ):
        norm = replace(network.layers[0].norm, **change)
        save_float(replace(network, layers=(replace(network.layers[0], norm=norm), *network.layers[1:])), tmp_path / "model.safetensors")
        with pytest.raises(TrainError, match=words):
            load_run(tmp_path)


def test_header_and_types_of_weights_are_held_to_the_letter(tmp_path: Path) -> None:
    stored(tmp_path, SRM)
    path = tmp_path / "weights.safetensors"
    header, tensors = tensor_file.read(path)
    body, name = header["weights"], min(tensors)
    for changed, values, words in (
        (header | {"more": 1}, tensors, "its header must have 'kind' and 'weights', with format_version, provenance, thresholds"),
        (header | {"weights": body | {"more": 1}}, tensors, "it does not hold the weights of a run"),
        (header | {"weights": body | {"format_version": True}}, tensors, "format_version: True; this version of spikefold reads 1"),
        (header, tensors | {name: tensors[name].astype("i4")}, f"tensor '{name}': dtype int32; the recipe beside it says a real one"),
    ):
        tensor_file.write(path, values, changed)
        with pytest.raises(TrainError, match=words):
            load_run(tmp_path)


@pytest.mark.parametrize("layers", ["[[layers]]\nkind = 'dense'\nout = 65536\n" * 2, "[[layers]]\nkind = 'dense'\nout = 1\n" * 3000])
@pytest.mark.parametrize("text", [BIASED, SRM], ids=["float network", "weights"])
def test_a_recipe_that_asks_for_more_than_the_file_has_takes_no_memory(tmp_path: Path, text: str, layers: str) -> None:
    stored(tmp_path, text, text.replace("[train]", f"{layers}[train]"))
    with pytest.raises(TrainError, match=r"the recipe beside it (has more|says \[65536, )|is missing; the recipe"):
        load_run(tmp_path)


def test_a_float_network_alone_is_not_enough_for_more_than_lif_layers(tmp_path: Path) -> None:
    stored(tmp_path, SRM)
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(TrainError, match=r"model\.safetensors: .* more than LIF layers in a row, so weights\.safetensors must be there too"):
        load_run(tmp_path)


@pytest.mark.parametrize(("field", "value"), [("load", 0.5), ("initial", 0.5), ("decrement", 2.0), ("leak", [0.9, 0.9, 0.9, 0.8])])
def test_what_no_recipe_can_say_is_refused(tmp_path: Path, field: str, value: Any) -> None:
    stored(tmp_path, BIASED)
    network = load_float(tmp_path / "model.safetensors")
    save_float(replace(network, layers=(replace(network.layers[0], **{field: value}), *network.layers[1:])), tmp_path / "model.safetensors")
    with pytest.raises(TrainError, match=f"layer 'first' {field}: .*; the recipe beside it says"):
        load_run(tmp_path)
