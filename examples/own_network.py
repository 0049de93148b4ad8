"""A network and a data set of your own: train them with Spikefold's loop and save the float network.

python examples/own_network.py own.safetensors
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from spikefold.data.coding import InputCoding
from spikefold.data.datasets import Dataset
from spikefold.quantize.float_evaluation import float_accuracy
from spikefold.quantize.float_file import save_float
from spikefold.train.methods.training import fit, repeatable
from spikefold.train.modules.export import to_float_network
from spikefold.train.modules.layers import AveragePool, Conv2d, Dense, Integrate
from spikefold.train.modules.neurons import LIF
from spikefold.train.modules.norm import BNTT
from spikefold.train.recipes.recipe import TrainSettings

TIMESTEPS = 4
SEED = 1


class Bars(nn.Module):
    """Any module that takes [T, N, C, H, W] and returns scores [N, classes]; it needs an attribute ``timesteps``."""

    def __init__(self) -> None:
        super().__init__()
        self.timesteps = TIMESTEPS
        self.features = nn.Sequential(Conv2d(1, 4, 3, padding=1), BNTT(4, TIMESTEPS), LIF(leak=0.9), AveragePool(2))
        self.classify = nn.Sequential(Dense(4 * 4 * 4, 2), Integrate())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores."""
        scores: torch.Tensor = self.classify(self.features(x))
        return scores


def bars(count: int, seed: int) -> Dataset:
    """Return noisy 8x8 images of one horizontal or vertical bar; pixels 0..7, most of them 0."""
    rng = np.random.default_rng(seed)
    labels, places = rng.integers(0, 2, count), rng.integers(0, 8, count)
    images = np.where(rng.random((count, 1, 8, 8)) < 0.1, 3, 0)
    for image, label, place in zip(images, labels, places, strict=True):
        if label:
            image[0, :, place] = 7
        else:
            image[0, place, :] = 7
    return Dataset(name="bars", images=images.astype(np.uint8), labels=labels, class_names=("horizontal", "vertical"))


def main(path: Path) -> float:
    """Train, export, save, and return the accuracy of the saved network's float64 meaning on fresh images."""
    coding = InputCoding(shape=(1, 8, 8), coding="direct", mean=0.0, std=1.0, scale=1.0, payload_bits=4, seed=SEED)
    settings = TrainSettings(epochs=5, batch_size=32, learning_rate=0.05)
    with repeatable(SEED, settings.threads):
        network = Bars()
    result = fit(network, bars(1000, seed=1), coding, settings, timesteps=TIMESTEPS, seed=SEED)
    exported = to_float_network(network, coding=coding, class_names=("horizontal", "vertical"), provenance={"example": "own_network"})
    save_float(exported, path)
    accuracy = float_accuracy(exported, bars(500, seed=2))
    print(f"{path}: epoch {result.best.epoch}, accuracy {100 * accuracy:.2f} %")
    return accuracy


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: own_network.py FILE.safetensors")
    main(Path(sys.argv[1]))
