"""The folded recursion in float64, before anything is rounded: it shows that the fold itself changes no spike."""

import numpy as np
import numpy.typing as npt

from spikefold.quantize.float_evaluation import FloatTrace, over_channels, psp_root, weighted
from spikefold.quantize.float_network import LN_NORMS, FloatLayer, FloatNetwork
from spikefold.quantize.schedules import Form, Schedules, check_divisors, fold_schedules

__all__ = ["evaluate_folded", "folded_neurons"]

Float = npt.NDArray[np.float64]


def evaluate_folded(network: FloatNetwork, events: npt.NDArray[np.int8], form: Form) -> FloatTrace:
    """Run ``network`` folded in ``form`` on payloads [N, T, C, H, W]: what :func:`~spikefold.quantize.float_evaluation.evaluate` returns.

    The potentials are unfolded again, but for a readout of srm neurons, of which only the last one is that of the float network.
    """
    check_divisors(network)
    x = events.astype(np.float64) / network.input.scale
    spikes, potentials = [], []
    drives: dict[str, tuple[Float, Float]] = {}
    sent: dict[str, Float] = {}
    for layer in network.layers:
        # A drive in two parts: the bias, which goes into thresholds, and the rest, which may pass a kernel.
        current, added, inherited = weighted(layer, x), None, None
        if layer.add:
            added, inherited = drives[layer.add] if layer.add_from == "drive" else (sent[layer.add], None)
        root = psp_root(layer, x) if layer.norm.kind in LN_NORMS else None
        fired, u = folded_neurons(layer, current, form, added, inherited, root)
        spikes.append(fired)
        potentials.append(u)
        drive, shift = over_channels(layer.drive_scale) * current, layer.drive_shift
        drives[layer.name] = drive if added is None else drive + added, shift if inherited is None else shift + inherited
        x = sent[layer.name] = np.maximum(u, 0) if layer.neuron == "relu" else fired.astype(np.float64)
    final = potentials[-1][:, -1] if network.readout == "potential" else x.sum(1)
    return FloatTrace(spikes=tuple(spikes), potentials=tuple(potentials), scores=final.reshape(len(events), -1))


def folded_neurons(
    layer: FloatLayer, current: Float, form: Form, added: Float | None = None, inherited: Float | None = None, root: Float | None = None
) -> tuple[npt.NDArray[np.bool_], Float]:
    """Run the folded neurons over their weighted input [N, T, C, H, W], the layer's own bias not in it.

    ``added`` is what an earlier layer adds to the drive, and ``inherited`` [T or 1, C] the bias that belongs to it. ``root`` [N, 1, 1, 1, 1] is
    PSP-LN's divisor, which thresholds and kicks are multiplied by instead. Returns the spikes and
    the unfolded potentials before the reset, as :func:`spikefold.quantize.float_evaluation.neurons` does.
    """
    s = fold_schedules(layer, current.shape[1], form, inherited)
    drive = over_channels(s.gain) * current
    if added is not None:
        drive = drive + over_channels(s.added) * added
    if layer.neuron == "relu":
        # Neurons without a state keep their bias.
        u = drive + over_channels(layer.drive_shift if inherited is None else layer.drive_shift + inherited)
        return u > 0, u
    if s.decays:
        spikes, v = _responses(layer, s, drive, np.ones(1) if root is None else root[:, 0])
    else:
        spikes, v = _integrate(layer, s, drive)
    v = v if root is None else v / root
    return spikes, v * over_channels(s.scale) + over_channels(s.bias)


def _integrate(layer: FloatLayer, s: Schedules, drive: Float) -> tuple[npt.NDArray[np.bool_], Float]:
    """Integrate and fire; return the spikes and v before the reset."""
    threshold, decrement, load = (over_channels(x) for x in (s.threshold, s.decrement, s.load))
    v = np.zeros_like(drive[:, 0])
    spikes, potentials = np.zeros(drive.shape, np.bool_), np.empty_like(drive)
    for t in range(drive.shape[1]):
        v = potentials[:, t] = s.leak[:, None, None] * v + drive[:, t]
        if layer.reset != "none":
            fired = spikes[:, t] = (v >= threshold[t]) if layer.fires_at_threshold else (v > threshold[t])
            v = np.where(fired, v - decrement[t] if layer.reset == "soft" else load[t], v)
    return spikes, potentials


def _responses(layer: FloatLayer, s: Schedules, drive: Float, root: Float) -> tuple[npt.NDArray[np.bool_], Float]:
    """Spike response neurons: the kernel of the source behind the weights, thresholds and kicks times ``root``."""
    threshold, decrement = over_channels(s.threshold), over_channels(s.decrement)
    rise, psp, refractory, refractory_rise = (np.zeros_like(drive[:, 0]) for _ in range(4))
    spikes, potentials = np.zeros(drive.shape, np.bool_), np.empty_like(drive)
    for t in range(drive.shape[1]):
        psp = s.decays["psp"] * (psp + rise)
        v = potentials[:, t] = psp + refractory
        reached = root * threshold[t]
        fired = spikes[:, t] = (v >= reached) if layer.fires_at_threshold else (v > reached)
        rise = s.decays["rise"] * rise + drive[:, t]
        kick = -np.where(fired, root * decrement[t], 0)
        if layer.refractory == "alpha":
            kick = refractory_rise = s.decays["refractory_rise"] * refractory_rise + kick
        refractory = s.decays["refractory"] * (refractory + kick)
    return spikes, potentials
