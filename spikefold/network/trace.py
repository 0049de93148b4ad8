"""What a run leaves, and the first difference between two of them.

Spikes and potentials are indexed by (sample, the layer's own timestep); cycles and arrivals by the global step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import SpikefoldError

__all__ = ["Comparison", "Difference", "Timing", "Trace", "compare", "first_difference", "idle_steps"]

Int = npt.NDArray[np.int64]
ARRIVAL_FIELDS = ("step", "cycle", "channel", "y", "x", "payload")
RESULT_FIELDS = ("step", "cycle")
OPTIONAL = ("potentials", "clamps", "sops", "timing")
"""What a trace may lack."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Timing:
    """When things happened, in clock cycles since the start of their global step.

    ``cycles`` [steps] is the length of each step. ``arrivals`` holds for each core, in order, every event that it accepted: int64
    [events, 6], the columns of ``ARRIVAL_FIELDS``; ``results`` when each score left: int64 [N * classes, 2], ``RESULT_FIELDS``. ``core_cycles``
    [steps, cores] is the first cycle in which each core has nothing left to do (0 where it had nothing); a run of the Verilog does not
    record it, and it is not compared.
    """

    cycles: Int
    arrivals: tuple[Int, ...]
    results: Int
    core_cycles: Int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """Spikes (bool [N, T, C, H, W] a population), potentials after reset (int64, same shape), scores [N, classes].

    ``clamps`` counts per population how often the width clamped a value; ``sops`` [N, connections] the synaptic operations.
    A part that was not recorded is None. ``faults`` are what a run did that no other part can hold: a score too many, an update out of turn.
    """

    populations: tuple[str, ...]
    spikes: tuple[npt.NDArray[np.bool_], ...]
    potentials: tuple[Int, ...] | None = None
    scores: Int
    clamps: tuple[int, ...] | None = None
    sops: Int | None = None
    timing: Timing | None = None
    faults: tuple["Difference", ...] = ()

    @property
    def predictions(self) -> Int:
        """The class of each sample: the lowest index among the greatest scores."""
        return np.asarray(self.scores.argmax(1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first place where two traces part."""

    kind: str
    sample: int | None
    timestep: int
    layer: str
    neuron: tuple[int, ...]
    expected: int
    got: int

    def __str__(self) -> str:
        when = f"step {self.timestep}" if self.sample is None else f"sample {self.sample}, timestep {self.timestep}"
        neuron = f", neuron {self.neuron}" if self.neuron else ""
        return f"{self.kind}: {when}, layer {self.layer!r}{neuron}: expected {self.expected}, got {self.got}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How much was compared, by kind (values; of arrivals, events), how much of it differed, and the first difference.

    ``first`` is the first in time; ``omitted`` are the kinds that one of the two traces did not record.
    """

    compared: dict[str, int]
    differing: dict[str, int]
    first: Difference | None
    omitted: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether nothing differed."""
        return self.first is None


def idle_steps(gaps: Sequence[int] | int | None, samples: int, depth: int) -> list[int]:
    """Return the idle steps behind each inference: None drains a chip of ``depth`` cores each time, a number is for all."""
    if gaps is None or isinstance(gaps, int):
        gaps = [depth if gaps is None else gaps] * samples
    if len(gaps) != samples or min(gaps) < 0:
        raise SpikefoldError(f"gaps: {list(gaps)} for {samples} samples; one number of at least 0 each is needed")
    return list(gaps)


def compare(expected: Trace, got: Trace) -> Comparison:
    """Compare all that both traces recorded, and name what one of them lacks.

    Comparing nothing, or traces of different networks, is a SpikefoldError.
    """
    if expected.populations != got.populations or expected.scores.shape != got.scores.shape:
        raise SpikefoldError(
            f"traces: {expected.populations} with {len(expected.scores)} samples against {got.populations} with "
            f"{len(got.scores)}; they must come from the same network and samples"
        )
    tally = _Tally(expected.populations)
    for layer in range(len(expected.populations)):
        tally.values("spikes", layer, expected.spikes[layer], got.spikes[layer])
        if expected.potentials is not None and got.potentials is not None:
            tally.values("potentials", layer, expected.potentials[layer], got.potentials[layer])
    last = len(expected.populations) - 1
    # Scores and counts are there when the last timestep is over: a difference before that is where it began.
    end = expected.spikes[last].shape[1] - 1 if expected.spikes else 0
    tally.values("scores", last, expected.scores[:, None], got.scores[:, None], at=end)
    for kind, counts, other in (("clamps", expected.clamps, got.clamps), ("sops", expected.sops, got.sops)):
        if counts is not None and other is not None:
            tally.values(kind, last, np.asarray(counts).reshape(1, 1, -1), np.asarray(other).reshape(1, 1, -1), at=end)
    if expected.timing is not None and got.timing is not None:
        for layer, (a, b) in enumerate(zip(expected.timing.arrivals, got.timing.arrivals, strict=True)):
            tally.events("arrivals", ARRIVAL_FIELDS, layer, a, b)
        tally.events("results", RESULT_FIELDS, last, expected.timing.results, got.timing.results)
        tally.values("cycles", last, expected.timing.cycles, got.timing.cycles, sampled=False)
    for fault in (*expected.faults, *got.faults):
        tally.fault(fault, last)
    if not any(tally.compared.values()):
        raise SpikefoldError("traces: nothing was compared")
    omitted = tuple(kind for kind in OPTIONAL if (getattr(expected, kind) is None) != (getattr(got, kind) is None))
    return Comparison(compared=tally.compared, differing=tally.differing, first=tally.first, omitted=omitted)


class _Tally:
    """What of two traces was compared so far, by kind, and all that differed, with its place in time."""

    def __init__(self, populations: tuple[str, ...]) -> None:
        self.populations = populations
        self.compared: dict[str, int] = {}
        self.differing: dict[str, int] = {}
        self.found: list[tuple[tuple[int, ...], Difference]] = []

    @property
    def first(self) -> Difference | None:
        """The first difference in time."""
        return min(self.found, key=lambda item: item[0])[1] if self.found else None

    def values(
        self, kind: str, layer: int, a: npt.NDArray[Any], b: npt.NDArray[Any], *, sampled: bool = True, at: int = 0
    ) -> None:  # fmt: skip
        """Compare arrays of a layer, [sample, timestep, ...] or, if not ``sampled``, [step, ...].

        ``at`` is the timestep of their first row.
        """
        if a.shape != b.shape:
            raise SpikefoldError(f"traces: {kind} of {self.populations[layer]!r} has shapes {a.shape} and {b.shape}")
        unequal = a != b
        index = tuple(int(i) for i in np.unravel_index(int(unequal.argmax()), a.shape)) if a.size else ()
        sample, rest = (index[0], index[1:]) if sampled and index else (None, index)
        self._count(
            kind, a.size, int(np.count_nonzero(unequal)), sample or 0,
            lambda: Difference(
                kind=kind, sample=sample, timestep=at + rest[0], layer=self.populations[layer], neuron=rest[1:],
                expected=int(a[index]), got=int(b[index]),
            ),
        )  # fmt: skip

    def events(self, kind: str, fields: tuple[str, ...], layer: int, a: Int, b: Int) -> None:
        """Compare lists of events, int64 [events, fields], the first of the fields a step."""
        a, b = _aligned(a, b)
        unequal = a != b
        row, column = divmod(int(unequal.argmax()), len(fields)) if a.size else (0, 0)
        self._count(
            kind, len(a), int(unequal.any(1).sum()), 0,
            lambda: Difference(
                kind=f"{kind}, {fields[column]} of number {row}", sample=None, timestep=int(max(a[row, 0], b[row, 0])),
                layer=self.populations[layer], neuron=(), expected=int(a[row, column]), got=int(b[row, column]),
            ),
        )  # fmt: skip

    def fault(self, fault: Difference, layer: int) -> None:
        """Count what no other part of a trace can hold as a difference."""
        self.compared["faults"] = self.differing["faults"] = self.differing.get("faults", 0) + 1
        self.found.append(((fault.sample or 0, fault.timestep, layer), fault))

    def _count(self, kind: str, values: int, unequal: int, sample: int, difference: Callable[[], Difference]) -> None:
        self.compared[kind] = self.compared.get(kind, 0) + values
        self.differing[kind] = self.differing.get(kind, 0) + unequal
        if unequal:
            first = difference()
            self.found.append(((sample, first.timestep, self.populations.index(first.layer)), first))


def _aligned(a: Int, b: Int) -> tuple[Int, Int]:
    """Return two event lists padded with -1 to the same length."""
    rows = max(len(a), len(b))
    padded = (np.vstack([x, np.full((rows - len(x), x.shape[1]), -1, np.int64)]) for x in (a, b))
    first, second = padded
    return first, second


def first_difference(expected: Trace, got: Trace) -> Difference | None:
    """Return the earliest difference between two traces, None where all that both recorded is equal."""
    return compare(expected, got).first
