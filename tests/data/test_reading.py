"""Files of data sets that are missing, endless or no files."""

import os
from pathlib import Path

import pytest

from spikefold.data.errors import DataError
from spikefold.data.reading import TEXT_BYTES_MAX, files_in, folders_in, read_bytes, read_lines


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


def test_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(9))
    for path, words in (
        (tmp_path / "none", "none: it is not there; the files of 'mnist' are"),
        (tmp_path, "it is not a file"),
        (tmp_path / "large", "larger than 8 bytes"),
        (Path("/dev/zero"), "it is not a file"),
    ):
        with pytest.raises(DataError, match=words):
            read_bytes("mnist", path, 8)
    for path, words in ((tmp_path / "none", "none: it is not there; the files of"), (tmp_path / "large", "Not a directory")):
        with pytest.raises(DataError, match=words):
            folders_in("mnist", path)
    with pytest.raises(DataError, match=r"no file there ends in \.bin; the files of 'mnist' are"):
        files_in("mnist", tmp_path, ".bin")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="it is not a file"):
        read_bytes("mnist", tmp_path / "pipe")


def test_lines_end_where_editors_end_them(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\r\ntwo\tthree\n\n \nfour")
    assert read_lines("mnist", tmp_path / "a.txt") == ["one", "two\tthree", "four"]


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\ntwo\n")
    assert read_lines("mnist", tmp_path / "a.txt") == ["one", "two"]


@pytest.mark.parametrize("line", ["a\x1b[2Jb", "a\rb", "a\0b", "a\u2028b", "\ufeffa"])
def test_lines_that_a_terminal_would_obey_are_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.txt").write_bytes(f"good\n{line}\n".encode())
    with pytest.raises(DataError, match=r"the line '.*'; it must have no control characters") as caught:
        read_lines("mnist", tmp_path / "a.txt")
    assert str(caught.value).isprintable()


def test_a_text_is_smaller_than_other_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\n" * (TEXT_BYTES_MAX + 1))
    with pytest.raises(DataError, match="larger than 4194304 bytes"):
        read_lines("mnist", tmp_path / "a.txt")


@pytest.mark.parametrize("name", [b"a\x1b[2J.bin", b"a\n.bin", b"\xff.bin"])
def test_names_that_a_terminal_would_obey_are_refused(tmp_path: Path, name: bytes) -> None:
    (tmp_path / os.fsdecode(name)).touch()
    with pytest.raises(DataError, match=r"the name '.*' there; names must have no control characters") as caught:
        files_in("mnist", tmp_path, ".bin")
    assert str(caught.value).isprintable()


def test_what_is_no_file_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a file name"):
        read_bytes("mnist", tmp_path / "a\0b")
