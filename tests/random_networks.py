"""Random integer networks, directly in the contract, with their events and a chip: seeded, small, and lively.

Thresholds are set from runs of the reference, so that every layer fires at a meaningful rate, and on values that potentials
really take, so that comparisons meet their boundary.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spikefold.chip.config import ChipConfig
from spikefold.data.coding import InputCoding
from spikefold.network import reference
from spikefold.network.connection import Connection, Weights
from spikefold.network.fields import bits_for, signed_range
from spikefold.network.network import Network, Readout
from spikefold.network.population import Population
from spikefold.network.power_terms import nearest_terms
from spikefold.network.schedule import Schedule
from spikefold.network.widths import potential_bounds, weighted_bounds
from spikefold.network.windows import layer_shape, pool
from tests.chips import chip_of

__all__ = ["BOUNDARIES", "Case", "boundary_statistics", "firing_rates", "random_case"]

Rng = np.random.Generator
Shape = tuple[int, int, int]
WIDEST = 32


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A network, a chip that holds it, and payloads [N, T, C, H, W] for it."""

    name: str
    network: Network
    chip: ChipConfig
    events: np.ndarray


def random_case(seed: int, *, small: bool, layers: int | None = None, timesteps: int | None = None, gain_terms: int = 0) -> Case:
    """Return the case of ``seed``: up to 3 layers of at most 80 (``small``) or 600 neurons, up to 20 timesteps.

    With ``gain_terms`` the chip shifts and adds, and the gains are sums of so many powers of two.
    """
    rng = np.random.default_rng(seed)
    timesteps = timesteps or int(rng.integers(1, 21))
    layers = layers or int(rng.integers(1, 4))
    coding = random_coding(rng, 8 if small else 14, 4 if small else 6)
    events = random_events(rng, coding, timesteps, samples=int(rng.integers(1, 3)) + 6 // timesteps)
    decode: Any = str(rng.choice(["potential", "spike_count"]))
    payload, source, source_name = events.astype(np.int64), coding.shape, "input"
    weights, connections, populations = [], [], []
    for index in range(layers):
        last = index == layers - 1
        tensor, geometry = random_geometry(rng, source, 80 if small else 600, dense=last, channels_max=12 if small else 24)
        bits = int(rng.integers(2, 9))
        name = f"layer{index}"
        weights.append(Weights(id=f"w{index}", tensor=random_weights(rng, tensor, bits), bits=bits))
        connection = Connection(
            source=source_name, target=name, weights=f"w{index}", payload_bits=coding.payload_bits if index == 0 else 2,
            current_bits=WIDEST, **geometry, **random_gain(rng, timesteps, tensor[0]),
        )  # fmt: skip
        if gain_terms:
            connection = replace(connection, gain=Schedule.of(nearest_terms(connection.gain.values.astype(np.float64), gain_terms, 12)))
        shape = layer_shape(name, connection.kind, source, connection.pool, tensor, connection.stride, connection.padding)
        least, most = (coding.payload_min, coding.payload_max) if index == 0 else (0, 1)
        low, high = weighted_bounds(weights[-1].tensor, connection.pool, least, most)
        connection = replace(connection, current_bits=bits_for(int(low.min()), int(high.max())) + int(rng.integers(0, 3)) // 2)
        current, _ = reference.currents(connection, weights[-1], payload)
        population = random_population(rng, name, shape, connection, current, low, high, readout=last and decode == "potential")
        connections.append(connection)
        populations.append(population)
        payload = reference.run_population([(connection, current)], population)[0].astype(np.int64)
        source, source_name = shape, name
    network = Network(
        timesteps=timesteps, timesteps_trained=timesteps, input=coding, class_names=tuple(f"class{c}" for c in range(source[0])),
        weights=tuple(weights), connections=tuple(connections), populations=tuple(populations),
        readout=Readout(decode=decode, offset=rng.integers(-20, 21, source[0])),
    )  # fmt: skip
    chip = chip_of(
        name=f"random{seed}", cores=layers, lanes=int(rng.integers(1, 17)), event_queue_depth=int(rng.integers(1, 17)), gain_terms=gain_terms
    )  # fmt: skip
    return Case(name=f"seed {seed}", network=network, chip=chip, events=events)


SHELL = Population(
    name="shell", shape=(1, 1, 1), reset="none", leak_kind="none", threshold=Schedule.constant((1 << WIDEST) - 1), potential_bits=WIDEST,
    saturate=True,
)  # fmt: skip
"""A population that integrates at full width; :func:`dataclasses.replace` makes others of it."""


def random_coding(rng: Rng, side: int, channels: int) -> InputCoding:
    coding: Any = str(rng.choice(["ternary", "poisson", "direct"]))
    shape = (int(rng.integers(1, channels + 1)), int(rng.integers(1, side + 1)), int(rng.integers(1, side + 1)))
    bits = int(rng.integers(2, 7)) if coding == "direct" else 2
    return InputCoding(shape=shape, coding=coding, mean=0.0, std=1.0, scale=1.0, payload_bits=bits, seed=0)


def random_events(rng: Rng, coding: InputCoding, timesteps: int, samples: int) -> np.ndarray:
    """Payloads of every size, timesteps without any, and dense ones."""
    shape = (samples, timesteps, *coding.shape)
    density = np.where(rng.random((samples, timesteps, 1, 1, 1)) < 0.15, 0.0, rng.choice([0.1, 0.3, 0.6]))
    payload = rng.integers(coding.payload_min, coding.payload_max, shape, endpoint=True)
    return np.where(rng.random(shape) < density, payload, 0).astype(np.int8)


def random_geometry(rng: Rng, source: Shape, neurons_max: int, *, dense: bool, channels_max: int) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Return the shape of a layer's weights, and the fields of its connection that go with it."""
    side = int(rng.integers(1, min(3, source[1], source[2]) + 1))
    height, width = source[1] // side, source[2] // side
    if dense or rng.random() < 0.25:
        return (int(rng.integers(2, channels_max)), source[0] * height * width), {"kind": "dense", "pool": side}
    padding, stride = int(rng.integers(0, 3)), int(rng.integers(1, 3))
    kernel = [int(rng.integers(1, min(5, size + 2 * padding) + 1)) for size in (height, width)]
    out = [(size + 2 * padding - k) // stride + 1 for size, k in zip((height, width), kernel, strict=True)]
    most = max(1, min(channels_max, neurons_max // (out[0] * out[1])))
    shape = (int(rng.integers(1, most + 1)), source[0], *kernel)
    return shape, {"kind": "conv2d", "pool": side, "stride": stride, "padding": padding}


def random_weights(rng: Rng, shape: tuple[int, ...], bits: int) -> np.ndarray:
    """Weights over the whole range, its ends included, some of them 0."""
    low, high = signed_range(bits)
    tensor = rng.integers(low, high, shape, endpoint=True)
    return np.where(rng.random(shape) < rng.choice([0.0, 0.3]), 0, tensor).astype(np.int8)


def schedule_shape(rng: Rng, timesteps: int, channels: int) -> tuple[int, int]:
    return (timesteps if rng.random() < 0.6 else 1), (channels if rng.random() < 0.6 else 1)


def random_gain(rng: Rng, timesteps: int, channels: int) -> dict[str, Any]:
    if rng.random() < 0.3:
        return {"gain": np.ones((1, 1), np.int64), "gain_shift": np.zeros((1, 1), np.int64)}
    bits = int(rng.integers(2, 13))
    size = schedule_shape(rng, timesteps, channels)
    gain = rng.integers(1, 1 << (bits - 1), size, endpoint=True) * rng.choice([-1, 1], size, p=[0.2, 0.8]) * (rng.random(size) < 0.92)
    shifts = schedule_shape(rng, timesteps, channels) if rng.random() < 0.5 else (1, 1)
    return {"gain": gain, "gain_shift": rng.integers(max(0, bits - 4), min(bits + 2, 12), shifts, endpoint=True)}


def random_leak(rng: Rng, timesteps: int, channels: int) -> dict[str, Any]:
    kind = str(rng.choice(["none", "shift", "multiply"]))
    if kind == "shift":
        return {"leak_kind": kind, "leak_shift": int(rng.integers(0, 7))}
    if kind == "none":
        return {"leak_kind": kind}
    bits = int(rng.integers(1, 16))
    leak = np.rint((1 << bits) * rng.choice([1.0, 0.95, 0.9, 0.5, 0.0], schedule_shape(rng, timesteps, channels), p=[0.1, 0.4, 0.2, 0.25, 0.05]))
    return {"leak_kind": kind, "leak_frac_bits": bits, "leak": leak.astype(np.int64)}


def random_population(
    rng: Rng, name: str, shape: Shape, connection: Connection, current: np.ndarray, low: np.ndarray, high: np.ndarray, *, readout: bool
) -> Population:
    """Return neurons for ``current`` [N, T, C, H, W] that clamp on purpose, or whose width is proven for currents in ``low``..``high``."""
    timesteps, channels = current.shape[1], shape[0]
    neuron = replace(SHELL, name=name, shape=shape, **random_leak(rng, timesteps, channels))
    free = reference.run_population([(connection, current)], neuron)[1]
    reach = max(2, int(np.percentile(np.abs(free), 90)))
    saturate = bool(rng.random() < 0.4)
    # Where it saturates, so narrow that the clamps act.
    bits = int(np.clip(bits_for(-reach, reach) - int(rng.integers(0, 2)), 2, WIDEST)) if saturate else WIDEST
    top = (1 << (bits - 1)) - 1 if saturate else 4 * reach
    most = min(reach, top) // 2 * int(rng.integers(0, 2))
    neuron = replace(
        neuron, potential_bits=bits, threshold=Schedule.constant((1 << bits) - 1), unit=np.ones(1),
        initial=rng.integers(-most, most, channels if rng.random() < 0.5 else 1, endpoint=True),
    )  # fmt: skip
    if not readout:
        neuron = with_reset(rng, neuron, timesteps, reach, top)
        neuron = with_thresholds(rng, connection, neuron, current)
    if saturate:
        return neuron
    proven = bits_for(*potential_bounds([(connection, low, high)], neuron, timesteps))
    if proven > WIDEST:
        return neuron
    bits = min(WIDEST, max(2, proven) + int(rng.integers(0, 3)) // 2)
    if readout:
        return replace(neuron, potential_bits=bits, threshold=Schedule.constant((1 << bits) - 1), saturate=False)
    limits = signed_range(bits + 1)
    return replace(
        neuron, potential_bits=bits, saturate=False, threshold=Schedule.of(np.clip(neuron.threshold.values, *limits)),
        decrement=Schedule.of(np.clip(neuron.decrement.values, *limits)), load=Schedule.of(np.clip(neuron.load.values, *signed_range(bits))),
    )  # fmt: skip


def with_reset(rng: Rng, neuron: Population, timesteps: int, reach: int, top: int) -> Population:
    """Give neurons a soft reset by about what they reach, now and then by less than nothing, or a hard one."""
    size = schedule_shape(rng, timesteps, neuron.shape[0])
    if rng.random() < 0.5:
        decrement = rng.integers(1, min(reach, top) + 1, size, endpoint=True)
        return replace(neuron, reset="soft", decrement=Schedule.of(np.where(rng.random(size) < 0.05, -decrement, decrement)))
    load = rng.integers(-min(reach, top) // 2, min(reach, top) // 3, size, endpoint=True)
    ends = np.where(rng.random(size) < 0.5, *signed_range(neuron.potential_bits)) if neuron.saturate and neuron.potential_bits < WIDEST else load
    return replace(neuron, reset="hard", load=Schedule.of(np.where(rng.random(size) < 0.1, ends, load)))


def with_thresholds(rng: Rng, connection: Connection, neuron: Population, current: np.ndarray) -> Population:
    """Choose thresholds, in time, among the sums that the neurons reach, so that about the wanted share of them fires."""
    timesteps, channels = current.shape[1:3]
    steps, columns = schedule_shape(rng, timesteps, channels)
    wanted = float(rng.uniform(0.06, 0.4))
    if steps == 1:
        return with_constant_thresholds(rng, connection, neuron, current, columns, wanted)
    threshold = np.full((timesteps, columns), (1 << neuron.potential_bits) - 1)
    fired = seen = 0
    for t in range(timesteps):
        # Nothing fires in timestep t yet, so the potential behind it is the clamped sum.
        until = replace(neuron, threshold=Schedule.of(threshold))
        summed = reference.run_population([(connection, current[:, : t + 1])], until)[1][:, t]
        for c in range(columns):
            values = summed if columns == 1 else summed[:, c]
            seen += values.size
            threshold[t, c] = pick(rng, values.ravel(), wanted * seen - fired)
            fired += int((values >= threshold[t, c]).sum())
    return replace(neuron, threshold=Schedule.of(threshold))


def pick(rng: Rng, values: np.ndarray, wanted: float) -> int:
    """Return a threshold at, or one beside, one of ``values`` so that about ``wanted`` of them reach it."""
    candidates, counts = np.unique(values, return_counts=True)
    reached = np.append(counts[::-1].cumsum()[::-1], 0)
    best = int(np.abs(reached - wanted).argmin())
    value = int(candidates[best]) if best < len(candidates) else int(candidates[-1]) + 1
    beside = value + int(rng.choice([-1, 0, 0, 0, 1]))
    return beside if abs(int((values >= beside).sum()) - wanted) <= 0.05 * len(values) else value


def with_constant_thresholds(rng: Rng, connection: Connection, neuron: Population, current: np.ndarray, columns: int, wanted: float) -> Population:
    """Search the quantile of the unreset sums whose value, as a constant threshold, gives the wanted share."""
    free = reference.run_population([(connection, current)], replace(neuron, reset="none"))[1]
    values = np.moveaxis(free, 2, 0).reshape(free.shape[2], -1) if columns > 1 else free.reshape(1, -1)
    best, nearest = neuron, np.inf
    for level in (0.995, 0.98, 0.95, 0.9, 0.8, 0.7, 0.6, 0.45, 0.3, 0.1):
        threshold = np.quantile(values, level, axis=1, method="higher").astype(np.int64)[None, :]
        trial = replace(neuron, threshold=Schedule.of(threshold))
        # Potentials fall only where neurons fire, so a rate that has passed the wanted one will not come back.
        rate = reference.run_population([(connection, current)], trial)[0].mean()
        if abs(rate - wanted) < nearest:
            best, nearest = trial, abs(rate - wanted)
    return best


def firing_rates(case: Case) -> list[float]:
    """Return the share of neurons that fire in a timestep, for each layer that can."""
    trace = reference.run(case.network, case.events)
    return [float(s.mean()) for s, p in zip(trace.spikes, case.network.populations, strict=True) if not p.never_fires]


BOUNDARIES = (
    "at threshold", "1 below threshold", "1 above threshold", "rounding ties", "negative ties", "negative operands of >>",
    "clamps low", "clamps high", "silent timesteps", "spikes by a moved threshold",
)  # fmt: skip


def boundary_statistics(case: Case) -> dict[str, int]:
    """Count how often a run meets each of ``BOUNDARIES``."""
    counts = dict.fromkeys(BOUNDARIES, 0)
    trace = reference.run(case.network, case.events, potentials=True)
    assert trace.potentials is not None
    payload = case.events.astype(np.int64)
    for index, (k, p) in enumerate(zip(case.network.connections, case.network.populations, strict=True)):
        current, _ = reference.currents(k, case.network.weights_of(k), payload)
        silent = (pool(np.abs(payload), k.pool).reshape(*payload.shape[:2], -1) == 0).all(2)
        counts["silent timesteps"] += int(silent.sum())
        before = np.broadcast_to(p.initial[:, None, None], current[:, 0].shape)
        for t in range(current.shape[1]):
            step_statistics(counts, k, p, t, current[:, t], before, trace.spikes[index][:, t], silent[:, t])
            before = trace.potentials[index][:, t]
        payload = trace.spikes[index].astype(np.int64)
    return counts


def step_statistics(
    counts: dict[str, int], k: Connection, p: Population, t: int, current: np.ndarray, before: np.ndarray, fired: np.ndarray, silent: np.ndarray
) -> None:
    """Add the boundaries that one layer meets in one timestep, on [N, C, H, W]."""

    def at(schedule: Schedule, step: int = t) -> np.ndarray:
        return schedule.at(step)[:, None, None]

    shift, product = at(k.gain_shift), current * at(k.gain)
    operands = [(product, np.broadcast_to(shift, product.shape), True)]
    if p.leak_kind == "shift":
        operands.append((before, np.full(before.shape, p.leak_shift), False))
    elif p.leak_kind == "multiply":
        operands.append((before * at(p.leak), np.full(before.shape, p.leak_frac_bits), True))
    for value, bits, rounds in operands:
        counts["negative operands of >>"] += int(((value < 0) & (bits > 0)).sum())
        tie = rounds & (bits > 0) & ((value & ((1 << bits) - 1)) == ((1 << bits) >> 1))
        counts["rounding ties"] += int((tie & (value > 0)).sum())
        counts["negative ties"] += int((tie & (value < 0)).sum())
    drive = (product + ((1 << shift) >> 1)) >> shift
    leaked = before
    if p.leak_kind == "shift":
        leaked = before - (before >> p.leak_shift)
    elif p.leak_kind == "multiply":
        leaked = (before * at(p.leak) + ((1 << p.leak_frac_bits) >> 1)) >> p.leak_frac_bits
    low, high = signed_range(p.potential_bits)
    summed = np.clip(leaked + drive, low, high)
    for value in (leaked + drive, summed - at(p.decrement) * (fired & (p.reset == "soft"))):
        counts["clamps low"] += int((value < low).sum())
        counts["clamps high"] += int((value > high).sum())
    if p.never_fires:
        return
    threshold = at(p.threshold)
    for name, offset in (("at threshold", 0), ("1 below threshold", -1), ("1 above threshold", 1)):
        counts[name] += int((summed == threshold + offset).sum())
    if t:
        moved = fired & silent[:, None, None, None] & (summed < at(p.threshold, t - 1))
        counts["spikes by a moved threshold"] += int(moved.sum())
