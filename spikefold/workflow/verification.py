"""A build's Verilog run on a data set, and held against the reference and the simulated chip."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from spikefold.chip.placement import place
from spikefold.data.datasets import Dataset
from spikefold.network import reference
from spikefold.network.trace import Comparison, compare
from spikefold.sim.engine import Chip
from spikefold.workflow.batches import Progress, batches
from spikefold.workflow.build import read_build
from spikefold.workflow.comparison import comparison_table, merge, shifted
from spikefold.workflow.samples import events_of, sample_count
from spikefold.workflow.simulation import inference_cycles

__all__ = ["Verification", "verify"]

RUN_CYCLES = {"icarus": 200_000, "verilator": 2_000_000}
"""Clock cycles in a run of the Verilog: enough to forget the compilation, few enough to see progress."""
RUN_SAMPLES_LEAST = 2
"""One inference behind another shows whether the chip starts afresh."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Verification:
    """A build's Verilog held against the reference (spikes, potentials, scores) and the simulated chip (arrivals and cycles too).

    ``changed`` are the files of the build that are not as they were generated. They were run as they are.
    """

    samples: int
    simulator: str
    changed: tuple[str, ...]
    reference: Comparison
    simulated: Comparison

    @property
    def equal(self) -> bool:
        """Whether nothing differed."""
        return self.reference.equal and self.simulated.equal

    def summary(self) -> dict[str, Any]:
        """Return the comparisons as JSON has them."""
        return {
            "equal": self.equal,
            "simulator": self.simulator,
            "changed": list(self.changed),
            "reference_vs_rtl": comparison_table(self.reference, self.samples),
            "simulator_vs_rtl": comparison_table(self.simulated, self.samples),
            "cycles": self.cycles(),
        }

    def cycles(self) -> dict[str, int]:
        """Return how many steps' cycles and events' arrivals were compared, and how many of both differ."""
        compared, differing = self.simulated.compared, self.simulated.differing
        return {
            "steps_compared": compared["cycles"],
            "arrivals_compared": compared["arrivals"],
            "differences": differing["cycles"] + differing["arrivals"],
        }


def verify(
    build: Path, data: Dataset, *, samples: int, simulator: Literal["icarus", "verilator"] = "icarus", progress: Progress | None = None
) -> Verification:
    """Run the Verilog of ``build``, as it is there, on the first ``samples`` of a split and compare all that its trace shows.

    Raises a SpikefoldError if the build is not whole, the data does not fit, or the simulator is not installed.
    """
    from spikefold.hw.bench.cosim import run_rtl

    read = read_build(build)
    network, placement = read.network, place(read.network, read.chip)
    virtual = Chip(placement)
    sample_count(network, data, samples)
    held_against: dict[str, list[Comparison]] = {"reference": [], "simulated": []}
    size = run_size(virtual, events_of(network, data, range(1)), RUN_CYCLES[simulator])
    for batch in batches(samples, size, "run Verilog", progress):
        events = events_of(network, data, batch)
        got = run_rtl(build, placement, events, top=read.top, simulator=simulator)
        expected = {"reference": reference.run(network, events, potentials=True), "simulated": virtual.run(events, potentials=True)}
        for name, trace in expected.items():
            held_against[name].append(shifted(compare(trace, got), batch.start))
    return Verification(samples=samples, simulator=simulator, changed=read.changed, **{name: merge(found) for name, found in held_against.items()})


def run_size(chip: Chip, first: npt.NDArray[np.int8], cycles: int) -> int:
    """Return how many samples go into one run of the Verilog of about ``cycles``; the events ``first`` say how long a sample takes."""
    return max(RUN_SAMPLES_LEAST, cycles // int(inference_cycles(chip.run(first), 1)[0]))
