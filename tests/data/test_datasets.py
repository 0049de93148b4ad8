"""Data sets: the splits are fixed, and what is missing or wrong is said."""

import gzip
import hashlib
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spikefold.data.datasets import DATASETS, EVENT_LOADERS, LOADERS, Dataset, LazyImages, load_dataset
from spikefold.data.errors import DataError
from spikefold.data.mnist import FASHION_MNIST_CLASSES
from spikefold.data.resize import resize


def test_digits_split_is_fixed_and_stratified() -> None:
    train, test = load_dataset("digits", "train"), load_dataset("digits", "test")
    assert (len(train), len(test)) == (1437, 360)
    assert train.shape == test.shape == (1, 8, 8)
    assert (train.images.dtype, train.images.max(), train.images.min()) == (np.uint8, 16, 0)
    assert np.bincount(test.labels).tolist() == [36] * 10
    assert hashlib.sha256(test.images.tobytes() + test.labels.tobytes()).hexdigest().startswith("3bb148718e0ea5df")
    whole = {image.tobytes() for image in train.images}
    assert sum(image.tobytes() in whole for image in test.images) == 0


def test_loading_digits_alone_imports_scikit_learn() -> None:
    code = "import sys, spikefold.data.datasets; assert not {'sklearn', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def write_fashion(folder: Path, split: str, images: np.ndarray, labels: np.ndarray, packed: bool) -> None:
    for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
        content = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()
        name = f"{split}-{kind}-ubyte"
        (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize(("name", "class_names"), [("fashion-mnist", FASHION_MNIST_CLASSES), ("mnist", tuple("0123456789"))])
@pytest.mark.parametrize("packed", [True, False])
def test_the_four_files_of_mnist(tmp_path: Path, packed: bool, name: str, class_names: tuple[str, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28))
    write_fashion(tmp_path, "t10k", images, np.array([0, 9, 3, 3, 1]), packed)
    dataset = load_dataset(name, "test", tmp_path)
    np.testing.assert_array_equal(dataset.images[:, 0], images)
    assert dataset.labels.tolist() == [0, 9, 3, 3, 1]
    assert dataset.class_names == class_names
    with pytest.raises(DataError, match=rf"neither train-images-idx3-ubyte.gz nor .*; the files of '{name}' are train-images-idx3-ubyte, "):
        load_dataset(name, "train", tmp_path)
    np.testing.assert_array_equal(load_dataset(name, "test", tmp_path, size=34).images, resize(dataset.images, 34))


def test_a_data_set_without_a_usual_place_asks_for_its_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="data set 'mnist': the folder of its files must be given; the files of 'mnist' are train-images"):
        load_dataset("mnist", "train")
    with pytest.raises(DataError, match="none: there is no such folder; the files of 'mnist' are train-images"):
        load_dataset("mnist", "train", tmp_path / "none")


def test_every_data_set_can_be_loaded_and_is_what_it_is_said_to_be() -> None:
    assert list(DATASETS) == [*LOADERS, *EVENT_LOADERS]
    assert [name for name, info in DATASETS.items() if info.events] == list(EVENT_LOADERS)
    digits = load_dataset("digits", "test", size=11)
    assert (digits.shape, len(digits.class_names)) == (DATASETS["digits"].shape_at(11), DATASETS["digits"].classes) == ((1, 11, 11), 10)
    assert load_dataset("digits", "test", timesteps=5).shape == DATASETS["digits"].shape_at(None) == (1, 8, 8)


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        ((5, 8, 8), [0] * 5, r"images-idx3-ubyte: shape \[5, 8, 8\]; the images of 'fashion-mnist' are \[N, 28, 28\]"),
        ((5, 28, 28), [0] * 4, r"labels-idx1-ubyte: shape \[4\]; there are 5 images"),
        ((5, 28, 28), [0, 1, 2, 3, 10], r"labels: a label in 0\.\.10; with 10 classes they are 0\.\.9"),
    ],
)
def test_fashion_mnist_that_does_not_fit(tmp_path: Path, images: tuple[int, ...], labels: list[int], words: str) -> None:
    write_fashion(tmp_path, "train", np.zeros(images), np.array(labels), False)
    with pytest.raises(DataError, match=words):
        load_dataset("fashion-mnist", "train", tmp_path)


@pytest.mark.parametrize(
    ("name", "split", "words"), [("emnist", "test", "data set 'emnist': it must be one of digits, fashion-mnist"), ("digits", "dev", "split 'dev'")]
)
def test_unknown_names(name: str, split: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load_dataset(name, split)


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (np.zeros((2, 8, 8)), np.zeros(2, np.int64), r"images: float64 \[2, 8, 8\]"),
        (np.zeros((2, 1, 8, 8), complex), np.zeros(2, np.int64), "images: complex128"),
        (np.zeros((0, 1, 8, 8)), np.zeros(0, np.int64), "images"),
        (np.zeros((2, 1, 8, 8)), np.zeros(3, np.int64), r"labels: int64 \[3\]; they must be int64 \[2\]"),
        (np.zeros((2, 1, 8, 8)), np.zeros(2), "labels: float64"),
        (np.zeros((2, 1, 8, 8)), np.array([0, -1]), r"labels: a label in -1\.\.0; with 2 classes they are 0\.\.1"),
    ],
)
def test_own_data_set_is_checked(images: np.ndarray, labels: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=words):
        Dataset(name="own", images=images, labels=labels, class_names=("a", "b"))


def test_lazy_images_are_checked_and_shaped_like_an_array() -> None:
    frames = np.random.default_rng(0).integers(0, 9, (3, 5, 2, 4, 6)).astype(np.uint8)
    own = Dataset(name="own", images=LazyImages(shape=frames.shape, read=frames.__getitem__), labels=np.arange(3), class_names=tuple("abc"))
    assert (len(own), own.shape) == (3, (2, 4, 6))
    np.testing.assert_array_equal(own.images[1:], frames[1:])
    with pytest.raises(DataError, match=r"images: uint8 \[3, 4\]; they must be numbers"):
        Dataset(name="own", images=LazyImages(shape=(3, 4), read=frames.__getitem__), labels=np.arange(3), class_names=tuple("abc"))
