"""``spikefold demo``: the whole way, and its table."""

import json
from pathlib import Path

import pytest

from spikefold.data.shown import percent
from tests.cli.sources import RECIPE
from tests.cli.test_verify import altered
from tests.command_line import ended_badly, spikefold


def test_train_and_the_rest_of_the_way(run: Path, tmp_path: Path) -> None:
    result = spikefold("demo", "--run", run, "--samples", "40", "--rtl-samples", "2", "--out", tmp_path / "demo")
    assert result.exit_code == 0, result.output
    # What is compared is the number of counts, not what they count.
    assert all(
        words in " ".join(result.stdout.replace("│", "").split()) for words in ("no difference", "2 counts of clamps", "80 counts of synaptic")
    )
    summary = json.loads((tmp_path / "demo" / "summary.json").read_text())
    assert summary["equal"] is True
    assert summary["reference_vs_simulator"]["samples"] == 40
    assert summary["reference_vs_simulator"]["potentials_compared"] == 40 * 3 * 22
    assert summary["reference_vs_rtl"]["samples"] == 2
    assert summary["cycles"]["differences"] == 0
    assert summary["integer_accuracy"] == summary["simulated_accuracy"]
    assert result.stdout.count(percent(summary["integer_accuracy"])) == 1 + (summary["float_accuracy"] == summary["integer_accuracy"])
    assert set(summary["seconds"]) == {"train", "quantize", "float network", "simulate", "reference", "generate", "verify"}
    assert (tmp_path / "demo" / "build" / "manifest.json").is_file()
    ended_badly(spikefold("demo", "--run", run, "--out", tmp_path / "demo"), "exists already", "--force")


def test_the_demo_trains_the_recipe_that_comes_along(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (files / "digits.toml").write_text(RECIPE)
    monkeypatch.setattr("spikefold.workflow.demo.RECIPES", files)
    result = spikefold("demo", "--samples", "10", "--rtl-samples", "2", "--simulator", "icarus", "--out", tmp_path / "demo", "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary == json.loads((tmp_path / "demo" / "summary.json").read_text())
    assert summary["class_names"] == list("0123456789")
    assert (tmp_path / "demo" / "run" / "model.safetensors").is_file()
    assert {"spikefold", "numpy", "torch", "numba", "amaranth"} <= set(summary["versions"])


def test_a_demo_that_finds_a_difference_is_status_1(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spikefold.hw.bench import cosim

    monkeypatch.setattr(cosim, "run_rtl", altered(cosim.run_rtl, neuron=(0, 2, 1, 0, 0)))
    result = spikefold("demo", "--run", run, "--samples", "2", "--rtl-samples", "2", "--out", tmp_path / "demo")
    assert result.exit_code == 1
    assert "DIFFERENCES, the first: potentials: sample 0, timestep 2" in " ".join(result.stdout.replace("│", "").split())
