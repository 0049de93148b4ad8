"""Data sets for the tests of this room: noise, and the digits as a recipe codes them."""

from typing import Any

import numpy as np
import torch

from spikefold.data.coding import encode
from spikefold.data.datasets import Dataset
from spikefold.quantize.float_network import FloatNetwork
from spikefold.train.modules.export import to_float_network
from spikefold.train.modules.network import build_network
from spikefold.train.recipes.recipe import Recipe, parse_recipe
from spikefold.train.runs.run import load_data
from tests.chips import chip_of

CHIP = chip_of(lanes=2)


def dataset(network: Any, samples: int = 12) -> Dataset:
    rng = np.random.default_rng(5)
    classes = len(network.class_names)
    return Dataset(
        name="noise", images=rng.random((samples, *network.input.shape)), labels=rng.integers(0, classes, samples), class_names=network.class_names
    )


def recipe(coding: str, timesteps: int, shape: tuple[int, int, int], name: str = "digits", size: int = 0) -> Recipe:
    """A recipe of two dense layers for a data set of 10 classes."""
    scale = 4.0 if coding in ("direct", "sequence") else 1.0
    mean, std = (0.0, 1.0) if coding == "frames" else (8.0, 8.0)
    return parse_recipe(
        f"""
name = "coded"
seed = 3
timesteps = {timesteps}
readout = "potential"
[data]
name = "{name}"
size = {size}
[input]
shape = {list(shape)}
coding = "{coding}"
mean = {mean}
std = {std}
scale = {scale}
payload_bits = 4
seed = 9
[neuron]
leak = 0.9
threshold = 0.5
[norm]
kind = "none"
[[layers]]
kind = "dense"
out = 6
[[layers]]
kind = "dense"
out = 10
[train]
epochs = 1
batch_size = 64
learning_rate = 0.1
""",
        "recipe.toml",
    )


def untrained(plan: Recipe) -> FloatNetwork:
    """The float network that training by ``plan`` would leave, with the weights that it begins with."""
    torch.manual_seed(1)
    module = build_network(plan).double().eval()
    return to_float_network(module, coding=plan.input, class_names=tuple("0123456789"), provenance={"data": plan.data.name})


def trained_events(plan: Recipe, samples: range) -> np.ndarray:
    """The events of the test split's samples as training and its evaluation make them."""
    return encode(load_data(plan, "test", None).images[samples.start : samples.stop], plan.input, plan.timesteps, samples)


CODED = [
    recipe("sequence", 8, (1, 1, 8)),
    recipe("sequence", 16, (1, 1, 16), size=16),
    recipe("direct", 3, (1, 16, 16), size=16),
    recipe("ternary", 3, (1, 12, 12), size=12),
]
