"""The fuzzing itself: cases depend on their number alone, some of each reader keep the limits, and what breaks one is noticed."""

import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.fuzz.cases import Case, Expect, Odd, Random, Reader, rng_of, write_case
from benchmarks.fuzz.measure import CLEAR_REFS, SECONDS_MAX, run_case
from benchmarks.fuzz.readers import READERS, reader_of
from spikefold.data.errors import DataError

pytestmark = pytest.mark.skipif(not CLEAR_REFS.exists(), reason="the peak of the memory can be set back on Linux alone")
SEED = 11
NAMES = [name for name in sorted(READERS) if name != "nir" or (find_spec("h5py") and find_spec("nir"))]


@pytest.mark.parametrize("name", NAMES)
def test_cases_keep_the_limits(tmp_path: Path, name: str) -> None:
    reader, past, accepted = reader_of(name), 0, 0
    for number in range(40):
        (tmp_path / str(number)).mkdir()
        outcome = run_case(reader, SEED, number, tmp_path / str(number))
        assert not outcome.offence, f"python -m benchmarks.fuzz {name} --seed {SEED} --case {number}: {outcome.what}: {outcome.offence}"
        past, accepted = past + outcome.past_header, accepted + outcome.accepted
    assert past >= 20
    assert 0 < accepted < 40


@pytest.mark.parametrize("name", NAMES)
def test_a_case_depends_on_its_number_alone(name: str) -> None:
    reader = reader_of(name)
    forward = [reader.case(rng_of(name, SEED, i)) for i in range(8)]
    backward = [reader.case(rng_of(name, SEED, i)) for i in reversed(range(8))][::-1]
    assert [(case.what, case.files, case.expect) for case in forward] == [(case.what, case.files, case.expect) for case in backward]
    others = [reader.case(rng_of(name, SEED + 1, i)) for i in range(8)]
    assert [case.files for case in forward] != [case.files for case in others]


def judged(tmp_path: Path, read: Callable[[Path], Any], *, expect: Expect = "either", differs: Callable[[Case, Any], str] = lambda *_: "") -> str:
    """Return the offence that is found in one case of such a reader."""

    def case(_: Random) -> Case:
        return Case(what="a case", files={"file": b"abc"}, expect=expect)

    reader = Reader(name="mine", case=case, read=read, differs=differs, past_header=lambda _: True)
    return run_case(reader, 0, 0, tmp_path).offence


def refuse(message: str) -> Callable[[Path], Any]:
    def read(_: Path) -> Any:
        raise DataError(message)

    return read


def test_what_breaks_a_limit_is_noticed(tmp_path: Path) -> None:
    def wrong(_: Path) -> Any:
        raise KeyError("x")

    def slow(_: Path) -> Any:
        end = time.process_time() + 1.1 * SECONDS_MAX
        while time.process_time() < end:
            pass

    def large(_: Path) -> Any:
        np.ones(45_000_000)

    def differs(case: Case, result: Any) -> str:
        return "" if case.files["file"] == result else "another content"

    assert "it raised KeyError" in judged(tmp_path, wrong)
    assert judged(tmp_path, slow).startswith("it took ")
    assert " MB; the limit is 256" in judged(tmp_path, large)
    assert "it was accepted, and must be refused" in judged(tmp_path, Path.exists, expect="refused")
    assert "it was refused, and is sound" in judged(tmp_path, refuse("no"), expect="accepted")
    assert "not one line" in judged(tmp_path, refuse("a\nb"))
    assert "not one line" in judged(tmp_path, refuse("\x1b[2J"))
    assert "not one line" in judged(tmp_path, refuse("x" * 9999))
    assert "read as something else: another content" in judged(tmp_path, lambda _: b"abd", differs=differs)
    assert "it was accepted, and says nothing" in judged(tmp_path, lambda _: 1, differs=lambda case, _: str(int(case.content("none"))))
    assert judged(tmp_path, lambda folder: (folder / "file").read_bytes(), expect="accepted", differs=differs) == ""
    assert judged(tmp_path, refuse("no"), expect="refused") == ""


def test_what_stands_in_the_place_of_a_file(tmp_path: Path) -> None:
    write_case(Case(what="odd", files={f"a/{odd.name}": odd for odd in Odd}), tmp_path)
    assert (tmp_path / "a" / "PIPE").is_fifo()
    assert (tmp_path / "a" / "ENDLESS").is_char_device()
    assert (tmp_path / "a" / "FOLDER").is_dir()
    assert all((tmp_path / "a" / name).is_symlink() and not (tmp_path / "a" / name).exists() for name in ("LOOP", "DANGLING"))
