"""The contract: the integer network that reference, simulator and hardware execute without a bit of difference.

What a neuron does in a timestep is written once, in :mod:`spikefold.quantize.reference`. Here is what a network
consists of, with the range of every field; an object that exists has been checked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from spikefold.data.coding import InputCoding
from spikefold.data.errors import NetworkError
from spikefold.quantize.widths import DECAY_BITS, PSP_BITS_MAX, check_widths
from spikefold.quantize.windows import PADDING_MAX, POOL_MAX, STRIDE_MAX, layer_shape

__all__ = [
    "FORMAT_VERSION",
    "Connection",
    "ExitRule",
    "Network",
    "Population",
    "PspScale",
    "Readout",
    "Source",
    "State",
    "Weights",
]

FORMAT_VERSION = 2
INPUT = "input"
SPIKE_PAYLOAD_BITS = 2
"""A spike is the payload 1, which takes two signed bits."""
GRADED_BITS_MAX = 16
SRM_STATES = (("rise", "psp", "refractory"), ("rise", "psp", "refractory", "refractory_rise"))
"""The states of srm neurons, in this order: with an exponential refractory kernel, and with an alpha one."""
POTENTIAL_BITS_MAX = 32
CURRENT_BITS_MAX = 32
GAIN_BITS_MAX = 24
SHIFT_MAX = 31
TIMESTEPS_MAX = 4096

Int = npt.NDArray[np.int64]


def signed_range(bits: int) -> tuple[int, int]:
    """Return the least and greatest value of ``bits`` two's-complement bits."""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def frozen(array: npt.ArrayLike, place: str, shape_ndim: int) -> Int:
    """Return ``array`` as a read-only int64 array of ``shape_ndim`` axes, or say what is wrong with it."""
    given = np.asarray(array)
    if given.dtype.kind not in "iu":
        raise NetworkError(f"{place}: dtype {given.dtype}; it must be an integer type")
    if given.ndim != shape_ndim:
        raise NetworkError(f"{place}: {given.ndim} axes; it must have {shape_ndim}")
    if given.dtype.kind == "u" and given.size and int(given.max()) >= 1 << 63:
        raise NetworkError(f"{place}: value {int(given.max())}; it must fit 64 signed bits")
    result = np.array(given, dtype=np.int64, order="C")
    result.setflags(write=False)
    return result


def in_range(array: Int, low: int, high: int, place: str) -> None:
    """Check that every element lies in low..high."""
    outside = (array < low) | (array > high)
    if outside.any():
        index = tuple(int(i) for i in np.argwhere(outside)[0])
        raise NetworkError(f"{place}{list(index)}: value {int(array[index])}; it must be in {low}..{high}")


def one_of(value: object, allowed: tuple[object, ...], place: str) -> None:
    """Check that ``value`` is one of the words of the format."""
    if value not in allowed:
        raise NetworkError(f"{place}: value {value!r}; it must be one of {', '.join(map(str, allowed))}")


def within(value: int, low: int, high: int, place: str) -> None:
    """Check one integer field."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise NetworkError(f"{place}: value {value!r}; it must be an integer in {low}..{high}")


def only(value: object, supported: object, place: str) -> None:
    """Refuse, by name, what the format can say but this version does not execute."""
    if value != supported:
        raise NetworkError(f"{place}: {value!r} is not supported by this version; it must be {supported!r}")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A state of srm neurons beside the potential: its width, and its decay in a timestep in units of 2**-16."""

    name: str
    bits: int
    decay: int
    rounding: Literal["floor", "half_up"]

    def __post_init__(self) -> None:
        place = f"state {self.name!r}"
        within(self.bits, 2, POTENTIAL_BITS_MAX, f"{place} bits")
        within(self.decay, 0, 1 << DECAY_BITS, f"{place} decay")
        only(self.rounding, "half_up", f"{place} rounding")


@dataclass(frozen=True, slots=True, kw_only=True)
class PspScale:
    """What PSP-LN divides by (Ikegawa 2022, eqs. 15 and 19): thresholds and decrements are multiplied by it instead, and shifted by ``shift``.

    In a first pass over all timesteps, each pooled payload times ``2**payload_shift`` passes the states rise and psp, whose decay is in units of
    2**-16. Of a sample's psp, the root is taken of the mean square, about ``zero`` or about their ``mean``, plus ``floor``.
    """

    about: Literal["zero", "mean"]
    decay: int
    payload_shift: int
    floor: int
    shift: int

    def __post_init__(self) -> None:
        one_of(self.about, ("zero", "mean"), "scale about")
        within(self.decay, 0, 1 << DECAY_BITS, "scale decay")
        within(self.payload_shift, 0, PSP_BITS_MAX, "scale payload_shift")
        within(self.floor, 1, 1 << (2 * PSP_BITS_MAX), "scale floor")
        within(self.shift, 0, SHIFT_MAX, "scale shift")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Population:
    """A layer of neurons, [channels, height, width]. Its schedules are [T or 1, C or 1], ``initial`` is [C or 1].

    ``leak_kind`` says what [LIF.2] is: ``none`` (the leak is in the schedule), ``shift`` (by ``leak_shift``) or
    ``multiply`` (by ``leak`` with ``leak_frac_bits`` fraction bits). ``linear`` neurons keep nothing: each timestep begins at ``load``, and
    they send the potential as a graded payload where it reaches the threshold. ``srm`` neurons keep ``states`` and no potential; with a
    ``scale`` (there is one, or none), their thresholds and decrements depend on the sample.
    ``saturate`` says that ``potential_bits`` is not
    proven and that the potential clamps there. ``unit`` [C or 1] is what one step of the potential means in the float network.
    """

    name: str
    shape: tuple[int, int, int]
    neuron: Literal["lif", "linear", "srm"] = "lif"
    reset: Literal["soft", "hard", "none"]
    initial: Int = field(default_factory=lambda: np.zeros(1, np.int64))
    leak_kind: Literal["none", "shift", "multiply"]
    leak: Int = field(default_factory=lambda: np.zeros((1, 1), np.int64))
    leak_frac_bits: int = 0
    leak_shift: int = 0
    threshold: Int
    decrement: Int = field(default_factory=lambda: np.zeros((1, 1), np.int64))
    load: Int = field(default_factory=lambda: np.zeros((1, 1), np.int64))
    potential_bits: int
    threshold_bits: int
    saturate: bool
    states: tuple[State, ...] = ()
    scale: tuple[PspScale, ...] = ()
    output: Literal["spike", "graded"] = "spike"
    unit: npt.NDArray[np.float64] = field(default_factory=lambda: np.ones(1))

    def __post_init__(self) -> None:
        place = f"population {self.name!r}"
        if len(self.shape) != 3 or min(self.shape) < 1 or max(self.shape) > 65536:
            raise NetworkError(f"{place} shape: {self.shape!r}; it must be three numbers in 1..65536")
        one_of(self.neuron, ("lif", "linear", "srm"), f"{place} neuron")
        one_of(self.reset, ("soft", "hard", "none"), f"{place} reset")
        one_of(self.leak_kind, ("none", "shift", "multiply"), f"{place} leak_kind")
        if len(self.scale) > (self.neuron == "srm"):
            raise NetworkError(f"{place} scale: {len(self.scale)} of them; srm neurons have at most one, and others none")
        one_of(self.output, ("spike", "graded"), f"{place} output")
        within(self.potential_bits, 2, GRADED_BITS_MAX if self.output == "graded" else POTENTIAL_BITS_MAX, f"{place} potential_bits")
        self._check_neuron(place)
        only(self.threshold_bits, self.potential_bits + 1, f"{place} threshold_bits")
        within(self.leak_frac_bits, 0, 16, f"{place} leak_frac_bits")
        within(self.leak_shift, 0, SHIFT_MAX, f"{place} leak_shift")
        if not isinstance(self.saturate, bool):
            raise NetworkError(f"{place} saturate: {self.saturate!r}; it must be true or false")
        low, high = signed_range(self.potential_bits)
        wide_low, wide_high = signed_range(self.threshold_bits)
        limits = {
            "initial": (1, low, high),
            "leak": (2, 0, 1 << self.leak_frac_bits),
            "threshold": (2, wide_low, wide_high),
            "decrement": (2, wide_low, wide_high),
            "load": (2, low, high),
        }
        for name, (ndim, least, most) in limits.items():
            array = frozen(getattr(self, name), f"{place} {name}", ndim)
            in_range(array, least, most, f"{place} {name}")
            object.__setattr__(self, name, array)
        unit = np.array(self.unit, dtype=np.float64)
        if unit.ndim != 1 or not np.isfinite(unit).all() or (unit <= 0).any():
            raise NetworkError(f"{place} unit: it must be one axis of finite numbers above 0")
        unit.setflags(write=False)
        object.__setattr__(self, "unit", unit)

    def _check_neuron(self, place: str) -> None:
        """Hold against the kind of neuron what only some kinds have."""
        if (self.neuron == "linear") != (self.output == "graded"):
            raise NetworkError(f"{place} output: {self.output!r}; linear neurons send graded payloads, and no others do")
        if self.neuron != "lif" and (self.reset, self.leak_kind) not in (("none", "none"), ("soft" if self.neuron == "srm" else "none", "none")):
            raise NetworkError(f"{place}: reset {self.reset!r}, leak_kind {self.leak_kind!r}; {self.neuron} neurons have no leak and no such reset")
        names = tuple(state.name for state in self.states)
        if names not in (SRM_STATES if self.neuron == "srm" else ((),)):
            expected = " or ".join(map(str, SRM_STATES)) if self.neuron == "srm" else "none"
            raise NetworkError(f"{place} states: {names}; {self.neuron} neurons have {expected}")

    @property
    def payload_bits(self) -> int:
        """The width of what it sends."""
        return self.potential_bits if self.output == "graded" else SPIKE_PAYLOAD_BITS

    @property
    def payload_range(self) -> tuple[int, int]:
        """The least and greatest payload that it sends; 0 is one of them, or between them."""
        if self.output == "spike":
            return 0, 1
        low, high = signed_range(self.potential_bits)
        return min(0, max(low, int(self.threshold.min()))), high

    @property
    def size(self) -> int:
        """The number of neurons."""
        return int(np.prod(self.shape))

    @property
    def never_fires(self) -> bool:
        """Whether every threshold lies above every potential, as in an integrating readout."""
        return bool((self.threshold > signed_range(self.potential_bits)[1]).all())


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
        only(c.payload_bits, source.payload_bits, f"{place} payload_bits")
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
