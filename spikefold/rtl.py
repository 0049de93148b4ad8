"""The chip as Verilog, from a data set's point of view: generate a build, and hold what it does against reference and simulator."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from spikefold.data.datasets import Dataset
from spikefold.data.errors import DataError
from spikefold.data.files import MANIFEST
from spikefold.flow import Progress, comparison_table, events_of, inference_cycles, merge, sample_count, shifted
from spikefold.quantize import network_file, reference
from spikefold.quantize.chip import ChipConfig
from spikefold.quantize.network import Network
from spikefold.quantize.placement import place
from spikefold.quantize.trace import Comparison, compare
from spikefold.sim.engine import Chip

__all__ = ["Verification", "generate", "read_build", "read_manifest", "verify"]

NETWORK = "network.safetensors"
SIMULATED = ("rtl", "mem", "tb")
"""The folders of a build whose files take part in a simulation."""
RUN_CYCLES = {"icarus": 200_000, "verilator": 2_000_000}
"""Clock cycles in a run of the Verilog: enough to forget the compilation, few enough to see progress."""
RUN_SAMPLES_LEAST = 2
"""One inference behind another shows whether the chip starts afresh."""


def generate(network: Network, chip: ChipConfig, data: Dataset, folder: Path, *, samples: int = 1) -> dict[str, object]:
    """Fill the empty ``folder`` with the Verilog of ``network`` on ``chip``, and return its manifest.

    The first ``samples`` of ``data`` and their simulated trace become the vectors of its self-checking bench. A network that does not fit
    the chip, or that no core of this version runs, is a ChipError.
    """
    from spikefold.hw.generate import generate as write

    place(network, chip)
    events = events_of(network, data, range(samples))
    return write(network, chip, folder, events, Chip(network, chip).run(events, potentials=True))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Verification:
    """A build's Verilog held against the reference (spikes, potentials, scores) and the simulated chip (arrivals and cycles too).

    ``changed`` are the files of the build that are not as they were generated: what is there is what was run.
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


def read_build(folder: Path) -> tuple[Network, ChipConfig, tuple[str, ...]]:
    """Return the network and chip of a build, and which of its simulated files were changed or added since it was generated.

    A build that is not whole, or whose network was changed, is a SpikefoldError that names the file.
    """
    manifest = read_manifest(folder)
    hashes, chip = manifest.get("sha256"), manifest.get("chip")
    if not isinstance(hashes, dict) or NETWORK not in hashes or not isinstance(chip, dict) or not set(chip) <= {f.name for f in fields(ChipConfig)}:
        raise DataError(f"{folder / MANIFEST}: it must hold the chip, and the sha256 of every file; {NETWORK} among them")
    changed = []
    for name, expected in hashes.items():
        path = folder / name
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise DataError(f"{folder / MANIFEST} sha256: {name!r}; it must be a file of the build")
        if not path.is_file():
            raise DataError(f"{path}: it is missing from the build")
        if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            if name == NETWORK:
                raise DataError(f"{path}: it is not the network that the build was generated from (its sha256 differs from the manifest's)")
            changed.append(name)
    present = (str(path.relative_to(folder)) for part in SIMULATED for path in sorted((folder / part).iterdir()) if path.is_file())
    changed += [name for name in present if name not in hashes]
    return network_file.load(folder / NETWORK), ChipConfig(**chip), tuple(changed)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return what is in a build's manifest."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; is {folder} a build?") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON: {error}") from error
    if not isinstance(manifest, dict):
        raise DataError(f"{path}: it must be a JSON object")
    return manifest


def verify(
    build: Path, data: Dataset, *, samples: int, simulator: Literal["icarus", "verilator"] = "icarus", progress: Progress | None = None
) -> Verification:
    """Run the Verilog of ``build``, as it is there, on the first ``samples`` of a split and compare all that its trace shows.

    Raises a SpikefoldError where the build is not whole, the data does not fit, or the simulator is not installed.
    """
    from spikefold.hw.cosim import run_rtl

    network, chip, changed = read_build(build)
    virtual = Chip(network, chip)
    sample_count(network, data, samples)
    held_against: dict[str, list[Comparison]] = {"reference": [], "simulated": []}
    for batch in runs(virtual, events_of(network, data, range(1)), samples, RUN_CYCLES[simulator]):
        events = events_of(network, data, batch)
        got = run_rtl(build, network, chip, events, simulator=simulator)
        expected = {"reference": reference.run(network, events, potentials=True), "simulated": virtual.run(events, potentials=True)}
        for name, trace in expected.items():
            held_against[name].append(shifted(compare(trace, got), batch.start))
        if progress is not None:
            progress("run Verilog", batch.stop, samples)
    return Verification(samples=samples, simulator=simulator, changed=changed, **{name: merge(found) for name, found in held_against.items()})


def runs(chip: Chip, first: npt.NDArray[np.int8], samples: int, cycles: int) -> Iterator[range]:
    """Yield the ranges of samples that go into one run of the Verilog each; the events ``first`` say how long a sample takes."""
    size = max(RUN_SAMPLES_LEAST, cycles // int(inference_cycles(chip.run(first), 1)[0]))
    for start in range(0, samples, size):
        yield range(start, min(samples, start + size))
