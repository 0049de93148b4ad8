"""The gradient that training uses in place of the step function's."""

from typing import Any

import torch

__all__ = ["GAMMA", "fire"]

GAMMA = 0.3


class Fire(torch.autograd.Function):
    """``potential > threshold``, with a triangular gradient (Kim and Panda 2021, official code)."""

    @staticmethod
    def forward(ctx: Any, potential: torch.Tensor, threshold: float, gamma: float) -> torch.Tensor:
        """Return 1 where the potential is strictly above the threshold, else 0, in the potential's dtype."""
        ctx.save_for_backward(potential)
        ctx.threshold, ctx.gamma = threshold, gamma
        return (potential > threshold).to(potential.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """Return ``grad * gamma * max(0, 1 - |z|) / threshold``."""
        (potential,) = ctx.saved_tensors
        z = potential / ctx.threshold - 1
        return grads[0] * (ctx.gamma / ctx.threshold) * torch.clamp(1 - z.abs(), min=0), None, None


def fire(potential: torch.Tensor, threshold: float, gamma: float = GAMMA) -> torch.Tensor:
    """Return the spikes (0 or 1) of neurons at ``potential``, any shape.

    With ``z = u / threshold - 1`` the gradient is ``ds/dz = gamma * max(0, 1 - |z|)``, so ``ds/du = ds/dz / threshold``.
    """
    spikes: torch.Tensor = Fire.apply(potential, threshold, gamma)  # type: ignore[no-untyped-call]
    return spikes
