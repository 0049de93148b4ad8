"""The neurons of the contract: a population with its schedules, its states and what scales them."""

from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import NetworkError
from spikefold.network.fields import (
    DECAY_BITS,
    FLOOR_MAX,
    GRADED_BITS_MAX,
    POTENTIAL_BITS_MAX,
    PSP_BITS_MAX,
    SHIFT_MAX,
    SPIKE_PAYLOAD_BITS,
    Int,
    frozen,
    in_range,
    one_of,
    signed_range,
    within,
)
from spikefold.network.schedule import Schedule

__all__ = ["SRM_STATES", "Population", "PspScale", "State"]

SRM_STATES = (("rise", "psp", "refractory"), ("rise", "psp", "refractory", "refractory_rise"))
"""The states of srm neurons, in this order: with an exponential refractory kernel, and with an alpha one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A state of srm neurons beside the potential: its width, and its decay in a timestep in units of 2**-16."""

    name: str
    bits: int
    decay: int

    def __post_init__(self) -> None:
        place = f"state {self.name!r}"
        within(self.bits, 2, POTENTIAL_BITS_MAX, f"{place} bits")
        within(self.decay, 0, 1 << DECAY_BITS, f"{place} decay")


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
        within(self.floor, 1, FLOOR_MAX, "scale floor")
        within(self.shift, 0, SHIFT_MAX, "scale shift")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Population:
    """A layer of neurons, [channels, height, width]; ``initial`` is [C or 1].

    Thresholds and decrements may have one bit more than ``potential_bits``.

    ``leak_kind`` says what [LIF.2] is: ``none`` (the leak is in the schedule), ``shift`` (by ``leak_shift``) or
    ``multiply`` (by ``leak`` with ``leak_frac_bits`` fraction bits). ``linear`` neurons keep nothing: each timestep begins at ``load``, and
    they send the potential as a graded payload where it reaches the threshold. ``srm`` neurons keep ``states`` and no potential; with a
    ``scale``, their thresholds and decrements depend on the sample.
    ``saturate`` says that ``potential_bits`` is not
    proven and that the potential clamps there. ``unit`` [C or 1] is what one step of the potential means in the float network.
    """

    name: str
    shape: tuple[int, int, int]
    neuron: Literal["lif", "linear", "srm"] = "lif"
    reset: Literal["soft", "hard", "none"]
    initial: Int = field(default_factory=lambda: np.zeros(1, np.int64))
    leak_kind: Literal["none", "shift", "multiply"]
    leak: Schedule = field(default_factory=partial(Schedule.constant, 0))
    leak_frac_bits: int = 0
    leak_shift: int = 0
    threshold: Schedule
    decrement: Schedule = field(default_factory=partial(Schedule.constant, 0))
    load: Schedule = field(default_factory=partial(Schedule.constant, 0))
    potential_bits: int
    saturate: bool
    states: tuple[State, ...] = ()
    scale: PspScale | None = None
    output: Literal["spike", "graded"] = "spike"
    unit: npt.NDArray[np.float64] = field(default_factory=lambda: np.ones(1))

    def __post_init__(self) -> None:
        place = f"population {self.name!r}"
        if len(self.shape) != 3 or min(self.shape) < 1 or max(self.shape) > 65536:
            raise NetworkError(f"{place} shape: {self.shape!r}; it must be three numbers in 1..65536")
        one_of(self.neuron, ("lif", "linear", "srm"), f"{place} neuron")
        one_of(self.reset, ("soft", "hard", "none"), f"{place} reset")
        one_of(self.leak_kind, ("none", "shift", "multiply"), f"{place} leak_kind")
        if self.scale is not None and self.neuron != "srm":
            raise NetworkError(f"{place} scale: {self.neuron!r} neurons have none; only srm neurons may have one")
        one_of(self.output, ("spike", "graded"), f"{place} output")
        within(self.potential_bits, 2, GRADED_BITS_MAX if self.output == "graded" else POTENTIAL_BITS_MAX, f"{place} potential_bits")
        self._check_neuron(place)
        within(self.leak_frac_bits, 0, 16, f"{place} leak_frac_bits")
        within(self.leak_shift, 0, SHIFT_MAX, f"{place} leak_shift")
        if not isinstance(self.saturate, bool):
            raise NetworkError(f"{place} saturate: {self.saturate!r}; it must be true or false")
        narrow, wide = signed_range(self.potential_bits), signed_range(self.potential_bits + 1)
        object.__setattr__(self, "initial", frozen(self.initial, f"{place} initial", 1))
        in_range(self.initial, *narrow, f"{place} initial")
        limits = {"leak": (0, 1 << self.leak_frac_bits), "threshold": wide, "decrement": wide, "load": narrow}
        for name, (least, most) in limits.items():
            schedule = Schedule.of(getattr(self, name), f"{place} {name}")
            schedule.check_range(least, most, f"{place} {name}")
            object.__setattr__(self, name, schedule)
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
        return min(0, max(low, self.threshold.least)), high

    @property
    def size(self) -> int:
        """The number of neurons."""
        return int(np.prod(self.shape))

    @property
    def never_fires(self) -> bool:
        """Whether every threshold lies above every potential, as in an integrating readout."""
        return self.threshold.least > signed_range(self.potential_bits)[1]
