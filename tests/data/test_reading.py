"""Files of data sets that are missing, endless or no files."""

import os
from pathlib import Path

import pytest

from spikefold.data import reading
from spikefold.data.errors import DataError
from spikefold.data.reading import files_in, folders_in, read_bytes, read_lines


def test_reads_and_lists(tmp_path: Path) -> None:
    (tmp_path / "b.bin").write_bytes(b"one\n\n two \n")
    (tmp_path / "a.bin").touch()
    (tmp_path / ".c.bin").touch()
    (tmp_path / "d.txt").touch()
    (tmp_path / "folder").mkdir()
    assert read_bytes("mnist", tmp_path / "b.bin") == b"one\n\n two \n"
    assert read_lines("mnist", tmp_path / "b.bin") == ["one", " two "]
    assert files_in("mnist", tmp_path, ".bin") == ["a.bin", "b.bin"]
    assert folders_in("mnist", tmp_path) == ["folder"]


def test_what_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "large").write_bytes(bytes(9))
    monkeypatch.setattr(reading, "BYTES_MAX", 8)
    for path, words in (
        (tmp_path / "none", "none: it is not there; the files of 'mnist' are"),
        (tmp_path, "it is not a file"),
        (tmp_path / "large", "larger than 8 bytes"),
        (Path("/dev/zero"), "it is not a file"),
    ):
        with pytest.raises(DataError, match=words):
            read_bytes("mnist", path)
    for path, words in ((tmp_path / "none", "none: it is not there; the files of"), (tmp_path / "large", "Not a directory")):
        with pytest.raises(DataError, match=words):
            folders_in("mnist", path)
    with pytest.raises(DataError, match=r"no file there ends in \.bin; the files of 'mnist' are"):
        files_in("mnist", tmp_path, ".bin")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="it is not a file"):
        read_bytes("mnist", tmp_path / "pipe")
