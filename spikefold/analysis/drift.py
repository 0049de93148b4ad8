"""The drift: what rounding makes of a float network, layer by layer and timestep by timestep.

Both networks run on the same events, the float one as :mod:`spikefold.quantize.float_evaluation` defines it. Each layer of integers runs twice:
on what the integer network sends it (*total*), and on what the float network would send it (*own*), which leaves this layer's rounding alone.
Potentials are compared before the reset, unfolded as in :mod:`spikefold.quantize.schedules`, and up to a neuron's first flip in a sample: behind
it they are a whole threshold apart, which says nothing of rounding.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal, cast

import numpy as np
import numpy.typing as npt

from spikefold.analysis.drift_report import DriftReport, LayerDrift, Range, SpikeDrift
from spikefold.data.coding import InputCoding
from spikefold.data.errors import DataError, NetworkError
from spikefold.network.connection import INPUT, Connection
from spikefold.network.fields import GRADED_BITS_MAX, Int
from spikefold.network.network import Network
from spikefold.network.population import Population
from spikefold.network.reference import Lif, Srm, check_events, currents, psp_root, run_population
from spikefold.network.schedule import Schedule
from spikefold.network.windows import Shape
from spikefold.quantize.float_evaluation import evaluate
from spikefold.quantize.float_network import LN_NORMS, Float, FloatLayer, FloatNetwork
from spikefold.quantize.folded_layer import response_height
from spikefold.quantize.schedules import fold_schedules

__all__ = ["drift"]

Bool = npt.NDArray[np.bool_]
DRIVE = ".drive"
"""What the fold adds to a layer's name for the population that sends its drive to a later layer."""


def drift(network: FloatNetwork, integer: Network, batches: Iterable[npt.NDArray[np.int8]]) -> DriftReport:
    """Run both networks on ``batches`` of payloads, int8 [N, T, C, H, W] each, and say where and by how much they part.

    What ReLU layers of the float network send is rounded to the nearest payload for the own runs of later layers. Raises a NetworkError that
    names what differs where ``integer`` is no fold of ``network``, and a DataError where there are no events or they do not fit.
    """
    check_pair(network, integer)
    tallies = {tally.layer.name: tally for tally in _tallies(network, integer)}
    memory = memory_bits(integer, list(tallies))
    predictions: list[tuple[Int, Int]] = []
    for events in batches:
        check_events(integer, events)
        traced = evaluate(network, events)
        floats = dict(zip(tallies, zip(traced.spikes, traced.potentials, strict=True), strict=True))
        total: dict[str, Int] = {INPUT: events.astype(np.int64)}
        own = dict(total)
        for index, population in enumerate(integer.populations):
            sources = [connection.source for connection in integer.into(index)]
            part = "potential" if population.name in floats else "drive"
            run = _execute(integer, index, total, part)
            alone = run if all(np.array_equal(own[name], total[name]) for name in sources) else _execute(integer, index, own, part)
            total[population.name], own[population.name] = run.payload, alone.payload
            tally = tallies[_layer_of(population, floats)]
            tally.reached(run)
            if population.name in floats:
                spikes, u = floats[population.name]
                tally.add(spikes, u, run, alone)
                own[population.name] = _sent(population, spikes, u)
        decoded = run.summed[:, -1] if integer.readout.decode == "potential" else run.payload.sum(1)
        scores = decoded.reshape(len(events), -1) + integer.readout.offset
        predictions.append((traced.scores.argmax(1), scores.argmax(1)))
    if not predictions:
        raise DataError("drift: there are no events; at least 1 sample is needed")
    return DriftReport(
        timesteps=network.timesteps,
        float_predictions=np.concatenate([a for a, _ in predictions]),
        integer_predictions=np.concatenate([b for _, b in predictions]),
        layers=tuple(tally.result(memory[name]) for name, tally in tallies.items()),
    )


def check_pair(network: FloatNetwork, integer: Network) -> None:
    """Raise a NetworkError that names the first thing in which ``integer`` is not what ``network`` folds to."""
    names = [layer.name for layer in network.layers]
    layers = [p.name for p in integer.populations if p.name in names or _layer_of(p, names) not in names]
    found: dict[str, tuple[object, object]] = {
        "timesteps": (integer.timesteps, network.timesteps),
        **{f"input {f.name}": (getattr(integer.input, f.name), getattr(network.input, f.name)) for f in fields(InputCoding)},
        "classes": (len(integer.class_names), len(network.class_names)),
        **{f"name of class {i}": pair for i, pair in enumerate(zip(integer.class_names, network.class_names, strict=False))},
        "readout": (integer.readout.decode, network.readout),
        "layers": (", ".join(layers), ", ".join(names)),
    }
    for name, (got, expected) in found.items():
        if got != expected:
            raise NetworkError(f"integer network {name}: {got}; the float network has {expected}, and must be what was folded")
    for index, population in enumerate(integer.populations):
        i = names.index(_layer_of(population, names))
        _check_layer(network, i, integer, index, network.shapes()[i])


def _check_layer(network: FloatNetwork, i: int, integer: Network, index: int, shape: Shape) -> None:
    """Hold the population ``index`` of ``integer``, and its weights, against layer ``i`` of ``network``."""
    layer, population = network.layers[i], integer.populations[index]
    if population.scale and layer.norm.kind not in LN_NORMS:
        raise NetworkError(f"layer {layer.name!r} scale: one; the float network has {layer.norm.kind} there, and must be what was folded")
    integrates = i == len(network.layers) - 1 and network.readout == "potential"
    graded = layer.neuron == "relu" or population.name != layer.name
    expected: dict[str, object] = {"shape": shape, "neuron": "linear" if graded else "lif" if integrates else layer.neuron}
    if not graded:
        expected["reset"] = layer.reset
    found: dict[str, object] = {name: getattr(population, name) for name in expected}
    for connection in integer.into(index):
        if connection.kind != "identity":
            form = ("kind", "pool", "stride", "padding")
            expected |= {"source": network.layers[i - 1].name if i else INPUT, "weights": layer.weights.shape}
            expected |= {name: getattr(layer, name) for name in form}
            found |= {"source": connection.source, "weights": integer.weights_of(connection).tensor.shape}
            found |= {name: getattr(connection, name) for name in form}
    for name, value in expected.items():
        if found[name] != value:
            raise NetworkError(f"layer {population.name!r} {name}: {found[name]}; the float network has {value}, and must be what was folded")


def _layer_of(population: Population, names: Iterable[str]) -> str:
    """Return the name of the layer that a population belongs to."""
    return population.name if population.name in names else population.name.removesuffix(DRIVE)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Run:
    """What a population did: potentials before the reset and payloads, int64 [N, T, C, H, W] both, and the values that its parts took.

    ``root`` [N, 1, 1, 1, 1] is what a scaled population's potentials are times.
    """

    summed: Int
    payload: Int
    root: Int | None
    clamps: int
    ranges: tuple[Range, ...]

    @property
    def spikes(self) -> Bool:
        """Who sent something."""
        return np.asarray(self.payload != 0)


def _execute(network: Network, index: int, payloads: Mapping[str, Int], part: str) -> _Run:
    """Run a population as the reference does, which keeps only what is there after the reset; ``part`` is the name of its potential."""
    population, incoming = network.populations[index], list[tuple[Connection, Int]]()
    seen: dict[str, tuple[Int, int]] = {}
    for connection in network.into(index):
        weights = None if connection.kind == "identity" else network.weights_of(connection)
        # Sums of at most 32 bits: float64 holds them exactly, and multiplies faster.
        exact = cast("Int", payloads[connection.source].astype(np.float64))
        current = currents(connection, weights, exact)[0].astype(np.int64)
        incoming.append((connection, current))
        seen[f"{connection.kind} current from {connection.source}"] = current, connection.current_bits
    # Neurons that keep nothing and reset nothing show the drive itself.
    drives = run_population(incoming, _linear(population))[1]
    first = network.into(index)[0]
    root = None if population.scale is None else psp_root(population.scale, first, payloads[first.source])
    neurons: Lif | Srm = Srm(population, drives[:, 0].shape, root) if population.neuron == "srm" else Lif(population, drives[:, 0].shape)
    unreset = None if population.neuron == "srm" or population.reset == "none" else Lif(replace(population, reset="none"), drives[:, 0].shape)
    summed, stored, fired = np.empty_like(drives), np.empty_like(drives), np.empty(drives.shape, np.bool_)
    states = {f"state {state.name}": (np.empty_like(drives), state.bits) for state in population.states}
    clamps = 0
    for t in range(drives.shape[1]):
        if unreset is not None:
            unreset.potential = cast("Lif", neurons).potential
            summed[:, t] = unreset.step(drives[:, t], t)[1]
        fired[:, t], stored[:, t], clamped = neurons.step(drives[:, t], t)
        clamps += clamped
        for (values, _), state in zip(states.values(), neurons.states if isinstance(neurons, Srm) else (), strict=True):
            values[:, t] = state
    if unreset is None:
        summed = stored
    parts = {part: (np.stack([summed, stored]), population.potential_bits)} | states | seen
    return _Run(
        summed=summed,
        payload=np.where(fired, stored, 0) if population.output == "graded" else fired.astype(np.int64),
        root=None if root is None else root.reshape(-1, 1, 1, 1, 1),
        clamps=clamps,
        ranges=tuple(Range(part=name, least=int(v.min()), greatest=int(v.max()), bits=bits) for name, (v, bits) in parts.items()),
    )


def _linear(population: Population) -> Population:
    return Population(
        name=population.name, shape=population.shape, neuron="linear", output="graded", reset="none", leak_kind="none",
        threshold=Schedule.constant(0), potential_bits=GRADED_BITS_MAX, saturate=False,
    )  # fmt: skip


def _sent(population: Population, spikes: Bool, u: Float) -> Int:
    """Return the payloads that are nearest to what the float layer sends."""
    if population.output == "spike":
        return spikes.astype(np.int64)
    counts = np.rint(np.maximum(u, 0) / population.unit[:, None, None])
    return np.asarray(np.clip(counts, *population.payload_range).astype(np.int64))


class _Tally:
    """Adds up what a layer does in batch after batch."""

    def __init__(self, layer: FloatLayer, population: Population, shift: Float, timesteps: int, value: float) -> None:
        self.layer, self.population, self.timesteps = layer, population, timesteps
        self.relu, self.fires = layer.neuron == "relu", layer.neuron != "relu" and layer.reset != "none"
        self.factor, self.bias = _unfolding(layer, population, shift, timesteps)
        # What a root of 1 means.
        self.root = response_height(layer, value) / 2.0**population.scale.payload_shift if population.scale is not None else 1.0
        # A threshold of 0 measures nothing.
        self.by_threshold = self.fires and bool(layer.threshold.all())
        self.reference = np.abs(layer.threshold)[:, None, None] if self.by_threshold else np.ones((1, 1, 1))
        self.squares, self.own_squares, self.size = [0.0, 0], [0.0, 0], [0.0, 0]
        self.spikes, self.flips = np.zeros((2, timesteps), np.int64), np.zeros((2, timesteps), np.int64)
        self.sent = np.zeros((2, *population.shape), np.int64)
        self.first: list[Int] = []
        self.clamps, self.ranges = 0, dict[str, Range]()

    def reached(self, run: _Run) -> None:
        """Widen the ranges by what a population of the layer took."""
        self.clamps += run.clamps
        for found in run.ranges:
            known = self.ranges.get(found.part, found)
            self.ranges[found.part] = replace(found, least=min(found.least, known.least), greatest=max(found.greatest, known.greatest))

    def add(self, spikes: Bool, u: Float, total: _Run, own: _Run) -> None:
        """Compare the float layer's ``spikes`` and potentials ``u`` [N, T, C, H, W] with both runs of its neurons."""
        for n, sent in enumerate((spikes, total.spikes)):
            self.spikes[n] += sent.sum((0, 2, 3, 4))
            self.sent[n] += sent.sum((0, 1))
        if self.fires:
            flips = spikes != total.spikes
            self.flips += np.stack([flips.sum((0, 2, 3, 4)), (spikes != own.spikes).sum((0, 2, 3, 4))])
            # Behind the last timestep an all-true one, for samples in which nothing flips.
            any_flip = np.pad(flips.any((2, 3, 4)), ((0, 0), (0, 1)), constant_values=True)
            self.first.append(any_flip.argmax(1))
        value = np.maximum(u, 0) if self.relu else u
        compared = self._compared(np.zeros_like(spikes))
        for sums, run in ((self.squares, total), (self.own_squares, own)):
            root = 1 if run.root is None else run.root * self.root
            restored = (run.payload if self.relu else run.summed) * self.factor / root + self.bias
            clean = self._compared(spikes != run.spikes) if self.fires else compared
            _add_squares(sums, (restored - value) / self.reference, clean)
        _add_squares(self.size, value, compared)

    def _compared(self, flips: Bool) -> Bool:
        """Return where potentials say something: up to and with the first flip; of summed-up responses, at the end."""
        where = np.ones_like(flips)
        where[:, 1:] = ~np.logical_or.accumulate(flips, axis=1)[:, :-1]
        if self.layer.neuron == "srm" and not self.fires:
            where[:, :-1] = False
        return where

    def result(self, memory: dict[str, int]) -> LayerDrift:
        """Return the figures."""
        unit = 1.0 if self.by_threshold else _root(self.size) or 1.0
        every = sum(map(len, self.first)) * self.timesteps
        drifted = SpikeDrift(
            float_spikes=self.spikes[0], integer_spikes=self.spikes[1], flips=self.flips[0], own_flips=self.flips[1],
            first_flips=np.concatenate(self.first), dead=_both((self.sent == 0).sum((1, 2, 3))), saturated=_both((self.sent == every).sum((1, 2, 3))),
        ) if self.fires else None  # fmt: skip
        return LayerDrift(
            name=self.layer.name, neuron=self.layer.neuron, neurons=self.population.size, spikes=drifted,
            potential_error=_root(self.squares) / unit, own_potential_error=_root(self.own_squares) / unit,
            error_unit="threshold" if self.by_threshold else "float values", clamps=self.clamps, ranges=tuple(self.ranges.values()),
            memory_bits=memory,
        )  # fmt: skip


def _both(counts: Int) -> tuple[int, int]:
    return int(counts[0]), int(counts[1])


def _add_squares(sums: list[float], values: Float, where: Bool) -> None:
    sums[0] += float(np.square(values, where=where, out=np.zeros_like(values)).sum())
    sums[1] += int(where.sum())


def _root(sums: list[float]) -> float:
    return float(np.sqrt(sums[0] / sums[1]))


def _unfolding(layer: FloatLayer, population: Population, shift: Float, timesteps: int) -> tuple[Float, Float]:
    """Return (factor, bias), [T or 1, C or 1, 1, 1] both, which make float values of potentials, or of what a ReLU layer sends."""
    unit = population.unit[None, :, None, None]
    if layer.neuron == "relu":
        return unit, np.zeros((1, 1, 1, 1))
    # A leak that hardware does not execute is in the schedules. Of a leak of 1, and of srm neurons, both forms are the same.
    form: Literal["B", "C"] = "C" if population.leak_kind == "none" else "B"
    schedules = fold_schedules(layer, timesteps, form, shift)
    return unit * schedules.scale[:, :, None, None], schedules.bias[:, :, None, None]


def _tallies(network: FloatNetwork, integer: Network) -> Iterator[_Tally]:
    """Yield a tally a layer."""
    populations, shifts = {p.name: p for p in integer.populations}, dict[str, Float]()
    value = 1 / network.input.scale
    for layer in network.layers:
        # The bias in the drive that an earlier layer adds, as the fold has it.
        inherited = shifts[layer.add] if layer.add and layer.add_from == "drive" else np.zeros((1, 1))
        shifts[layer.name] = layer.drive_shift + inherited
        yield _Tally(layer, populations[layer.name], inherited, network.timesteps, value)
        value = float(populations[layer.name].unit[0]) if layer.neuron == "relu" else 1.0


def memory_bits(network: Network, layers: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return the bits of weights, schedules, potentials and states of each layer, by what they hold; residual drives count to their layer.

    Weights are counted where they are used first, and a parameter as memories hold it: not along an axis on which it is constant.
    """
    found: dict[str, dict[str, int]] = {name: {"weights": 0} for name in layers}
    counted = set[str]()
    for index, population in enumerate(network.populations):
        bits, schedules = found[_layer_of(population, layers)], _schedules(population)
        for connection in network.into(index):
            if not connection.unit_gain:
                schedules += [("gain", connection.gain), ("gain_shift", connection.gain_shift)]
            if connection.weights and connection.weights not in counted:
                weights = network.weights_of(connection)
                bits["weights"] += weights.tensor.size * weights.bits
                counted.add(connection.weights)
        if index == len(network.populations) - 1:
            schedules.append(("offset", Schedule.of(network.readout.offset[None])))
        for kind, schedule in schedules:
            stored = schedule.collapsed()
            bits[kind] = bits.get(kind, 0) + (stored.values.size * stored.bits if stored.axes else 0)
        # Linear neurons keep nothing, and srm neurons no potential.
        bits["potentials"] = population.size * population.potential_bits * (population.neuron == "lif")
        bits["states"] = population.size * sum(state.bits for state in population.states)
    return found


def _schedules(population: Population) -> list[tuple[str, Schedule]]:
    """Return the parameters that the neurons use, by name."""
    used = [("threshold", population.threshold), ("initial", Schedule.of(population.initial[None]))]
    if population.leak_kind == "multiply":
        used.append(("leak", population.leak))
    if population.reset == "soft":
        used.append(("decrement", population.decrement))
    if population.reset == "hard" or population.neuron == "linear":
        used.append(("load", population.load))
    return used
