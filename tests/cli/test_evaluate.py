"""``spikefold evaluate``: its picture, and what it keeps."""

import json
import shutil
from pathlib import Path

from tests.command_line import ended_badly, spikefold


def test_a_plot_replaces_nothing_unasked_and_the_run_never(run: Path, tmp_path: Path) -> None:
    copy, out = tmp_path / "run", tmp_path / "run" / "figures.svg"
    shutil.copytree(run, copy)
    before = {path: path.read_bytes() for path in copy.iterdir()}
    for name in ("recipe.toml", "model.safetensors", "summary.json", "evaluation.json", "checkpoint.pt", "log.jsonl"):
        ended_badly(spikefold("evaluate", copy, "--samples", "5", "--plot", copy / name, "--force"), f"{copy / name}: it is a file that is read here")
    ended_badly(spikefold("evaluate", copy, "--samples", "5", "--plot", tmp_path), "it is a folder")
    ended_badly(spikefold("evaluate", copy, "--samples", "5", "--plot", tmp_path / "no" / "a.svg"), "does not exist")
    assert {path: path.read_bytes() for path in copy.iterdir()} == before
    assert spikefold("evaluate", copy, "--samples", "5", "--plot", out).exit_code == 0
    assert "<svg" in out.read_text()
    out.write_text("years")
    ended_badly(spikefold("evaluate", copy, "--samples", "5", "--plot", out), "figures.svg: it exists already; use --force to replace it")
    assert out.read_text() == "years"
    assert spikefold("evaluate", copy, "--samples", "5", "--plot", out, "--force").exit_code == 0
    assert "<svg" in out.read_text()


def test_an_evaluation_that_cannot_be_kept_is_printed_all_the_same(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("evaluation.json"))
    (copy / "evaluation.json").mkdir()
    result = spikefold("evaluate", copy, "--json")
    assert result.exit_code == 2
    assert "evaluation.json: it is a folder" in result.stderr
    assert json.loads(result.stdout)["samples"] == 144
