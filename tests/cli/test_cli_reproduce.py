"""The verbs reproduce and compare: what they print and leave, and their one-line errors."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import Result

from spikefold.data.shown import percent
from spikefold.train.papers.tables import list_tables
from tests.command_line import ended_badly, spikefold
from tests.train.paper_tables import write_table

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Result]:
    folder = tmp_path_factory.mktemp("done")
    table = write_table(folder, changes={"epochs = 2": "epochs = 1"})
    result = spikefold("reproduce", table, "--out", folder / "runs")
    assert result.exit_code == 0, result.output
    return table, folder / "runs", result


def test_reproduce_prints_rows_and_what_they_rest_on(done: tuple[Path, Path, Result]) -> None:
    table, out, result = done
    document = json.loads((out / "results.json").read_text())
    accuracies = [percent(row["figures"]["test_accuracy"]) for row in document["rows"]]
    # A line for each row as soon as it is known, for a log.
    assert result.stderr.splitlines() == [f"BNTT: test accuracy {accuracies[0]}", f"None at all: test accuracy {accuracies[1]}"]
    for words in ("SCALED DOWN", "Nobody 1999, table 7", "paper: test accuracy", "90.5 %", *accuracies, "torch", "firing rates"):
        assert words in result.stdout
    again = spikefold("reproduce", table, "--out", out, "--json")
    assert (again.exit_code, again.stderr, json.loads(again.stdout)) == (0, "", document)


def test_reproduce_in_the_folder_of_its_name(done: tuple[Path, Path, Result], monkeypatch: pytest.MonkeyPatch) -> None:
    table, out, _ = done
    monkeypatch.chdir(out.parent)
    out.rename(out.parent / "moved")
    (out.parent / "runs").mkdir()
    (out.parent / "moved").rename(out.parent / "runs" / "tiny")
    try:
        result = spikefold("reproduce", table)
        assert (result.exit_code, result.stderr) == (0, "")
    finally:
        (out.parent / "runs" / "tiny").rename(out.parent / "moved")
        (out.parent / "runs").rmdir()
        (out.parent / "moved").rename(out)


@pytest.mark.parametrize("arguments", [(), ("--list",)])
def test_list_says_all_tables_and_rows(arguments: tuple[str, ...]) -> None:
    result = spikefold("reproduce", *arguments, "--json")
    assert result.exit_code == 0
    found = {table["name"]: table for table in json.loads(result.stdout)["tables"]}
    assert sorted(found) == [path.stem for path in list_tables()]
    assert {row["labels"][0]: row["paper"] for row in found["psp-table-2"]["rows"]}["PSP-LN"] == {"test_accuracy": "89.1 %"}
    shown = spikefold("reproduce", *arguments).stdout
    assert "PSP-LN" in shown
    assert "test accuracy: 89.1 %" in shown


def test_list_of_one_table() -> None:
    shown = spikefold("reproduce", "stochmax", "--list").stdout
    assert "T = 5, stochmax" in shown
    assert "psp-table-2" not in shown


def test_errors(tmp_path: Path) -> None:
    ended_badly(spikefold("reproduce", "psp-table2"), "no table of that name", "psp-table-2")
    ended_badly(spikefold("reproduce", tmp_path / "x.toml"), "x.toml: No such file")
    ended_badly(spikefold("reproduce", write_table(tmp_path, changes={"[full]": "[fool]"}), "--out", tmp_path / "o"), "tiny.toml")
    ended_badly(spikefold("reproduce", write_table(tmp_path), "--out", tmp_path), "not the folder of a table")
    ended_badly(spikefold("reproduce", write_table(tmp_path), "--scale", "medium"), "'medium' is not one of 'small', 'full'")
    ended_badly(spikefold("compare", tmp_path, tmp_path), "not the folder of a finished training run")


def test_compare_prints_both_sides(done: tuple[Path, Path, Result]) -> None:
    _, out, _ = done
    a, b = out / "bntt", out / "none-at-all"
    result = spikefold("compare", a, b, "--samples", "20", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["settings_that_differ"] == {"norm.kind": ["bntt", "none"]}
    assert found["figures"]["validation_samples"] == [20, 20]
    shown = spikefold("compare", a, b).stdout
    assert all(words in shown for words in ("norm.kind", "bntt", "validation accuracy", "efficiency int32", "model bytes", "dense1: "))


def test_compare_reads_any_finished_run_and_writes_nothing(done: tuple[Path, Path, Result], tmp_path: Path) -> None:
    _, out, _ = done
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
