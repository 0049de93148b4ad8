"""The reference: what an integer network means, in NumPy int64, a whole layer at a time.

Sources of the neuron: Kim and Panda 2021 (BNTT) for the per-timestep schedules, after the fold of
:mod:`spikefold.quantize.fold`. Simulator and hardware repeat the tagged lines under the same names.
"""

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import DataError
from spikefold.quantize.network import Connection, Int, Network, Population, Weights, signed_range
from spikefold.quantize.trace import Trace
from spikefold.quantize.windows import patches, pool

__all__ = ["run"]


def run(network: Network, events: npt.NDArray[np.int8], *, potentials: bool = False) -> Trace:
    """Execute ``network`` on ``events`` (payloads, int8 [N, T, C, H, W]) and return the trace.

    Scores are int64 [N, classes]; the prediction is the lowest index among the greatest scores.
    """
    check_events(network, events)
    payload = events.astype(np.int64)
    spikes, kept, clamps, sops = [], [], [], []
    decoded = np.zeros((len(events), 1), np.int64)
    for connection, population in zip(network.connections, network.populations, strict=True):
        current, synapses = currents(connection, network.weights_of(connection), population, payload)
        fired, potential, clamped = run_population(connection, population, current)
        spikes.append(fired)
        kept.append(potential)
        clamps.append(clamped)
        sops.append(synapses)
        payload = fired.astype(np.int64)
        decoded = potential[:, -1].reshape(len(events), -1) if network.readout.decode == "potential" else payload.sum(1).reshape(len(events), -1)
    scores = decoded + network.readout.offset
    return Trace(
        populations=tuple(p.name for p in network.populations),
        spikes=tuple(spikes),
        potentials=tuple(kept) if potentials else None,
        scores=scores,
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


def currents(connection: Connection, weights: Weights, population: Population, payload: Int) -> tuple[Int, Int]:
    """Return the current of every neuron and timestep, [N, T, C, H, W], and the synaptic operations per sample, [N].

    A synaptic operation is one event of the source added to one neuron: pooled spikes count one by one.
    """
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
    return np.ascontiguousarray(current), events.reshape(len(payload), -1).sum(1) * population.shape[0]


def run_population(connection: Connection, population: Population, current: Int) -> tuple[npt.NDArray[np.bool_], Int, int]:
    """Run the neurons of one population through all timesteps of their current [N, T, C, H, W].

    Returns the spikes and the potentials after reset, both shaped like the current, and how often a clamp acted.
    """
    timesteps = current.shape[1]

    def at(schedule: Int, t: int) -> Int:
        return np.asarray(schedule[t if schedule.shape[0] > 1 else 0][:, None, None])

    potential = np.broadcast_to(population.initial[:, None, None], current[:, 0].shape).copy()
    spikes, potentials = np.empty(current.shape, np.bool_), np.empty_like(current)
    clamped = 0
    for t in range(timesteps):
        gain, shift, leak = at(connection.gain, t), at(connection.gain_shift, t), at(population.leak, t)
        threshold, decrement, load = at(population.threshold, t), at(population.decrement, t), at(population.load, t)
        drive = (current[:, t] * gain + ((1 << shift) >> 1)) >> shift  # [LIF.1]
        if population.leak_kind == "none":
            leaked = potential  # [LIF.2a]
        elif population.leak_kind == "shift":
            leaked = potential - (potential >> population.leak_shift)  # [LIF.2b]
        else:
            half = (1 << population.leak_frac_bits) >> 1
            leaked = (potential * leak + half) >> population.leak_frac_bits  # [LIF.2c]
        summed, clamps = clamp(leaked + drive, population)  # [LIF.3]
        clamped += clamps
        fired = summed >= threshold  # [LIF.4]
        if population.reset == "soft":
            potential, clamps = clamp(np.where(fired, summed - decrement, summed), population)  # [LIF.5a]
            clamped += clamps
        elif population.reset == "hard":
            potential = np.where(fired, load, summed)  # [LIF.5b]
        else:
            potential = summed  # [LIF.5c]
        spikes[:, t], potentials[:, t] = fired, potential
    return spikes, potentials, clamped


def clamp(value: Int, population: Population) -> tuple[Int, int]:
    """Clamp to the potential's width, and count where that changed a value."""
    if not population.saturate:
        return value, 0
    low, high = signed_range(population.potential_bits)
    clamped = np.clip(value, low, high)
    return clamped, int((clamped != value).sum())
