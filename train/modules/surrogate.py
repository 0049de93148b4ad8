"""The gradients that training uses in place of the step function's."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch

from spikefold.train.errors import TrainError

__all__ = ["GAMMA", "KINDS", "SURROGATES", "TRIANGULAR", "Kind", "Surrogate", "fire"]

Kind = Literal["triangular", "exponential", "exponential-literal", "fast-sigmoid", "arctan"]
KINDS: tuple[Kind, ...] = get_args(Kind)
WITHOUT_WIDTH = ("triangular", "fast-sigmoid", "arctan")
GAMMA = 0.3


@dataclass(frozen=True, slots=True)
class Surrogate:
    """A surrogate gradient ds/du of a spike s with respect to the potential u, for a threshold theta.

    ==================== ================================================== =============== =============================================
    kind                 ds/du                                              as published    source
    ==================== ================================================== =============== =============================================
    triangular           scale / theta * max(0, 1 - |u / theta - 1|)        scale 0.3       Kim and Panda 2021, code; cf. Panda 2020, eq. 4
    exponential          scale / w * exp(-|u - theta| / w), w = width*theta scale 1 width 1 Shrestha and Orchard 2018 (SLAYER), code
    exponential-literal  1 / scale * exp(-width * |u - theta|)              both 10         Ikegawa 2022, eq. 10, with its lost exp
    fast-sigmoid         1 / (1 + scale * |u - theta|)^2                    scale 25        Zenke and Ganguli 2018; 25 is snnTorch's
    arctan               scale / 2 / (1 + (pi / 2 * scale * (u - theta))^2) scale 2         Fang et al. 2021; 2 is SpikingJelly's
    ==================== ================================================== =============== =============================================

    With ``exponential`` at its published values and theta = 10, alpha = beta = 10 of Ikegawa 2022 hold with beta as a time
    constant; the literal form falls to 5e-5 of its peak one unit away from the threshold.

    Raises TrainError for an unknown kind, a scale or width that is not positive and finite, or a width other than 1 for a
    kind that has none.
    """

    kind: Kind
    scale: float
    width: float = 1.0

    def __post_init__(self) -> None:
        """Check the values."""
        if self.kind not in KINDS:
            raise TrainError(f"surrogate: kind {self.kind!r}; it must be one of {', '.join(KINDS)}")
        for name, value in (("scale", self.scale), ("width", self.width)):
            if not 0 < value < math.inf:
                raise TrainError(f"surrogate {self.kind}: {name} {value}; it must be above 0 and finite")
        if self.kind in WITHOUT_WIDTH and self.width != 1:
            raise TrainError(f"surrogate {self.kind}: width {self.width}; this kind has a scale alone")

    def curve(self, threshold: float) -> tuple[int, float, float]:
        """Return (shape, peak, rate): ds/du is ``peak * shape(rate * |u - theta|)``.

        The shapes are 0: max(0, 1 - d), 1: exp(-d), 2: 1 / (1 + d)^2, 3: 1 / (1 + d^2). (Numbers, since kernels take no names.)
        """
        scale = self.scale
        if self.kind == "triangular":
            return 0, scale / threshold, 1 / threshold
        if self.kind == "exponential":
            return 1, scale / (self.width * threshold), 1 / (self.width * threshold)
        if self.kind == "exponential-literal":
            return 1, 1 / scale, self.width
        if self.kind == "fast-sigmoid":
            return 2, 1.0, scale
        return 3, scale / 2, math.pi / 2 * scale

    def derivative(self, potential: torch.Tensor, threshold: float) -> torch.Tensor:
        """Return ds/du at ``potential``, in its shape and dtype; not below 0."""
        shape, peak, rate = self.curve(threshold)
        distance = rate * (potential - threshold).abs()
        if shape == 0:
            return peak * torch.clamp(1 - distance, min=0)
        if shape == 1:
            return peak * torch.exp(-distance)
        return peak / ((1 + distance) ** 2 if shape == 2 else 1 + distance**2)


SURROGATES = {
    surrogate.kind: surrogate
    for surrogate in (
        Surrogate("triangular", GAMMA),
        Surrogate("exponential", 1.0, 1.0),
        Surrogate("exponential-literal", 10.0, 10.0),
        Surrogate("fast-sigmoid", 25.0),
        Surrogate("arctan", 2.0),
    )
}
"""Every kind with its published values; ``dataclasses.replace`` changes one."""

TRIANGULAR = SURROGATES["triangular"]


class Fire(torch.autograd.Function):
    """The comparison with the threshold, with a surrogate's gradient."""

    @staticmethod
    def forward(ctx: Any, potential: torch.Tensor, threshold: float, surrogate: Surrogate, at_threshold: bool) -> torch.Tensor:
        """Return 1 where the neuron fires, else 0, in the potential's dtype."""
        ctx.save_for_backward(potential)
        ctx.threshold, ctx.surrogate = threshold, surrogate
        return (potential >= threshold if at_threshold else potential > threshold).to(potential.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        """Return ``grad * ds/du``."""
        (potential,) = ctx.saved_tensors
        return grads[0] * ctx.surrogate.derivative(potential, ctx.threshold), None, None, None


def fire(potential: torch.Tensor, threshold: float, surrogate: Surrogate = TRIANGULAR, at_threshold: bool = False) -> torch.Tensor:
    """Return the spikes (0 or 1) of neurons at ``potential``, any shape; the gradient is the surrogate's.

    A neuron fires strictly above the threshold, or, with ``at_threshold``, where it reaches it.
    """
    spikes: torch.Tensor = Fire.apply(potential, threshold, surrogate, at_threshold)  # type: ignore[no-untyped-call]
    return spikes
