"""TOML files that are no TOML, have no end, or say more than anything could need."""

import os
import tracemalloc
from pathlib import Path

import pytest

from spikefold.data.errors import DataError
from spikefold.data.toml import BYTES_MAX, parse_toml, read_toml


def test_reads_tables_lists_and_the_largest_integers(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('a = 9223372036854775807\n[b]\nc = [1, [2.5]]\nd = "ü"\n')
    assert read_toml(path) == {"a": 2**63 - 1, "b": {"c": [1, [2.5]], "d": "ü"}}
    # Some editors begin a file with a byte order mark.
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_toml(path) == {"a": 2**63 - 1, "b": {"c": [1, [2.5]], "d": "ü"}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = ", "not a TOML file"),
        ("a = " + "9" * 5000, "not a TOML file: Exceeds the limit"),
        ("a = " + "[" * 5000 + "]" * 5000, "not a TOML file: maximum recursion depth"),
        ("\n" + "a." * 65 + "b = 1", "line 2: 65 dots; a line may have 64"),
        ("a." * 60 + "b = 1", "more than 16 tables and lists"),
        ("a = " + "[" * 40 + "]" * 40, r"a\[0\].*more than 16 tables and lists"),
        ("[b]\na = [0, " + "9" * 400 + "]", r"b\.a\[1\]: a number of 1329 bits"),
        ("a = 0x" + "f" * 9000, "a: a number of 36000 bits"),
        ("a = 2000-13-01", "not a TOML file"),
        (".".join(["'\u2028'"] * 70) + " = 1", "line 1: 69 dots; a line may have 64"),
        ('"a\\nb" = 0x' + "f" * 99, r"'a\\nb': a number of 396 bits"),
        ("a" * 9999 + " = 0x" + "f" * 99, "aaa…: a number of 396 bits"),
    ],
)
def test_a_text_that_cannot_be_used(text: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        parse_toml(text, "place")
    assert str(caught.value).startswith("place: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "large.toml").write_text("#" * (BYTES_MAX + 1))
    (tmp_path / "latin.toml").write_bytes(b"a = '\xfc'")
    os.mkfifo(tmp_path / "pipe.toml")
    for path, words in (
        (tmp_path / "large.toml", "larger than 262144 bytes"),
        (tmp_path / "latin.toml", "not a TOML file: 'utf-8' codec"),
        (tmp_path / "pipe.toml", "it is not a file"),
        (tmp_path / "none.toml", "No such file"),
        (tmp_path, "it is not a file"),
        (Path("/dev/zero"), "it is not a file"),
    ):
        with pytest.raises(DataError, match=words):
            read_toml(path)


def test_a_long_key_is_not_copied_for_each_that_is_in_it() -> None:
    tracemalloc.start()
    parse_toml(f"[{'a' * 100_000}]\n" + "".join(f"{i}=1\n" for i in range(10_000)), "place")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6
