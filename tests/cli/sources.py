"""What the verbs start from in tests: a recipe, float networks for the digits, and modules of snnTorch."""

import numpy as np

from spikefold.data.coding import InputCoding
from spikefold.quantize.float_network import FloatLayer, FloatNetwork, Norm

RECIPE = """
name = "tiny"
seed = 1
timesteps = 3
[data]
name = "digits"
[input]
shape = [1, 8, 8]
coding = "ternary"
mean = 0.0
std = 16.0
scale = 1.0
payload_bits = 2
seed = 3
[[layers]]
kind = "dense"
out = 12
[[layers]]
kind = "dense"
out = 10
[train]
epochs = 2
batch_size = 256
learning_rate = 0.1
"""
MARKUP = "conv[1] <&>"
"""A layer's name that markup would swallow."""


def float_digits(timesteps: int = 3, name: str = "conv[1]") -> FloatNetwork:
    """Return a convolution with BNTT that fires often enough to flip, and a pooled readout."""
    rng = np.random.default_rng(7)
    norm = Norm(
        kind="bntt", gamma=rng.uniform(0.5, 1.5, (timesteps, 4)), beta=rng.normal(0, 0.2, (timesteps, 4)), mean=rng.normal(0, 0.2, (timesteps, 4)),
        var=rng.uniform(0.5, 1.5, (timesteps, 4)), eps=1e-4,
    )  # fmt: skip
    return FloatNetwork(
        timesteps=timesteps,
        input=InputCoding(shape=(1, 8, 8), coding="ternary", mean=0.0, std=16.0, scale=1.0, payload_bits=2, seed=3),
        layers=(
            FloatLayer(name=name, kind="conv2d", weights=rng.normal(0, 0.5, (4, 1, 3, 3)), padding=1, norm=norm, leak=np.array(0.9), reset="soft"),
            FloatLayer(name="out", kind="dense", weights=rng.normal(0, 0.3, (10, 64)), pool=2, norm=Norm.none(10), leak=np.array(1.0), reset="none"),
        ),
        readout="potential",
        class_names=tuple(map(str, range(10))),
        provenance={"data": "digits"},
    )


MODEL = """
import snntorch
import torch
from torch import nn

def make(last=True):
    torch.manual_seed(0)
    parts = [nn.Flatten(), nn.Linear(64, 16), snntorch.Leaky(beta=0.9, init_hidden=True), nn.Linear(16, 10)]
    with torch.no_grad():
        parts[1].weight.mul_(4), parts[3].weight.mul_(4)
    return nn.Sequential(*parts, snntorch.Leaky(beta=0.8, threshold=0.5, init_hidden=True)) if last else nn.Sequential(*parts)

net = make()
readout = make(False)
pooled = nn.Sequential(nn.MaxPool2d(1), *make())
silent = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), snntorch.Leaky(beta=0.9, threshold=1e6, init_hidden=True))
"""
