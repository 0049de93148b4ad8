"""The IDX format of the MNIST family: unsigned bytes, plain or gzipped, read strictly and bounded."""

import math
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import DataError
from spikefold.data.files import read_whole

__all__ = ["BYTES_MAX", "DIMENSIONS_MAX", "read_idx"]

UNSIGNED_BYTE = 0x08
DIMENSIONS_MAX = 4
HEADER_BYTES_MAX = 4 + 4 * DIMENSIONS_MAX
BYTES_MAX = 1 << 27
"""The largest array that is read, 128 MiB: a few kilobytes of gzip can claim far more."""
GZIP_MAGIC = b"\x1f\x8b"
GZIP_BITS = 31
"""What zlib calls a gzip wrapper around a window of 32 KiB."""
PIECE_BYTES = 4096
"""What is unpacked at once: deflate makes at most 1032 bytes of one."""


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Return the array of an IDX file, uint8 in the file's own shape.

    A header is two zero bytes, the type (0x08: unsigned byte, the only one taken), the number of dimensions, and each
    dimension as a big-endian 32-bit number. A gzipped file is one member (RFC 1952). Anything else, or a byte too few or too many,
    is a DataError.
    """
    try:
        content = read_whole(path, BYTES_MAX + HEADER_BYTES_MAX)
        if not content.startswith(GZIP_MAGIC):
            shape, start = _header(path, content[:HEADER_BYTES_MAX])
            return _array(path, shape, memoryview(content)[start:])
        shape, start = _header(path, zlib.decompressobj(GZIP_BITS).decompress(content, HEADER_BYTES_MAX))
        return _array(path, shape, _unpacked(path, content, start + math.prod(shape)).data[start:])
    except zlib.error as error:
        raise DataError(f"{path}: damaged gzip data: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error


def _header(path: Path, header: bytes) -> tuple[tuple[int, ...], int]:
    """Return the shape that the beginning of a file says, and the place of the first element."""
    if len(header) < 4 or header[:2] != b"\0\0":
        raise DataError(f"{path}: it begins with {header[:4].hex(' ') or 'nothing'}; an IDX file begins with 00 00 08 and its number of dimensions")
    if header[2] != UNSIGNED_BYTE:
        raise DataError(f"{path}: element type 0x{header[2]:02x}; it must be 0x08, unsigned bytes")
    if not 1 <= header[3] <= DIMENSIONS_MAX:
        raise DataError(f"{path}: {header[3]} dimensions; there must be 1..{DIMENSIONS_MAX}")
    end = 4 + 4 * header[3]
    if len(header) < end:
        raise DataError(f"{path}: it ends within its header of {end} bytes")
    shape = tuple(int(size) for size in np.frombuffer(header[4:end], dtype=">u4"))
    count = math.prod(shape)
    if not 1 <= count <= BYTES_MAX:
        raise DataError(f"{path}: shape {list(shape)} holds {count} bytes; the limits are 1..{BYTES_MAX}")
    return shape, end


def _unpacked(path: Path, content: bytes, size: int) -> npt.NDArray[np.uint8]:
    """Return what is packed in a gzip file: up to ``size`` bytes, or one more for anything beyond."""
    # Not touched yet, so that what is claimed and not there takes no memory.
    unpacked, end, unpacker = np.empty(size + 1, dtype=np.uint8), 0, zlib.decompressobj(GZIP_BITS)
    for start in range(0, len(content), PIECE_BYTES):
        piece = np.frombuffer(unpacker.decompress(content[start : start + PIECE_BYTES]), dtype=np.uint8)[: size + 1 - end]
        unpacked[end : end + len(piece)] = piece
        end += len(piece)
        if end > size:
            return unpacked
        if unpacker.eof:
            if unpacker.unused_data or start + PIECE_BYTES < len(content):
                raise DataError(f"{path}: damaged gzip data: there is more behind the end of what is packed")
            return unpacked[:end]
    raise DataError(f"{path}: damaged gzip data: it ends before what is packed does")


def _array(path: Path, shape: tuple[int, ...], content: memoryview) -> npt.NDArray[np.uint8]:
    count = math.prod(shape)
    if len(content) != count:
        found = f"only {len(content)}" if len(content) < count else "more"
        raise DataError(f"{path}: shape {list(shape)} takes {count} bytes of data; there are {found}")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)
