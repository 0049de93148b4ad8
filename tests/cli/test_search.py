"""``spikefold search``: its tables, its JSON, its picture, and its one-line errors."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import Result

from spikefold.data.shown import percent
from tests.cli.processes import WITHOUT
from tests.command_line import ended_badly, spikefold
from tests.workflow.test_search import made_run, uneven

EXAMPLES = Path(__file__).parents[2] / "examples"
DIGITS, SHIFT = EXAMPLES / "models" / "digits", EXAMPLES / "chips" / "shift.toml"
FEW = ("--trials", "5", "--samples", "40")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    out = tmp_path_factory.mktemp("search") / "found"
    result = spikefold("search", DIGITS, "--out", out, *FEW)
    assert result.exit_code == 0, result.output
    return out, result


def test_search_prints_tables_and_fills_the_folder(found: tuple[Path, Result]) -> None:
    out, result = found
    summary = json.loads((out / "summary.json").read_text())
    assert result.stderr == ""
    for words in ("digits, 40 samples that training held back", "5, 5 of them different; TPE", "0.5 points", "hidden", "28,416 bits", "points lost"):
        assert words in result.stdout
    assert percent(summary["chosen"]["accuracy"]) in result.stdout
    assert sorted(path.name for path in out.iterdir()) == ["network.safetensors", "summary.json", "trials.jsonl", "trials.svg"]
    again = spikefold("search", DIGITS, "--out", out, *FEW, "--resume", "--json")
    assert (again.exit_code, again.stderr, json.loads(again.stdout)) == (0, "", summary)
    shown = spikefold("info", out / "network.safetensors", "--json")
    assert {layer["name"]: layer["weight_bits"] for layer in json.loads(shown.stdout)["layers"]} == summary["chosen"]["weight_bits"]


def test_the_picture_says_what_was_chosen(found: tuple[Path, Result]) -> None:
    text = (found[0] / "trials.svg").read_text()
    ElementTree.fromstring(text)
    bits = json.loads((found[0] / "summary.json").read_text())["chosen"]["weight_bits"]
    assert f"chosen: {bits['hidden']}, {bits['readout']} bits" in text
    assert "8 bits less 0.5 points" in text


def test_what_is_impossible_is_counted_and_left_out_of_table_and_picture(tmp_path: Path) -> None:
    run, out = made_run(tmp_path / "run", uneven()), tmp_path / "out"
    arguments = ("search", run, "--out", out, "--samples", "20", "--budget", "100", "--trials", "9", "--least", "6", "--chip", SHIFT)
    result = spikefold(*arguments)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    assert "9, 9 of them different, 3 of these impossible; all that there are" in result.stdout
    summary = json.loads((out / "summary.json").read_text())
    within = {trial["trial"] for trial in summary["tried"] if "impossible" not in trial}
    rows = result.stdout.partition("trials within the budget")[2].splitlines()
    assert {int(row.split("│")[1]) for row in rows if row.startswith("│")} == within
    assert len(within) == 6
    picture = (out / "trials.svg").read_text()
    ElementTree.fromstring(picture)
    assert "nan" not in picture.lower()
    again = spikefold(*arguments, "--resume", "--json")
    assert (again.exit_code, again.stderr, json.loads(again.stdout)) == (0, "", summary)
    ended_badly(spikefold("search", DIGITS, "--out", tmp_path / "other", "--chip", SHIFT), "layer 'hidden' gain: a sum of")
    assert not (tmp_path / "other").exists()


def test_bad_arguments_end_in_one_line(found: tuple[Path, Result], tmp_path: Path) -> None:
    out = tmp_path / "out"
    ended_badly(spikefold("search", DIGITS, "--out", found[0]), "it exists already; go on with it by --resume")
    ended_badly(spikefold("search", DIGITS / "model.safetensors", "--out", out), "it is not the folder of a training run (with recipe.toml)")
    ended_badly(spikefold("search", DIGITS, "--out", out, "--samples", "9999"), "samples: 9999; training held back 144")
    ended_badly(spikefold("search", DIGITS, "--out", out, "--budget", "nan"), "budget_points: nan")
    ended_badly(spikefold("search", DIGITS, "--out", out, "--budget", "101"), "--budget")
    ended_badly(spikefold("search", DIGITS, "--out", out, "--least", "1"), "--least")
    ended_badly(spikefold("search", DIGITS), "--out")
    assert not out.exists()


def test_the_missing_extra_is_named(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", WITHOUT, "optuna", "search", str(DIGITS), "--out", str(tmp_path / "out")]
    ended = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (
        2,
        "spikefold: optuna is not installed; the extra 'search' brings it: in a clone, pip install -c constraints.txt -e '.[search]'\n",
    )
    assert not (tmp_path / "out").exists()


def test_help_has_examples() -> None:
    assert "Examples:\n    spikefold search " in spikefold("search", "--help").output
