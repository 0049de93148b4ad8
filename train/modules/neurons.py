"""Leaky integrate-and-fire neurons: one step as a pure function, and the module that takes all timesteps."""

import math
from typing import Literal

import torch
from torch import nn

from spikefold.train.errors import TrainError
from spikefold.train.modules import fused
from spikefold.train.modules.norm import CurrentNorm
from spikefold.train.modules.precision import widened
from spikefold.train.modules.surrogate import TRIANGULAR, Surrogate, fire

__all__ = ["LIF", "Reset", "hold", "lif_loop", "lif_step"]

Reset = Literal["soft", "hard"]


def lif_step(
    potential: torch.Tensor, current: torch.Tensor, leak: torch.Tensor | float, threshold: float, reset: Reset, surrogate: Surrogate = TRIANGULAR
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (spikes, potential after reset) of one timestep; all tensors share one shape.

    ``u = leak * potential + current``; a neuron fires where ``u > threshold``, strictly, and then subtracts the threshold (soft
    reset) or starts again from 0 (hard). No gradient passes through the reset. (Kim and Panda 2021, official code: the
    neuron fires in the timestep in which it integrates.)
    """
    integrated = leak * potential + current
    spikes = fire(integrated, threshold, surrogate)
    fired = spikes.detach()
    return spikes, integrated - threshold * fired if reset == "soft" else integrated * (1 - fired)


def lif_loop(current: torch.Tensor, leak: torch.Tensor | float, threshold: float, reset: Reset, surrogate: Surrogate = TRIANGULAR) -> torch.Tensor:
    """Return the spikes of every timestep of a current [T, ...], one :func:`lif_step` after the other, every potential 0 before t = 0.

    This is the definition; :mod:`spikefold.train.modules.fused` does the same faster.
    """
    potential = torch.zeros_like(current[0])
    spikes = []
    for now in current.unbind(0):
        fired, potential = lif_step(potential, now, leak, threshold, reset, surrogate)
        spikes.append(fired)
    return torch.stack(spikes)


def hold(x: torch.Tensor, steps: int) -> torch.Tensor:
    """Return [1, ...] as [steps, ...], the same in every timestep, or [steps, ...] as it is."""
    return x.expand(steps, *x.shape[1:]) if len(x) == 1 else x


class LIF(nn.Module):
    """A population of LIF neurons: current [T, N, C, H, W] to spikes of the same shape, every potential 0 before t = 0.

    ``leak`` in 0..1 is the factor on the potential in a timestep (1: integrate-and-fire), ``threshold`` positive, ``reset`` soft or
    hard. With ``learn_leak`` it is learned, as the sigmoid of one parameter a population (Fang et al. 2021), and must start
    strictly between 0 and 1.
    """

    def __init__(
        self, leak: float = 0.95, threshold: float = 1.0, reset: Reset = "soft", surrogate: Surrogate = TRIANGULAR, *, learn_leak: bool = False
    ) -> None:
        super().__init__()
        if not 0 <= leak <= 1:
            raise TrainError(f"LIF leak: {leak}; it must be in 0..1")
        if learn_leak and leak in (0, 1):
            raise TrainError(f"LIF leak: {leak}; to be learned it must start strictly between 0 and 1")
        if not 0 < threshold < float("inf"):
            raise TrainError(f"LIF threshold: {threshold}; it must be above 0")
        if reset not in ("soft", "hard"):
            raise TrainError(f"LIF reset: {reset!r}; it must be soft or hard")
        self.threshold, self.surrogate = threshold, surrogate
        self.reset: Reset = reset
        self._leak = leak
        self.leak_logit = nn.Parameter(torch.tensor(math.log(leak / (1 - leak)))) if learn_leak else None

    @property
    def leak(self) -> float:
        """The factor on the potential in a timestep."""
        return self._leak if self.leak_logit is None else float(torch.sigmoid(self.leak_logit.detach()))

    def forward(self, current: torch.Tensor, steps: int | None = None, norm: CurrentNorm | None = None) -> torch.Tensor:
        """Return the spikes of every timestep.

        ``current`` is [T, N, C, H, W], or [1, N, C, H, W] with T in ``steps`` where it is the same in every timestep. A ``norm`` is
        applied to it first; given here, and on a CPU, it costs no tensor of its own.
        """
        steps = len(current) if steps is None else steps
        if len(current) not in (1, steps):
            raise TrainError(f"LIF: {len(current)} timesteps in the current; {steps} are asked for")
        current = widened(current)
        leak = torch.tensor(self._leak, dtype=torch.float64) if self.leak_logit is None else torch.sigmoid(self.leak_logit)
        if fused.fusable(current):
            affine = None if norm is None else norm.affine(current, steps)
            return fused.lif(current, steps, affine, leak, self.threshold, self.reset == "soft", self.surrogate)
        normalised = hold(current, steps)
        if norm is not None:
            normalised = norm(normalised)
        return lif_loop(normalised, self._leak if self.leak_logit is None else leak, self.threshold, self.reset, self.surrogate)

    def extra_repr(self) -> str:
        """Describe the parameters."""
        return f"leak={self.leak}, threshold={self.threshold}, reset={self.reset!r}"
