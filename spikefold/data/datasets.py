"""Data sets by name, and the class that any other one fills."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from spikefold.data.cifar import load_cifar
from spikefold.data.digits import load_digits_split
from spikefold.data.errors import DataError
from spikefold.data.events import SLICES_MAX, load_cifar10_dvs, load_n_mnist
from spikefold.data.folders import load_imagenet, load_tiny_imagenet
from spikefold.data.info import DATASETS, FASHION_MNIST_FOLDER, DatasetInfo, home
from spikefold.data.lazy import Bytes, Images, Int, LazyImages, Loaded
from spikefold.data.mnist import FASHION_MNIST_CLASSES, load_idx_pair
from spikefold.data.moving import moving_camera
from spikefold.data.resize import resized

__all__ = ["DATASETS", "Dataset", "DatasetInfo", "Images", "LazyImages", "Split", "load_dataset"]

Split = Literal["train", "test"]
DIGITS = tuple(map(str, range(10)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """Labelled images: ``labels`` int64 [N] are indices into ``class_names``.

    ``images`` [N, C, H, W] are in the data set's own units; recordings of events are frames, [N, T, C, H, W], of the counts of each
    timestep. They are an array, or a :class:`LazyImages`; either way ``images[indices]`` and ``images[start:stop]`` are arrays.
    """

    name: str
    images: Images
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        place = f"data set {self.name!r}"
        if self.images.dtype.kind not in "uif" or self.images.ndim not in (4, 5) or self.images.size == 0:
            raise DataError(f"{place} images: {self.images.dtype} {list(self.images.shape)}; they must be numbers [N, C, H, W] or [N, T, C, H, W]")
        if self.labels.dtype != np.int64 or self.labels.shape != self.images.shape[:1]:
            raise DataError(f"{place} labels: {self.labels.dtype} {list(self.labels.shape)}; they must be int64 [{len(self.images)}]")
        low, high = int(self.labels.min()), int(self.labels.max())
        if low < 0 or high >= len(self.class_names):
            raise DataError(f"{place} labels: a label in {low}..{high}; with {len(self.class_names)} classes they are 0..{len(self.class_names) - 1}")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of an image, or of one timestep's frame."""
        channels, height, width = self.images.shape[-3:]
        return channels, height, width


def load_dataset(name: str, split: str, data_dir: Path | None = None, *, size: int | None = None, timesteps: int | None = None) -> Dataset:
    """Return one split of a data set by name; nothing is ever downloaded.

    ``DATASETS`` says what shape each has and which files are expected in ``data_dir``; all pixels are uint8.

    - ``digits``: scikit-learn's 1,797 digits, pixels 0..16; 1,437 to train and 360 (36 a class) to test; needs no files;
    - ``fashion-mnist`` (Xiao et al. 2017), without ``data_dir`` from where Debian's package puts it, and ``mnist``: pixels 0..255;
    - ``cifar10`` and ``cifar100`` (Krizhevsky 2009), the latter with its 100 fine classes: red, green, blue, 0..255;
    - ``tiny-imagenet`` and ``imagenet`` (ILSVRC 2012), decoded when they are asked for: red, green, blue, 0..255. Their ``test`` is the official
      validation split, since the official test split has no labels;
    - ``n-mnist`` (Orchard et al. 2015), ``cifar10-dvs`` (Li et al. 2017; no official split, so the first 900 files of each class, sorted by
      name, are for training) and ``moving-fashion-mnist``: events, counted in frames of OFF (channel 0) and ON (channel 1). The last is
      **synthetic**, made from Fashion-MNIST (see :func:`spikefold.data.moving.watch`).

    Square images are made ``size`` pixels wide and high by bilinear interpolation (see :func:`spikefold.data.resize.resize`); events cannot be.
    Events need ``timesteps``, the number of equal slices of time that a recording is cut into; images do not, and ignore it.
    An unknown name or split, and a missing or damaged file, is a DataError; of what is read only when it is asked for, then.
    """
    if split not in ("train", "test"):
        raise DataError(f"split {split!r}: it must be train or test")
    if name not in DATASETS:
        raise DataError(f"data set {name!r}: it must be one of {', '.join(DATASETS)}")
    if name in EVENT_LOADERS:
        if size is not None:
            raise DataError(f"data set {name!r}: size {size}; only images can be resized, not events")
        if timesteps is None or not 1 <= timesteps <= SLICES_MAX:
            raise DataError(
                f"data set {name!r}: timesteps {timesteps}; into how many frames its events are counted must be given, in 1..{SLICES_MAX}"
            )
        images, labels, class_names = EVENT_LOADERS[name](data_dir, split == "test", timesteps)
    else:
        images, labels, class_names = LOADERS[name](data_dir, split == "test")
    return Dataset(name=name, images=images if size is None else resized(images, size), labels=labels, class_names=class_names)


def _digits(_: Path | None, test: bool) -> Loaded:
    return *load_digits_split(test=test), DIGITS


def _fashion_mnist(data_dir: Path | None, test: bool) -> tuple[Bytes, Int, tuple[str, ...]]:
    folder = FASHION_MNIST_FOLDER if data_dir is None else data_dir
    return *load_idx_pair("fashion-mnist", folder, test=test), FASHION_MNIST_CLASSES


def _moving_fashion_mnist(data_dir: Path | None, test: bool, timesteps: int) -> Loaded:
    images, labels, class_names = _fashion_mnist(data_dir, test)
    return moving_camera(images, timesteps), labels, class_names


def _mnist(data_dir: Path | None, test: bool) -> Loaded:
    return *load_idx_pair("mnist", home("mnist", data_dir), test=test), DIGITS


LOADERS: dict[str, Callable[[Path | None, bool], Loaded]] = {
    "digits": _digits,
    "fashion-mnist": _fashion_mnist,
    "mnist": _mnist,
    "cifar10": lambda data_dir, test: load_cifar("cifar10", data_dir, test=test),
    "cifar100": lambda data_dir, test: load_cifar("cifar100", data_dir, test=test),
    "tiny-imagenet": lambda data_dir, test: load_tiny_imagenet(data_dir, test=test),
    "imagenet": lambda data_dir, test: load_imagenet(data_dir, test=test),
}
EVENT_LOADERS: dict[str, Callable[[Path | None, bool, int], Loaded]] = {
    "n-mnist": lambda data_dir, test, timesteps: load_n_mnist(data_dir, test=test, timesteps=timesteps),
    "cifar10-dvs": lambda data_dir, test, timesteps: load_cifar10_dvs(data_dir, test=test, timesteps=timesteps),
    "moving-fashion-mnist": _moving_fashion_mnist,
}
