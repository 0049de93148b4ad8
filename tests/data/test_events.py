"""Event cameras' files, written as they are described, and every way in which they can be wrong."""

import struct
from pathlib import Path

import numpy as np
import pytest

from spikefold.data import events
from spikefold.data.datasets import DATASETS, load_dataset
from spikefold.data.errors import DataError
from spikefold.data.events import Events, event_frames, read_aedat2, read_n_mnist

HEADER = b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n#\x20\r\n"


def n_mnist(recorded: list[tuple[int, int, int, int]]) -> bytes:
    """Return (x, y, polarity, time) events as 40-bit numbers, the highest byte first."""
    return b"".join((x << 32 | y << 24 | on << 23 | time).to_bytes(5, "big") for x, y, on, time in recorded)


def aedat2(recorded: list[tuple[int, int, int, int]], header: bytes = HEADER) -> bytes:
    """Return (x, y, polarity, time) events as a DVS128 sends them: its x and y are those of the transposed picture from the far corner."""
    return header + b"".join(struct.pack(">II", (127 - x) << 8 | (127 - y) << 1 | (1 - on), time % 2**32) for x, y, on, time in recorded)


def quadruples(found: Events) -> list[tuple[int, ...]]:
    return list(zip(found.x.tolist(), found.y.tolist(), found.on.tolist(), found.time.tolist(), strict=True))


def test_n_mnist_files(tmp_path: Path) -> None:
    recorded = [(0, 0, 1, 0), (33, 1, 0, 77_000), (5, 33, 1, 2**23 - 1)]
    (tmp_path / "a.bin").write_bytes(n_mnist(recorded))
    assert quadruples(read_n_mnist(tmp_path / "a.bin")) == recorded
    (tmp_path / "b.bin").write_bytes(n_mnist([(1, 1, 0, 5), (0, 240, 0, 0), (2, 2, 1, 6), (0, 240, 0, 0), (3, 3, 1, 7)]))
    assert quadruples(read_n_mnist(tmp_path / "b.bin")) == [(1, 1, 0, 5), (2, 2, 1, 6 + 8192), (3, 3, 1, 7 + 16384)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "a.bin: 0 bytes; it must be one or more events of 5 bytes"),
        (n_mnist([(1, 2, 1, 3)] * 2)[:-1], "a.bin: 9 bytes"),
        (n_mnist([(1, 2, 1, 3), (34, 2, 1, 3)]), "an event at x 34, y 2; the camera has 34x34 pixels"),
        (n_mnist([(1, 34, 1, 3)]), "an event at x 1, y 34"),
        (n_mnist([(1, 240, 1, 3)]), "a.bin: there are no events"),
    ],
)
def test_damaged_n_mnist(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.bin").write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_n_mnist(tmp_path / "a.bin")


def test_aedat2_files(tmp_path: Path) -> None:
    recorded = [(0, 0, 1, 0), (127, 1, 0, 35_000), (5, 126, 1, 10**6)]
    for header in (HEADER, b"#!AER-DAT2.0\n"):
        (tmp_path / "a.aedat").write_bytes(aedat2(recorded, header))
        assert quadruples(read_aedat2(tmp_path / "a.aedat")) == recorded
    # By hand: bits 14..8 are 0x12, bits 7..1 are 0x55, and bit 0 says darker; the first event is no pixel's.
    (tmp_path / "b.aedat").write_bytes(HEADER + bytes.fromhex("ffff8000 00000009 000012ab 0000000a"))
    assert quadruples(read_aedat2(tmp_path / "b.aedat")) == [(127 - 0x12, 127 - 0x55, 0, 0)]


def test_the_clock_of_aedat2_turns_over(tmp_path: Path) -> None:
    for start in (2**31 - 2, 2**32 - 2):
        (tmp_path / "a.aedat").write_bytes(aedat2([(1, 1, 1, start), (1, 1, 1, start + 5), (1, 1, 1, start - 3)]))
        assert read_aedat2(tmp_path / "a.aedat").time.tolist() == [0, 5, -3]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it begins with b''; an AEDAT 2.0 file begins with #!AER-DAT2.0"),
        (aedat2([(1, 2, 1, 3)], b"#!AER-DAT3.1\r\n"), "it begins with b'#!AER-DAT3.1'"),
        (b"#!AER-DAT2.0\r\n# no end", "it ends within its header"),
        (aedat2([(1, 2, 1, 3)] * 2)[:-3], "13 bytes after the header; events take 8 bytes each"),
        (HEADER, "there are no events"),
        (HEADER + struct.pack(">II", 0x12344, 5), "address 0x12344; a DVS128's have 16 bits"),
    ],
)
def test_damaged_aedat2(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.aedat").write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        read_aedat2(tmp_path / "a.aedat")
    assert "a.aedat" in str(caught.value)


@pytest.mark.parametrize("timesteps", [1, 3, 10])
def test_frames_count_every_event_in_its_slice(timesteps: int) -> None:
    rng = np.random.default_rng(timesteps)
    x, y, on, time = rng.integers(0, 4, 500), rng.integers(0, 3, 500), rng.integers(0, 2, 500), rng.integers(2000, 2900, 500)
    frames = event_frames(Events(x=x, y=y, on=on, time=time), timesteps, (2, 3, 4))
    expected = np.zeros((timesteps, 2, 3, 4), int)
    width = (time.max() - time.min() + 1) / timesteps
    for i in range(500):
        expected[int((time[i] - time.min()) / width), on[i], y[i], x[i]] += 1
    assert frames.dtype == np.uint8
    np.testing.assert_array_equal(frames, expected)


def test_many_events_of_a_pixel_count_as_127() -> None:
    ones = np.ones(400, np.int64)
    assert event_frames(Events(x=ones, y=ones, on=ones, time=ones), 2, (2, 3, 4)).max() == 127


def write(folder: Path, name: str, content: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def test_n_mnist_from_a_folder(tmp_path: Path) -> None:
    for digit in range(10):
        for number in range(2 + (digit == 3)):
            write(tmp_path / "Train" / str(digit), f"0000{9 - number}.bin", n_mnist([(digit, number, 1, 9), (0, 33, 0, 0)]))
        write(tmp_path / "Test" / str(digit), "00001.bin", n_mnist([(digit, 7, 1, 9)]))
    train, test = (load_dataset("n-mnist", split, tmp_path, timesteps=3) for split in ("train", "test"))
    assert train.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 3, *(digit for digit in range(4, 10) for _ in range(2))]
    assert test.labels.tolist() == list(range(10))
    assert train.shape == test.shape == DATASETS["n-mnist"].shape
    assert train.images.shape == (21, 3, 2, 34, 34)
    # The third file of digit 3, by name, is the first that was written.
    assert np.argwhere(train.images[[8]][0]).tolist() == [[0, 0, 33, 0], [2, 1, 0, 3]]
    assert np.argwhere(test.images[4:5][0]).tolist() == [[0, 1, 7, 4]]
    write(tmp_path / "Train" / "3", "00008.bin", b"1234")
    assert load_dataset("n-mnist", "train", tmp_path, timesteps=3).images[:7].shape == (7, 3, 2, 34, 34)
    with pytest.raises(DataError, match=r"3/00008\.bin: 4 bytes"):
        load_dataset("n-mnist", "train", tmp_path, timesteps=3).images[5:]
    (tmp_path / "Test" / "8" / "00001.bin").unlink()
    with pytest.raises(DataError, match=r"Test/8: no file there ends in \.bin; the files of 'n-mnist' are Train/<digit>/\*\.bin"):
        load_dataset("n-mnist", "test", tmp_path, timesteps=3)


def test_cifar10_dvs_is_split_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for label, class_name in enumerate(events.CIFAR10_CLASSES):
        for number in range(11):
            write(tmp_path / class_name, f"cifar10_{class_name}_{number}.aedat", aedat2([(label, number, 1, 0)]))
    with pytest.raises(DataError, match="airplane: 11 recordings; the first 900 are for training, so there must be more"):
        load_dataset("cifar10-dvs", "train", tmp_path, timesteps=1)
    monkeypatch.setattr(events, "CIFAR10_DVS_TRAIN", 4)
    train, test = (load_dataset("cifar10-dvs", split, tmp_path, timesteps=1) for split in ("train", "test"))
    assert (len(train), len(test), test.shape) == (40, 70, DATASETS["cifar10-dvs"].shape)
    assert train.labels.tolist() == sorted([*range(10)] * 4)
    # By name, 10 comes before 2.
    assert np.argwhere(train.images[:4][:, 0, 1])[:, 1].tolist() == [0, 1, 10, 2]
    assert np.argwhere(test.images[:7][:, 0, 1])[:, 1].tolist() == [3, 4, 5, 6, 7, 8, 9]
    (tmp_path / "truck").rename(tmp_path / "lorry")
    with pytest.raises(DataError, match=r"truck: it is not there; the files of 'cifar10-dvs' are <class>/\*\.aedat"):
        load_dataset("cifar10-dvs", "test", tmp_path, timesteps=1)


@pytest.mark.parametrize("name", [name for name, info in DATASETS.items() if info.events])
def test_events_need_timesteps_and_have_one_size(tmp_path: Path, name: str) -> None:
    for timesteps in (None, 0, 4097):
        with pytest.raises(DataError, match=rf"timesteps {timesteps}; into how many frames its events are counted must be given, in 1\.\.4096"):
            load_dataset(name, "train", tmp_path, timesteps=timesteps)
    with pytest.raises(DataError, match="size 30; only images can be resized"):
        load_dataset(name, "train", tmp_path, timesteps=3, size=30)
