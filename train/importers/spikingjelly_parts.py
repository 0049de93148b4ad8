"""What SpikingJelly's neurons and normalisations are (read from its version 2.0.0).

Neurons fire on ``h >= v_threshold``, with ``h = v + (x - (v - r)) / tau``, or, where ``decay_input`` is False, ``h = v - (v - r) / tau + x``; r is
``v_reset``, or 0 where that is None. A hard reset loads r, where the potential begins too; None is a soft reset by the threshold.
"""

import math
from typing import Any

import numpy as np

from spikefold.quantize.float_network import Norm
from spikefold.train.importers.errors import SourceError
from spikefold.train.importers.parts import Float, Neurons, Scale, scaled
from spikefold.train.importers.snntorch_parts import heaviside
from spikefold.train.importers.torch_parts import array, batch_norm, number

__all__ = ["REFUSED", "bntt", "integrate_and_fire", "leaky", "parametric_leaky", "scaling", "temporal_effective_norm"]

REFUSED = {
    "MPBNLIFNode": "it normalises the potential, for which a float network has no place; use LIFNode behind a normalisation of the current",
    "NeuNorm": "it carries a state of its own from timestep to timestep; use BatchNorm2d",
    "LinearRecurrentContainer": "its layer feeds itself, for which a float network has no place",
    "ElementWiseRecurrentContainer": "its layer feeds itself, for which a float network has no place",
    "KLIFNode": "it scales and rectifies the potential before firing; use LIFNode",
}


def integrate_and_fire(place: str, module: Any) -> Neurons:
    """Return ``IFNode`` neurons."""
    return _neurons(place, module, rate=None)


def leaky(place: str, module: Any) -> Neurons:
    """Return ``LIFNode`` neurons."""
    tau = number(f"{place} tau", module.tau)
    if not 1 <= tau < math.inf:
        raise SourceError(f"{place} tau: {tau}; it must be at least 1")
    return _neurons(place, module, rate=1 / tau)


def parametric_leaky(place: str, module: Any) -> Neurons:
    """Return ``ParametricLIFNode`` neurons, whose 1 / tau is the sigmoid of ``w``."""
    return _neurons(place, module, rate=number(f"{place} w", module.w.detach().double().sigmoid()))


def _neurons(place: str, module: Any, rate: float | None) -> Neurons:
    if getattr(module, "_neuron_precision", None) is not None:
        raise SourceError(f"{place}: its precision is {module._neuron_precision}; the one of its input is expected")
    heaviside(place, module.surrogate_function, at_zero=True)
    threshold = np.full(1, number(f"{place} v_threshold", module.v_threshold))
    rest = 0.0 if module.v_reset is None else number(f"{place} v_reset", module.v_reset)
    return Neurons(
        leak=np.full(1, 1.0 if rate is None else 1 - rate), threshold=threshold, fires_at_threshold=True,
        reset="soft" if module.v_reset is None else "hard", load=rest, initial=rest,
        gain=rate if rate is not None and module.decay_input else 1.0, offset=0.0 if rate is None else rest * rate,
    )  # fmt: skip


def scaling(place: str, module: Any) -> Scale:
    """Return the scalings that ann2snn puts around its neurons."""
    if getattr(module, "channel_dim", 1) != 1:
        raise SourceError(f"{place} channel_dim: {module.channel_dim}; it must be 1")
    return Scale(gain=array(module.scale).reshape(-1))


def temporal_effective_norm(place: str, module: Any, timesteps: int) -> Norm:
    """Return TEBN: batch normalisation times a learned number a timestep."""
    scale: Float = array(module.scale).reshape(-1, 1)
    if len(scale) != timesteps:
        raise SourceError(f"{place} scale: {len(scale)} timesteps; the network has {timesteps}")
    return scaled(batch_norm(place, [module]), scale)


def bntt(place: str, module: Any, timesteps: int) -> Norm:
    """Return BNTT, whose entry t belongs to timestep t."""
    if len(module.bn_list) < timesteps:
        raise SourceError(f"{place}: {len(module.bn_list)} timesteps; the network has {timesteps}")
    return batch_norm(place, list(module.bn_list)[:timesteps])
