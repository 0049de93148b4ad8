"""The contract: the integer network that reference, simulator and hardware execute without a bit of difference.

What a neuron does in a timestep is written once, in :mod:`spikefold.network.reference`. Here is what a network
consists of, with the range of every field; an object that exists has been checked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from spikefold.data.coding import InputCoding
from spikefold.data.errors import NetworkError
from spikefold.network.fields import (
    CURRENT_BITS_MAX,
    GAIN_BITS_MAX,
    GRADED_BITS_MAX,
    POTENTIAL_BITS_MAX,
    SHIFT_MAX,
    SPIKE_PAYLOAD_BITS,
    TIMESTEPS_MAX,
    Int,
    frozen,
    in_range,
    one_of,
    only,
    signed_range,
    within,
)
from spikefold.network.population import Population
from spikefold.network.widths import check_widths
from spikefold.network.windows import PADDING_MAX, POOL_MAX, STRIDE_MAX, layer_shape

__all__ = ["FORMAT_VERSION", "INPUT", "Connection", "ExitRule", "Network", "Readout", "Source", "Weights"]

FORMAT_VERSION = 2
INPUT = "input"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weights:
    """Synaptic weights: int8 [out, in] (dense, inputs in (channel, y, x) order) or [out, in, kernel_y, kernel_x]."""

    id: str
    tensor: npt.NDArray[np.int8]
    bits: int

    def __post_init__(self) -> None:
        place = f"weights {self.id!r}"
        within(self.bits, 2, 8, f"{place} bits")
        if self.tensor.dtype != np.int8 or self.tensor.ndim not in (2, 4) or self.tensor.size == 0:
            raise NetworkError(f"{place}: {self.tensor.dtype} {list(self.tensor.shape)}; it must be int8 [O, I] or [O, I, KY, KX]")
        in_range(self.tensor.astype(np.int64), *signed_range(self.bits), f"{place} tensor")
        tensor = np.array(self.tensor, order="C")
        tensor.setflags(write=False)
        object.__setattr__(self, "tensor", tensor)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Connection:
    """The synapses from a source (``"input"`` or a population) into a population, and the gain on their current.

    ``pool`` is the side of the square, non-overlapping windows whose spikes are summed before the weights apply: the
    payload of a pooled element is a count, and average pooling's division lives in the gain. An ``identity`` has no weights, the id
    being empty: each neuron receives the payload of the one in its place. ``gain`` and ``gain_shift`` are [T or 1, C or 1].
    """

    source: str
    target: str
    kind: Literal["dense", "conv2d", "pool", "identity"]
    weights: str
    pool: int = 1
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    delay: int = 0
    payload_bits: int = SPIKE_PAYLOAD_BITS
    current_bits: int
    gain: Int
    gain_shift: Int
    hold: bool = False

    def __post_init__(self) -> None:
        place = f"connection {self.source!r} to {self.target!r}"
        one_of(self.kind, ("dense", "conv2d", "pool", "identity"), f"{place} kind")
        if self.kind == "pool":
            raise NetworkError(f"{place} kind: 'pool' is not supported by this version; it must be dense, conv2d or identity")
        within(self.pool, 1, POOL_MAX, f"{place} pool")
        within(self.stride, 1, STRIDE_MAX, f"{place} stride")
        within(self.padding, 0, PADDING_MAX, f"{place} padding")
        only(self.dilation, 1, f"{place} dilation")
        only(self.groups, 1, f"{place} groups")
        only(self.delay, 0, f"{place} delay")
        only(self.hold, False, f"{place} hold")
        if self.kind != "conv2d" and (self.stride, self.padding) != (1, 0):
            raise NetworkError(f"{place}: stride {self.stride}, padding {self.padding}; {self.kind} has 1 and 0")
        if self.kind == "identity" and (self.pool, self.weights) != (1, ""):
            raise NetworkError(f"{place}: pool {self.pool}, weights {self.weights!r}; an identity has 1 and none")
        within(self.payload_bits, 2, GRADED_BITS_MAX, f"{place} payload_bits")
        within(self.current_bits, 1, CURRENT_BITS_MAX, f"{place} current_bits")
        object.__setattr__(self, "gain", frozen(self.gain, f"{place} gain", 2))
        in_range(self.gain, *signed_range(GAIN_BITS_MAX), f"{place} gain")
        object.__setattr__(self, "gain_shift", frozen(self.gain_shift, f"{place} gain_shift", 2))
        in_range(self.gain_shift, 0, SHIFT_MAX, f"{place} gain_shift")

    @property
    def unit_gain(self) -> bool:
        """Whether the drive is the current itself, so that hardware needs no multiplier."""
        return bool((self.gain == 1).all() and (self.gain_shift == 0).all())


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What feeds a connection: the input or a population, its shape, and the payloads that it sends."""

    name: str
    shape: tuple[int, int, int]
    least: int
    most: int
    payload_bits: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Network:
    """An integer spiking network: populations, each fed by connections from the input or from earlier ones; the last one is read out.

    ``connections`` are in the order of the populations that they feed.
    """

    format_version: int = FORMAT_VERSION
    required_features: tuple[str, ...] = ()
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
        only(self.required_features, (), "required_features")
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
        check_widths(self)

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
        self._check_axes(place, p, {"gain": c.gain, "gain_shift": c.gain_shift})

    def _check_schedules(self, p: Population) -> None:
        place = f"layer {p.name!r}"
        self._check_axes(place, p, {"leak": p.leak, "threshold": p.threshold, "decrement": p.decrement, "load": p.load})
        for name, vector in {"initial": p.initial, "unit": p.unit}.items():
            if vector.shape[0] not in (1, p.shape[0]):
                raise NetworkError(f"{place} {name}: {vector.shape[0]} values; it must be {p.shape[0]} or 1")

    def _check_axes(self, place: str, p: Population, schedules: Mapping[str, Int]) -> None:
        for name, schedule in schedules.items():
            if schedule.shape[0] not in (1, self.timesteps) or schedule.shape[1] not in (1, p.shape[0]):
                raise NetworkError(f"{place} {name}: shape {list(schedule.shape)}; it must be [{self.timesteps} or 1, {p.shape[0]} or 1]")

    def into(self, index: int) -> tuple[Connection, ...]:
        """Return the connections that feed population ``index``."""
        name = self.populations[index].name
        return tuple(c for c in self.connections if c.target == name)

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
