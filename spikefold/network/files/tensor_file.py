"""Named arrays and one JSON header in a .safetensors file, read as if somebody hostile had written it.

The library refuses overlaps, gaps and overflowing shapes, but takes duplicate keys, unknown fields, any name and any number of tensors. So
the header is checked here first, and the library only ever sees a file that is sound. Format: https://huggingface.co/docs/safetensors
"""

import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from spikefold.data.errors import DataError, NetworkError, SpikefoldError
from spikefold.data.files import read_whole, write_bytes
from spikefold.data.shown import shown

__all__ = ["dumps", "loads", "parse_json", "read", "shown", "write"]

Tensors = Mapping[str, npt.NDArray[Any]]

METADATA_KEY = "spikefold"
FILE_BYTES_MAX = 1 << 30
HEADER_BYTES_MAX = 1_000_000
TENSORS_MAX = 4096
AXES_MAX = 8
NAME_LENGTH_MAX = 256
TEXT_LENGTH_MAX = 65536
JSON_DEPTH_MAX = 16
LENGTH_BYTES = 8
DTYPES: dict[str, np.dtype[Any]] = {
    "I8": np.dtype(np.int8),
    "U8": np.dtype(np.uint8),
    "I16": np.dtype(np.int16),
    "I32": np.dtype(np.int32),
    "I64": np.dtype(np.int64),
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
}
NAME = re.compile(r"[A-Za-z0-9_./-]+")
# Strings are matched whole, so that brackets within them do not count; once, without going back, where their end is missing.
STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def write(path: Path, tensors: Tensors, header: Mapping[str, Any]) -> None:
    """Write ``tensors`` and ``header`` to ``path``: the same bytes for the same content, and the whole file or nothing.

    What :func:`read` would refuse, and a file that cannot be written, is a NetworkError.
    """
    content = dumps(tensors, header, str(path))
    try:
        write_bytes(path, content)
    except OSError as error:
        raise NetworkError(f"{path}: {error.strerror}") from error
    except SpikefoldError as error:
        raise NetworkError(str(error)) from error


def read(path: Path) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Return the header and the tensors of ``path``; whatever is wrong with the file is a NetworkError of one line."""
    try:
        content = read_whole(path, FILE_BYTES_MAX)
    except OSError as error:
        raise NetworkError(f"{path}: {error.strerror}") from error
    except DataError as error:
        raise NetworkError(str(error)) from error
    return loads(content, str(path))


def dumps(tensors: Tensors, header: Mapping[str, Any], place: str) -> bytes:
    """Return the bytes of a file; ``place`` names it in errors."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    if len(tensors) > TENSORS_MAX:
        _fail(place, f"{len(tensors)} tensors; at most {TENSORS_MAX} are allowed")
    for name, tensor in tensors.items():
        _check_name(name, place)
        if tensor.dtype not in names:
            _fail(place, f"tensor {name!r} dtype: {tensor.dtype}; it must be one of {', '.join(map(str, names))}")
        if tensor.ndim > AXES_MAX or tensor.size == 0:
            _fail(place, f"tensor {name!r} shape: {list(tensor.shape)}; it must be at most {AXES_MAX} axes with at least 1 element each")
        _check_finite(name, tensor, place)
    _check_texts(header, place)
    try:
        text = json.dumps(header, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise NetworkError(f"{place}: header: it cannot be JSON: {error}") from error
    _check_depth(text, f"{place}: header")
    content = safetensors.numpy.save(
        {name: np.ascontiguousarray(tensor).reshape(tensor.shape) for name, tensor in tensors.items()}, {METADATA_KEY: text}
    )
    length = int.from_bytes(content[:LENGTH_BYTES], "little")
    if length > HEADER_BYTES_MAX or len(content) > FILE_BYTES_MAX:
        _fail(place, f"header of {length} bytes in {len(content)}; at most {HEADER_BYTES_MAX} in {FILE_BYTES_MAX} are allowed")
    return content


def loads(content: bytes, place: str) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Return the header and the tensors in the bytes of a file; ``place`` names it in errors."""
    if len(content) > FILE_BYTES_MAX:
        _fail(place, f"the file has more than {FILE_BYTES_MAX} bytes, which is the limit")
    length = int.from_bytes(content[:LENGTH_BYTES], "little")
    if len(content) < LENGTH_BYTES or length > HEADER_BYTES_MAX or length > len(content) - LENGTH_BYTES:
        _fail(
            place,
            f"not a safetensors file, or cut short: header length {length} in {len(content)} bytes; "
            f"it must be at most {HEADER_BYTES_MAX} and inside the file",
        )
    table = parse_json(content[LENGTH_BYTES : LENGTH_BYTES + length], f"{place}: header")
    metadata = table.pop("__metadata__", None)
    if not isinstance(metadata, dict) or list(metadata) != [METADATA_KEY] or not isinstance(metadata[METADATA_KEY], str):
        _fail(place, f"__metadata__: {shown(metadata)}; it must hold one text under {METADATA_KEY!r} (was the file written by spikefold?)")
    _check_layout(table, len(content) - LENGTH_BYTES - length, place)
    header = parse_json(metadata[METADATA_KEY].encode("utf-8", "surrogatepass"), f"{place}: __metadata__ {METADATA_KEY}")
    try:
        tensors = safetensors.numpy.load(content)
    except safetensors.SafetensorError as error:
        raise NetworkError(f"{place}: {' '.join(str(error).split())}") from error
    for name, tensor in tensors.items():
        _check_finite(name, tensor, place)
    return header, tensors


def _fail(place: str, what: str) -> NoReturn:
    raise NetworkError(f"{place}: {what}")


def parse_json(content: bytes, place: str) -> dict[str, Any]:
    """Return the JSON object in ``content``: no key twice, no constant that JSON lacks, no number or text beyond the bounds."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(items)
        if len(table) != len(items):
            twice = next(key for key, count in Counter(key for key, _ in items).items() if count > 1)
            _fail(place, f"key {shown(twice)} is there twice; each key must be there once")
        return table

    def real(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            _fail(place, f"number {shown(text)}; it must be finite")
        return value

    def constant(text: str) -> NoReturn:
        _fail(place, f"constant {text}; numbers must be finite")

    try:
        text = content.decode("utf-8")
        _check_depth(text, place)
        table = json.loads(text, object_pairs_hook=pairs, parse_float=real, parse_constant=constant)
    except ValueError as error:
        raise NetworkError(f"{place}: not JSON in UTF-8: {' '.join(str(error).split())}") from error
    if not isinstance(table, dict):
        _fail(place, f"{shown(table)}; it must be a JSON object")
    _check_texts(table, place)
    return table


def _check_depth(text: str, place: str) -> None:
    depth = 0
    for match in STRING_OR_BRACKET.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match.group(), 0)
        if depth > JSON_DEPTH_MAX:
            _fail(place, f"JSON nested deeper than {JSON_DEPTH_MAX}, which is the limit")


def _check_texts(value: Any, place: str) -> None:
    """Refuse texts that could not be printed on one line, or are too long; ``__metadata__`` may be as long as the header."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_texts(key, place)
            if key != "__metadata__":
                _check_texts(item, place)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check_texts(item, place)
    elif isinstance(value, str):
        if len(value) > TEXT_LENGTH_MAX:
            _fail(place, f"text {shown(value)} of {len(value)} characters; at most {TEXT_LENGTH_MAX} are allowed")
        if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in value):
            _fail(place, f"text {shown(value)}; it must not hold control characters, line breaks or surrogates")


def _check_name(name: str, place: str) -> None:
    if not NAME.fullmatch(name) or ".." in name or len(name) > NAME_LENGTH_MAX:
        _fail(place, f"tensor name {shown(name)}; it must be 1..{NAME_LENGTH_MAX} of A-Z a-z 0-9 _ . / - without '..'")


def _check_finite(name: str, tensor: npt.NDArray[Any], place: str) -> None:
    if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
        index = [int(i) for i in np.unravel_index(int(np.isfinite(tensor).argmin()), tensor.shape)]
        _fail(place, f"tensor {name!r}{index}: value {tensor[tuple(index)]}; it must be finite")


def _check_layout(table: dict[str, Any], size: int, place: str) -> None:
    """Check every tensor's entry, and that together they cover the ``size`` bytes of data: no gap, no overlap, nothing behind."""
    if len(table) > TENSORS_MAX:
        _fail(place, f"{len(table)} tensors; at most {TENSORS_MAX} are allowed")
    spans = []
    for name, entry in table.items():
        _check_name(name, place)
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            _fail(place, f"tensor {name!r}: {shown(entry)}; its fields must be dtype, shape and data_offsets")
        spans.append((*_span(name, entry, size, place), name))
    end = 0
    for begin, stop, name in sorted(spans):
        if begin != end:
            _fail(place, f"tensor {name!r} data_offsets: it begins at byte {begin}; {end} is expected, without gap or overlap")
        end = stop
    if end != size:
        _fail(place, f"{size} bytes of data; the tensors take {end}, and nothing may follow them")


def _span(name: str, entry: dict[str, Any], size: int, place: str) -> tuple[int, int]:
    """Return the first and last-plus-one byte of one tensor."""
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        _fail(place, f"tensor {name!r} dtype: {shown(dtype)}; it must be one of {', '.join(DTYPES)}")
    if not isinstance(shape, list) or len(shape) > AXES_MAX or not all(type(n) is int and 1 <= n <= FILE_BYTES_MAX for n in shape):
        _fail(place, f"tensor {name!r} shape: {shown(shape)}; it must be at most {AXES_MAX} numbers in 1..{FILE_BYTES_MAX}")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(type(n) is int for n in offsets) or not 0 <= offsets[0] <= offsets[1] <= size:
        _fail(place, f"tensor {name!r} data_offsets: {shown(offsets)}; it must be two rising numbers in 0..{size}")
    needed = math.prod(shape) * DTYPES[dtype].itemsize
    if needed != offsets[1] - offsets[0]:
        _fail(place, f"tensor {name!r} data_offsets: {offsets[1] - offsets[0]} bytes; shape {shape} of {dtype} takes {needed}")
    return offsets[0], offsets[1]
