"""The fold in float64: normalisation and leak as schedules of gain, threshold, decrement and load.

Source: the recursion of BNTT (Kim and Panda 2021), ``u = leak * u + a[t] * (x + bias) + b[t]``, rewritten exactly in two steps.

1. The bias leaves the loop: ``c[t] = leak * c[t-1] + b[t] + a[t] * bias`` with 0 before the first step never depends on spikes, so with
   ``p = u - c`` a neuron fires where ``p > threshold - c[t]``; a soft reset still subtracts the threshold, a hard one loads ``-c[t]``.
2. A positive scale ``g[t]`` is divided out, ``v = p / g[t]``: 1 in form B, which keeps the leak; ``leak ** t`` in form C, which has
   none left. Both start from v = 0, and the gain on the input, ``a[t] / g[t]``, may be negative or zero.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import FoldError
from spikefold.quantize.float_network import FloatLayer

__all__ = ["Schedules", "fold_schedules", "folded_float"]

Float = npt.NDArray[np.float64]
_REMEDIES = {
    "bias": "a smaller beta, mean or bias",
    "gain": "a smaller gamma, or a larger var or leak,",
    "threshold": "a smaller threshold, beta or bias, or a larger leak,",
    "decrement": "a smaller threshold or a larger leak",
    "load": "a smaller beta or bias, or a larger leak,",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Schedules:
    """What remains of a layer's neuron after the fold, in float64.

    ``scale`` [T] is g and ``bias`` [T, C] is c: the unfolded potential is ``v * scale + bias``. ``gain`` is [T, C], or [1, C] where
    the scale and the normalisation are constant; ``threshold`` and ``load`` are [T, C], ``decrement`` [T, 1].
    """

    form: Literal["B", "C"]
    leak: float
    scale: Float
    bias: Float
    gain: Float
    threshold: Float
    decrement: Float
    load: Float


def fold_schedules(layer: FloatLayer, timesteps: int, form: Literal["B", "C"]) -> Schedules:
    """Fold a layer's normalisation, bias and (form C) leak over ``timesteps``.

    Raises a FoldError where a schedule is not finite.
    """
    a = layer.norm.scale
    bias = _accumulated_bias(layer, timesteps)
    scale = np.ones(timesteps) if form == "B" else np.float64(layer.leak) ** np.arange(timesteps)
    if scale[-1] == 0:
        raise FoldError(
            f"layer {layer.name!r} leak: form C divides by leak ** t, and {layer.leak} ** {timesteps - 1} is 0; use form B or a larger leak"
        )
    g = scale[:, None]
    constant = bool((a == a[:1]).all() and (scale == 1).all())
    with np.errstate(over="ignore", invalid="ignore"):
        schedules = Schedules(
            form=form,
            leak=layer.leak if form == "B" else 1.0,
            scale=scale,
            bias=bias,
            gain=a[:1] if constant else a / g,
            threshold=(layer.threshold - bias) / g,
            decrement=layer.threshold / g,
            load=-bias / g,
        )
    for name, remedy in _REMEDIES.items():
        if not np.isfinite(getattr(schedules, name)).all():
            raise FoldError(f"layer {layer.name!r} {name}: its schedule in form {form} is not finite; {remedy} is needed")
    return schedules


def _accumulated_bias(layer: FloatLayer, timesteps: int) -> Float:
    """Return the potential that the bias alone leaves in each timestep, [T, C]."""
    bias = np.empty((timesteps, layer.norm.scale.shape[1]))
    with np.errstate(over="ignore", invalid="ignore"):
        b = layer.norm.shift
        if layer.bias is not None:
            b = b + layer.norm.scale * layer.bias
        carried = np.zeros(bias.shape[1])
        for t in range(timesteps):
            carried = layer.leak * carried + b[t if len(b) > 1 else 0]
            bias[t] = carried
    return bias


def folded_float(layer: FloatLayer, current: Float, form: Literal["B", "C"]) -> tuple[npt.NDArray[np.bool_], Float]:
    """Run the folded neurons over their weighted input [N, T, C, H, W], the layer's own bias not added.

    Returns the spikes and the unfolded potentials before the reset, as
    :func:`spikefold.quantize.float_network.neurons` does for an input with the bias.
    """
    timesteps = current.shape[1]
    s = fold_schedules(layer, timesteps, form)
    gain = np.broadcast_to(s.gain, s.bias.shape)[:, :, None, None]
    threshold, load, bias = (x[:, :, None, None] for x in (s.threshold, s.load, s.bias))
    v = np.zeros_like(current[:, 0])
    spikes, potentials = np.zeros(current.shape, np.bool_), np.empty_like(current)
    for t in range(timesteps):
        v = s.leak * v + gain[t] * current[:, t]
        potentials[:, t] = v * s.scale[t] + bias[t]
        if layer.reset != "none":
            fired = (v >= threshold[t]) if layer.fires_at_threshold else (v > threshold[t])
            spikes[:, t] = fired
            v = np.where(fired, v - s.decrement[t, 0] if layer.reset == "soft" else load[t], v)
    return spikes, potentials
