"""IDX files: what is read, and every way in which a file can be wrong."""

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from spikefold.data.errors import DataError
from spikefold.data.idx import BYTES_MAX, read_idx


def idx(shape: tuple[int, ...], content: bytes, kind: int = 8) -> bytes:
    return bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + content


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_reads_plain_and_gzipped(tmp_path: Path, pack) -> None:
    path = tmp_path / "file"
    path.write_bytes(pack(idx((2, 3), bytes(range(6)))))
    array = read_idx(path)
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it begins with nothing; an IDX file begins with 00 00 08"),
        (b"\x01\x00\x08\x01", "it begins with 01 00 08 01"),
        (idx((2,), b"ab", kind=0x0D), "element type 0x0d; it must be 0x08"),
        (idx((), b""), r"0 dimensions; there must be 1\.\.4"),
        (idx((1,) * 5, b"a"), r"5 dimensions; there must be 1\.\.4"),
        (idx((2, 3), b"")[:8], "it ends within its header of 12 bytes"),
        (idx((2, 0), b""), r"shape \[2, 0\] holds 0 bytes"),
        (idx((2, 3), b"abcde"), r"shape \[2, 3\] takes 6 bytes of data; there are only 5"),
        (idx((2, 3), b"abcdefg"), r"shape \[2, 3\] takes 6 bytes of data; there are more"),
        (idx((BYTES_MAX + 1,), b"a"), f"holds {BYTES_MAX + 1} bytes; the limits are"),
        (idx((2**32 - 1,) * 4, b"a"), "the limits are"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_refuses_what_is_no_idx(tmp_path: Path, content: bytes, words: str, pack) -> None:
    path = tmp_path / "file"
    path.write_bytes(pack(content))
    with pytest.raises(DataError, match=words) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_refuses_damaged_gzip(tmp_path: Path) -> None:
    whole = gzip.compress(idx((5000,), np.random.default_rng(0).bytes(5000)))
    path = tmp_path / "file.gz"
    for content in (whole[:-20], whole[:4000], whole[:100] + b"\xff" * 40 + whole[140:], b"\x1f\x8bno gzip at all"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"file\.gz: damaged gzip data"):
            read_idx(path)


def test_refuses_what_stands_behind_a_gzip_member(tmp_path: Path) -> None:
    path = tmp_path / "file.gz"
    whole = gzip.compress(idx((6000,), bytes(6000)))
    for behind in (b"\0", whole, gzip.compress(b"") * 1000):
        path.write_bytes(whole + behind)
        with pytest.raises(DataError, match=r"file\.gz: damaged gzip data: there is more behind the end"):
            read_idx(path)


def test_what_is_claimed_and_not_there_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(idx((BYTES_MAX,), b"a")))
    with pytest.raises(DataError, match="there are only 1"):
        read_idx(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="it is not a file"):
        read_idx(tmp_path / "pipe")


def test_bomb_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(idx((16,), bytes(1 << 24))))
    with pytest.raises(DataError, match="takes 16 bytes of data; there are more"):
        read_idx(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none: No such file or directory"):
        read_idx(tmp_path / "none")
