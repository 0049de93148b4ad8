"""The direct evaluation of a float network in float64: the definition that the fold is held against.

Per layer and timestep t, with ``x`` the weighted (average-pooled) input, ``c`` the channel and ``d`` what an earlier layer adds (0 for most):

- the drive is ``a[t, c] * (x + bias[c]) + b[t, c] + d``, where ``a = gamma / sqrt(var + eps)`` and ``b = beta - a * mean`` are the
  normalisation in evaluation mode (BNTT: Kim and Panda 2021);
- ``lif``: ``u = leak * u + drive``, fire where ``u > threshold`` (``>=`` where ``fires_at_threshold``), then subtract ``decrement``
  (soft reset) or load ``load`` (hard); u begins at ``initial``;
- ``srm``: the incoming events pass ``eps(k) = k / tau_s * exp(1 - k / tau_s)`` before the weights, ``u = drive + R``, and a spike adds the
  refractory response to R from the next timestep on (Ikegawa 2022, section 3; Shrestha and Orchard 2018, code); ``psp-ln`` divides x by
  the root of the mean square, over the sample's neurons and timesteps, of what passed ``eps`` (Ikegawa 2022, eq. 19);
- ``relu``: the layer sends ``max(0, drive)`` in the place of spikes, and has no state (Panda et al. 2020, hybrid networks).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spikefold.data.coding import encode
from spikefold.data.datasets import Dataset
from spikefold.network.windows import patches, pool
from spikefold.quantize.float_network import LN_NORMS, FloatLayer, FloatNetwork

__all__ = ["FloatTrace", "drives", "evaluate", "float_accuracy", "neurons", "over_channels", "psp_root", "weighted"]

Float = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FloatTrace:
    """Spikes (bool [N, T, C, H, W]) and potentials before firing (float64) of every layer; scores [N, classes].

    Of ``relu`` neurons, the potential is the drive, and a spike says that it is above 0.
    """

    spikes: tuple[npt.NDArray[np.bool_], ...]
    potentials: tuple[Float, ...]
    scores: Float


def evaluate(network: FloatNetwork, events: npt.NDArray[np.int8]) -> FloatTrace:
    """Run ``network`` in float64 on payloads [N, T, C, H, W], directly as defined above: nothing is folded."""
    x = events.astype(np.float64) / network.input.scale
    spikes, potentials = [], []
    kept: dict[tuple[str, str], Float] = {}
    wanted = {(layer.add, layer.add_from) for layer in network.layers}
    for layer in network.layers:
        drive = drives(layer, x)
        if layer.add:
            drive += kept[layer.add, layer.add_from]
        fired, u = neurons(layer, drive)
        spikes.append(fired)
        potentials.append(u)
        x = np.maximum(u, 0) if layer.neuron == "relu" else fired.astype(np.float64)
        kept |= {key: value for key, value in (((layer.name, "drive"), drive), ((layer.name, "output"), x)) if key in wanted}
    final = potentials[-1][:, -1] if network.readout == "potential" else x.sum(1)
    return FloatTrace(spikes=tuple(spikes), potentials=tuple(potentials), scores=final.reshape(len(events), -1))


def drives(layer: FloatLayer, x: Float) -> Float:
    """Return what a layer makes of what it receives, [N, T, C, H, W] both: filtered (srm), pooled, weighted, normalised."""
    current = weighted(layer, alpha_response(x, layer.tau_s) if layer.neuron == "srm" else x)
    if layer.norm.kind in LN_NORMS:
        current = current / psp_root(layer, x)
    return np.asarray(over_channels(layer.drive_scale) * current + over_channels(layer.drive_shift))


def weighted(layer: FloatLayer, x: Float) -> Float:
    """Return the current of what a layer receives, pooled and weighted; the bias is not in it."""
    pooled = pool(x, layer.pool) / layer.pool**2
    weights = layer.source_weights
    if layer.kind == "dense":
        weights = weights.reshape(len(weights), *pooled.shape[2:])
    seen = patches(pooled, (weights.shape[2], weights.shape[3]), layer.stride, layer.padding)
    return np.asarray(np.einsum("nthwcyx,ocyx->ntohw", seen, weights, optimize=True))


def psp_root(layer: FloatLayer, x: Float) -> Float:
    """Return what PSP-LN divides the potentials of each sample of what a layer receives by, [N, 1, 1, 1, 1] (Ikegawa 2022, eqs. 15 and 19)."""
    psp = pool(alpha_response(x, layer.tau_s), layer.pool) / layer.pool**2
    axes = (1, 2, 3, 4)
    moment = (psp**2).mean(axes, keepdims=True) if layer.norm.kind == "psp-ln" else psp.var(axes, keepdims=True)
    return np.asarray(np.sqrt(moment + layer.norm.eps))


def over_channels(schedule: Float) -> Float:
    """Return [T or 1, C] so that it broadcasts against [N, T, C, H, W]."""
    return schedule[:, :, None, None]


def alpha_response(kicks: Float, tau: float) -> Float:
    """Return the responses to ``kicks`` [N, T, ...] through ``k / tau * exp(1 - k / tau)`` of the lag k, 0 at lag 0."""
    decay = np.exp(-1 / tau)
    responses = np.zeros_like(kicks)
    rise = np.zeros_like(kicks[:, 0])
    for t in range(1, kicks.shape[1]):
        rise = decay * rise + np.e / tau * kicks[:, t - 1]
        responses[:, t] = decay * (responses[:, t - 1] + rise)
    return responses


def neurons(layer: FloatLayer, drive: Float) -> tuple[npt.NDArray[np.bool_], Float]:
    """Run a layer's neurons over their drive [N, T, C, H, W]; return spikes and potentials before the reset."""
    if layer.neuron == "relu":
        return drive > 0, drive
    if layer.neuron == "srm":
        return _spike_responses(layer, drive)
    leak, threshold, subtracted, load = (v[:, None, None] for v in (layer.leak, layer.threshold, layer.subtracted, layer.load))
    u = np.broadcast_to(layer.initial[:, None, None], drive[:, 0].shape)
    spikes, potentials = np.zeros(drive.shape, np.bool_), np.empty_like(drive)
    for t in range(drive.shape[1]):
        u = leak * u + drive[:, t]
        potentials[:, t] = u
        if layer.reset != "none":
            fired = (u >= threshold) if layer.fires_at_threshold else (u > threshold)
            spikes[:, t] = fired
            u = np.where(fired, u - subtracted if layer.reset == "soft" else load, u)
    return spikes, potentials


def _spike_responses(layer: FloatLayer, drive: Float) -> tuple[npt.NDArray[np.bool_], Float]:
    """Run srm neurons over their drive; a readout of them adds it up."""
    spikes = np.zeros(drive.shape, np.bool_)
    if layer.reset == "none":
        return spikes, drive.cumsum(1)
    threshold, potentials = layer.threshold[:, None, None], np.empty_like(drive)
    decay = np.exp(-1 / layer.tau_r)
    response, rise = np.zeros_like(drive[:, 0]), np.zeros_like(drive[:, 0])
    for t in range(drive.shape[1]):
        u = potentials[:, t] = drive[:, t] + response
        fired = spikes[:, t] = (u >= threshold) if layer.fires_at_threshold else (u > threshold)
        kick = np.where(fired, -2 * threshold, 0.0)
        if layer.refractory == "exponential":
            response = decay * (response + kick)
        else:
            rise = decay * rise + np.e / layer.tau_r * kick
            response = decay * (response + rise)
    return spikes, potentials


def float_accuracy(
    network: FloatNetwork, data: Dataset, *, samples: int | None = None, batch: int = 50, progress: Callable[[int, int], None] | None = None
) -> float:
    """Return the share of the first ``samples`` of a split (None: all) that the network classifies rightly in float64.

    Sample i is keyed by i, as everywhere, and ``batch`` samples are evaluated at a time; ``progress`` is called with (done, in all).
    """
    count, right = len(data) if samples is None else samples, 0
    for start in range(0, count, batch):
        part = np.arange(start, min(start + batch, count))
        scores = evaluate(network, encode(data.images[part], network.input, network.timesteps, part)).scores
        right += int((scores.argmax(1) == data.labels[part]).sum())
        if progress is not None:
            progress(int(part[-1]) + 1, count)
    return right / count
