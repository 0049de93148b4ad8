"""A network that SpikingJelly trained on the digits, with tdBN, BNTT and LIF neurons, made a float network that spikes as it does.

python examples/own_spikingjelly.py                   train, and write own_spikingjelly.safetensors beside this file
spikefold import examples/own_spikingjelly.py:net --data digits --std 16 --scale 16 --payload-bits 6 --timesteps 8 --samples 360 --out net.safetensors

Needs the extras ``train`` and ``peers``.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

from spikefold.data.datasets import Dataset, load_dataset

TIMESTEPS = 8
EPOCHS = 15
BATCH = 32
WEIGHTS = Path(__file__).with_suffix(".safetensors")


def untrained() -> nn.Sequential:
    """Return the network: inputs [T, N, 1, 8, 8] to spikes [T, N, 10]."""
    parts = (
        layer.Conv2d(1, 6, 3, padding=1, bias=False),
        layer.ThresholdDependentBatchNorm2d(1.0, 1.0, 6),
        # Its input is divided by tau, and it is reset to 0.
        neuron.LIFNode(tau=1.5),
        layer.AvgPool2d(2),
        layer.Flatten(),
        layer.Linear(96, 10, bias=False),
        layer.BatchNormThroughTime1d(TIMESTEPS, 10),
        # Soft reset; tau is learned.
        neuron.ParametricLIFNode(init_tau=2.0, decay_input=False, v_reset=None),
    )
    network = nn.Sequential(*parts)
    functional.set_step_mode(network, "m")
    return network


def net() -> nn.Sequential:
    """Return the trained network; ``spikefold import`` asks for this."""
    network = untrained()
    network.load_state_dict(load_file(WEIGHTS))
    return network


def batches(data: Dataset, order: np.ndarray) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return inputs [T, N, 1, 8, 8], the same image in every timestep, and labels."""
    images, labels = torch.from_numpy(data.images[:] / np.float32(16)), torch.from_numpy(data.labels)
    return [(images[part].expand(TIMESTEPS, -1, -1, -1, -1), labels[part]) for part in np.array_split(order, len(order) // BATCH)]


def train(network: nn.Module) -> float:
    """Train by cross-entropy of the mean of the spikes; return the accuracy on the test split."""
    rng, data, test = np.random.default_rng(0), load_dataset("digits", "train"), load_dataset("digits", "test")
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(EPOCHS):
        for x, labels in batches(data, rng.permutation(len(data))):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(x).mean(0) * 5, labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            functional.reset_net(network)
    network.eval()
    right = 0
    with torch.no_grad():
        for x, labels in batches(test, np.arange(len(test))):
            right += int((network(x).sum(0).argmax(1) == labels).sum())
            functional.reset_net(network)
    return right / len(test)


def main() -> None:
    """Train and save."""
    torch.manual_seed(0)
    network = untrained()
    accuracy = train(network)
    save_file(network.state_dict(), WEIGHTS)
    print(f"{WEIGHTS}: accuracy {100 * accuracy:.2f} % on the test split")


if __name__ == "__main__":
    main()
