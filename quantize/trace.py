"""What a run leaves, and the first difference between two of them.

Spikes and potentials are indexed by (sample, the layer's own timestep); cycles and arrivals by the global step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import SpikefoldError

__all__ = ["Comparison", "Difference", "Timing", "Trace", "compare", "first_difference", "idle_steps"]

Int = npt.NDArray[np.int64]
ARRIVAL_FIELDS = ("step", "cycle", "channel", "y", "x", "payload")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Timing:
    """When things happened, in clock cycles since the start of their global step.

    ``cycles`` [steps] is the length of each step; ``core_cycles`` [steps, cores] the cycle in which each core was last
    busy (0 where it had nothing to do). ``arrivals`` holds for each core, in order, every event that it accepted:
    int64 [events, 6], the columns of ``ARRIVAL_FIELDS``.
    """

    cycles: Int
    core_cycles: Int
    arrivals: tuple[Int, ...]


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
        where = "" if self.sample is None else f"sample {self.sample}, "
        neuron = f", neuron {self.neuron}" if self.neuron else ""
        return f"{self.kind}: {where}timestep {self.timestep}, layer {self.layer!r}{neuron}: expected {self.expected}, got {self.got}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How much was compared, by kind, how many values differed, and the first difference in time."""

    compared: dict[str, int]
    differing: dict[str, int]
    first: Difference | None

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
    """Compare all that both traces recorded; comparing nothing, or traces of different networks, is an error."""
    if expected.populations != got.populations or expected.scores.shape != got.scores.shape:
        raise SpikefoldError(
            f"traces: {expected.populations} with {len(expected.scores)} samples against {got.populations} with "
            f"{len(got.scores)}; they must come from the same network and samples"
        )
    compared: dict[str, int] = {}
    differing: dict[str, int] = {}
    found: list[tuple[tuple[int, ...], Difference]] = []

    def note(kind: str, layer: int, a: npt.NDArray[Any], b: npt.NDArray[Any], sampled: bool, steps: Int | None = None, at: int = 0) -> None:
        if a.shape != b.shape:
            raise SpikefoldError(f"traces: {kind} of {expected.populations[layer]!r} has shapes {a.shape} and {b.shape}")
        compared[kind] = compared.get(kind, 0) + a.size
        unequal = a != b
        count = int(np.count_nonzero(unequal))
        differing[kind] = differing.get(kind, 0) + count
        if count:
            index = tuple(int(i) for i in np.argwhere(unequal)[0])
            sample, rest = (index[0], index[1:]) if sampled else (None, index)
            timestep = at + rest[0] if steps is None else int(steps[rest[0]])
            difference = Difference(
                kind=kind, sample=sample, timestep=timestep, layer=expected.populations[layer], neuron=rest if steps is not None else rest[1:],
                expected=int(a[index]), got=int(b[index]),
            )  # fmt: skip
            found.append((((sample or 0), timestep, layer), difference))

    for layer in range(len(expected.populations)):
        note("spikes", layer, expected.spikes[layer], got.spikes[layer], True)
        if expected.potentials is not None and got.potentials is not None:
            note("potentials", layer, expected.potentials[layer], got.potentials[layer], True)
    last = len(expected.populations) - 1
    # Scores are there when the last timestep is over: a difference before that is where it began.
    note("scores", last, expected.scores[:, None], got.scores[:, None], True, at=expected.spikes[last].shape[1] - 1 if expected.spikes else 0)
    if expected.timing is not None and got.timing is not None:
        for layer, (a, b) in enumerate(zip(expected.timing.arrivals, got.timing.arrivals, strict=True)):
            x, y = _aligned(a, b)
            note("arrivals", layer, x, y, False, steps=np.maximum(x[:, 0], y[:, 0]))
        note("cycles", last, expected.timing.cycles, got.timing.cycles, False)
    for fault in (*expected.faults, *got.faults):
        compared["faults"] = differing["faults"] = differing.get("faults", 0) + 1
        found.append(((fault.sample or 0, fault.timestep, last), fault))
    if not any(compared.values()):
        raise SpikefoldError("traces: nothing was compared")
    first = min(found, key=lambda item: item[0])[1] if found else None
    return Comparison(compared=compared, differing=differing, first=first)


def _aligned(a: Int, b: Int) -> tuple[Int, Int]:
    """Return two event lists padded with -1 to the same length."""
    rows = max(len(a), len(b))
    padded = (np.vstack([x, np.full((rows - len(x), x.shape[1]), -1, np.int64)]) for x in (a, b))
    first, second = padded
    return first, second


def first_difference(expected: Trace, got: Trace) -> Difference | None:
    """Return the earliest difference between two traces, None where all that both recorded is equal."""
    return compare(expected, got).first
