"""Data sets: the splits are fixed, and what is missing or wrong is said."""

import gzip
import hashlib
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spikefold.data.datasets import FASHION_MNIST_CLASSES, Dataset, load_dataset
from spikefold.data.errors import DataError


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


@pytest.mark.parametrize("packed", [True, False])
def test_fashion_mnist_from_a_folder(tmp_path: Path, packed: bool) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28))
    write_fashion(tmp_path, "t10k", images, np.array([0, 9, 3, 3, 1]), packed)
    dataset = load_dataset("fashion-mnist", "test", tmp_path)
    np.testing.assert_array_equal(dataset.images[:, 0], images)
    assert dataset.labels.tolist() == [0, 9, 3, 3, 1]
    assert dataset.class_names == FASHION_MNIST_CLASSES
    with pytest.raises(DataError, match=r"neither train-images-idx3-ubyte.gz nor .* package dataset-fashion-mnist"):
        load_dataset("fashion-mnist", "train", tmp_path)


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        ((5, 8, 8), [0] * 5, r"images-idx3-ubyte: shape \[5, 8, 8\]; Fashion-MNIST's images are \[N, 28, 28\]"),
        ((5, 28, 28), [0] * 4, r"labels-idx1-ubyte: shape \[4\]; there are 5 images"),
        ((5, 28, 28), [0, 1, 2, 3, 10], r"labels: a label in 0\.\.10; with 10 classes they are 0\.\.9"),
    ],
)
def test_fashion_mnist_that_does_not_fit(tmp_path: Path, images: tuple[int, ...], labels: list[int], words: str) -> None:
    write_fashion(tmp_path, "train", np.zeros(images), np.array(labels), False)
    with pytest.raises(DataError, match=words):
        load_dataset("fashion-mnist", "train", tmp_path)


@pytest.mark.parametrize(
    ("name", "split", "words"), [("mnist", "test", "data set 'mnist': it must be one of digits, fashion-mnist"), ("digits", "dev", "split 'dev'")]
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
