"""Recordings of event cameras, as counts of events in equal slices of time: N-MNIST and CIFAR10-DVS."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spikefold.data.errors import DataError
from spikefold.data.info import DATASETS, home
from spikefold.data.lazy import Bytes, Int, Loaded, from_files
from spikefold.data.reading import files_in, read_bytes

__all__ = ["CIFAR10_CLASSES", "COUNT_MAX", "SLICES_MAX", "Events", "event_frames", "load_cifar10_dvs", "load_n_mnist", "read_aedat2", "read_n_mnist"]

COUNT_MAX = 127
"""The most events of a pixel in a timestep that are counted: the largest payload there can be."""
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR10_DVS_TRAIN = 900
"""CIFAR10-DVS has 1,000 recordings a class and no official split."""
SLICES_MAX = 4096
"""The most timesteps that a recording is cut into."""
OVERFLOW_Y = 240
OVERFLOW_US = 1 << 13
FILE_BYTES_MAX = 1 << 24
"""The largest recording, 16 MiB: as events, it takes twenty times its bytes."""
AEDAT2_HEADER_MAX = 1 << 16
AEDAT2_MAGIC = b"#!AER-DAT2.0"
AEDAT2_SPECIAL = 0x8000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Events:
    """The events of a recording, int64 [N] each: column, row, polarity (1: it became lighter, 0: darker) and time in microseconds."""

    x: Int
    y: Int
    on: Int
    time: Int


def event_frames(events: Events, timesteps: int, shape: tuple[int, int, int]) -> Bytes:
    """Return how many events each pixel sent, uint8 [T, 2, H, W] with at most ``COUNT_MAX``: OFF in channel 0, ON in 1.

    The time from the first to the last event is cut into ``timesteps`` equal slices. ``shape`` is (2, H, W).
    """
    _, height, width = shape
    elapsed = events.time - events.time.min()
    # The last event's microsecond belongs to the recording.
    slices = elapsed * timesteps // (elapsed.max() + 1)
    place = ((slices * 2 + events.on) * height + events.y) * width + events.x
    counts = np.bincount(place, minlength=timesteps * 2 * height * width)
    return np.minimum(counts, COUNT_MAX).astype(np.uint8).reshape(timesteps, 2, height, width)


def read_n_mnist(path: Path) -> Events:
    """Return the events of a file of N-MNIST (Orchard et al. 2015); a file that is not whole, or an event outside, is a DataError.

    An event is 40 bits: x (8), y (8), polarity (1), time in microseconds (23), the highest bits first. In files of this format, y = 240
    is no event: from there on, times are 2**13 us later.
    """
    content = read_bytes("n-mnist", path, FILE_BYTES_MAX)
    if not content or len(content) % 5:
        raise DataError(f"{path}: {len(content)} bytes; it must be one or more events of 5 bytes")
    raw = np.frombuffer(content, dtype=np.uint8).reshape(-1, 5)
    overflow = raw[:, 1] == OVERFLOW_Y
    time = OVERFLOW_US * np.cumsum(overflow)
    for column, shift, mask in ((2, 16, 0x7F), (3, 8, 0xFF), (4, 0, 0xFF)):
        time += (raw[:, column].astype(np.int64) & mask) << shift
    kept = ~overflow
    x, y, on = (raw[kept, column].astype(np.int64) for column in (0, 1, 2))
    return _inside(path, "n-mnist", Events(x=x, y=y, on=on >> 7, time=time[kept]))


def read_aedat2(path: Path) -> Events:
    """Return the events of an AEDAT 2.0 file of a DVS128 camera, such as CIFAR10-DVS's; a file that is not whole is a DataError.

    After header lines, which begin with ``#``, an event is a 32-bit address and a 32-bit time in microseconds, big-endian. In an
    address, bit 15 marks what is no pixel's event (left out), bits 14..8 and 7..1 are the camera's y and x, and bit 0 is 0 where it became
    lighter. The camera's y and x count from the other side of the transposed picture: the column is 127 - y, the row 127 - x.
    """
    content, start = read_bytes("cifar10-dvs", path, FILE_BYTES_MAX), 0
    if not content.startswith(AEDAT2_MAGIC):
        raise DataError(f"{path}: it begins with {content[: len(AEDAT2_MAGIC)]!r}; an AEDAT 2.0 file begins with {AEDAT2_MAGIC.decode()}")
    while content[start : start + 1] == b"#":
        end = content.find(b"\n", start)
        if end < 0:
            raise DataError(f"{path}: it ends within its header")
        start = end + 1
        if start > AEDAT2_HEADER_MAX:
            raise DataError(f"{path}: a header of {start} bytes and more; the limit is {AEDAT2_HEADER_MAX}")
    if (len(content) - start) % 8:
        raise DataError(f"{path}: {len(content) - start} bytes after the header; events take 8 bytes each")
    pairs = np.frombuffer(content, dtype=">u4", offset=start).astype(np.uint32).reshape(-1, 2)
    pairs = pairs[pairs[:, 0] & AEDAT2_SPECIAL == 0]
    address = pairs[:, 0].astype(np.int64)
    if (address > 0xFFFF).any():
        raise DataError(f"{path}: address 0x{address.max():x}; a DVS128's have 16 bits")
    # Times are 32-bit counters that may turn over: differences to the first are right while a recording is shorter than half a turn.
    time = (pairs[:, 1] - pairs[:1, 1]).view(np.int32).astype(np.int64)
    return _inside(path, "cifar10-dvs", Events(x=127 - (address >> 8), y=127 - (address >> 1 & 0x7F), on=1 - (address & 1), time=time))


def _inside(path: Path, name: str, events: Events) -> Events:
    _, height, width = DATASETS[name].shape
    if len(events.x) == 0:
        raise DataError(f"{path}: there are no events")
    outside = np.flatnonzero((events.x >= width) | (events.y >= height))
    if len(outside):
        raise DataError(f"{path}: an event at x {events.x[outside[0]]}, y {events.y[outside[0]]}; the camera has {width}x{height} pixels")
    return events


def load_n_mnist(data_dir: Path | None, *, test: bool, timesteps: int) -> Loaded:
    """Return one split of N-MNIST: frames uint8 [N, T, 2, 34, 34], read when they are asked for, in order of digit and file name."""
    folder = home("n-mnist", data_dir) / ("Test" if test else "Train")
    names = tuple(map(str, range(10)))
    files = [[str(folder / digit / file) for file in files_in("n-mnist", folder / digit, ".bin")] for digit in names]
    return _loaded("n-mnist", files, names, timesteps)


def load_cifar10_dvs(data_dir: Path | None, *, test: bool, timesteps: int) -> Loaded:
    """Return one split of CIFAR10-DVS (Li et al. 2017): frames uint8 [N, T, 2, 128, 128], read when they are asked for.

    There is no official split: of each class the first 900 files, sorted by name, are for training, the others for testing.
    """
    folder, files = home("cifar10-dvs", data_dir), []
    for class_name in CIFAR10_CLASSES:
        found = files_in("cifar10-dvs", folder / class_name, ".aedat")
        if len(found) <= CIFAR10_DVS_TRAIN:
            raise DataError(f"{folder / class_name}: {len(found)} recordings; the first {CIFAR10_DVS_TRAIN} are for training, so there must be more")
        part = found[CIFAR10_DVS_TRAIN:] if test else found[:CIFAR10_DVS_TRAIN]
        files.append([str(folder / class_name / file) for file in part])
    return _loaded("cifar10-dvs", files, CIFAR10_CLASSES, timesteps)


def _loaded(name: str, files: list[list[str]], class_names: tuple[str, ...], timesteps: int) -> Loaded:
    shape, read = DATASETS[name].shape, read_n_mnist if name == "n-mnist" else read_aedat2
    images = from_files([path for part in files for path in part], lambda path: event_frames(read(path), timesteps, shape), (timesteps, *shape))
    return images, np.repeat(np.arange(len(files)), [len(part) for part in files]), class_names
