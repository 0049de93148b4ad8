"""Images that are read when they are asked for, taken like an array's."""

from pathlib import Path

import numpy as np
import pytest

from spikefold.data.errors import DataError
from spikefold.data.lazy import LazyImages, from_files

WHOLE = np.random.default_rng(0).integers(0, 256, (7, 2, 3, 4)).astype(np.uint8)


def lazy(asked: list[list[int]]) -> LazyImages:
    def read(wanted: np.ndarray) -> np.ndarray:
        asked.append(wanted.tolist())
        return WHOLE[wanted]

    return LazyImages(shape=WHOLE.shape, read=read)


@pytest.mark.parametrize(
    "index", [slice(2, 5), slice(None), slice(10, 20), slice(None, None, -2), [3], [6, 0, 0], [-1], np.array([5, 1]), WHOLE[:, 0, 0, 0] > 99]
)
def test_taken_as_from_an_array_and_no_more_is_read(index: object) -> None:
    asked: list[list[int]] = []
    images = lazy(asked)
    taken = images[index]
    assert asked == [np.arange(7)[index].tolist()]
    assert isinstance(taken, np.ndarray)
    np.testing.assert_array_equal(taken, WHOLE[index])
    assert (len(images), images.shape, images.ndim, images.size, images.dtype) == (len(WHOLE), WHOLE.shape, WHOLE.ndim, WHOLE.size, WHOLE.dtype)


@pytest.mark.parametrize("index", [[7], [-8], [0.5], 3, [[1, 2]]])
def test_other_indices_are_refused(index: object) -> None:
    with pytest.raises(IndexError):
        lazy([])[index]


def test_what_is_read_must_be_what_was_said() -> None:
    images = LazyImages(shape=(7, 2, 3, 4), read=lambda wanted: WHOLE[wanted].astype(np.int64))
    with pytest.raises(DataError, match=r"images: int64 \[2, 2, 3, 4\] were read; they must be uint8 \[2, 2, 3, 4\]"):
        images[[0, 1]]


def test_from_files_decodes_each_that_is_asked_for() -> None:
    images = from_files(["a/0", "b/1", "c/2"], lambda path: np.full((1, 2, 2), int(path.name), dtype=np.uint8), (1, 2, 2))
    assert images.shape == (3, 1, 2, 2)
    assert images[[2, 0]][:, 0, 0, 0].tolist() == [2, 0]


def test_a_missing_file_is_said_when_it_is_asked_for() -> None:
    def decode(path: Path) -> np.ndarray:
        raise DataError(f"{path}: gone")

    images = from_files(["here"], decode, (1, 2, 2))
    with pytest.raises(DataError, match="here: gone"):
        images[:1]
