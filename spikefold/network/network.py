"""The contract: the integer network that reference, simulator and hardware execute without a bit of difference.

What a neuron does in a timestep is written once, in :mod:`spikefold.network.reference`. Here is what a network
consists of, with the range of every field; an object that exists has been checked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from spikefold.data.coding import InputCoding
from spikefold.data.errors import NetworkError
from spikefold.network.connection import INPUT, Connection, Source, Weights
from spikefold.network.fields import POTENTIAL_BITS_MAX, TIMESTEPS_MAX, Int, bits_for, frozen, in_range, one_of, only, signed_range, within
from spikefold.network.population import Population
from spikefold.network.widths import Fed, check_widths
from spikefold.network.windows import layer_shape

__all__ = ["FORMAT_VERSION", "ExitRule", "Network", "Readout"]

FORMAT_VERSION = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Readout:
    """How the last population becomes a score per class: its final potential or its spike count, plus ``offset`` [C]."""

    decode: Literal["potential", "spike_count"]
    offset: Int

    def __post_init__(self) -> None:
        one_of(self.decode, ("potential", "spike_count"), "readout decode")
        object.__setattr__(self, "offset", frozen(self.offset, "readout offset", 1))
        in_range(self.offset, *signed_range(POTENTIAL_BITS_MAX), "readout offset")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitRule:
    """When inference stops: ``none`` runs all timesteps; other rules are part of the format, not of this version."""

    rule: str = "none"
    step: int = 0

    def __post_init__(self) -> None:
        only(self.rule, "none", "exit rule")
        only(self.step, 0, "exit step")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Network:
    """An integer spiking network: populations, each fed by connections from the input or from earlier ones; the last one is read out.

    ``connections`` are in the order of the populations that they feed.
    """

    format_version: int = FORMAT_VERSION
    timesteps: int
    timesteps_trained: int
    exit: ExitRule = ExitRule()
    input: InputCoding
    class_names: tuple[str, ...]
    provenance: Mapping[str, str] = field(default_factory=dict)
    weights: tuple[Weights, ...]
    connections: tuple[Connection, ...]
    populations: tuple[Population, ...]
    readout: Readout

    def __post_init__(self) -> None:
        only(self.format_version, FORMAT_VERSION, "format_version")
        within(self.timesteps, 1, TIMESTEPS_MAX, "timesteps")
        within(self.timesteps_trained, 1, TIMESTEPS_MAX, "timesteps_trained")
        by_id = {w.id: w for w in self.weights}
        if len(by_id) != len(self.weights):
            raise NetworkError("weights: two tensors have the same id; each id must be there once")
        if len({p.name for p in self.populations} | {INPUT}) != len(self.populations) + 1:
            raise NetworkError("populations: a name is there twice, or is 'input'; names must differ")
        if not self.populations:
            raise NetworkError("network: it has no populations; at least 1 is needed")
        self._check_order()
        for index, population in enumerate(self.populations):
            for connection in self.into(index):
                self._check_connection(connection, population, by_id)
            self._check_schedules(population)
        unused = set(by_id) - {c.weights for c in self.connections}
        if unused:
            raise NetworkError(f"weights {sorted(unused)[0]!r}: no connection uses them")
        classes, last = len(self.class_names), self.populations[-1]
        if last.shape != (classes, 1, 1) or self.readout.offset.shape != (classes,):
            raise NetworkError(
                f"readout: {classes} class names, {self.readout.offset.size} offsets and a last population of {last.shape}; "
                "it must be one neuron and one offset a class"
            )
        if self.readout.decode == "potential" and (last.neuron != "lif" or not last.never_fires):
            raise NetworkError(f"population {last.name!r} threshold: a potential readout never fires, so it must lie above every potential")
        if last.output != "spike":
            raise NetworkError(f"population {last.name!r} output: 'graded'; the last population integrates, or its spikes are counted")
        for index, population in enumerate(self.populations):
            check_widths(population, self.feeding(index), self.timesteps)

    def _check_order(self) -> None:
        """Check that connections follow the order of the populations, and come from earlier ones."""
        place_of = {p.name: i for i, p in enumerate(self.populations)} | {INPUT: -1}
        fed, before = set[int](), 0
        for c in self.connections:
            place = f"connection {c.source!r} to {c.target!r}"
            for end in (c.source, c.target):
                if end not in place_of:
                    raise NetworkError(f"{place}: there is no population {end!r}")
            target = place_of[c.target]
            if target < before or place_of[c.source] >= target:
                raise NetworkError(f"{place}: connections must be in the order of what they feed, and come from the input or an earlier population")
            fed.add(target)
            before = target
        for index, population in enumerate(self.populations):
            if index not in fed:
                raise NetworkError(f"population {population.name!r}: no connection feeds it; at least 1 is needed")

    def _check_connection(self, c: Connection, p: Population, by_id: Mapping[str, Weights]) -> None:
        place = f"layer {p.name!r}"
        source = self.source(c)
        if c.kind == "identity":
            shape = source.shape
        elif c.weights in by_id:
            shape = layer_shape(place, c.kind, source.shape, c.pool, by_id[c.weights].tensor.shape, c.stride, c.padding)
        else:
            raise NetworkError(f"connection into {p.name!r}: weights id {c.weights!r} is not in the network")
        if p.shape != shape:
            raise NetworkError(f"{place} shape: {p.shape}; its connection from {c.source!r} gives {shape}")
        if c.payload_bits != source.payload_bits:
            raise NetworkError(f"{place} payload_bits: value {c.payload_bits}; its source {c.source!r} sends payloads of {source.payload_bits} bits")
        for name, schedule in {"gain": c.gain, "gain_shift": c.gain_shift}.items():
            schedule.check_axes(self.timesteps, p.shape[0], f"{place} {name}")

    def _check_schedules(self, p: Population) -> None:
        place = f"layer {p.name!r}"
        for name, schedule in {"leak": p.leak, "threshold": p.threshold, "decrement": p.decrement, "load": p.load}.items():
            schedule.check_axes(self.timesteps, p.shape[0], f"{place} {name}")
        for name, vector in {"initial": p.initial, "unit": p.unit}.items():
            if vector.shape[0] not in (1, p.shape[0]):
                raise NetworkError(f"{place} {name}: {vector.shape[0]} values; it must be {p.shape[0]} or 1")

    def into(self, index: int) -> tuple[Connection, ...]:
        """Return the connections that feed population ``index``."""
        name = self.populations[index].name
        return tuple(c for c in self.connections if c.target == name)

    def feeding(self, index: int) -> tuple[Fed, ...]:
        """Return the connections that feed population ``index``, each with its weights (None for an identity) and its source."""
        return tuple(Fed(c, None if c.kind == "identity" else self.weights_of(c), self.source(c)) for c in self.into(index))

    def weights_of(self, connection: Connection) -> Weights:
        """Return the weights that a connection names; an identity names none."""
        return next(w for w in self.weights if w.id == connection.weights)

    def source(self, connection: Connection) -> Source:
        """Return what feeds a connection."""
        if connection.source == INPUT:
            coding = self.input
            return Source(name=INPUT, shape=coding.shape, least=coding.payload_min, most=coding.payload_max, payload_bits=coding.payload_bits)
        p = next(p for p in self.populations if p.name == connection.source)
        least, most = p.payload_range
        return Source(name=p.name, shape=p.shape, least=least, most=most, payload_bits=p.payload_bits)

    @property
    def score_bits(self) -> int:
        """The width of a class's score: the potential or the spike count, plus its offset."""
        low, high = min(0, int(self.readout.offset.min())), max(0, int(self.readout.offset.max()))
        if self.readout.decode == "potential":
            least, most = signed_range(self.populations[-1].potential_bits)
            return bits_for(low + least, high + most)
        return bits_for(low, high + self.timesteps)
