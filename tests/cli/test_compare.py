"""``spikefold compare``: both sides, and one-line errors."""

import json
import shutil
from pathlib import Path

from click.testing import Result

from tests.command_line import ended_badly, spikefold

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_compare_prints_both_sides(reproduced: tuple[Path, Path, Result]) -> None:
    _, out, _ = reproduced
    a, b = out / "bntt", out / "none-at-all"
    result = spikefold("compare", a, b, "--samples", "20", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["settings_that_differ"] == {"norm.kind": ["bntt", "none"]}
    assert found["figures"]["validation_samples"] == [20, 20]
    shown = spikefold("compare", a, b).stdout
    assert all(words in shown for words in ("norm.kind", "bntt", "validation accuracy", "efficiency int32", "model bytes", "dense1: "))


def test_compare_reads_any_finished_run_and_writes_nothing(reproduced: tuple[Path, Path, Result], tmp_path: Path) -> None:
    _, out, _ = reproduced
    # The oldest of the models that come along: its summary has no word for the model's file.
    old = tmp_path / "digits"
    shutil.copytree(EXAMPLES / "models" / "digits", old)
    before = {path: path.read_bytes() for folder in (old, out) for path in folder.rglob("*") if path.is_file()}
    result = spikefold("compare", out / "bntt", old, "--json")
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)["figures"]
    assert figures["model_bytes"] == [(folder / "model.safetensors").stat().st_size for folder in (out / "bntt", old)]
    assert {path: path.read_bytes() for folder in (old, out) for path in folder.rglob("*") if path.is_file()} == before
    (old / "summary.json").write_text("{}")
    ended_badly(spikefold("compare", old, old), "summary.json: it has no 'training_seconds', which compare needs")
    (old / "summary.json").write_text("[]")
    ended_badly(spikefold("compare", old, old), "summary.json: it must hold an object")


def test_compare_evaluates_nothing_where_a_run_is_missing(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "evaluation.json").unlink(missing_ok=True)
    ended_badly(spikefold("compare", copy, tmp_path / "nosuch"), "nosuch: it is not the folder of a finished training run")
    assert not (copy / "evaluation.json").exists()
