"""The IDX format of the MNIST family: unsigned bytes, plain or gzipped, read strictly and bounded."""

import gzip
import math
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import DataError

__all__ = ["BYTES_MAX", "DIMENSIONS_MAX", "read_idx"]

UNSIGNED_BYTE = 0x08
DIMENSIONS_MAX = 4
BYTES_MAX = 1 << 28
"""The largest array that is read, 256 MiB: a few kilobytes of gzip can claim far more."""


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Return the array of an IDX file, uint8 in the file's own shape.

    A header is two zero bytes, the type (0x08: unsigned byte, the only one taken), the number of dimensions, and each
    dimension as a big-endian 32-bit number. Anything else, or a byte too few or too many, is a DataError.
    """
    try:
        with path.open("rb") as plain:
            gzipped = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            if not gzipped:
                return _array(path, plain)
            with gzip.GzipFile(fileobj=plain) as unpacked:
                return _array(path, unpacked)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path}: damaged gzip data: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error


def _array(path: Path, file: BinaryIO | gzip.GzipFile) -> npt.NDArray[np.uint8]:
    header = file.read(4)
    if len(header) < 4 or header[:2] != b"\0\0":
        raise DataError(f"{path}: it begins with {header.hex(' ') or 'nothing'}; an IDX file begins with 00 00 08 and its number of dimensions")
    if header[2] != UNSIGNED_BYTE:
        raise DataError(f"{path}: element type 0x{header[2]:02x}; it must be 0x08, unsigned bytes")
    if not 1 <= header[3] <= DIMENSIONS_MAX:
        raise DataError(f"{path}: {header[3]} dimensions; there must be 1..{DIMENSIONS_MAX}")
    sizes = file.read(4 * header[3])
    if len(sizes) < 4 * header[3]:
        raise DataError(f"{path}: it ends within its header of {4 + 4 * header[3]} bytes")
    shape = tuple(int(size) for size in np.frombuffer(sizes, dtype=">u4"))
    count = math.prod(shape)
    if not 1 <= count <= BYTES_MAX:
        raise DataError(f"{path}: shape {list(shape)} holds {count} bytes; the limits are 1..{BYTES_MAX}")
    content = file.read(count + 1)
    if len(content) != count:
        found = f"only {len(content)}" if len(content) < count else "more"
        raise DataError(f"{path}: shape {list(shape)} takes {count} bytes of data; there are {found}")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)
