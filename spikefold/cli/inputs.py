"""Files that several verbs read: a chip, and the float network of a run."""

from pathlib import Path
from typing import TYPE_CHECKING

from spikefold.data.errors import DataError
from spikefold.data.files import MANIFEST, MODEL, RECIPE

if TYPE_CHECKING:
    from spikefold.chip.config import ChipConfig
    from spikefold.quantize.float_network import FloatNetwork

__all__ = ["read_chip", "read_run"]


def read_chip(path: Path | None) -> "ChipConfig":
    """Return the chip of a TOML file, or the default one."""
    from spikefold.chip.config import ChipConfig, load_chip

    return ChipConfig() if path is None else load_chip(path)


def read_run(path: Path) -> "FloatNetwork":
    """Return the float network of a run's folder or of a file."""
    from spikefold.quantize.float_file import load_float

    if path.is_dir() and not (path / RECIPE).is_file() and not (path / MODEL).is_file():
        raise DataError(f"{path}: it is neither the folder of a run (there is no {MODEL}) nor that of a build (there is no {MANIFEST})")
    if path.is_dir() and not (path / MODEL).is_file():
        raise DataError(f"{path}: there is no {MODEL} in it; is the run finished? (train --resume goes on with it)")
    return load_float(path / MODEL if path.is_dir() else path)
