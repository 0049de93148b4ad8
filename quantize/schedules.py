"""The fold in float64: normalisation and leak as schedules of gain, threshold, decrement and load.

Source: the recursion of BNTT (Kim and Panda 2021), ``u = leak * u + a[t] * (x + bias) + b[t]``, rewritten exactly in two steps.

1. The bias leaves the loop: ``c[t] = leak * c[t-1] + b[t] + a[t] * bias``, from the initial potential on, never depends on spikes, so with
   ``p = u - c`` a neuron fires where ``p > threshold - c[t]``; a soft reset still subtracts its decrement, a hard one loads ``load - c[t]``.
2. A positive scale ``g[t]`` is divided out, ``v = p / g[t]``: 1 in form B, which keeps the leak; ``leak ** t`` in form C, which has
   none left. Both start from v = 0, and the gain on the input, ``a[t] / g[t]``, may be negative or zero.

Spike response neurons (Ikegawa 2022) are linear before the threshold, so the kernel ``eps`` moves behind the weights: two states a neuron,
``psp[t] = d * (psp[t-1] + rise[t-1])`` and ``rise[t] = d * rise[t-1] + e / tau_s * x[t]`` with ``d = exp(-1 / tau_s)``. The bias passes no
kernel and leaves the threshold in its own timestep. Where PSP-LN divides the potentials of a sample by its own root, thresholds and kicks
are multiplied by that root instead, and nothing between the two changes. A readout that adds their drive up until the last timestep T - 1
weighs the input of timestep t by ``eps(0) + ... + eps(T - 1 - t)``, and keeps no states.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import FoldError
from spikefold.quantize.float_network import LN_NORMS, FloatLayer, FloatNetwork

__all__ = ["Form", "Schedules", "check_divisors", "fold_schedules"]

Float = npt.NDArray[np.float64]
Form = Literal["B", "C"]
_REMEDIES = {
    "bias": "a smaller beta, mean or bias",
    "gain": "a smaller gamma, or a larger var or leak,",
    "threshold": "a smaller threshold, beta or bias, or a larger leak,",
    "decrement": "a smaller threshold or a larger leak",
    "load": "a smaller beta or bias, or a larger leak,",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Schedules:
    """What remains of a layer's neurons after the fold, in float64.

    ``scale`` [T, C or 1] is g and ``bias`` [T, C] is c: the unfolded potential is ``v * scale + bias``. ``gain`` is [T, C], or [1, C] where
    scale and normalisation are constant; what an earlier layer adds has the gain ``added``, [T or 1, C or 1]. ``leak`` is [C or 1],
    ``threshold``, ``decrement`` and ``load`` are [T, C]. ``decays`` are those of srm neurons' states, by name.
    """

    form: Form
    leak: Float
    scale: Float
    bias: Float
    gain: Float
    added: Float
    threshold: Float
    decrement: Float
    load: Float
    decays: dict[str, float]


def fold_schedules(layer: FloatLayer, timesteps: int, form: Form, inherited: Float | None = None) -> Schedules:
    """Fold a layer's normalisation, bias and (form C) leak over ``timesteps``.

    ``inherited`` [T or 1, C] is the bias in the drive that an earlier layer adds. Raises a FoldError where a schedule is not finite.
    """
    shift = layer.drive_shift if inherited is None else layer.drive_shift + inherited
    if layer.neuron == "srm":
        schedules = _srm_readout(layer, shift, timesteps, form) if layer.reset == "none" else _srm(layer, shift, timesteps, form)
    else:
        schedules = _lif(layer, shift, timesteps, form)
    for name, remedy in _REMEDIES.items():
        if not np.isfinite(getattr(schedules, name)).all():
            raise FoldError(f"layer {layer.name!r} {name}: its schedule in form {form} is not finite; {remedy} is needed")
    return schedules


def check_divisors(network: FloatNetwork) -> None:
    """Refuse what a divisor that each sample has for itself cannot be moved past: other terms of the same sum."""
    layers = {layer.name: layer for layer in network.layers}
    for layer in network.layers:
        added = [layers[layer.add]] if layer.add and layer.add_from == "drive" else []
        divided = next((one for one in (layer, *added) if one.norm.kind in LN_NORMS), None)
        if divided is None:
            continue
        if layer.add:
            raise FoldError(
                f"layer {layer.name!r} add: {divided.norm.kind} in layer {divided.name!r} divides only a part of the sum by each sample's root; "
                "a residual connection needs psp-bn, or no norm"
            )
        if layer.reset == "none" and layer.drive_shift.any():
            raise FoldError(
                f"layer {layer.name!r} bias: {layer.norm.kind} divides only the other part of a score by each sample's root; "
                "train the readout without a bias"
            )


def _lif(layer: FloatLayer, shift: Float, timesteps: int, form: Form) -> Schedules:
    a = layer.drive_scale
    bias = _accumulated(shift, layer.leak, layer.initial, timesteps)
    scale = np.ones((timesteps, 1)) if form == "B" else layer.leak ** np.arange(timesteps)[:, None]
    if (scale[-1] == 0).any():
        raise FoldError(
            f"layer {layer.name!r} leak: form C divides by leak ** t, and {layer.leak.min()} ** {timesteps - 1} is 0; "
            "use form B or a larger leak"
        )  # fmt: skip
    constant = bool((scale == 1).all())
    with np.errstate(over="ignore", invalid="ignore"):
        return Schedules(
            form=form,
            leak=layer.leak if form == "B" else np.ones(1),
            scale=scale,
            bias=bias,
            gain=a[:1] if constant and (a == a[:1]).all() else a / scale,
            added=np.ones((1, 1)) if constant else 1 / scale,
            threshold=(layer.threshold - bias) / scale,
            decrement=np.broadcast_to(layer.subtracted / scale, bias.shape),
            load=(layer.load - bias) / scale,
            decays={},
        )


def _accumulated(shift: Float, leak: Float, initial: Float, timesteps: int) -> Float:
    """Return the potential that initial value and bias alone leave in each timestep, [T, C]."""
    bias = np.empty((timesteps, shift.shape[1]))
    carried = np.broadcast_to(initial, bias.shape[1:])
    with np.errstate(over="ignore", invalid="ignore"):
        for t in range(timesteps):
            carried = bias[t] = leak * carried + shift[t if len(shift) > 1 else 0]
    return bias


def _srm(layer: FloatLayer, shift: Float, timesteps: int, form: Form) -> Schedules:
    """Fold neurons that fire; both forms are the same, as they have no leak."""
    bias = np.broadcast_to(shift, (timesteps, len(layer.weights)))
    height = np.e / layer.tau_s
    kick, decays = 2 * layer.threshold, {"rise": np.exp(-1 / layer.tau_s), "psp": np.exp(-1 / layer.tau_s), "refractory": np.exp(-1 / layer.tau_r)}
    if layer.refractory == "alpha":
        kick, decays = kick * np.e / layer.tau_r, decays | {"refractory_rise": np.exp(-1 / layer.tau_r)}
    return Schedules(
        form=form, leak=np.ones(1), scale=np.ones((timesteps, 1)), bias=bias, gain=layer.drive_scale * height, added=np.full((1, 1), height),
        threshold=layer.threshold - bias, decrement=np.broadcast_to(kick, bias.shape), load=np.zeros(bias.shape), decays=decays,
    )  # fmt: skip


def _srm_readout(layer: FloatLayer, shift: Float, timesteps: int, form: Form) -> Schedules:
    """Fold a readout: the input of each timestep, times what its response adds up to until the last one."""
    lags = np.arange(timesteps) / layer.tau_s
    reach = np.cumsum(lags * np.exp(1 - lags))[::-1, None]
    bias = _accumulated(shift, np.ones(1), np.zeros(1), timesteps)
    return Schedules(
        form=form, leak=np.ones(1), scale=np.ones((timesteps, 1)), bias=bias, gain=layer.drive_scale * reach, added=reach,
        threshold=layer.threshold - bias, decrement=np.zeros(bias.shape), load=-bias, decays={},
    )  # fmt: skip
