"""IDX files, plain and gzipped, alone and as the pairs of MNIST; and the binary files of CIFAR."""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fuzz.cases import Case, Odd, Random, Reader, cut_or_grown, flipped, is_there, numbers, odd_entries, some
from spikefold.data.datasets import Dataset, load_dataset
from spikefold.data.idx import read_idx

__all__ = ["CIFAR", "IDX"]

ALONE, IMAGES, LABELS = "file", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
SIDE, CLASSES, PIXELS = 28, 10, 3072
BOMB_BYTES = 1 << 25
CIFAR10, CIFAR100 = "cifar-10-batches-bin", "cifar-100-binary"


def _idx(shape: tuple[int, ...], content: bytes, kind: int = 8, axes: int | None = None) -> bytes:
    return bytes([0, 0, kind, len(shape) if axes is None else axes]) + struct.pack(f">{len(shape)}I", *(n % 2**32 for n in shape)) + content


def _unzipped(content: bytes) -> bytes:
    if content[:2] != b"\x1f\x8b":
        return content
    unpacker = zlib.decompressobj(31)
    plain = unpacker.decompress(content)
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("no whole gzip member, or more than one")
    return plain


def _array(content: Any) -> Any:
    """Return the array of an IDX file, decoded by itself; a ValueError or struct.error where it is none."""
    plain = _unzipped(content)
    if plain[:3] != b"\0\0\x08":
        raise ValueError("magic")
    shape = struct.unpack_from(f">{plain[3]}I", plain, 4)
    data = plain[4 + 4 * plain[3] :]
    if math.prod(shape) != len(data) or not data:
        raise ValueError("size")
    return np.array(list(data), np.uint8).reshape(shape)


def _idx_changed(rng: Random, shape: tuple[int, ...], data: bytes) -> tuple[bytes, str]:
    """Return an IDX file, plain or gzipped, changed in one way."""
    way = some(
        rng,
        [
            (4, "size"),
            (2, "sizes"),
            (2, "kind"),
            (2, "axes"),
            (3, "cut"),
            (3, "flip"),
            (3, "data"),
            (3, "packed"),
            (3, "packed twice"),
            (0.03, "bomb"),
        ],
    )
    pack = gzip.compress if rng.random() < 0.5 else bytes
    if way == "size":
        at = rng.randrange(len(shape))
        return pack(_idx((*shape[:at], rng.choice((shape[at] + 1, shape[at] - 1, 0, numbers(rng))), *shape[at + 1 :]), data)), way
    if way == "sizes":
        other = rng.choice((shape[::-1], (*shape, 1), (math.prod(shape),), (2**16, 2**16), (2**31, 2, 2**31, 2), (1, *shape), (2**32 - 1,) * 4, ()))
        return pack(_idx(other, data)), way
    if way == "kind":
        return pack(_idx(shape, data, kind=rng.choice((0, 7, 9, 0x0B, 0x0D, 0x0E, 255)))), way
    if way == "axes":
        return pack(_idx(shape, data, axes=rng.randint(0, 9))), way
    if way == "cut":
        return pack(cut_or_grown(rng, _idx(shape, data))), way
    if way == "flip":
        return pack(flipped(rng, _idx(shape, data))), way
    if way == "data":
        return pack(_idx(shape, flipped(rng, data))), way
    if way == "bomb":
        return gzip.compress(_idx((BOMB_BYTES,), bytes(BOMB_BYTES + rng.randint(-1, 1))), 1), way
    packed = gzip.compress(_idx(shape, data))
    if way == "packed":
        return rng.choice((flipped(rng, packed), flipped(rng, packed[: rng.randint(3, 18)]), cut_or_grown(rng, packed))), way
    return rng.choice((gzip.compress(packed), packed + packed, packed + gzip.compress(b""), gzip.compress(b"") + packed, packed + b"\0" * 5)), way


def _idx_case(rng: Random) -> Case:
    if rng.random() < 0.5:
        shape = tuple(rng.randint(1, 6) for _ in range(rng.randint(1, 4)))
        data = rng.randbytes(math.prod(shape))
        if rng.random() < 0.05:
            return Case(what="as written", files={ALONE: _idx(shape, data)}, expect="accepted")
        content, what = _idx_changed(rng, shape, data)
        return Case(what=what, files={ALONE: content})
    count = rng.randint(1, 3)
    labels = bytes(rng.randrange(CLASSES) for _ in range(count))
    ending = rng.choice(("", ".gz"))
    pack = gzip.compress if ending else bytes
    files: dict[str, bytes | Odd] = {
        IMAGES + ending: pack(_idx((count, SIDE, SIDE), rng.randbytes(count * SIDE**2))), LABELS + ending: pack(_idx((count,), labels)),
    }  # fmt: skip
    what = some(rng, [(1, "as written"), (2, "odd"), (5, "images"), (8, "labels"), (2, "count"), (2, "label")])
    if what == "as written":
        return Case(what=what, files=files, expect="accepted")
    if what == "odd":
        return odd_entries(rng, files)
    if what == "images":
        content, how = _idx_changed(rng, (count, SIDE, SIDE), rng.randbytes(count * SIDE**2))
        return Case(what=f"images, {how}", files=files | {IMAGES + ending: content})
    if what == "count":
        return Case(what="more labels than images", files=files | {LABELS + ending: pack(_idx((count + 1,), labels + b"\0"))}, expect="refused")
    if what == "label":
        wrong = bytes([*labels[:-1], rng.randint(CLASSES, 255)])
        return Case(what="a label beyond the classes", files=files | {LABELS + ending: pack(_idx((count,), wrong))}, expect="refused")
    content, how = _idx_changed(rng, (count,), labels)
    return Case(what=f"labels, {how}", files=files | {LABELS + ending: content})


def _read_idx(folder: Path) -> Any:
    return read_idx(folder / ALONE) if is_there(folder / ALONE) else load_dataset("mnist", "test", folder)


def _idx_differs(case: Case, result: Any) -> str:
    arrays = [_array(case.files[name]) for name in sorted(case.files)]
    found = [result] if not isinstance(result, Dataset) else [result.images[:][:, 0], result.labels]
    same = len(arrays) == len(found) and all(np.array_equal(a, b) for a, b in zip(arrays, found, strict=True))
    return "" if same else f"arrays {[a.shape for a in arrays]} in the files, {[a.shape for a in found]} as read, or their values"


def _idx_header(case: Case) -> bool:
    try:
        for content in case.files.values():
            plain = _unzipped(content) if isinstance(content, bytes) else b""
            if plain[:3] != b"\0\0\x08" or not 1 <= plain[3] <= 4 or len(plain) < 4 + 4 * plain[3]:
                return False
    except (ValueError, IndexError, zlib.error):
        return False
    return True


def _cifar_files(rng: Random) -> tuple[str, dict[str, bytes], int, int]:
    """Return a split's folder, its files, and the label's bytes and classes."""
    kind = rng.randrange(3)
    folder, names, label_bytes, classes = (
        (CIFAR10, ("test_batch.bin",), 1, 10), (CIFAR10, tuple(f"data_batch_{i}.bin" for i in range(1, 6)), 1, 10), (CIFAR100, ("test.bin",), 2,
        100),
    )[kind]  # fmt: skip
    files: dict[str, bytes] = {}
    for name in names:
        count = rng.randint(1, 2)
        labels = [bytes([*([rng.randrange(20)] if label_bytes == 2 else []), rng.randrange(classes)]) for _ in range(count)]
        files[f"{folder}/{name}"] = b"".join(label + rng.randbytes(PIXELS) for label in labels)
    return folder, files, label_bytes, classes


def _cifar_case(rng: Random) -> Case:
    folder, files, label_bytes, classes = _cifar_files(rng)
    known, name = (sorted(files), label_bytes), rng.choice(sorted(files))
    texts = f"{folder}/{'batches.meta.txt' if label_bytes == 1 else 'fine_label_names.txt'}"
    names = [f"thing {i}" for i in range(classes)]
    content = files[name]
    what = some(rng, [(1, "as written"), (2, "odd"), (3, "size"), (4, "flip"), (4, "label"), (4, "names"), (2, "empty")])
    if what == "as written":
        return Case(what=what, files=files, known=known, expect="accepted")
    if what == "odd":
        return odd_entries(rng, files)
    if what == "empty":
        return Case(what="an empty file", files=files | {name: b""}, expect="refused")
    if what == "size":
        return Case(what="cut or grown", files=files | {name: cut_or_grown(rng, content)}, known=known)
    if what == "flip":
        return Case(what="bytes changed", files=files | {name: flipped(rng, content)}, known=known)
    if what == "label":
        at = rng.randrange(len(content) // (PIXELS + label_bytes)) * (PIXELS + label_bytes) + label_bytes - 1
        label = rng.randrange(256)
        changed = content[:at] + bytes([label]) + content[at + 1 :]
        return Case(what=f"label {label}", files=files | {name: changed}, known=known, expect="refused" if label >= classes else "accepted")
    at = rng.randrange(classes)
    other = rng.choice(("", "a\x1b[2J", "a\nb", "é", "a\u2028b", "a\0b", "  ", "x" * 99))
    text = "\n".join([*names[:at], other, *names[at + 1 :]]) + rng.choice(("", "\n", "\n\n", "\nmore"))
    data = rng.choice(
        (text.encode(), text.encode(), text.encode("utf-16"), b"\xff" + text.encode(), b"\n" * 5_000_000 if rng.random() < 0.05 else b"")
    )
    return Case(what="names of the classes", files=files | {texts: data}, known=known)


def _cifar_differs(case: Case, result: Dataset) -> str:
    names, label_bytes = case.known
    records = np.frombuffer(b"".join(case.content(name) for name in names), np.uint8).reshape(-1, PIXELS + label_bytes)
    if not np.array_equal(result.images[:].reshape(-1, PIXELS), records[:, label_bytes:]) or not np.array_equal(
        result.labels, records[:, label_bytes - 1]
    ):
        return "images or labels are others"
    texts = [case.content(name) for name in case.files if name.endswith(".txt")]
    if texts:
        lines = [line for line in texts[0].decode("utf-8-sig").split("\n") if line.strip()]
        return "" if [line.strip() for line in lines] == list(result.class_names) else "the names of the classes are others"
    return ""


def _cifar_header(case: Case) -> bool:
    if case.known is None:
        return False
    size = PIXELS + case.known[1]
    return all(case.content(name) and len(case.content(name)) % size == 0 for name in case.known[0])


def _read_cifar(folder: Path) -> Dataset:
    if (folder / CIFAR100).exists():
        return load_dataset("cifar100", "test", folder)
    batches = any(path.name.startswith("data_batch") for path in (folder / CIFAR10).iterdir()) if (folder / CIFAR10).is_dir() else False
    return load_dataset("cifar10", "train" if batches else "test", folder)


IDX = Reader(
    name="idx", case=_idx_case, read=_read_idx, differs=_idx_differs, past_header=_idx_header,
    covers={"spikefold.data.idx": (), "spikefold.data.mnist": (), "spikefold.data.files": ("read_whole",)},
)  # fmt: skip
CIFAR = Reader(
    name="cifar", case=_cifar_case, read=_read_cifar, differs=_cifar_differs, past_header=_cifar_header,
    covers={"spikefold.data.cifar": (), "spikefold.data.reading": ("read",)},
)  # fmt: skip
