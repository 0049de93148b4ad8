"""Images enlarged or made smaller."""

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import DataError
from spikefold.data.lazy import Bytes, Images, Int, LazyImages

__all__ = ["SIZE_MAX", "resize", "resized"]

SIZE_MAX = 1024
"""The largest side: 255 * (2 * SIZE_MAX)**2 still fits 32 bits."""
AT_ONCE = 2048


def resize(images: Bytes, size: int) -> Bytes:
    """Return square images, uint8 [..., S, S], as [..., ``size``, ``size``] by bilinear interpolation, rounded to the nearest, halves up.

    Pixels are unit squares, whose values stand at their centres: pixel i of ``size`` takes the place (i + 1/2) S / size - 1/2 of S, and
    places before the first and behind the last centre take its value. Nothing is averaged, so it is meant for enlarging (28 to 34 for the
    networks of Ikegawa et al. 2022). Integers only: every machine gives the same bytes. Other images or a ``size`` outside
    1..``SIZE_MAX`` is a DataError.
    """
    if images.dtype != np.uint8 or images.ndim < 2 or images.shape[-1] != images.shape[-2] or images.size == 0:
        raise DataError(f"resize: images {images.dtype} {list(images.shape)}; they must be uint8 and square")
    if not 1 <= size <= SIZE_MAX:
        raise DataError(f"resize: size {size}; it must be in 1..{SIZE_MAX}")
    low, high, weight = _places(images.shape[-1], size)
    flat = images.reshape(-1, *images.shape[-2:])
    result = np.empty((len(flat), size, size), dtype=np.uint8)
    unit = 2 * size
    for start in range(0, len(flat), AT_ONCE):
        part = flat[start : start + AT_ONCE].astype(np.int32)
        rows = part[:, low] * (unit - weight)[:, None] + part[:, high] * weight[:, None]
        cells = rows[:, :, low] * (unit - weight) + rows[:, :, high] * weight
        result[start : start + AT_ONCE] = (cells + unit * unit // 2) // (unit * unit)
    return result.reshape(*images.shape[:-2], size, size)


def _places(side: int, size: int) -> tuple[Int, Int, npt.NDArray[np.int32]]:
    """Return for each new pixel the two old ones and the weight of the second, in 1 / (2 size)."""
    place = np.clip((2 * np.arange(size) + 1) * side - size, 0, 2 * size * (side - 1))
    low = place // (2 * size)
    return low, np.minimum(low + 1, side - 1), (place % (2 * size)).astype(np.int32)


def resized(images: Images, size: int) -> Images:
    """Return :func:`resize` of a whole data set's images: at once of an array, else of what is asked for."""
    if not isinstance(images, LazyImages):
        return resize(images, size)
    # With a batch of nothing but zeros, what resize refuses is refused now.
    resize(np.zeros((1, *images.shape[1:]), dtype=np.uint8), size)
    return LazyImages(shape=(*images.shape[:-2], size, size), read=lambda wanted: resize(images.read(wanted), size))
