"""Augmentation: every image is one of its shifts, mirrored or not, and only seed and sample number choose which."""

import numpy as np
import pytest

from spikefold.data.augment import augment
from spikefold.data.coding import uniform
from spikefold.data.errors import DataError

IMAGES = np.random.default_rng(0).integers(1, 255, (40, 3, 6, 7)).astype(np.uint8)
SAMPLES = np.arange(40) * 1_000_003


def shifts(image: np.ndarray, crop: int, mirrored: bool) -> dict[tuple[int, int], np.ndarray]:
    """Return every shift of an image by its (y, x), pixel by pixel: pixel (y, x) of the result is (y + dy, x + dx) of the source."""
    height, width = image.shape[-2:]
    found = {}
    for dy in range(-crop, crop + 1):
        for dx in range(-crop, crop + 1):
            moved = np.zeros_like(image)
            for y in range(height):
                for x in range(width):
                    if 0 <= y + dy < height and 0 <= x + dx < width:
                        moved[..., y, width - 1 - x if mirrored else x] = image[..., y + dy, x + dx]
            found[dy, dx] = moved
    return found


def test_each_image_is_one_of_its_shifts_and_all_of_them_come() -> None:
    image = IMAGES[:1]
    moved = augment(np.repeat(image, 2000, 0), crop=2, flip=True, seed=5, samples=np.arange(2000))
    counts = []
    for mirrored in (False, True):
        for shift in shifts(image[0], 2, mirrored).values():
            counts.append(int((moved == shift).all(axis=(1, 2, 3)).sum()))
    assert sum(counts) == 2000
    # 50 choices of 40 each: six standard deviations are 38.
    assert len(counts) == 50
    assert min(counts) > 2
    assert max(counts) < 78


def test_without_flip_nothing_is_mirrored() -> None:
    moved = augment(IMAGES, crop=1, flip=False, seed=5, samples=SAMPLES)
    for image, result in zip(IMAGES, moved, strict=True):
        assert any((result == shift).all() for shift in shifts(image, 1, False).values())
    np.testing.assert_array_equal(augment(IMAGES, crop=0, flip=False, seed=5, samples=SAMPLES), IMAGES)


def test_order_and_company_of_samples_do_not_matter_and_the_source_stays() -> None:
    before = IMAGES.copy()
    whole = augment(IMAGES, crop=3, flip=True, seed=2, samples=SAMPLES)
    assert whole.dtype == np.uint8
    np.testing.assert_array_equal(IMAGES, before)
    order = np.random.default_rng(1).permutation(40)
    np.testing.assert_array_equal(augment(IMAGES[order], crop=3, flip=True, seed=2, samples=SAMPLES[order]), whole[order])
    assert (augment(IMAGES, crop=3, flip=True, seed=3, samples=SAMPLES) != whole).any()
    assert (augment(IMAGES, crop=3, flip=True, seed=2, samples=SAMPLES + 1) != whole).any()


def test_the_timesteps_of_event_frames_move_together() -> None:
    frames = np.stack([IMAGES, IMAGES + 1], axis=1)
    moved = augment(frames, crop=2, flip=True, seed=2, samples=SAMPLES)
    np.testing.assert_array_equal(moved[:, 0], augment(IMAGES, crop=2, flip=True, seed=2, samples=SAMPLES))
    inside = moved[:, 0] > 0
    np.testing.assert_array_equal(moved[:, 1][inside], moved[:, 0][inside] + 1)
    assert not moved[:, 1][~inside].any()


def test_the_randomness_is_not_that_of_the_input_coding() -> None:
    flipped = augment(np.broadcast_to([0, 1], (500, 1, 2, 2)), crop=0, flip=True, seed=9, samples=np.arange(500))[:, 0, 0, 0] == 1
    events = np.array([uniform(9, sample, 1, 3)[0, 2] >= 0.5 for sample in range(500)])
    # Equal half of the time, give or take five standard deviations.
    assert 194 < (flipped == events).sum() < 306


@pytest.mark.parametrize(
    ("shape", "crop", "samples", "words"),
    [
        ((2, 6, 7), 1, 2, r"images of shape \[2, 6, 7\]; they must be \[N, C, H, W\]"),
        ((2, 1, 6, 7), 6, 2, r"crop 6; with images of 6x7 it must be in 0\.\.5"),
        ((2, 1, 6, 7), -1, 2, "crop -1"),
        ((2, 1, 6, 7), 1, 3, "3 sample numbers for 2 images"),
    ],
)
def test_augment_refuses(shape: tuple[int, ...], crop: int, samples: int, words: str) -> None:
    with pytest.raises(DataError, match=words):
        augment(np.zeros(shape), crop=crop, flip=True, seed=0, samples=range(samples))
