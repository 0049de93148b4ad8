"""Resizing against the formula in fractions, pixel by pixel."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest

from spikefold.data.errors import DataError
from spikefold.data.lazy import LazyImages
from spikefold.data.resize import resize, resized


def scalar(image: np.ndarray, size: int) -> list[list[int]]:
    side = len(image)

    def neighbours(i: int) -> list[tuple[int, Fraction]]:
        place = min(max((i + Fraction(1, 2)) * side / size - Fraction(1, 2), Fraction(0)), Fraction(side - 1))
        low = floor(place)
        return [(low, 1 - place + low), (min(low + 1, side - 1), place - low)]

    def pixel(y: int, x: int) -> int:
        return floor(sum(wy * wx * int(image[j, i]) for j, wy in neighbours(y) for i, wx in neighbours(x)) + Fraction(1, 2))

    return [[pixel(y, x) for x in range(size)] for y in range(size)]


@pytest.mark.parametrize(("side", "size"), [(28, 34), (8, 8), (8, 5), (3, 12), (1, 4), (6, 1), (5, 1024)])
def test_bilinear_with_centres_at_halves(side: int, size: int) -> None:
    image = np.random.default_rng(side).integers(0, 256, (side, side)).astype(np.uint8)
    found = resize(image, size)
    assert (found.dtype, found.shape) == (np.uint8, (size, size))
    if size <= 40:
        assert found.tolist() == scalar(image, size)
    assert (resize(np.full((side, side), 255, np.uint8), size) == 255).all(), "nothing wraps at the largest size and value"


def test_a_batch_is_resized_image_by_image() -> None:
    images = np.random.default_rng(1).integers(0, 256, (2500, 1, 2, 2)).astype(np.uint8)
    whole = resize(images, 3)
    assert whole.shape == (2500, 1, 3, 3)
    for n in (0, 2047, 2048, 2499):
        np.testing.assert_array_equal(whole[n, 0], resize(images[n, 0], 3))
    lazy = resized(LazyImages(shape=images.shape, read=images.__getitem__), 3)
    assert isinstance(lazy, LazyImages)
    np.testing.assert_array_equal(lazy[2040:2050], whole[2040:2050])


@pytest.mark.parametrize(
    ("images", "size", "words"),
    [
        (np.zeros((2, 3, 4), np.uint8), 5, r"images uint8 \[2, 3, 4\]; they must be uint8 and square"),
        (np.zeros((3, 3)), 5, r"images float64 \[3, 3\]"),
        (np.zeros((3, 3), np.uint8), 0, r"size 0; it must be in 1\.\.1024"),
        (np.zeros((3, 3), np.uint8), 1025, "size 1025"),
    ],
)
def test_resize_refuses(images: np.ndarray, size: int, words: str) -> None:
    with pytest.raises(DataError, match=words):
        resize(images, size)
    if images.ndim == 2 and images.dtype == np.uint8:
        with pytest.raises(DataError, match=words):
            resized(LazyImages(shape=(9, 3, 3), read=lambda wanted: np.zeros((len(wanted), 3, 3), np.uint8)), size)
