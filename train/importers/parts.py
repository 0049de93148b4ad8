"""What the modules of another framework are, in this package's words: the parts that a layer is made of."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from spikefold.quantize.float_network import Norm

__all__ = ["Float", "Identity", "Neurons", "Part", "Pool", "Scale", "Weights", "scaled"]

Float = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weights:
    """Synapses: ``weights`` [out, in] or [out, in, kernel_y, kernel_x], float64; ``bias`` [out]."""

    kind: Literal["dense", "conv2d"]
    weights: Float
    bias: Float | None
    stride: int = 1
    padding: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pool:
    """Average pooling over windows of ``side`` by ``side``, times ``gain``."""

    side: int
    gain: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scale:
    """What is sent times ``gain``, one number or one a channel, [1] or [C]."""

    gain: Float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Identity:
    """What changes no value in evaluation mode: dropout, flattening."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Neurons:
    """Neurons ``u = leak * u + gain * x + offset`` of the input x; the other fields are those of a float layer, [C] or numbers.

    ``at_once`` is whether a soft reset is right only while the potential after it is not above the threshold: snnTorch's ``reset_delay=False``
    subtracts again in the next timestep, before firing, where it is.
    """

    leak: Float
    threshold: Float
    fires_at_threshold: bool
    reset: Literal["soft", "hard", "none"]
    decrement: Float | None = None
    load: float | Float = 0.0
    initial: float | Float = 0.0
    gain: float | Float = 1.0
    offset: float | Float = 0.0
    at_once: bool = False


Part = Weights | Norm | Pool | Scale | Neurons | Identity


def scaled(norm: Norm, gain: float | Float, offset: float | Float = 0.0) -> Norm:
    """Return the normalisation that gives ``gain`` times what ``norm`` gives, plus ``offset``; both are a number, [C] or [T, 1]."""
    if np.all(np.asarray(gain) == 1.0) and not np.any(offset):
        return norm
    gamma, beta, mean, var = np.broadcast_arrays(norm.gamma * gain, norm.beta * gain + offset, norm.mean, norm.var)
    return Norm(kind="bntt" if len(gamma) > 1 else "bn", gamma=gamma, beta=beta, mean=mean, var=var, eps=norm.eps)
