"""The synthetic event camera against one pixel at a time, in fractions, and what must hold of any of its recordings."""

from fractions import Fraction
from math import floor, log
from pathlib import Path

import numpy as np
import pytest

from spikefold.data.datasets import load_dataset
from spikefold.data.errors import DataError
from spikefold.data.moving import moving_camera, watch
from tests.data.test_datasets import write_fashion

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 28, 28)).astype(np.uint8)


def shift(share: Fraction) -> tuple[Fraction, Fraction]:
    """Return the image's (x, y) shift after a share of the whole path: (-2, -2) to (0, 2) to (2, -2) and back, in sixteenths rounded down."""
    corners = [(-2, -2), (0, 2), (2, -2), (-2, -2), (-2, -2)]
    saccade, part = floor(3 * share), 3 * share - floor(3 * share)
    return tuple(Fraction(floor(16 * (a + (b - a) * part)), 16) for a, b in zip(corners[saccade], corners[saccade + 1], strict=True))


def pixel(image: np.ndarray, y: int, x: int, timesteps: int) -> list[list[int]]:
    """Return the (OFF, ON) counts of one pixel in every timestep: the meaning of the camera, without arrays."""
    steps = next(k for k in range(1, 61) if k * timesteps >= 60)

    def value(row: int, column: int) -> int:
        return int(image[row - 3, column - 3]) if 0 <= row - 3 < 28 and 0 <= column - 3 < 28 else 0

    def level(share: Fraction) -> int:
        dx, dy = shift(share)
        top, left = floor(y - dy), floor(x - dx)
        fy, fx = y - dy - top, x - dx - left
        seen = (1 - fy) * ((1 - fx) * value(top, left) + fx * value(top, left + 1)) + fy * (
            (1 - fx) * value(top + 1, left) + fx * value(top + 1, left + 1)
        )
        return round(1024 * log(float(seen) + 32))

    reference, counts = level(Fraction(0)), []
    for t in range(timesteps):
        counts.append([0, 0])
        for step in range(t * steps + 1, (t + 1) * steps + 1):
            now = level(Fraction(step, timesteps * steps))
            while abs(now - reference) >= 410:
                counts[-1][now > reference] += 1
                reference += 410 if now > reference else -410
    return counts


@pytest.mark.parametrize("timesteps", [1, 7, 10, 80])
def test_every_pixel_does_what_is_said(timesteps: int) -> None:
    frames = watch(IMAGES, timesteps)
    assert (frames.dtype, frames.shape) == (np.uint8, (3, timesteps, 2, 34, 34))
    rng = np.random.default_rng(timesteps)
    for y, x in [*rng.integers(0, 34, (12, 2)).tolist(), [1, 1], [2, 2], [33, 33], [31, 32]]:
        assert frames[1, :, :, y, x].tolist() == pixel(IMAGES[1], y, x, timesteps)


def test_what_comes_back_to_where_it_was_sent_as_many_on_as_off() -> None:
    frames = watch(IMAGES, 12).astype(int).sum(1)
    np.testing.assert_array_equal(frames[:, 0], frames[:, 1])
    assert frames.sum() > 1000


def test_uniform_pictures_send_events_at_their_edges_alone() -> None:
    frames = watch(np.full((1, 28, 28), 255, np.uint8), 5)[0].sum((0, 1))
    assert not frames[6:28, 6:28].any()
    # The edge at column 3 goes two pixels to either side; (0, 2) is the only corner below the middle.
    assert (frames[10:24, 1:5] > 0).all()
    assert not frames[:, 0].any()
    assert not watch(np.zeros((1, 28, 28), np.uint8), 5).any()


def test_a_count_fits_and_batches_do_not_matter() -> None:
    lazy = moving_camera(IMAGES[:, None], 10)
    assert lazy.shape == (3, 10, 2, 34, 34)
    np.testing.assert_array_equal(lazy[[2, 0]], watch(IMAGES, 10)[[2, 0]])
    assert watch(np.zeros((0, 28, 28), np.uint8), 3).shape == (0, 3, 2, 34, 34)
    # Stripes one pixel wide, seen in one timestep.
    stripes = np.zeros((1, 28, 28), np.uint8)
    stripes[:, ::2] = 255
    assert 20 < watch(stripes, 1).max() <= 127


@pytest.mark.parametrize("shape", [(2, 32, 32), (2, 28, 30), (2, 27, 27), (28, 28)])
def test_images_that_do_not_fit(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"they must be \[N, S, S\] with an even S up to 30"):
        watch(np.zeros(shape, np.uint8), 5)


def test_moving_fashion_mnist_is_made_of_fashion_mnist(tmp_path: Path) -> None:
    write_fashion(tmp_path, "t10k", IMAGES, np.array([4, 2, 9]), False)
    dataset = load_dataset("moving-fashion-mnist", "test", tmp_path, timesteps=6)
    assert (dataset.shape, dataset.images.shape) == ((2, 34, 34), (3, 6, 2, 34, 34))
    assert dataset.labels.tolist() == [4, 2, 9]
    np.testing.assert_array_equal(dataset.images[1:], watch(IMAGES, 6)[1:])
