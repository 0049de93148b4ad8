"""The long comparison, on a few networks: its result, and that it fails when it must."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from spikefold.network.trace import compare
from tests.equivalence import deep
from tests.equivalence.check import check_simulator
from tests.random_networks import Case


def test_a_short_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "deep.json"
    assert deep.main(["--networks", "12", "--rtl", "0", "--verilator", "0", "--seed", "40", "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert [c["networks"] for c in found["comparisons"]][1:] == [12]
    assert found["comparisons"][1]["compared"]["spikes"] > 1000
    assert not any(found["comparisons"][1]["differing"].values())
    assert all(found["boundaries"].values())
    assert "Boundaries met by 12 networks" in capsys.readouterr().out


def test_a_difference_fails_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def planted(case: Case):
        _, expected, got = check_simulator(case)
        scores = got.scores.copy()
        scores[0, 0] += 1
        other = replace(got, scores=scores)
        return compare(expected, other), expected, other

    monkeypatch.setattr(deep, "check_simulator", planted)
    monkeypatch.setattr(deep, "CASES", deep.CASES[:2])
    out = tmp_path / "deep.json"
    assert deep.main(["--networks", "2", "--rtl", "0", "--verilator", "0", "--out", str(out)]) == 1
    found = json.loads(out.read_text())
    assert found["comparisons"][1]["differing"]["scores"] == 2
    assert found["failures"][0].startswith("reference and simulator: 2 networks differ; seed 0: scores: sample 0, ")
    assert "FAILED: reference and simulator" in capsys.readouterr().out


def test_a_boundary_that_is_never_met_fails_the_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(deep, "boundary_statistics", lambda case: {"clamps low": 0})
    monkeypatch.setattr(deep, "CASES", deep.CASES[:2])
    assert deep.main(["--networks", "1", "--rtl", "0", "--verilator", "0", "--seed", "3"]) == 1
    assert "FAILED: no network met: clamps low" in capsys.readouterr().out


def test_numbers_that_make_no_sense(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as exit_:
        deep.main(["--networks", "0"])
    assert exit_.value.code == 2
    assert "--networks must be at least 1" in capsys.readouterr().err
