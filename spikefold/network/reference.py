"""The reference: what an integer network means, in NumPy int64, a whole layer at a time.

Sources of the neuron: Kim and Panda 2021 (BNTT) for the per-timestep schedules, after the fold of
:mod:`spikefold.quantize.fold`. Simulator and hardware repeat the tagged lines under the same names.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import DataError
from spikefold.network.connection import INPUT, Connection, Weights
from spikefold.network.fields import Int, signed_range
from spikefold.network.network import Network
from spikefold.network.population import Population, PspScale
from spikefold.network.schedule import Schedule
from spikefold.network.trace import Trace
from spikefold.network.widths import decayed, scaled
from spikefold.network.windows import patches, pool

__all__ = ["run"]


def run(network: Network, events: npt.NDArray[np.int8], *, potentials: bool = False) -> Trace:
    """Execute ``network`` on ``events`` (payloads, int8 [N, T, C, H, W]) and return the trace.

    Scores are int64 [N, classes]; the prediction is the lowest index among the greatest scores.
    """
    check_events(network, events)
    payloads = {INPUT: events.astype(np.int64)}
    spikes, kept, clamps, sops = [], [], [], []
    for index, population in enumerate(network.populations):
        incoming = []
        for connection in network.into(index):
            weights = None if connection.kind == "identity" else network.weights_of(connection)
            current, operations = currents(connection, weights, payloads[connection.source])
            incoming.append((connection, current))
            sops.append(operations)
        (first, _), *_ = incoming
        root = None if population.scale is None else psp_root(population.scale, first, payloads[first.source])
        fired, potential, clamped = run_population(incoming, population, root)
        payload = np.where(fired, potential, 0) if population.output == "graded" else fired.astype(np.int64)
        # Of neurons that send their potential, one of 0 is no event.
        spikes.append(payload != 0)
        kept.append(potential)
        clamps.append(clamped)
        payloads[population.name] = payload
    decoded = kept[-1][:, -1] if network.readout.decode == "potential" else payload.sum(1)
    return Trace(
        populations=tuple(p.name for p in network.populations),
        spikes=tuple(spikes),
        potentials=tuple(kept) if potentials else None,
        scores=decoded.reshape(len(events), -1) + network.readout.offset,
        clamps=tuple(clamps),
        sops=np.stack(sops, axis=1),
    )


def check_events(network: Network, events: npt.NDArray[np.int8]) -> None:
    """Check the shape and range of the payloads of an input stream."""
    expected = (network.timesteps, *network.input.shape)
    if events.dtype != np.int8 or events.ndim != 5 or events.shape[1:] != expected or len(events) == 0:
        raise DataError(
            f"events: {events.dtype} {list(events.shape)}; the network takes int8 [N, {', '.join(map(str, expected))}] with N of at least 1"
        )
    low, high = network.input.payload_min, network.input.payload_max
    if events.min() < low or events.max() > high:
        raise DataError(f"events: a payload in {events.min()}..{events.max()}; {network.input.coding} payloads are in {low}..{high}")


def currents(connection: Connection, weights: Weights | None, payload: Int) -> tuple[Int, Int]:
    """Return the current of every neuron and timestep, [N, T, C, H, W], and the synaptic operations per sample, [N].

    ``weights`` is None for an identity. A synaptic operation is one event of the source added to one neuron: pooled spikes count one by one.
    """
    if weights is None:
        return payload, np.count_nonzero(payload, axis=(1, 2, 3, 4)).astype(np.int64)
    tensor = weights.tensor.astype(np.int64)
    pooled = pool(payload, connection.pool)
    pooled_events = pool((payload != 0).astype(np.int64), connection.pool)
    if connection.kind == "dense":
        # A dense layer is the convolution whose kernel covers the whole source.
        tensor = tensor.reshape(tensor.shape[0], *pooled.shape[2:])
    kernel = (tensor.shape[2], tensor.shape[3])
    seen = patches(pooled, kernel, connection.stride, connection.padding)
    events = patches(pooled_events, kernel, connection.stride, connection.padding)
    # Full width: the order in which events arrive must not change the sum.
    current = np.einsum("nthwcyx,ocyx->ntohw", seen, tensor, optimize=True)
    return np.ascontiguousarray(current), events.reshape(len(payload), -1).sum(1) * len(tensor)


def run_population(
    incoming: Sequence[tuple[Connection, Int]], population: Population, root: Int | None = None
) -> tuple[npt.NDArray[np.bool_], Int, int]:
    """Run the neurons of one population through all timesteps of its connections' currents, [N, T, C, H, W] each.

    ``root`` [N] is what :func:`psp_root` returns, for neurons with a scale. Returns the spikes and the potentials after reset, both shaped
    like the currents, and how often a clamp acted.
    """
    first = incoming[0][1]
    neurons: Lif | Srm = Srm(population, first[:, 0].shape, root) if population.neuron == "srm" else Lif(population, first[:, 0].shape)
    spikes, potentials = np.empty(first.shape, np.bool_), np.empty_like(first)
    clamped = 0
    for t in range(first.shape[1]):
        drive = np.zeros_like(first[:, t])
        for connection, current in incoming:
            gain, shift = at(connection.gain, t), at(connection.gain_shift, t)
            drive += (current[:, t] * gain + ((1 << shift) >> 1)) >> shift  # [LIF.1]
        spikes[:, t], potentials[:, t], clamps = neurons.step(drive, t)
        clamped += clamps
    return spikes, potentials, clamped


def at(schedule: Schedule, t: int) -> Int:
    """Return a schedule's values in timestep ``t`` for whole channels, [C or 1, 1, 1]."""
    return schedule.at(t)[:, None, None]


class Lif:
    """The potentials [N, C, H, W] of integrate-and-fire neurons, or of linear ones, which keep none."""

    def __init__(self, population: Population, shape: tuple[int, ...]) -> None:
        self.population = population
        self.potential: Int = np.broadcast_to(population.initial[:, None, None], shape).copy()

    def step(self, drive: Int, t: int) -> tuple[npt.NDArray[np.bool_], Int, int]:
        """Advance by one timestep; return spikes, potentials after the reset, and how often a clamp acted."""
        population, potential = self.population, self.potential
        threshold, decrement, load = at(population.threshold, t), at(population.decrement, t), at(population.load, t)
        if population.neuron == "linear":
            leaked = load  # [LINEAR]
        elif population.leak_kind == "none":
            leaked = potential  # [LIF.2a]
        elif population.leak_kind == "shift":
            leaked = potential - (potential >> population.leak_shift)  # [LIF.2b]
        else:
            half = (1 << population.leak_frac_bits) >> 1
            leaked = (potential * at(population.leak, t) + half) >> population.leak_frac_bits  # [LIF.2c]
        summed, clamped = clamp(leaked + drive, population)  # [LIF.3]
        fired = summed >= threshold  # [LIF.4]
        if population.reset == "soft":
            potential, clamps = clamp(np.where(fired, summed - decrement, summed), population)  # [LIF.5a]
            clamped += clamps
        elif population.reset == "hard":
            potential = np.where(fired, load, summed)  # [LIF.5b]
        else:
            potential = summed  # [LIF.5c]
        self.potential = potential
        return fired, potential, clamped


def psp_root(scale: PspScale, connection: Connection, payload: Int) -> Int:
    """Return what the thresholds of each sample are multiplied by, int64 [N]: the root of the mean square of all postsynaptic potentials."""
    kicks = pool(payload, connection.pool) << scale.payload_shift
    axes = tuple(range(1, kicks.ndim - 1))
    rise = psp = np.zeros_like(kicks[:, 0])
    total, squares = np.zeros((2, len(kicks)), np.int64)
    for t in range(kicks.shape[1]):
        psp = decayed(psp + rise, scale.decay)  # [ROOT.1]
        rise = decayed(rise, scale.decay) + kicks[:, t]  # [ROOT.2]
        total += psp.sum(axes)
        squares += (psp**2).sum(axes)
    count = kicks[0].size
    moment = squares // count  # [ROOT.3]
    if scale.about == "mean":
        moment = np.maximum(moment - (total // count) ** 2, 0)  # [ROOT.4]
    return np.array([math.isqrt(int(value) + scale.floor) for value in moment])  # [ROOT.5]


class Srm:
    """The states [N, C, H, W] of spike response neurons: two of the alpha kernel, and one or two of the refractory response."""

    def __init__(self, population: Population, shape: tuple[int, ...], root: Int | None = None) -> None:
        self.population = population
        self.root = None if root is None else root[:, None, None, None]
        self.decays = [state.decay for state in population.states]
        self.states = [np.zeros(shape, np.int64) for _ in population.states]

    def step(self, drive: Int, t: int) -> tuple[npt.NDArray[np.bool_], Int, int]:
        """Advance by one timestep; return spikes, potentials, and how often a clamp acted."""
        population = self.population
        threshold, decrement = at(population.threshold, t), at(population.decrement, t)
        if self.root is not None and population.scale is not None:
            threshold, decrement = (scaled(values, self.root, population.scale) for values in (threshold, decrement))  # [ROOT.6]
        rise, psp, refractory, *more = self.states
        rising, falling, recovering, *later = self.decays
        psp = decayed(psp + rise, falling)  # [SRM.1]
        summed, clamped = clamp(psp + refractory, population)  # [SRM.2]
        fired = summed >= threshold  # [SRM.3]
        rise = decayed(rise, rising) + drive  # [SRM.4]
        kick = np.where(fired, decrement, 0)  # [SRM.5]
        if more:
            more = [decayed(more[0], later[0]) - kick]  # [SRM.6a]
            refractory = decayed(refractory + more[0], recovering)  # [SRM.7a]
        else:
            refractory = decayed(refractory - kick, recovering)  # [SRM.7b]
        self.states = [rise, psp, refractory, *more]
        return fired, summed, clamped


def clamp(value: Int, population: Population) -> tuple[Int, int]:
    """Clamp to the potential's width, and count where that changed a value."""
    if not population.saturate:
        return value, 0
    low, high = signed_range(population.potential_bits)
    clamped = np.clip(value, low, high)
    return clamped, int((clamped != value).sum())
