"""Pictures, in JPEG and PNG, and the folders that they lie in: Tiny ImageNet's lists, and a folder for each class."""

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.fuzz.cases import Case, Odd, Random, Reader, cut_or_grown, flipped, is_there, numbers, odd_entries, some
from spikefold.data.datasets import Dataset, load_dataset
from spikefold.data.folders import centre_square, read_picture

__all__ = ["PICTURES"]

ALONE, ALONE_SQUARE = "file.JPEG", "square.JPEG"
SQUARE, SIDE, CLASSES = 32, 64, 200
TINY, IMAGENET = "tiny-imagenet-200", "val"
WNIDS = [f"n{7 * i % CLASSES:08d}" for i in range(CLASSES)]
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_ALONE = frozenset((0x01, *range(0xD0, 0xDA)))
"""The second bytes of the markers that have no length."""
Changed = tuple[bytes, str]


@cache
def _picture(number: int, side: int = 0) -> tuple[bytes, Any]:
    """Return a picture file and, where nothing is lost, its pixels [3, H, W]."""
    rng = np.random.default_rng(number)
    width, height = (side, side) if side else (int(n) for n in rng.integers(1, 40, 2))
    mode = ("RGB", "L", "RGB", "CMYK", "P", "RGBA", "1", "LA")[number % 8]
    smooth = Image.fromarray(rng.integers(0, 256, (3, 3, 3)).astype(np.uint8)).resize((width, height)).convert("RGB")
    if number % 16 < 8 and mode in ("RGB", "L", "CMYK"):
        file = io.BytesIO()
        smooth.convert(mode).save(file, "JPEG", quality=75, progressive=number % 3 == 0)
        return file.getvalue(), None
    picture = smooth.convert("RGB" if mode == "CMYK" else mode)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue(), np.asarray(picture.convert("RGB")).transpose(2, 0, 1)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    chunks, at = [], len(PNG_MAGIC)
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    return chunks


def _png_header(rng: Random, content: bytes) -> Changed:
    chunks = _chunks(content)
    fields = list(struct.unpack(">IIBBBBB", chunks[0][1]))
    at = rng.randrange(7)
    fields[at] = numbers(rng) % (1 << 32) if at < 2 else rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
    return PNG_MAGIC + b"".join(_chunk(*chunk) for chunk in [(b"IHDR", struct.pack(">IIBBBBB", *fields)), *chunks[1:]]), "a field of the header"


def _png_chunks(rng: Random, content: bytes) -> Changed:
    chunks = _chunks(content)
    at = rng.randrange(len(chunks))
    kind, data = chunks[at]
    action = rng.randrange(7)
    if action == 0:
        del chunks[at]
    elif action == 1:
        chunks.insert(rng.randint(0, len(chunks)), chunks[at])
    elif action == 2:
        rng.shuffle(chunks)
    elif action == 3:
        chunks[at] = (kind, flipped(rng, data))
    elif action == 4:
        chunks[at] = (kind, cut_or_grown(rng, data))
    elif action == 5:
        bomb = rng.choice((zlib.compress(bytes(1 << 22)), b"\0" * 100, b"x\0\0" + zlib.compress(bytes(1 << 21))))
        chunks.insert(
            1, (rng.choice((b"zTXt", b"iCCP", b"tEXt", b"iTXt", b"eXIf", b"acTL", b"fcTL", b"PLTE", b"tRNS", b"gAMA", b"abCd", b"IDAT")), bomb)
        )
    else:
        chunks[-2:-1] = [(b"IDAT", zlib.compress(bytes(rng.choice((0, 10, 1 << 20)))))]
    return PNG_MAGIC + b"".join(_chunk(*chunk) for chunk in chunks), "its chunks"


def _segments(content: bytes) -> list[bytes]:
    """Return a JPEG's markers with what belongs to each, what is between two scans included."""
    segments, at = [content[:2]], 2
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] != 0xD9:
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        if content[at + 1] == 0xDA:
            while end < len(content) - 1 and not (content[end] == 0xFF and content[end + 1] != 0 and content[end + 1] not in JPEG_ALONE):
                end += 1
        segments.append(content[at:end])
        at = end
    return [*segments, content[at:]]


def _jpeg_segments(rng: Random, content: bytes) -> Changed:
    segments = _segments(content)
    at = rng.randrange(1, len(segments))
    action = rng.randrange(6)
    if action == 0:
        del segments[at]
    elif action == 1:
        segments[at:at] = [segments[at]] * rng.choice((1, 1, 50))
    elif action == 2:
        segments[1:-1] = rng.sample(segments[1:-1], len(segments) - 2)
    elif action == 3:
        segments[at] = segments[at][:4] + flipped(rng, segments[at][4:])
    elif action == 4:
        segments[at] = segments[at][:2] + struct.pack(">H", numbers(rng) % 65536) + segments[at][4:]
    else:
        segments.insert(
            1,
            b"\xff"
            + bytes([rng.randrange(0xC0, 0xFF)])
            + struct.pack(">H", 2 + 14)
            + rng.choice((b"Exif\0\0", b"ICC_PROFILE\0", b"Adobe\0d", b"MPF\0II")).ljust(14, b"\1"),
        )
    return b"".join(segments), "its segments"


def _jpeg_header(rng: Random, content: bytes) -> Changed:
    """Change the size, the precision or the components that the frame's header says."""
    at = next(i for i in range(2, len(content)) if content[i] == 0xFF and content[i + 1] in (0xC0, 0xC1, 0xC2))
    field, size = rng.choice(((1, 1), (4, 1), (5, 2), (7, 2), (9, 1), (10, 3)))
    value = rng.randbytes(size) if rng.random() < 0.5 else (numbers(rng) % (1 << 8 * size)).to_bytes(size, "big")
    return content[: at + field] + value + content[at + field + size :], "a field of the frame's header"


def _jpeg_upon_jpeg(rng: Random, content: bytes) -> Changed:
    """Add what costs time and says nothing: empty parts, or the last scan again and again."""
    if rng.random() < 0.5:
        return content[:2] + b"\xff\xfe\x00\x02" * rng.choice((100, 30_000)) + content[2:], "empty parts"
    last = content.rindex(b"\xff\xda")
    return content[:-2] + content[last:-2] * rng.choice((10, 8000)) + content[-2:], "scans again"


def _png_of_16_bits(rng: Random, content: bytes) -> Changed:
    file = io.BytesIO()
    Image.fromarray(np.full((rng.randint(1, 9), 8), rng.randrange(65536), np.uint16)).save(file, "PNG")
    return file.getvalue(), "16 bits"


def _damaged(rng: Random, content: bytes) -> Changed:
    return rng.choice((
        (flipped(rng, content), "bytes changed"), (flipped(rng, content, start=len(content) // 2), "bytes changed"), (cut_or_grown(rng, content),
        "cut or grown"),
        (rng.randbytes(60), "noise"), (b"", "nothing"), (b"GIF89a" + content[6:], "the beginning of another format"), (content * 2, "twice"),
    ))  # fmt: skip


def _changed(rng: Random, content: bytes) -> Changed:
    png = content.startswith(PNG_MAGIC)
    ways: tuple[Callable[[Random, bytes], Changed], ...] = (
        (_png_header, _png_chunks, _damaged, _png_of_16_bits) if png else (_jpeg_header, _jpeg_segments, _damaged, _jpeg_upon_jpeg)
    )
    return rng.choices(ways, (10, 10, 10, 0.5))[0](rng, content)


def _case(rng: Random) -> Case:
    what = some(rng, [(80, "alone"), (12, "annotated"), (0.5, "by class"), (0.05, "imagenet")])
    if what == "annotated":
        return _annotated(rng)
    if what in ("by class", "imagenet"):
        return _folders(rng, what)
    content, pixels = _picture(rng.randrange(64))
    name = rng.choice((ALONE, ALONE, ALONE_SQUARE))
    chance = rng.random()
    if chance < 0.02:
        return odd_entries(rng, {name: content})
    if chance < 0.06:
        return Case(what="as written", files={name: content}, known=("pixels", pixels), expect="accepted")
    changed, how = _changed(rng, content)
    # A PNG has sums of its chunks and of its pixels: what is changed without them must show. A JPEG has none.
    summed = how in ("bytes changed", "cut or grown") and content.startswith(PNG_MAGIC) and name == ALONE
    return Case(what=how, files={name: changed}, known=("pixels", pixels) if summed else ("pillow", None))


def _annotated(rng: Random) -> Case:
    """Tiny ImageNet's validation split: a list of classes, a list of pictures with their classes, and the pictures."""
    wnids, rows = list(WNIDS), [(f"val_{i}.JPEG", rng.choice(WNIDS)) for i in range(3)]
    files: dict[str, bytes | Odd] = {f"{TINY}/val/images/{name}": _picture(rng.randrange(64), SIDE)[0] for name, _ in rows}
    what = some(rng, [(3, "as written"), (4, "odd"), (4, "a class"), (5, "a row"), (4, "a picture"), (3, "text"), (1, "a name")])
    expect: Any = "refused"
    if what == "as written":
        expect = "accepted"
    elif what == "a class":
        at = rng.randrange(CLASSES)
        wnids[at] = rng.choice(("../../etc", "a/b", "..", "a\0b", "a\x1b[2J", "é", "n 1", "", wnids[at - 1], "n1\nn2"))
    elif what == "a row":
        name, wnid = rows[at := rng.randrange(3)]
        rows[at] = rng.choice(
            (
                ("../images/" + name, wnid),
                ("/etc/passwd", wnid),
                (name, "n1"),
                ("none", wnid),
                ("", wnid),
                rows[at - 1],
                (name + "\0", wnid),
                (name.lower(), wnid),
            )
        )
    elif what == "a picture":
        name = rng.choice(sorted(files))
        other, _ = _picture(rng.randrange(64), rng.choice((1, 63, 65)))
        files[name] = other
    annotations = "".join(f"{name}\t{wnid}\t0\t32\t44\t62\n" for name, wnid in rows).encode()
    lists: dict[str, bytes] = {f"{TINY}/wnids.txt": "\n".join(wnids).encode(), f"{TINY}/val/val_annotations.txt": annotations}
    if what == "odd":
        return odd_entries(rng, files | lists)
    if what == "text":
        name = rng.choice(sorted(lists))
        lists[name] = rng.choice((b"\xff\xfe", b"", lists[name] + b"\0", lists[name].decode().encode("utf-16"), lists[name] * 2))
    if what == "a name":
        files[f"{TINY}/val/images/{rng.choice(('a' + chr(27) + '.JPEG', 'a' + chr(10) + '.JPEG', chr(0xDCFF) + '.JPEG'))}"] = b""
    return Case(
        what=f"annotated, {what}",
        files=files | lists,
        known=("labels", [WNIDS.index(wnid) for _, wnid in rows] if what == "as written" else None),
        expect=expect,
    )


def _folders(rng: Random, what: str) -> Case:
    """A folder of pictures for each class, of which one is not as it should be."""
    content, _ = _picture(3, SIDE)
    tiny = what == "by class"
    names = [f"{TINY}/train/{wnid}/images/a.JPEG" for wnid in WNIDS] if tiny else [f"{IMAGENET}/n{i:08d}/a.JPEG" for i in range(1000)]
    files: dict[str, bytes | Odd] = {**dict.fromkeys(names, content), **({f"{TINY}/wnids.txt": "\n".join(WNIDS).encode()} if tiny else {})}
    name, how = rng.choice(names), rng.choice(("as written", "none", "odd", "more", "link"))
    if how == "none":
        del files[name]
    elif how == "odd":
        files[name] = rng.choice(list(Odd))
    elif how == "more":
        files[name.replace("a.JPEG", rng.choice(("b\x1b.JPEG", "\udcff.JPEG")))] = content
    elif how == "link":
        del files[name]
        files[name.rsplit("/", 2 if tiny else 1)[0]] = rng.choice((Odd.LOOP, Odd.DANGLING))
    return Case(
        what=f"{what}, {how}", files=files, known=("labels", list(range(len(names)))), expect="accepted" if how == "as written" else "refused"
    )


def _read(folder: Path) -> Any:
    if (folder / TINY).is_dir():
        dataset = load_dataset("tiny-imagenet", "train" if (folder / TINY / "train").is_dir() else "test", folder)
        return dataset, dataset.images[:]
    if (folder / IMAGENET).is_dir():
        dataset = load_dataset("imagenet", "test", folder)
        # One of a thousand alike, and those that are not.
        odd = [i for i in range(len(dataset)) if not (folder / IMAGENET / dataset.class_names[i] / "a.JPEG").is_file()]
        return dataset, dataset.images[[0, *odd]]
    return (read_picture(folder / ALONE_SQUARE, SQUARE) if not is_there(folder / ALONE) else read_picture(folder / ALONE, None)), None


def _differs(case: Case, result: Any) -> str:
    found, _ = result
    if isinstance(found, Dataset):
        labels = case.known[1]
        return "" if labels is None or found.labels.tolist() == labels else f"labels {found.labels.tolist()[:9]}..."
    kind, pixels = case.known
    name, *_ = case.files
    content = case.content(name)
    if kind == "pixels" and pixels is not None and name == ALONE:
        return "" if np.array_equal(found, pixels) else "the pixels are others than those that were written"
    with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(content)) as picture:
        colours = picture.convert("RGB")
    if name == ALONE_SQUARE:
        colours = colours.resize((SQUARE, SQUARE), Image.Resampling.BILINEAR, box=centre_square(*colours.size))
    return "" if np.array_equal(found, np.asarray(colours).transpose(2, 0, 1)) else "the pixels are others than those that Pillow gives"


def _past_header(case: Case) -> bool:
    content = case.files.get(ALONE, case.files.get(ALONE_SQUARE))
    if content is None:
        return "odd" not in case.what
    if not isinstance(content, bytes):
        return False
    if content.startswith(PNG_MAGIC):
        return content[12:16] == b"IHDR" and zlib.crc32(content[12:29]) == int.from_bytes(content[29:33], "big")
    return content[:2] == b"\xff\xd8" and any(segment[1:2] in (b"\xc0", b"\xc1", b"\xc2") for segment in _segments(content))


PICTURES = Reader(
    name="pictures", case=_case, read=_read, differs=_differs, past_header=_past_header,
    covers={"spikefold.data.folders": (), "spikefold.data.reading": (), "spikefold.data.lazy": ("from_files",)},
)  # fmt: skip
