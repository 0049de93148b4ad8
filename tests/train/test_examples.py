"""What examples/ holds is what it says: recipes, trained models and their figures, and the script for a network of one's own."""

import hashlib
import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from spikefold.data.coding import encode
from spikefold.data.datasets import load_dataset
from spikefold.network.power_terms import term_count
from spikefold.quantize.float_evaluation import float_accuracy
from spikefold.quantize.float_file import load_float, save_float
from spikefold.quantize.float_network import FloatNetwork
from spikefold.quantize.fold import fold
from spikefold.train.modules.export import to_float_network
from spikefold.train.modules.network import build_network
from spikefold.train.modules.srm import SRM
from spikefold.train.recipes.recipe import Recipe, load_recipe
from spikefold.train.runs.store import load_run

EXAMPLES = Path(__file__).parents[2] / "examples"
QUANTIZED = tuple(
    f"fashion_mnist_{name}"
    for name in (
        "bntt_shift", "bntt_w2", "bntt_w2_mixed", "bntt_w4_mixed", "ternary_shift", "ternary_w2", "ternary_w4",
    )
)  # fmt: skip
"""Models that were trained through the fold."""
NAMES = ("digits", "fashion_mnist", "fashion_mnist_bntt", "fashion_mnist_ecp5", "fashion_mnist_ternary", *QUANTIZED)


def model(name: str) -> tuple[FloatNetwork, dict, Recipe]:
    folder = EXAMPLES / "models" / name
    return load_float(folder / "model.safetensors"), json.loads((folder / "summary.json").read_text()), load_recipe(folder / "recipe.toml")


@pytest.mark.parametrize("name", NAMES)
def test_model_summary_and_recipe_agree(name: str) -> None:
    network, summary, recipe = model(name)
    folder = EXAMPLES / "models" / name
    assert (folder / "recipe.toml").read_bytes() == (EXAMPLES / "recipes" / f"{name}.toml").read_bytes()
    assert hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() == summary["model_sha256"]
    assert network.provenance["recipe_sha256"] == hashlib.sha256((folder / "recipe.toml").read_bytes()).hexdigest()
    assert (network.input, network.timesteps, str(recipe.seed)) == (recipe.input, recipe.timesteps, network.provenance["seed"])
    untrained = build_network(recipe).state_dict()
    weights = [value.shape for key, value in untrained.items() if key.endswith(".weight")]
    assert [layer.weights.shape for layer in network.layers] == weights
    assert summary["weights"] == sum(layer.weights.size for layer in network.layers)
    assert (folder / "model.safetensors").stat().st_size < 1 << 20


def test_model_of_srm_neurons_is_that_of_its_recipe(tmp_path: Path) -> None:
    folder = EXAMPLES / "models" / "fashion_mnist_srm"
    assert (folder / "recipe.toml").read_bytes() == (EXAMPLES / "recipes" / "fashion_mnist_srm.toml").read_bytes()
    summary = json.loads((folder / "summary.json").read_text())
    assert hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() == summary["model_sha256"]
    exported = load_float(folder / "model.safetensors")
    recipe, network = load_run(folder)
    again = to_float_network(network, coding=exported.input, class_names=exported.class_names, provenance=exported.provenance)
    save_float(again, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert summary["weights"] == sum(parameter.numel() for parameter in network.parameters()) == 54_544
    assert sum(isinstance(part, SRM) for part in network.chain) == 3
    assert recipe.norm.kind == "psp-bn"


def test_digits_model_is_small_and_as_accurate_as_said() -> None:
    network, summary, _ = model("digits")
    assert summary["test_accuracy"] == float_accuracy(network, load_dataset("digits", "test")) >= 0.96
    assert summary["weights"] <= 5000
    assert network.layers[0].weights.shape[0] * network.timesteps <= 512


@pytest.mark.parametrize("name", QUANTIZED)
def test_quantized_model_begins_with_the_one_that_it_names_and_has_the_widths_of_its_recipe(name: str) -> None:
    network, summary, recipe = model(name)
    assert recipe.quantize is not None
    start = EXAMPLES / "recipes" / recipe.train.start / "model.safetensors"
    assert summary["start_sha256"] == network.provenance["start_sha256"] == hashlib.sha256(start.read_bytes()).hexdigest()
    integer = fold(network, **recipe.quantize.widths).network
    bits = [recipe.quantize.layer_bits.get(layer.name, recipe.quantize.weight_bits) for layer in network.layers]
    assert [weights.bits for weights in integer.weights] == bits
    most = max(term_count(connection.gain.values) for connection in integer.connections)
    assert most <= recipe.quantize.gain_terms if recipe.quantize.gain_terms else most > 2
    assert summary["validated"] == "its integer network"
    load_run(EXAMPLES / "models" / name)


@pytest.mark.parametrize("name", ["digits", "fashion_mnist", "fashion_mnist_bntt", "fashion_mnist_ecp5"])
def test_background_pixels_send_nothing(name: str) -> None:
    network, _, _ = model(name)
    assert not encode(np.zeros((10, *network.input.shape)), network.input, network.timesteps, np.arange(10)).any()


def test_script_for_an_own_network(tmp_path: Path) -> None:
    main = runpy.run_path(str(EXAMPLES / "own_network.py"))["main"]
    assert main(tmp_path / "own.safetensors") > 0.95
    assert [layer.name for layer in load_float(tmp_path / "own.safetensors").layers] == ["conv1", "dense2"]
