"""MNIST and the sets that took over its four files."""

from pathlib import Path

import numpy as np

from spikefold.data.errors import DataError
from spikefold.data.idx import read_idx
from spikefold.data.info import layout_of
from spikefold.data.lazy import Bytes, Int

__all__ = ["FASHION_MNIST_CLASSES", "load_idx_pair"]

FASHION_MNIST_CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
SIDE = 28


def load_idx_pair(name: str, folder: Path, *, test: bool) -> tuple[Bytes, Int]:
    """Return the images, uint8 [N, 1, 28, 28], and labels, int64 [N], of one split; ``name`` is the data set's, for errors."""
    prefix = "t10k" if test else "train"
    images_path = _path(name, folder, f"{prefix}-images-idx3-ubyte")
    labels_path = _path(name, folder, f"{prefix}-labels-idx1-ubyte")
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3 or images.shape[1:] != (SIDE, SIDE):
        raise DataError(f"{images_path}: shape {list(images.shape)}; the images of {name!r} are [N, {SIDE}, {SIDE}]")
    if labels.shape != images.shape[:1]:
        raise DataError(f"{labels_path}: shape {list(labels.shape)}; there are {len(images)} images")
    return images[:, None], labels.astype(np.int64)


def _path(name: str, folder: Path, file: str) -> Path:
    for path in (folder / f"{file}.gz", folder / file):
        if path.is_file():
            return path
    raise DataError(f"{folder}: neither {file}.gz nor {file} is there; {layout_of(name)}")
