"""CIFAR's binary files, written byte by byte as they are described, and every way in which they can be wrong."""

from pathlib import Path

import pytest

from spikefold.data.datasets import DATASETS, load_dataset
from spikefold.data.errors import DataError

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def record(labels: bytes, key: int) -> bytes:
    """Return labels, then 1024 red, 1024 green and 1024 blue bytes, each row by row; every pixel differs by channel, row and column."""
    return labels + bytes((key + 50 * c + 3 * y + x) % 256 for c in range(3) for y in range(32) for x in range(32))


def write(folder: Path, files: dict[str, list[bytes]]) -> None:
    folder.mkdir()
    for i, (name, labels) in enumerate(files.items()):
        (folder / name).write_bytes(b"".join(record(label, 10 * i + j) for j, label in enumerate(labels)))


@pytest.fixture
def cifar10(tmp_path: Path) -> Path:
    files = {f"data_batch_{i}.bin": [bytes([i]), bytes([9])] for i in range(1, 6)}
    write(tmp_path / "cifar-10-batches-bin", files | {"test_batch.bin": [b"\0", b"\7", b"\3"]})
    (tmp_path / "cifar-10-batches-bin" / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    return tmp_path


@pytest.fixture
def cifar100(tmp_path: Path) -> Path:
    write(tmp_path / "cifar-100-binary", {"train.bin": [b"\x13\x63", b"\0\0"], "test.bin": [b"\xff\x05"]})
    return tmp_path


def test_cifar10(cifar10: Path) -> None:
    train, test = load_dataset("cifar10", "train", cifar10), load_dataset("cifar10", "test", cifar10 / "cifar-10-batches-bin")
    assert train.labels.tolist() == [1, 9, 2, 9, 3, 9, 4, 9, 5, 9]
    assert test.labels.tolist() == [0, 7, 3]
    assert train.shape == test.shape == DATASETS["cifar10"].shape == (3, 32, 32)
    assert list(test.class_names) == NAMES
    for n, c, y, x in ((0, 0, 0, 0), (3, 2, 31, 30), (9, 1, 7, 8)):
        assert train.images[n, c, y, x] == (10 * (n // 2) + n % 2 + 50 * c + 3 * y + x) % 256


def test_cifar100_takes_the_fine_label(cifar100: Path) -> None:
    train, test = load_dataset("cifar100", "train", cifar100), load_dataset("cifar100", "test", cifar100)
    assert (train.labels.tolist(), test.labels.tolist()) == ([99, 0], [5])
    assert train.images[1, 2, 4, 5] == (1 + 100 + 12 + 5) % 256
    assert test.class_names == tuple(map(str, range(100)))
    (cifar100 / "cifar-100-binary" / "fine_label_names.txt").write_text("".join(f"thing {i}\n" for i in range(100)))
    assert load_dataset("cifar100", "test", cifar100).class_names[41] == "thing 41"


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("data_batch_3.bin", record(b"\0", 0)[:-1], "data_batch_3.bin: 3072 bytes; it must be one or more records of 3073 bytes"),
        ("data_batch_5.bin", b"", "data_batch_5.bin: 0 bytes"),
        ("data_batch_1.bin", record(b"\1", 0) + record(b"\x0a", 0), r"data_batch_1.bin: record 1: label 10; it must be in 0\.\.9"),
        ("batches.meta.txt", b"airplane\nship\n", "batches.meta.txt: 2 names; there must be 10"),
        ("batches.meta.txt", b"\xff\xfe", "batches.meta.txt: not a text file"),
    ],
)
def test_damaged_cifar10(cifar10: Path, file: str, content: bytes, words: str) -> None:
    (cifar10 / "cifar-10-batches-bin" / file).write_bytes(content)
    with pytest.raises(DataError, match=words):
        load_dataset("cifar10", "train", cifar10)


def test_damaged_cifar100(cifar100: Path) -> None:
    (cifar100 / "cifar-100-binary" / "train.bin").write_bytes(record(b"\0\x64", 0))
    with pytest.raises(DataError, match=r"train.bin: record 0: label 100; it must be in 0\.\.99"):
        load_dataset("cifar100", "train", cifar100)
    (cifar100 / "cifar-100-binary" / "train.bin").write_bytes(record(b"\0", 0))
    with pytest.raises(DataError, match=r"train.bin: 3073 bytes; it must be one or more records of 3074 bytes"):
        load_dataset("cifar100", "train", cifar100)


def test_missing_files_and_the_pickled_version(cifar10: Path) -> None:
    (cifar10 / "cifar-10-batches-bin" / "data_batch_4.bin").unlink()
    with pytest.raises(
        DataError, match=r"data_batch_4.bin: it is not there; the files of 'cifar10' are those of the binary version: cifar-10-batches-bin/"
    ):
        load_dataset("cifar10", "train", cifar10)
    (cifar10 / "cifar-10-batches-bin" / "data_batch_4.bin").mkdir()
    with pytest.raises(DataError, match=r"data_batch_4.bin: it is not a file"):
        load_dataset("cifar10", "train", cifar10)
    with pytest.raises(DataError, match=r"'cifar100': the folder of its files must be given; .* cifar-100-binary/ with train.bin and test.bin"):
        load_dataset("cifar100", "train")
