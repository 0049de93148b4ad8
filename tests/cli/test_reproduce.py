"""``spikefold reproduce``: what it prints and leaves, and its one-line errors."""

import json
from pathlib import Path

import pytest
from click.testing import Result

from spikefold.data.shown import percent
from spikefold.train.papers.tables import list_tables
from tests.command_line import ended_badly, spikefold
from tests.train.paper_tables import write_table


def test_reproduce_prints_rows_and_what_they_rest_on(reproduced: tuple[Path, Path, Result]) -> None:
    table, out, result = reproduced
    document = json.loads((out / "results.json").read_text())
    accuracies = [percent(row["figures"]["test_accuracy"]) for row in document["rows"]]
    # A line for each row as soon as it is known, for a log.
    assert result.stderr.splitlines() == [f"BNTT: test accuracy {accuracies[0]}", f"None at all: test accuracy {accuracies[1]}"]
    for words in ("SCALED DOWN", "Nobody 1999, table 7", "paper: test accuracy", "90.5 %", *accuracies, "torch", "firing rates"):
        assert words in result.stdout
    again = spikefold("reproduce", table, "--out", out, "--json")
    assert (again.exit_code, again.stderr, json.loads(again.stdout)) == (0, "", document)


def test_reproduce_in_the_folder_of_its_name(reproduced: tuple[Path, Path, Result], monkeypatch: pytest.MonkeyPatch) -> None:
    table, out, _ = reproduced
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
