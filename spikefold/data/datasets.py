"""Data sets as arrays: those that come with a package, and the class that any other one fills."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from spikefold.data.digits import load_digits_split
from spikefold.data.errors import DataError
from spikefold.data.idx import read_idx

__all__ = ["DATASETS", "FASHION_MNIST_CLASSES", "FASHION_MNIST_FOLDER", "Dataset", "Split", "load_dataset"]

Split = Literal["train", "test"]
DATASETS = ("digits", "fashion-mnist")
FASHION_MNIST_FOLDER = Path("/usr/share/datasets/fashion-mnist")
FASHION_MNIST_CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
FASHION_MNIST_PREFIX = {"train": "train", "test": "t10k"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """Labelled images: ``images`` [N, C, H, W] in the data set's own units, ``labels`` int64 [N], indices into ``class_names``."""

    name: str
    images: npt.NDArray[Any]
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        place = f"data set {self.name!r}"
        if self.images.dtype.kind not in "uif" or self.images.ndim != 4 or self.images.size == 0:
            raise DataError(f"{place} images: {self.images.dtype} {list(self.images.shape)}; they must be numbers [N, C, H, W]")
        if self.labels.dtype != np.int64 or self.labels.shape != self.images.shape[:1]:
            raise DataError(f"{place} labels: {self.labels.dtype} {list(self.labels.shape)}; they must be int64 [{len(self.images)}]")
        low, high = int(self.labels.min()), int(self.labels.max())
        if low < 0 or high >= len(self.class_names):
            raise DataError(f"{place} labels: a label in {low}..{high}; with {len(self.class_names)} classes they are 0..{len(self.class_names) - 1}")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of an image."""
        _, channels, height, width = self.images.shape
        return channels, height, width


def load_dataset(name: str, split: str, data_dir: Path | None = None) -> Dataset:
    """Return one split of a data set by name; nothing is ever downloaded.

    - ``digits``: scikit-learn's 1,797 digits, pixels 0..16, 1x8x8; 1,437 to train and 360 (36 a class) to test;
    - ``fashion-mnist``: the IDX files of Xiao et al. 2017, gzipped or not, pixels 0..255, 1x28x28, from ``data_dir`` or where
      Debian's package dataset-fashion-mnist puts them.

    An unknown name or split, a missing or damaged file is a DataError.
    """
    if split not in FASHION_MNIST_PREFIX:
        raise DataError(f"split {split!r}: it must be train or test")
    if name == "digits":
        images, labels = load_digits_split(test=split == "test")
        return Dataset(name=name, images=images, labels=labels, class_names=tuple(map(str, range(10))))
    if name == "fashion-mnist":
        return _fashion_mnist(split, FASHION_MNIST_FOLDER if data_dir is None else data_dir)
    raise DataError(f"data set {name!r}: it must be one of {', '.join(DATASETS)}")


def _fashion_mnist(split: str, folder: Path) -> Dataset:
    prefix = FASHION_MNIST_PREFIX[split]
    images_path = _idx_path(folder, f"{prefix}-images-idx3-ubyte")
    labels_path = _idx_path(folder, f"{prefix}-labels-idx1-ubyte")
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3 or images.shape[1:] != (28, 28):
        raise DataError(f"{images_path}: shape {list(images.shape)}; Fashion-MNIST's images are [N, 28, 28]")
    if labels.shape != images.shape[:1]:
        raise DataError(f"{labels_path}: shape {list(labels.shape)}; there are {len(images)} images")
    return Dataset(name="fashion-mnist", images=images[:, None], labels=labels.astype(np.int64), class_names=FASHION_MNIST_CLASSES)


def _idx_path(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise DataError(
        f"{folder}: neither {name}.gz nor {name} is there; install Debian's package dataset-fashion-mnist, "
        "or name the folder that holds Fashion-MNIST's four IDX files"
    )
