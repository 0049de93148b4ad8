"""Leaky integrate-and-fire neurons: one step as a pure function, and the module that loops over time."""

from typing import Literal

import torch
from torch import nn

from spikefold.train.errors import TrainError
from spikefold.train.surrogate import GAMMA, Surrogate, fire

__all__ = ["LIF", "Reset", "lif_step"]

Reset = Literal["soft", "hard"]


def lif_step(
    potential: torch.Tensor, current: torch.Tensor, leak: float, threshold: float, reset: Reset, gamma: float = GAMMA
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (spikes, potential after reset) of one timestep; all tensors share one shape.

    ``u = leak * potential + current``; a neuron fires where ``u > threshold``, strictly, and then subtracts the threshold (soft
    reset) or starts again from 0 (hard). No gradient passes through the reset. (Kim and Panda 2021, official code: the
    neuron fires in the timestep in which it integrates.)
    """
    integrated = leak * potential + current
    spikes = fire(integrated, threshold, Surrogate("triangular", gamma))
    fired = spikes.detach()
    return spikes, integrated - threshold * fired if reset == "soft" else integrated * (1 - fired)


class LIF(nn.Module):
    """A population of LIF neurons: current [T, N, C, H, W] to spikes of the same shape, every potential 0 before t = 0.

    ``leak`` in 0..1 is the factor on the potential in a timestep, ``threshold`` positive, ``reset`` soft or hard,
    ``gamma`` the height of the surrogate gradient.
    """

    def __init__(self, leak: float = 0.95, threshold: float = 1.0, reset: Reset = "soft", gamma: float = GAMMA) -> None:
        super().__init__()
        if not 0 <= leak <= 1:
            raise TrainError(f"LIF leak: {leak}; it must be in 0..1")
        if not 0 < threshold < float("inf"):
            raise TrainError(f"LIF threshold: {threshold}; it must be above 0")
        if reset not in ("soft", "hard"):
            raise TrainError(f"LIF reset: {reset!r}; it must be soft or hard")
        self.leak, self.threshold, self.gamma = leak, threshold, gamma
        self.reset: Reset = reset

    def forward(self, current: torch.Tensor) -> torch.Tensor:
        """Return the spikes of every timestep."""
        potential = torch.zeros_like(current[0])
        spikes = []
        for now in current.unbind(0):
            fired, potential = lif_step(potential, now, self.leak, self.threshold, self.reset, self.gamma)
            spikes.append(fired)
        return torch.stack(spikes)

    def extra_repr(self) -> str:
        """Describe the parameters."""
        return f"leak={self.leak}, threshold={self.threshold}, reset={self.reset!r}"
