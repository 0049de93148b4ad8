"""The process that opens an HDF5 file from elsewhere: little memory and time, no other file, and nothing in the file that leads out of it.

It reads the file's bytes on stdin and writes what is in it on stdout: a line of JSON, and behind it the arrays. It is run as a file and imports
nothing of this package.
"""

import io
import json
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

MEMORY_BYTES = 1 << 28
"""What reading may take beside the process itself, and four times the file."""
SECONDS, BYTES_PER_SECOND = 2, 1 << 24
OBJECTS_MAX = 20_000
DEPTH_MAX = 8
DATA_BYTES_MAX = 1 << 28
DATA_BYTES_SPARE = 1 << 25
"""As float64, which is what becomes of them: a file's own bytes twice, and this much."""
CHUNK_BYTES_MAX = 1 << 28
TEXTS_MAX = 20_000
TEXTS_AT_A_TIME = 32
TEXT_BYTES_MAX = 1 << 24
AXES_MAX = 4
ARRAY = "/array"
"""The key of what is an array in the output; no name in HDF5 has a slash."""
FILTERS = {h5py.h5z.FILTER_DEFLATE: "gzip", h5py.h5z.FILTER_SHUFFLE: "shuffle", h5py.h5z.FILTER_LZF: "lzf"}


class RefusedError(Exception):
    """Something in the file that is not read; the message names its place."""


class _Reader:
    """Walks groups and datasets, and counts what it has seen."""

    def __init__(self, file_bytes: int) -> None:
        self.seen: set[int] = set()
        self.data_bytes = 0
        # Numbers that are compressed, or were never written, can be more than all memory.
        self.data_bytes_max = min(DATA_BYTES_MAX, DATA_BYTES_SPARE + 2 * file_bytes)
        self.text_bytes = 0

    def group(self, group: Any, place: str, depth: int) -> dict[str, Any]:
        if depth > DEPTH_MAX:
            raise RefusedError(f"{place}: it lies more than {DEPTH_MAX} groups deep")
        found = {}
        for name in group:
            where = f"{place}/{name}"
            # Soft and external links lead elsewhere: into this file again, or into another.
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise RefusedError(f"{where}: a {type(link).__name__}; only what lies in its place is read")
            item = group[name]
            self.once(item, where)
            if isinstance(item, h5py.Group):
                found[name] = self.group(item, where, depth + 1)
            elif isinstance(item, h5py.Dataset):
                found[name] = self.dataset(item, where)
            else:
                raise RefusedError(f"{where}: it is neither a group nor a dataset")
        return found

    def once(self, item: Any, where: str) -> None:
        """Refuse what has two names: a cycle is that too."""
        address = h5py.h5o.get_info(item.id).addr
        if address in self.seen:
            raise RefusedError(f"{where}: it stands in another place too")
        self.seen.add(address)
        if len(self.seen) > OBJECTS_MAX:
            raise RefusedError(f"{where}: there are more than {OBJECTS_MAX} objects")

    def dataset(self, data: Any, where: str) -> Any:
        plist = data.id.get_create_plist()
        if plist.get_external_count() or data.is_virtual:
            raise RefusedError(f"{where}: its values lie in another file")
        for i in range(plist.get_nfilters()):
            code = plist.get_filter(i)[0]
            if code not in FILTERS:
                raise RefusedError(f"{where}: filter {code}; it must be one of {', '.join(FILTERS.values())}")
        if data.shape is None or len(data.shape) > AXES_MAX:
            raise RefusedError(f"{where}: shape {data.shape}; it must have at most {AXES_MAX} axes")
        if data.chunks is not None and int(np.prod(data.chunks, dtype=object)) * data.dtype.itemsize > CHUNK_BYTES_MAX:
            raise RefusedError(f"{where}: chunks of {data.chunks}; one must have at most {CHUNK_BYTES_MAX} bytes")
        if h5py.check_string_dtype(data.dtype) is not None:
            return self.texts(data, where)
        if data.dtype.kind not in "fiub" or data.dtype.itemsize > 8:
            raise RefusedError(f"{where}: type {data.dtype}; it must be numbers of at most 64 bits, or texts")
        self.data_bytes += data.size * 8
        if self.data_bytes > self.data_bytes_max:
            raise RefusedError(f"{where}: with it there are more than {self.data_bytes_max} bytes of numbers")
        values = np.asarray(data[()])
        if not np.isfinite(values).all():
            raise RefusedError(f"{where}: a value is not finite")
        return values.astype(values.dtype.newbyteorder("<"), order="C", copy=False)

    def texts(self, data: Any, where: str) -> Any:
        if data.size > TEXTS_MAX:
            raise RefusedError(f"{where}: {data.size} texts; there must be at most {TEXTS_MAX}")
        if data.shape == ():
            return self.text(data[()], where)
        return self.nested(data, (), where) if data.size else []

    def nested(self, data: Any, index: tuple[int, ...], where: str) -> list[Any]:
        """Return texts as lists within lists; few at a time, since all of them may be the same bytes of the file."""
        first, *rest = data.shape[len(index) :]
        inner = int(np.prod(rest, dtype=object))
        if inner > TEXTS_AT_A_TIME:
            return [self.nested(data, (*index, i), where) for i in range(first)]
        count = TEXTS_AT_A_TIME // inner
        blocks = (data[(*index, slice(begin, begin + count))] for begin in range(0, first, count))
        return [self.lists(item, where) for block in blocks for item in block]

    def lists(self, values: Any, where: str) -> Any:
        return [self.lists(item, where) for item in values] if isinstance(values, np.ndarray) else self.text(values, where)

    def text(self, value: Any, where: str) -> str:
        self.text_bytes += len(value)
        if self.text_bytes > TEXT_BYTES_MAX:
            raise RefusedError(f"{where}: with it there are more than {TEXT_BYTES_MAX} bytes of texts")
        try:
            return value.decode("utf-8") if isinstance(value, bytes) else str(value)
        except UnicodeDecodeError as error:
            raise RefusedError(f"{where}: it is no UTF-8") from error


def read(content: bytes) -> dict[str, Any]:
    """Return what is in the bytes of a file as ``content``, or in ``error`` why it is not read."""
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            return {"content": _Reader(len(content)).group(file, "", 0)}
    except RefusedError as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": f"reading it takes more than {MEMORY_BYTES} bytes and four times its own"}
    except Exception as error:
        # h5py turns what libhdf5 finds into errors of many types.
        return {"error": f"it is no HDF5 file that can be read: {type(error).__name__}: {error}"}


def written(result: dict[str, Any]) -> Iterator[bytes]:
    """Yield the output: a line of JSON, where an array is its type, its shape and where it begins behind the line, and then the arrays' bytes."""
    arrays: list[Any] = []
    behind = 0

    def placed(array: Any) -> Any:
        nonlocal behind
        begin, behind = behind, behind + array.nbytes
        arrays.append(array)
        return {ARRAY: [array.dtype.str, list(array.shape), begin]}

    yield json.dumps(result, default=placed).encode() + b"\n"
    for array in arrays:
        yield array.tobytes()


def used_bytes() -> int:
    """Return the address space that the process has now; a system that does not say is given what it may well take."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    except OSError:
        return 4 << 30


def main() -> None:
    """Read stdin, write stdout."""
    content = sys.stdin.buffer.read()
    memory = used_bytes() + MEMORY_BYTES + 4 * len(content)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    # On changed bytes, libhdf5 may go round without end.
    seconds = SECONDS + len(content) // BYTES_PER_SECOND
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # No further file can be opened: stdin, stdout and stderr are the three.
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    for part in written(read(content)):
        sys.stdout.buffer.write(part)


if __name__ == "__main__":
    main()
