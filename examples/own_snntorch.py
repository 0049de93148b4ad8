"""A network that snnTorch trained on the digits, with BNTT and delayed resets, made a float network that spikes as it does.

python examples/own_snntorch.py                       train, and write own_snntorch.safetensors beside this file
spikefold import examples/own_snntorch.py:net --data digits --std 16 --scale 16 --payload-bits 6 --timesteps 8 --samples 360 --out net.safetensors

Needs the extras ``train`` and ``peers``.
"""

from pathlib import Path

import numpy as np
import snntorch
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from spikefold.data.datasets import Dataset, load_dataset

TIMESTEPS = 8
EPOCHS = 15
BATCH = 32
WEIGHTS = Path(__file__).with_suffix(".safetensors")


class Net(nn.Module):
    """As snnTorch's tutorials write it: forward goes through time, and hands the potentials on."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, padding=1, bias=False)
        self.norm = snntorch.BatchNormTT2d(6, TIMESTEPS)
        self.hidden = snntorch.Leaky(beta=0.9)
        self.pool = nn.AvgPool2d(2)
        self.dense = nn.Linear(96, 10)
        self.last = snntorch.Leaky(beta=0.8, learn_beta=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the spikes [T, N, 10] of inputs [T, N, 1, 8, 8]."""
        hidden, last = self.hidden.reset_mem(), self.last.reset_mem()
        sent = []
        for t, step in enumerate(x):
            # Which entry of a BatchNormTT belongs to which timestep is said here, and nowhere else.
            spikes, hidden = self.hidden(self.norm[t](self.conv(step)), hidden)
            spikes, last = self.last(self.dense(self.pool(spikes).flatten(1)), last)
            sent.append(spikes)
        return torch.stack(sent)


def net() -> Net:
    """Return the trained network; ``spikefold import`` asks for this."""
    network = Net()
    network.load_state_dict(load_file(WEIGHTS))
    return network


def batches(data: Dataset, order: np.ndarray) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return inputs [T, N, 1, 8, 8], the same image in every timestep, and labels."""
    images, labels = torch.from_numpy(data.images[:] / np.float32(16)), torch.from_numpy(data.labels)
    return [(images[part].expand(TIMESTEPS, -1, -1, -1, -1), labels[part]) for part in np.array_split(order, len(order) // BATCH)]


def train(network: nn.Module) -> float:
    """Train ``network``, whose forward returns spikes, by cross-entropy of their mean; return the accuracy on the test split."""
    rng, data, test = np.random.default_rng(0), load_dataset("digits", "train"), load_dataset("digits", "test")
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(EPOCHS):
        for x, labels in batches(data, rng.permutation(len(data))):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(x).mean(0) * 5, labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    network.eval()
    with torch.no_grad():
        right = sum(int((network(x).sum(0).argmax(1) == labels).sum()) for x, labels in batches(test, np.arange(len(test))))
    return right / len(test)


def main() -> None:
    """Train and save."""
    torch.manual_seed(0)
    network = Net()
    accuracy = train(network)
    save_file(network.state_dict(), WEIGHTS)
    print(f"{WEIGHTS}: accuracy {100 * accuracy:.2f} % on the test split")


if __name__ == "__main__":
    main()
