"""Files and folders of data sets, read whole and bounded."""

from pathlib import Path

from spikefold.data.errors import DataError
from spikefold.data.files import read_whole
from spikefold.data.info import layout_of
from spikefold.data.shown import shown

__all__ = ["BYTES_MAX", "TEXT_BYTES_MAX", "files_in", "folders_in", "read_bytes", "read_lines"]

BYTES_MAX = 1 << 28
"""The largest file that is read, 256 MiB."""
TEXT_BYTES_MAX = 1 << 22
"""The largest text: as lines, it takes twenty times its bytes."""


def read_bytes(name: str, path: Path, bytes_max: int = BYTES_MAX) -> bytes:
    """Return what is in a regular file of data set ``name``; one that is not there, or is too large, is a DataError."""
    try:
        return read_whole(path, bytes_max)
    except FileNotFoundError as error:
        raise DataError(f"{path}: it is not there; {layout_of(name)}") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error


def read_lines(name: str, path: Path) -> list[str]:
    """Return the lines of a text file, without those that are empty and without a byte order mark.

    A text of more than ``TEXT_BYTES_MAX``, or one with control characters other than tabs, is a DataError.
    """
    try:
        text = read_bytes(name, path, TEXT_BYTES_MAX).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file: {error}") from error
    # Not splitlines(), which ends lines at a dozen other characters too.
    lines = [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]
    for line in lines:
        if not line.replace("\t", " ").isprintable():
            raise DataError(f"{path}: the line {shown(line)}; it must have no control characters")
    return lines


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
        entries = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    except FileNotFoundError as error:
        raise DataError(f"{folder}: it is not there; {layout_of(name)}") from error
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror}") from error
    for entry in entries:
        # Names become class names and stand in errors.
        if not entry.isprintable():
            raise DataError(f"{folder}: the name {shown(entry)} there; names must have no control characters, and be UTF-8")
    return entries
