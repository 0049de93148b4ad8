"""Images that are read or made when they are asked for, where all of them at once would not fit in memory."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import DataError

__all__ = ["Images", "LazyImages", "Loaded", "from_files"]

Int = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LazyImages:
    """Images that behave like an array of uint8 as far as a batch is taken from it.

    ``shape`` is that of the whole, [N, ...]; ``read`` takes indices, int64 [n] in 0..N-1, and returns those images, uint8 [n, ...].
    It returns the same every time. What it refuses is raised when a batch is taken.
    """

    shape: tuple[int, ...]
    read: Callable[[Int], Bytes]

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """The number of dimensions, as an array's."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements, as an array's."""
        return math.prod(self.shape)

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """Unsigned bytes."""
        return np.dtype(np.uint8)

    def __getitem__(self, index: slice | Sequence[int] | npt.NDArray[Any]) -> Bytes:
        """Return some of the images, by a slice or a list of indices; other indices are an IndexError."""
        wanted = np.arange(len(self))[index]
        if np.ndim(wanted) != 1:
            raise IndexError(f"images: index {index!r}; it must be a slice or a list of indices")
        batch = self.read(wanted)
        if batch.dtype != np.uint8 or batch.shape != (len(wanted), *self.shape[1:]):
            raise DataError(f"images: {batch.dtype} {list(batch.shape)} were read; they must be uint8 {[len(wanted), *self.shape[1:]]}")
        return batch


Images = npt.NDArray[Any] | LazyImages
Loaded = tuple[Images, Int, tuple[str, ...]]
"""Images, labels and class names of one split."""


def from_files(paths: Sequence[str], decode: Callable[[Path], Bytes], shape: tuple[int, ...]) -> LazyImages:
    """Return images of ``shape`` each that ``decode`` takes from one file each."""

    def read(wanted: Int) -> Bytes:
        batch = np.empty((len(wanted), *shape), dtype=np.uint8)
        for n, i in enumerate(wanted.tolist()):
            batch[n] = decode(Path(paths[i]))
        return batch

    return LazyImages(shape=(len(paths), *shape), read=read)
