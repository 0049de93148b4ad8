"""The chip as Verilog: a build folder generated from a network, a chip and a data set, and a build read back."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spikefold.chip.config import ChipConfig, chip_from_table
from spikefold.chip.placement import Placement
from spikefold.data.datasets import Dataset
from spikefold.data.errors import ChipError, DataError
from spikefold.data.files import MANIFEST
from spikefold.data.shown import shown
from spikefold.network.files import network_file
from spikefold.network.network import Network
from spikefold.sim.engine import Chip
from spikefold.workflow.batches import batch_size
from spikefold.workflow.samples import events_of

__all__ = ["Build", "generate", "read_build", "read_manifest"]

NETWORK = "network.safetensors"
SIMULATION_FOLDERS = ("rtl", "mem", "tb")
"""The folders of a build whose files take part in a simulation."""
VECTOR_CANDIDATES = 64
"""Samples, and as many of drawn events, among which the vectors of the self-checking bench are chosen."""
VECTOR_TOUCHES = 4
"""How often the vectors touch each word: a second and a third time show flipped bits that rounding hid at first."""
VECTOR_WORDS = 100_000
"""Updated words that the vectors may hold: some megabytes of files, and some minutes in the slowest simulator."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Build:
    """A build that was read: its network and chip, its top module's name, and the simulated files that are not as they were generated."""

    network: Network
    chip: ChipConfig
    top: str
    changed: tuple[str, ...]


def generate(placement: Placement, data: Dataset, folder: Path, *, samples: int | None = None, top: str | None = None) -> dict[str, object]:
    """Fill the empty ``folder`` with the Verilog of a placed network, and return its manifest; ``top`` names its modules.

    The first ``samples`` of ``data`` and their simulated trace become the vectors of its self-checking bench; None chooses among samples and
    drawn events those that touch as many words of the memories as can be.
    """
    from spikefold.hw.emit.generate import generate as write
    from spikefold.hw.gateware.interface import TOP

    network = placement.network
    events = chosen_events(placement, data) if samples is None else events_of(network, data, range(samples))
    return write(placement, folder, events, Chip(placement).run(events, potentials=True), top=top or TOP)


def chosen_events(placement: Placement, data: Dataset) -> npt.NDArray[np.int8]:
    """Return events [N, T, C, H, W] that touch the words of the chip's memories ``VECTOR_TOUCHES`` times, as far as the candidates do.

    The candidates are the first samples of ``data`` and as many of payloads drawn from the whole range of the coding, sparse and dense.
    """
    from spikefold.hw.emit.coverage import choose, touched
    from spikefold.hw.gateware.interface import Interface

    network, virtual = placement.network, Chip(placement)
    count = min(VECTOR_CANDIDATES, len(data.labels), batch_size(2 * virtual.estimate_bytes(1, timing=False)))
    rng, low, high = np.random.default_rng(0), network.input.payload_min, network.input.payload_max
    drawn = rng.integers(low, high, (count, network.timesteps, *network.input.shape), endpoint=True)
    density = np.resize([0.1, 0.3, 1.0], count)[:, None, None, None, None]
    drawn *= rng.random(drawn.shape) < density
    events = np.concatenate([events_of(network, data, range(count)), drawn.astype(np.int8)])
    spikes = virtual.run(events, timing=False).spikes
    most = max(1, VECTOR_WORDS // (network.timesteps * sum(core.words for core in placement.cores)))
    return events[choose(touched(Interface(placement), events, spikes), VECTOR_TOUCHES, most)]


def read_build(folder: Path) -> Build:
    """Read a build, and say which of its simulated files were changed or added since it was generated.

    A build that is not whole, or whose network was changed, is a SpikefoldError that names the file.
    """
    manifest = read_manifest(folder)
    hashes, chip, top = manifest.get("sha256"), manifest.get("chip"), manifest.get("top")
    if not isinstance(hashes, dict) or NETWORK not in hashes or not isinstance(chip, dict):
        raise DataError(f"{folder / MANIFEST}: it must hold the chip, and the sha256 of every file; {NETWORK} among them")
    try:
        made_for = chip_from_table(chip)
    except ChipError as error:
        raise DataError(f"{folder / MANIFEST} chip: {error}") from error
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
    present = (str(path.relative_to(folder)) for part in SIMULATION_FOLDERS for path in sorted((folder / part).iterdir()) if path.is_file())
    changed += [name for name in present if name not in hashes]
    return Build(network=network_file.load(folder / NETWORK), chip=made_for, top=top, changed=tuple(changed))


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the content of a build's manifest."""
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
