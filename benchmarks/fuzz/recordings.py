"""Recordings of event cameras: the 40-bit events of N-MNIST and the AEDAT 2.0 of CIFAR10-DVS, alone and in folders by class."""

import struct
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fuzz.cases import Case, Odd, Random, Reader, cut_or_grown, flipped, numbers, odd_entries, some
from spikefold.data.datasets import Dataset, load_dataset
from spikefold.data.events import CIFAR10_CLASSES, Events, event_frames, read_aedat2, read_n_mnist

__all__ = ["CIFAR10_DVS", "N_MNIST"]

ALONE, TIMESTEPS = "file", 5
SIDES = {"n-mnist": 34, "cifar10-dvs": 128}
HEADERS = (b"#!AER-DAT2.0\r\n", b"#!AER-DAT2.0\n# a remark\n", b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n# \x00\xff\r\n#\n")
Quadruple = tuple[int, int, int, int]
"""x, y, 1 where it became lighter, and the time."""


def _n_mnist(rng: Random, count: int) -> bytes:
    start, events = rng.choice((0, 0, 2**23 - 500)), []
    for i in range(count):
        x, y = rng.randrange(34), rng.randrange(34)
        if rng.random() < 0.02:
            x, y = rng.choice(((0, 240), (255, 240), (34, 0), (0, 34), (255, 255), (33, 239)))
        events.append((x << 32 | y << 24 | rng.randrange(2) << 23 | (start + 97 * i) % 2**23).to_bytes(5, "big"))
    return b"".join(events)


def _aedat2(rng: Random, count: int) -> bytes:
    start, events = rng.choice((0, 0, 2**32 - 2000, 2**31 - 2000)), []
    for i in range(count):
        address = rng.randrange(1 << 15)
        if rng.random() < 0.02:
            address = rng.choice((0x8000 | address, 0xFFFF8000, 1 << 16 | address, 0x23000000, numbers(rng) % 2**32))
        events.append(struct.pack(">II", address, (start + 97 * i) % 2**32))
    return rng.choice(HEADERS) + b"".join(events)


def _n_mnist_events(content: bytes) -> list[Quadruple]:
    """Decode a file as it is described, one event after the other; a ValueError where it cannot be."""
    if not content or len(content) % 5:
        raise ValueError("size")
    events, later = [], 0
    for at in range(0, len(content), 5):
        x, y, high, *low = content[at : at + 5]
        if y == 240:
            later += 8192
            continue
        if x >= 34 or y >= 34:
            raise ValueError("outside")
        events.append((x, y, high >> 7, ((high & 127) << 16 | low[0] << 8 | low[1]) + later))
    if not events:
        raise ValueError("no events")
    return events


def _aedat2_events(content: bytes) -> list[Quadruple]:
    if not content.startswith(b"#!AER-DAT2.0"):
        raise ValueError("magic")
    while content.startswith(b"#"):
        _, end, content = content.partition(b"\n")
        if not end:
            raise ValueError("header")
    if len(content) % 8:
        raise ValueError("size")
    pairs = [struct.unpack_from(">II", content, at) for at in range(0, len(content), 8)]
    pairs = [(address, time) for address, time in pairs if not address & 0x8000]
    if not pairs or any(address >> 16 for address, _ in pairs):
        raise ValueError("no events, or an address of more bits")
    first = pairs[0][1]
    times = [(time - first + 2**31) % 2**32 - 2**31 for _, time in pairs]
    return [(127 - (a >> 8), 127 - (a >> 1 & 127), 1 - (a & 1), time) for (a, _), time in zip(pairs, times, strict=True)]


def _frames(events: list[Quadruple], side: int) -> Any:
    """Count events in equal slices of time, one after the other."""
    first = min(time for *_, time in events)
    elapsed = max(time for *_, time in events) - first + 1
    frames = np.zeros((TIMESTEPS, 2, side, side), np.int64)
    for (x, y, on, t), count in Counter((x, y, on, (time - first) * TIMESTEPS // elapsed) for x, y, on, time in events).items():
        frames[t, on, y, x] = min(count, 127)
    return frames


def _changed(rng: Random, content: bytes, header: int) -> tuple[bytes, str]:
    """Return a recording changed in one way; ``header`` is the length of its beginning."""
    what = some(
        rng,
        [
            (4, "as it is"),
            (3, "cut or grown"),
            (3, "bytes changed"),
            (3, "words changed"),
            (1, "no events"),
            (1, "noise"),
            (2 if header else 0, "header"),
        ],
    )
    if what == "cut or grown":
        content = cut_or_grown(rng, content)
    elif what == "bytes changed":
        content = flipped(rng, content, start=rng.choice((0, header)))
    elif what == "words changed":
        size = 8 if header else 5
        words = [content[at : at + size] for at in range(header, len(content), size)]
        words[rng.randrange(len(words))] = rng.choice((b"\xff" * size, b"\0" * size, rng.randbytes(size), rng.choice(words)))
        rng.shuffle(words)
        content = content[:header] + b"".join(words)
    elif what == "no events":
        content = content[:header]
    elif what == "noise":
        content = rng.randbytes(rng.randint(0, 80))
    elif what == "header":
        content = rng.choice((
            content.replace(b"2.0", rng.choice((b"3.1", b"2.", b"2.00", b"1.0", b"\xff")), 1), content[: header - 1], content[header:],
            b" " + content,
            content[:header] + b"#\n" * rng.choice((1, 9, 40_000)) + content[header:], b"#\n" + content, content.replace(b"\n", b"\r"),
            content[: rng.randint(1, 20)],
        ))  # fmt: skip
    return content, what


def _case(name: str, rng: Random) -> Case:
    make = _n_mnist if name == "n-mnist" else _aedat2
    content = make(rng, rng.choice((1, 2, 5, 20, 60)))
    if name == "cifar10-dvs" and rng.random() < 0.02:
        classes = [name for name in CIFAR10_CLASSES if rng.random() < 0.95]
        files: dict[str, bytes | Odd] = {f"data/{name}/{i}.aedat": content for name in classes for i in range(rng.randint(1, 3))}
        return Case(what="too few recordings in a folder", files=files, expect="refused")
    if name == "n-mnist" and rng.random() < 0.1:
        return _folder_case(rng)
    chance = rng.random()
    if chance < 0.02:
        return odd_entries(rng, {ALONE: content})
    header = 0 if name == "n-mnist" else next(len(header) for header in reversed(HEADERS) if content.startswith(header))
    content, what = _changed(rng, content, header)
    return Case(what=what, files={ALONE: content}, known=name)


def _folder_case(rng: Random) -> Case:
    split = rng.choice(("Train", "Test"))
    files: dict[str, bytes | Odd] = {f"{split}/{digit}/{i}.bin": _n_mnist(rng, 4) for digit in range(10) for i in range(rng.randint(1, 2))}
    what = some(rng, [(3, "as written"), (2, "odd"), (1, "names"), (1, "a folder less"), (1, "links")])
    name = rng.choice(sorted(files))
    if what == "odd":
        left = {path: content for path, content in files.items() if path != name}
        return Case(what="no file", files=left | {name: rng.choice(list(Odd))}, known="n-mnist", expect="refused")
    if what == "names":
        odd_name = rng.choice(("a\x1b[2J.bin", "a\nb.bin", "\udcff.bin"))
        files[f"{split}/3/{odd_name}"] = files[name]
        return Case(what="a name that a terminal would obey", files=files, known="n-mnist", expect="refused")
    if what == "a folder less":
        return Case(what=what, files={path: content for path, content in files.items() if f"/{name.split('/')[1]}/" not in path}, expect="refused")
    if what == "links":
        kept: dict[str, bytes | Odd] = {path: content for path, content in files.items() if "/7/" not in path}
        return Case(
            what="a folder that is a link to itself", files=kept | {f"{split}/7": rng.choice((Odd.LOOP, Odd.DANGLING, b""))}, expect="refused"
        )
    return Case(what=what, files=files, known="n-mnist")


def _read(name: str, folder: Path) -> Any:
    if (folder / "data").is_dir():
        return load_dataset(name, "test", folder / "data", timesteps=TIMESTEPS)
    for split in ("Train", "Test"):
        if (folder / split).is_dir():
            dataset = load_dataset(name, split.lower(), folder, timesteps=TIMESTEPS)
            return dataset, dataset.images[:]
    events = (read_n_mnist if name == "n-mnist" else read_aedat2)(folder / ALONE)
    return events, event_frames(events, TIMESTEPS, (2, SIDES[name], SIDES[name]))


def _differs(name: str, decode: Callable[[bytes], list[Quadruple]], case: Case, result: Any) -> str:
    found, frames = result
    if isinstance(found, Dataset):
        places = sorted(case.files, key=lambda path: (path.split("/")[1], path.split("/")[2]))
        expected = np.stack([_frames(decode(case.content(place)), SIDES[name]) for place in places])
        if found.labels.tolist() != [int(place.split("/")[1]) for place in places]:
            return f"labels {found.labels.tolist()}"
        return "" if np.array_equal(frames, expected) else "the frames are others"
    if not isinstance(found, Events):
        return f"{type(found).__name__}"
    events = decode(case.content(ALONE))
    read = list(zip(found.x.tolist(), found.y.tolist(), found.on.tolist(), found.time.tolist(), strict=True))
    if read != events:
        return f"{len(events)} events in the file, {len(read)} as read, or others: {events[:2]}..., {read[:2]}..."
    return "" if np.array_equal(frames, _frames(events, SIDES[name])) else "the frames are others"


def _past_header(name: str, case: Case) -> bool:
    content = case.files.get(ALONE)
    if not isinstance(content, bytes):
        return case.known is not None
    if name == "n-mnist":
        return bool(content) and len(content) % 5 == 0
    if not content.startswith(b"#!AER-DAT2.0"):
        return False
    while content.startswith(b"#"):
        _, end, content = content.partition(b"\n")
        if not end:
            return False
    return True


def _reader(name: str, decode: Callable[[bytes], list[Quadruple]], functions: tuple[str, ...]) -> Reader:
    return Reader(
        name=name, case=partial(_case, name), read=partial(_read, name), differs=partial(_differs, name, decode),
        past_header=partial(_past_header, name),
        covers={"spikefold.data.events": functions},
    )  # fmt: skip


N_MNIST = _reader("n-mnist", _n_mnist_events, ("read_n_mnist", "event_frames", "_inside", "load_n_mnist", "_loaded"))
CIFAR10_DVS = _reader("cifar10-dvs", _aedat2_events, ("read_aedat2", "event_frames", "_inside"))
