"""The chip as Verilog, from a data set's point of view: generate a build, and hold what it does against reference and simulator."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from spikefold.chip.config import ChipConfig
from spikefold.chip.placement import place
from spikefold.data.datasets import Dataset
from spikefold.data.errors import DataError
from spikefold.data.files import MANIFEST
from spikefold.data.shown import shown
from spikefold.network import reference
from spikefold.network.files import network_file
from spikefold.network.network import Network
from spikefold.network.trace import Comparison, compare
from spikefold.sim.engine import Chip
from spikefold.workflow.flow import BATCH_BYTES, Progress, comparison_table, events_of, inference_cycles, merge, sample_count, shifted

__all__ = ["Build", "Verification", "generate", "read_build", "read_manifest", "verify"]

NETWORK = "network.safetensors"
SIMULATED = ("rtl", "mem", "tb")
"""The folders of a build whose files take part in a simulation."""
RUN_CYCLES = {"icarus": 200_000, "verilator": 2_000_000}
"""Clock cycles in a run of the Verilog: enough to forget the compilation, few enough to see progress."""
VECTOR_CANDIDATES = 64
"""Samples, and as many of drawn events, among which the vectors of the self-checking bench are chosen."""
VECTOR_TOUCHES = 4
"""How often the vectors touch each word: a second and a third time show flipped bits that rounding hid at first."""
VECTOR_WORDS = 100_000
"""Updated words that the vectors may hold: some megabytes of files, and some minutes in the slowest simulator."""
RUN_SAMPLES_LEAST = 2
"""One inference behind another shows whether the chip starts afresh."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Build:
    """A build that was read: its network and chip, its top module's name, and the simulated files that are not as they were generated."""

    network: Network
    chip: ChipConfig
    top: str
    changed: tuple[str, ...]


def generate(
    network: Network, chip: ChipConfig, data: Dataset, folder: Path, *, samples: int | None = None, top: str | None = None
) -> dict[str, object]:
    """Fill the empty ``folder`` with the Verilog of ``network`` on ``chip``, and return its manifest; ``top`` names its modules.

    The first ``samples`` of ``data`` and their simulated trace become the vectors of its self-checking bench; None chooses among samples and
    drawn events what touches as many words of the memories as can be. A network that does not fit
    the chip, or that no core of this version runs, is a ChipError.
    """
    from spikefold.hw.emit.generate import generate as write
    from spikefold.hw.gateware.interface import TOP

    place(network, chip)
    events = chosen_events(network, chip, data) if samples is None else events_of(network, data, range(samples))
    return write(network, chip, folder, events, Chip(network, chip).run(events, potentials=True), top=top or TOP)


def chosen_events(network: Network, chip: ChipConfig, data: Dataset) -> npt.NDArray[np.int8]:
    """Return events [N, T, C, H, W] that touch the words of the chip's memories ``VECTOR_TOUCHES`` times, as far as the candidates do.

    The candidates are the first samples of ``data`` and as many of payloads drawn from the whole range of the coding, sparse and dense.
    """
    from spikefold.hw.emit.coverage import choose, touched
    from spikefold.hw.gateware.interface import Interface

    virtual = Chip(network, chip)
    count = min(VECTOR_CANDIDATES, len(data.labels), max(1, BATCH_BYTES // (2 * virtual.estimate_bytes(1, timing=False))))
    rng, low, high = np.random.default_rng(0), network.input.payload_min, network.input.payload_max
    drawn = rng.integers(low, high, (count, network.timesteps, *network.input.shape), endpoint=True)
    density = np.resize([0.1, 0.3, 1.0], count)[:, None, None, None, None]
    drawn *= rng.random(drawn.shape) < density
    events = np.concatenate([events_of(network, data, range(count)), drawn.astype(np.int8)])
    spikes = virtual.run(events, timing=False).spikes
    most = max(1, VECTOR_WORDS // (network.timesteps * sum(plan.words for plan in virtual.plans)))
    return events[choose(touched(Interface(network, chip), events, spikes), VECTOR_TOUCHES, most)]


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


def read_build(folder: Path) -> Build:
    """Read a build, and say which of its simulated files were changed or added since it was generated.

    A build that is not whole, or whose network was changed, is a SpikefoldError that names the file.
    """
    manifest = read_manifest(folder)
    hashes, chip, top = manifest.get("sha256"), manifest.get("chip"), manifest.get("top")
    if not isinstance(hashes, dict) or NETWORK not in hashes or not isinstance(chip, dict) or not set(chip) <= {f.name for f in fields(ChipConfig)}:
        raise DataError(f"{folder / MANIFEST}: it must hold the chip, and the sha256 of every file; {NETWORK} among them")
    if not isinstance(top, str):
        raise DataError(f"{folder / MANIFEST} top: {shown(top)}; it must be the name of the top module")
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
    return Build(network=network_file.load(folder / NETWORK), chip=ChipConfig(**chip), top=top, changed=tuple(changed))


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
    from spikefold.hw.bench.cosim import run_rtl

    read = read_build(build)
    network, chip = read.network, read.chip
    virtual = Chip(network, chip)
    sample_count(network, data, samples)
    held_against: dict[str, list[Comparison]] = {"reference": [], "simulated": []}
    for batch in runs(virtual, events_of(network, data, range(1)), samples, RUN_CYCLES[simulator]):
        events = events_of(network, data, batch)
        got = run_rtl(build, network, chip, events, top=read.top, simulator=simulator)
        expected = {"reference": reference.run(network, events, potentials=True), "simulated": virtual.run(events, potentials=True)}
        for name, trace in expected.items():
            held_against[name].append(shifted(compare(trace, got), batch.start))
        if progress is not None:
            progress("run Verilog", batch.stop, samples)
    return Verification(samples=samples, simulator=simulator, changed=read.changed, **{name: merge(found) for name, found in held_against.items()})


def runs(chip: Chip, first: npt.NDArray[np.int8], samples: int, cycles: int) -> Iterator[range]:
    """Yield the ranges of samples that go into one run of the Verilog each; the events ``first`` say how long a sample takes."""
    size = max(RUN_SAMPLES_LEAST, cycles // int(inference_cycles(chip.run(first), 1)[0]))
    for start in range(0, samples, size):
        yield range(start, min(samples, start + size))
