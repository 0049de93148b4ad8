"""Files of integer and float networks: their two headers, their layout, and the bytes of their tensors.

A case begins as a file that the writers made, and its header is changed as a tree, so every field of a format is met without being named here.
"""

import json
import math
import struct
import tempfile
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.fuzz.cases import Case, Random, Reader, cut_or_grown, flipped, numbers, odd_entries, some
from benchmarks.fuzz.trees import Pairs, changed, parse, plain, text
from spikefold.network.files import network_file
from spikefold.network.files.records import pack
from spikefold.quantize.float_file import FLOAT_FORMAT_VERSION, load_float, save_float
from tests.quantize.networks import float_network, integer_network

__all__ = ["CONTAINER", "FLOAT_NETWORK", "NETWORK", "Parts", "content_changed", "decoded", "difference", "layout_is_sound"]

METADATA, KEY = "__metadata__", "spikefold"
DTYPES = {"I8": "<i1", "U8": "<u1", "I16": "<i2", "I32": "<i4", "I64": "<i8", "F32": "<f4", "F64": "<f8"}
OTHERS = ("BOOL", "BF16", "F16", "U64", "i8", "", "F8_E4M3")
CONTAINER = {
    "spikefold.network.files.tensor_file": ("read", "loads", "parse_json", "_check_layout", "_span", "_check_depth"),
    "spikefold.network.files.records": ("unpack", "_unpack", "_tensor"),
}
Parts = tuple[Any, dict[str, npt.NDArray[Any]]]


class UnsoundError(ValueError):
    """Bytes that say nothing."""


def decoded(content: bytes) -> Parts:
    """Return the header and the tensors of a file, by Python's and NumPy's own readers; a ValueError where it says nothing."""
    table, inner, data = _opened(content)
    tensors, spans = {}, []
    for name, entry in table.items():
        if set(entry) != {"dtype", "shape", "data_offsets"}:
            raise UnsoundError(name)
        shape, (begin, end), dtype = entry["shape"], entry["data_offsets"], np.dtype(DTYPES[entry["dtype"]])
        if any(type(n) is not int or n < 1 for n in shape) or math.prod(shape) * dtype.itemsize != end - begin or not 0 <= begin < end <= len(data):
            raise UnsoundError(name)
        spans.append((begin, end))
        tensors[name] = np.frombuffer(data[begin:end], dtype).reshape(shape)
    ends = [0, *(end for _, end in sorted(spans))]
    if [begin for begin, _ in sorted(spans)] != ends[:-1] or ends[-1] != len(data):
        raise UnsoundError("a gap, an overlap or bytes behind")
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise UnsoundError("not finite")
    return inner, tensors


def _opened(content: bytes) -> tuple[dict[str, Any], Any, bytes]:
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 + length:
        raise UnsoundError("cut short")
    table = plain(content[8 : 8 + length].decode())
    metadata = table.pop(METADATA)
    if list(metadata) != [KEY]:
        raise UnsoundError("metadata")
    return table, plain(metadata[KEY]), content[8 + length :]


def layout_is_sound(content: object) -> bool:
    """Return whether the outer header can be read, and the inner one is JSON."""
    try:
        return isinstance(content, bytes) and isinstance(_opened(content)[0], dict)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


def packed(tree: Any, data: bytes) -> bytes:
    """Return a file with the outer header ``tree``."""
    header = text(tree).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(header)) + header + data


def content_changed(rng: Random, content: bytes) -> tuple[bytes, str]:
    """Return a file changed in one way, and which in words."""
    way = some(rng, WAYS)
    changed_content, where = way(rng, content)
    return changed_content, f"{way.__name__.strip('_').replace('_', ' ')} {where}".strip()


def _split(content: bytes) -> tuple[Pairs, bytes]:
    length = int.from_bytes(content[:8], "little")
    return parse(content[8 : 8 + length].decode()), content[8 + length :]


def _with_inner(tree: Pairs, inner: str) -> Pairs:
    return Pairs((key, Pairs([(KEY, inner)]) if key == METADATA else value) for key, value in tree)


def _fields_changed(rng: Random, content: bytes) -> tuple[bytes, str]:
    tree, data = _split(content)
    inner, where = parse(dict(dict(tree)[METADATA])[KEY]), ""
    for _ in range(rng.choice((1, 1, 1, 2))):
        inner, where = changed(rng, inner)
    return packed(_with_inner(tree, text(inner)), data), where


def _layout_changed(rng: Random, content: bytes) -> tuple[bytes, str]:
    tree, data = _split(content)
    tree, where = changed(rng, tree)
    return packed(tree, data), where


def _tensor_described_otherwise(rng: Random, content: bytes) -> tuple[bytes, str]:
    """Change a tensor's type, shape or place so that the file still adds up, or nearly."""
    tree, data = _split(content)
    at = rng.choice([i for i, (key, _) in enumerate(tree) if key != METADATA])
    name, entry = tree[at][0], dict(tree[at][1])
    begin, end = entry["data_offsets"]
    action = rng.randrange(7)
    if action == 0:
        entry["shape"] = rng.choice((entry["shape"][::-1], [1, *entry["shape"]], [math.prod(entry["shape"])], [*entry["shape"], 1], [1] * 9))
    elif action == 1:
        entry["dtype"] = rng.choice((*DTYPES, *OTHERS))
        size = np.dtype(DTYPES.get(entry["dtype"], "<i1")).itemsize
        entry["shape"] = [(end - begin) // size] if rng.random() < 0.5 else entry["shape"]
    elif action == 2:
        entry["shape"] = [numbers(rng) for _ in range(rng.randint(0, 4))]
    elif action == 3:
        entry["data_offsets"] = [begin + rng.randint(-2, 2), end + rng.randint(-2, 2)] if rng.random() < 0.7 else [numbers(rng), numbers(rng)]
    elif action == 4:
        name = rng.choice((name + ".0", name[:-1], "../" + name, "/etc/passwd", name.replace("0", "1"), "a" * 300))
    elif action == 5:
        other = rng.choice([i for i, (key, _) in enumerate(tree) if key != METADATA])
        tree[other], entry = (tree[other][0], tree[at][1]), dict(tree[other][1])
    else:
        spare = Pairs([("dtype", "I8"), ("shape", [2]), ("data_offsets", [len(data), len(data) + 2])])
        tree.append((rng.choice(("spare", name + "x", name)), spare))
        data += b"\0\1"
    tree[at] = (name, Pairs(entry.items()))
    return packed(tree, data), name


def _values_changed(rng: Random, content: bytes) -> tuple[bytes, str]:
    tree, data = _split(content)
    name, entry = rng.choice([(key, dict(value)) for key, value in tree if key != METADATA])
    begin, end = entry["data_offsets"]
    dtype = np.dtype(DTYPES[entry["dtype"]])
    values = np.frombuffer(data[begin:end], dtype).copy()
    if dtype.kind == "f":
        values[rng.randrange(len(values))] = rng.choice((np.nan, np.inf, -np.inf, 0, -0.0, 1e38, -1, 5e-324, 1e-40))
    else:
        info = np.iinfo(dtype)
        values[rng.randrange(len(values))] = rng.choice((info.min, info.max, 0, 1, -1 if info.min else 1, max(info.min, min(info.max, numbers(rng)))))
    if rng.random() < 0.1:
        values[:] = values[rng.randrange(len(values))]
    return content[: len(content) - len(data)] + data[:begin] + values.tobytes() + data[end:], name


def _tensor_taken_out(rng: Random, content: bytes) -> tuple[bytes, str]:
    tree, data = _split(content)
    name, entry = rng.choice([(key, dict(value)) for key, value in tree if key != METADATA])
    begin, end = entry["data_offsets"]
    kept = Pairs()
    for key, value in tree:
        if key != name:
            fields = dict(value)
            if key != METADATA and fields["data_offsets"][0] >= end:
                fields["data_offsets"] = [offset - (end - begin) for offset in fields["data_offsets"]]
            kept.append((key, Pairs(fields.items())))
    return packed(kept, data[:begin] + data[end:]), name


def _length_changed(rng: Random, content: bytes) -> tuple[bytes, str]:
    length = int.from_bytes(content[:8], "little")
    other = rng.choice((length + 1, length - 1, length + 8, 0, len(content), 999_999, 2**63, 2**64 - 1))
    return struct.pack("<Q", other) + content[8:], str(other)


def _text_changed(rng: Random, content: bytes) -> tuple[bytes, str]:
    """Change the text of the header where a tree cannot: its encoding, its blanks, an end that is missing, keys upon keys."""
    length = int.from_bytes(content[:8], "little")
    header, data = content[8 : 8 + length], content[8 + length :]
    other = rng.choice((
        header + b" " * rng.randint(1, 9), b"\xef\xbb\xbf" + header, header[:-1], header + b"}", header.replace(b"0", b"\xff", 1),
        header.replace(b",", b",,", 1),
        header[:-1] + b',"' + b'\\"' * rng.choice((10, 100_000)), header[:-1] + b"," + b",".join(b'"%d":1' % i for i in range(3000)) + b"}",
        header.decode().encode("utf-16"), header[:-1] + b',"a":' + b"[" * 5000 + b"]" * 5000 + b"}", b"[" + header + b"]",
        header + b" " * 1_000_000,
    ))  # fmt: skip
    return struct.pack("<Q", len(other)) + other + data, ""


def _bytes_changed(rng: Random, content: bytes) -> tuple[bytes, str]:
    return rng.choice((flipped(rng, content), flipped(rng, content[: rng.randint(1, len(content))]), rng.randbytes(40))), ""


def _cut_or_grown(rng: Random, content: bytes) -> tuple[bytes, str]:
    return cut_or_grown(rng, content), ""


WAYS: list[tuple[float, Callable[[Random, bytes], tuple[bytes, str]]]] = [
    (50, _fields_changed), (8, _layout_changed), (10, _tensor_described_otherwise), (10, _values_changed), (4, _tensor_taken_out), (2,
    _length_changed),
    (3, _text_changed), (5, _bytes_changed), (4, _cut_or_grown),
]  # fmt: skip


def difference(file: Parts, read: Parts) -> str:
    """Return the first place in which two headers (types included) or sets of tensors (as float64 or int64) differ, or ""."""
    if (said := json.dumps(file[0], sort_keys=True)) != (found := json.dumps(read[0], sort_keys=True)):
        at = next((i for i, (a, b) in enumerate(zip(said, found, strict=False)) if a != b), min(len(said), len(found)))
        return f"the file says ...{said[max(0, at - 60) : at + 60]}..., read was ...{found[max(0, at - 60) : at + 60]}..."
    if file[1].keys() != read[1].keys():
        return f"tensors {sorted(file[1].keys() ^ read[1].keys())} are in one alone"
    for name, tensor in file[1].items():
        other = read[1][name]
        kinds = "f" if tensor.dtype.kind == "f" else "iu"
        if other.dtype.kind not in kinds or other.shape != tensor.shape or not np.array_equal(tensor, other):
            return f"tensor {name}: {tensor.dtype} {tensor.shape} in the file, {other.dtype} {other.shape} as read"
    return ""


@cache
def _written(kind: str, number: int) -> bytes:
    timesteps = 1 + number % 4
    if kind == "network":
        return network_file.dumps(integer_network(number, timesteps=timesteps, classes=1 + number % 5))
    with tempfile.TemporaryDirectory() as folder:
        save_float(float_network(number, timesteps=timesteps), Path(folder) / "file")
        return (Path(folder) / "file").read_bytes()


def _case(kind: str, rng: Random) -> Case:
    content = _written(kind, rng.randrange(24))
    if rng.random() < 0.01:
        return odd_entries(rng, {"file": content})
    if rng.random() < 0.03:
        return Case(what="as written", files={"file": content}, expect="accepted")
    if rng.random() < 0.01:
        return Case(what="another kind", files={"file": _written("float_network" if kind == "network" else "network", 0)}, expect="refused")
    content, what = content_changed(rng, content)
    return Case(what=what, files={"file": content})


def _differs(kind: str, version: Mapping[str, int], case: Case, network: Any) -> str:
    table, tensors = pack(network)
    return difference(decoded(case.content("file")), ({"kind": kind, kind: {**version, **table}}, tensors))


def _reader(name: str, kind: str, module: str, read: Callable[[Path], Any], version: Mapping[str, int]) -> Reader:
    return Reader(
        name=name, case=partial(_case, kind), read=lambda folder: read(folder / "file"), differs=partial(_differs, kind, version),
        past_header=lambda case: layout_is_sound(case.files.get("file")), covers={**CONTAINER, f"spikefold.quantize.{module}": ()},
    )  # fmt: skip


NETWORK = _reader("network", "network", "network_file", network_file.load, {})
FLOAT_NETWORK = _reader("float-network", "float_network", "float_file", load_float, {"format_version": FLOAT_FORMAT_VERSION})
