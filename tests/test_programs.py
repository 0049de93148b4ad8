"""Every program of benchmarks and tests that ``python -m`` starts is run once, on little."""

import re
from pathlib import Path

import pytest
import torch

from tests.pages import ROOT, as_program, status_of

SMOKE = {
    "benchmarks.fuzz": (("chip", "--cases", "200", "--covered", "200"), "every limit is met"),
    "benchmarks.throughput": (("--repeats", "1", "--network", "dense 1024-1024-10", "--rate", "0.02"), "additions alone (the roofline)"),
    "benchmarks.training": (("--only", "spikefold", "--network", "fc", "--threads", "1", "--rounds", "2"), "not judged: contestants were left out"),
}
"""Arguments, and words that each prints when it is done."""
PARTS = {
    "benchmarks.fuzz.covered": "benchmarks/fuzz/covered.py",
    "benchmarks.training_child": "benchmarks/training.py",
    "tests.equivalence.check": "tests/equivalence/mutate.py",
}
"""Parts of another program, and the file that starts them as processes of their own."""


def programs() -> set[str]:
    """Return the modules that do something when ``python -m`` starts them."""
    found = set()
    for folder in ("benchmarks", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            if not path.name.startswith("test_") and re.search(r'^if __name__ == "__main__":$', path.read_text(encoding="utf-8"), re.MULTILINE):
                found.add(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__"))
    return found


def is_tested(program: str) -> bool:
    """Return whether another test calls the program's ``main``, or a page's command runs it."""
    package, _, name = program.rpartition(".")
    called = re.compile(rf"from {package} import .*\b{name}\b|from {program} import .*\bmain\b|python -m {program} ")
    return any(called.search(path.read_text(encoding="utf-8")) for path in (ROOT / "tests").rglob("test_*.py"))


def test_every_program_is_run() -> None:
    assert {program for program in programs() - SMOKE.keys() - PARTS.keys() if not is_tested(program)} == set()
    assert sorted((SMOKE.keys() | PARTS.keys()) - programs()) == []
    assert [program for program, starter in PARTS.items() if program not in (ROOT / starter).read_text(encoding="utf-8")] == []


@pytest.mark.parametrize("program", SMOKE)
def test_a_program_runs(program: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, words = SMOKE[program]
    threads = torch.get_num_threads()
    # A program starts parts of itself by their names.
    for folder in ("benchmarks", "examples", "tests"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    with as_program(tmp_path, program, *arguments):
        status = status_of(program)
    # A benchmark takes one.
    torch.set_num_threads(threads)
    captured = capsys.readouterr()
    assert (status, words in captured.out) == (0, True), captured.out + captured.err
