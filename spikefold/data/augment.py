"""Training images moved and mirrored at random, the same for a given seed and sample number whatever the batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import DataError

__all__ = ["augment"]

STREAM = 1
"""The top word of the generator's counter; input coding's own randomness, with the same key, begins at 0."""


def augment(images: npt.NDArray[Any], *, crop: int, flip: bool, seed: int, samples: Sequence[int] | npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Return the images, each cut at random out of itself within a border of ``crop`` zeros, and with ``flip`` mirrored half of the time.

    ``images`` are [N, C, H, W], or event frames [N, T, C, H, W] whose timesteps move together; the result has their shape and dtype.
    The shift is uniform in -crop..crop on either axis, the mirroring left to right; both follow from (``seed``, sample number) alone.
    Random crop with a border of 4 and flip is what BNTT's published code trains CIFAR with (Kim and Panda 2021).
    Another shape, another number of ``samples``, or a ``crop`` that is not below height and width is a DataError.
    """
    if images.ndim not in (4, 5):
        raise DataError(f"augment: images of shape {list(images.shape)}; they must be [N, C, H, W] or [N, T, C, H, W]")
    height, width = images.shape[-2:]
    if not 0 <= crop < min(height, width):
        raise DataError(f"augment: crop {crop}; with images of {height}x{width} it must be in 0..{min(height, width) - 1}")
    if len(samples) != len(images):
        raise DataError(f"augment: {len(samples)} sample numbers for {len(images)} images; there must be one each")
    border = [(0, 0)] * (images.ndim - 2) + [(crop, crop)] * 2
    padded, result = np.pad(images, border), np.empty_like(images)
    for n, sample in enumerate(samples):
        words = np.random.Philox(key=np.array([seed, sample], dtype=np.uint64), counter=np.array([0, 0, 0, STREAM], dtype=np.uint64)).random_raw(3)
        # A word's upper half times the number of choices, shifted down: the bias is below 2**-24 for any crop there can be.
        y, x = (int(word >> 32) * (2 * crop + 1) >> 32 for word in words[:2].tolist())
        cut = padded[n, ..., y : y + height, x : x + width]
        result[n] = cut[..., ::-1] if flip and words[2] >> 63 else cut
    return result
