"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) from their binary versions."""

from pathlib import Path
from typing import Literal

import numpy as np

from spikefold.data.errors import DataError
from spikefold.data.info import DATASETS, home
from spikefold.data.lazy import Loaded
from spikefold.data.reading import read_bytes, read_lines

__all__ = ["load_cifar"]


def load_cifar(name: Literal["cifar10", "cifar100"], data_dir: Path | None, *, test: bool) -> Loaded:
    """Return one split: images uint8 [N, 3, 32, 32], red, green and blue, labels and class names.

    A record is the label's byte (CIFAR-100: a coarse one and the fine one, which is taken) and 3,072 pixels. Class names are those of
    the text file that comes along; without it, they are the labels' numbers.
    """
    if name == "cifar10":
        folder, names_file, label_bytes = home(name, data_dir, "cifar-10-batches-bin"), "batches.meta.txt", 1
        files = ["test_batch.bin"] if test else [f"data_batch_{i}.bin" for i in range(1, 6)]
    else:
        folder, names_file, label_bytes = home(name, data_dir, "cifar-100-binary"), "fine_label_names.txt", 2
        files = ["test.bin"] if test else ["train.bin"]
    records = np.concatenate([_records(name, folder / file, label_bytes) for file in files])
    images = records[:, label_bytes:].reshape(-1, *DATASETS[name].shape)
    return images, records[:, label_bytes - 1].astype(np.int64), _class_names(name, folder / names_file)


def _records(name: str, path: Path, label_bytes: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    info, content = DATASETS[name], read_bytes(name, path)
    size = label_bytes + int(np.prod(info.shape))
    if not content or len(content) % size:
        raise DataError(f"{path}: {len(content)} bytes; it must be one or more records of {size} bytes")
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, size)
    wrong = np.flatnonzero(records[:, label_bytes - 1] >= info.classes)
    if len(wrong):
        raise DataError(f"{path}: record {wrong[0]}: label {records[wrong[0], label_bytes - 1]}; it must be in 0..{info.classes - 1}")
    return records


def _class_names(name: str, path: Path) -> tuple[str, ...]:
    classes = DATASETS[name].classes
    if not path.exists():
        return tuple(map(str, range(classes)))
    names = tuple(line.strip() for line in read_lines(name, path))
    if len(names) != classes:
        raise DataError(f"{path}: {len(names)} names; there must be {classes}")
    return names
