"""What the modules of another framework are, in this package's words: the parts that a layer is made of."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from spikefold.quantize.float_network import Norm
from spikefold.train.importers.errors import SourceError

__all__ = ["Float", "Identity", "Neurons", "Part", "Pool", "Weights", "array", "number", "scaled"]

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
    """Average pooling over windows of ``side`` by ``side``."""

    side: int


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
    load: float = 0.0
    initial: float = 0.0
    gain: float = 1.0
    offset: float = 0.0
    at_once: bool = False


Part = Weights | Norm | Pool | Neurons | Identity


def array(tensor: torch.Tensor) -> Float:
    """Return a tensor as float64."""
    return np.asarray(tensor.detach().cpu().double().numpy())


def number(place: str, value: Any) -> float:
    """Return a number, or a tensor of one, as a float; anything else is a SourceError."""
    found = array(value) if isinstance(value, torch.Tensor) else value
    if isinstance(found, bool) or np.size(found) != 1 or np.asarray(found).dtype.kind not in "fiu":
        raise SourceError(f"{place}: {type(value).__name__}; a number is expected")
    return float(np.asarray(found).reshape(()))


def scaled(norm: Norm, gain: float | Float, offset: float = 0.0) -> Norm:
    """Return the normalisation that gives ``gain`` times what ``norm`` gives, plus ``offset``; gains are a number or [T, 1]."""
    if np.all(np.asarray(gain) == 1.0) and offset == 0.0:
        return norm
    gamma, beta, mean, var = np.broadcast_arrays(norm.gamma * gain, norm.beta * gain + offset, norm.mean, norm.var)
    return Norm(kind="bntt" if len(gamma) > 1 else "bn", gamma=gamma, beta=beta, mean=mean, var=var, eps=norm.eps)
