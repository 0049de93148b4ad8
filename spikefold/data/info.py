"""What can be said without NumPy: what every data set holds, which files it is made of, and how its pixels may be coded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from spikefold.data.errors import DataError

__all__ = ["DATASETS", "FASHION_MNIST_FOLDER", "PAYLOAD_BITS_MAX", "Coding", "DatasetInfo", "home", "layout_of"]

FASHION_MNIST_FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts its files."""

Coding = Literal["ternary", "poisson", "direct", "frames", "sequence"]
PAYLOAD_BITS_MAX = 8
IDX_FILES = "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each gzipped (.gz) or not"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetInfo:
    """A data set: (channels, height, width) of an image, the number of classes, whether it is of events, and its files in one line."""

    shape: tuple[int, int, int]
    classes: int
    events: bool = False
    layout: str

    def shape_at(self, size: int | None) -> tuple[int, int, int]:
        """Return the shape of the images when they are loaded with this ``size``."""
        return self.shape if size is None else (self.shape[0], size, size)


# fmt: off
DATASETS: Mapping[str, DatasetInfo] = MappingProxyType(
    {
        "digits": DatasetInfo(shape=(1, 8, 8), classes=10, layout="no files: it comes with scikit-learn"),
        "fashion-mnist": DatasetInfo(
            shape=(1, 28, 28), classes=10, layout=f"{IDX_FILES}; Debian's package dataset-fashion-mnist has them in {FASHION_MNIST_FOLDER}"
        ),
        "mnist": DatasetInfo(shape=(1, 28, 28), classes=10, layout=IDX_FILES),
        "cifar10": DatasetInfo(
            shape=(3, 32, 32), classes=10,
            layout="those of the binary version: cifar-10-batches-bin/ with data_batch_1.bin to data_batch_5.bin and test_batch.bin",
        ),
        "cifar100": DatasetInfo(shape=(3, 32, 32), classes=100, layout="those of the binary version: cifar-100-binary/ with train.bin and test.bin"),
        "tiny-imagenet": DatasetInfo(
            shape=(3, 64, 64), classes=200,
            layout="tiny-imagenet-200/ with wnids.txt, train/<wnid>/images/*.JPEG, val/images/*.JPEG and val/val_annotations.txt",
        ),
        "imagenet": DatasetInfo(shape=(3, 224, 224), classes=1000, layout="train/<wnid>/*.JPEG and val/<wnid>/*.JPEG"),
        "n-mnist": DatasetInfo(
            shape=(2, 34, 34), classes=10, events=True, layout="Train/<digit>/*.bin and Test/<digit>/*.bin with the digits 0 to 9"
        ),
        "cifar10-dvs": DatasetInfo(
            shape=(2, 128, 128), classes=10, events=True, layout="<class>/*.aedat (AEDAT 2.0) with the classes airplane to truck of CIFAR-10"
        ),
        "moving-fashion-mnist": DatasetInfo(shape=(2, 34, 34), classes=10, events=True, layout="those of fashion-mnist, from which it is made"),
    }
)
# fmt: on


def layout_of(name: str) -> str:
    """Return the end of an error's sentence: of which files the data set is made."""
    return f"the files of {name!r} are {DATASETS[name].layout}"


def home(name: str, data_dir: Path | None, folder: str = ".") -> Path:
    """Return where a data set's files are: in ``data_dir``, or in the folder of their archive's name there; none given or there is a DataError."""
    if data_dir is None:
        raise DataError(f"data set {name!r}: the folder of its files must be given; {layout_of(name)}")
    place = data_dir / folder if (data_dir / folder).is_dir() else data_dir
    if not place.is_dir():
        raise DataError(f"{data_dir}: there is no such folder; {layout_of(name)}")
    return place
