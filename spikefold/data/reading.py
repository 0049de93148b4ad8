"""Files of data sets, read whole and bounded."""

import stat
from pathlib import Path

from spikefold.data.errors import DataError
from spikefold.data.info import layout_of

__all__ = ["BYTES_MAX", "files_in", "folders_in", "read_bytes", "read_lines"]

BYTES_MAX = 1 << 28
"""The largest file that is read, 256 MiB."""


def read_bytes(name: str, path: Path) -> bytes:
    """Return what is in a regular file of data set ``name``; one that is not there, or is too large, is a DataError."""
    try:
        # A device or a pipe may have no end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"{path}: it is not a file")
        with path.open("rb") as file:
            content = file.read(BYTES_MAX + 1)
    except FileNotFoundError as error:
        raise DataError(f"{path}: it is not there; {layout_of(name)}") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    if len(content) > BYTES_MAX:
        raise DataError(f"{path}: it is larger than {BYTES_MAX} bytes")
    return content


def read_lines(name: str, path: Path) -> list[str]:
    """Return the lines of a text file, without those that are empty."""
    try:
        return [line for line in read_bytes(name, path).decode("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file: {error}") from error


def files_in(name: str, folder: Path, ending: str) -> list[str]:
    """Return the names, sorted, of the files of a folder that end in ``ending``; no such file is a DataError."""
    found = sorted(entry for entry in _entries(name, folder) if entry.endswith(ending))
    if not found:
        raise DataError(f"{folder}: no file there ends in {ending}; {layout_of(name)}")
    return found


def folders_in(name: str, folder: Path) -> list[str]:
    """Return the names, sorted, of the folders in a folder."""
    return sorted(entry for entry in _entries(name, folder) if (folder / entry).is_dir())


def _entries(name: str, folder: Path) -> list[str]:
    try:
        # Hidden files are what archives of other systems and file managers leave.
        return [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    except FileNotFoundError as error:
        raise DataError(f"{folder}: it is not there; {layout_of(name)}") from error
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror}") from error
