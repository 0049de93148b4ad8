"""``spikefold simulate``: what it prints and leaves."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spikefold.data.shown import percent
from spikefold.network.files import network_file
from tests.command_line import ended_badly, spikefold


def test_simulate_leaves_a_summary_a_trace_and_a_picture(net: Path, tmp_path: Path) -> None:
    result = spikefold("simulate", net, "--samples", "30", "--trace-samples", "4", "--potentials", "--out", tmp_path / "a")
    assert result.exit_code == 0, result.output
    assert "30 samples; about" in result.stderr
    assert "accuracy" in result.stdout
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert summary["samples"] == 30
    assert sum(c["samples"] for c in summary["classes"].values()) == 30
    assert summary["accuracy"] == sum(c["correct"] for c in summary["classes"].values()) / 30
    assert percent(summary["accuracy"]) in result.stdout
    with np.load(tmp_path / "a" / "trace.npz", allow_pickle=False) as trace:
        assert trace["populations"].tolist() == ["conv[1]", "out"]
        assert trace["spikes_0"].shape == (4, 3, 4, 8, 8)
        assert trace["potentials_1"].shape == (4, 3, 10, 1, 1)
        assert trace["arrivals_0"].shape[1] == 6
    assert "conv[1]" in (tmp_path / "a" / "firing.svg").read_text()
    again = spikefold("simulate", net, "--samples", "30", "--trace-samples", "4", "--potentials", "--out", tmp_path / "b", "--json")
    assert json.loads(again.stdout) == summary
    for name in ("summary.json", "trace.npz", "firing.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_small_batches_give_the_same_figures(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert spikefold("simulate", net, "--samples", "25", "--out", tmp_path / "a").exit_code == 0
    monkeypatch.setattr("spikefold.workflow.batches.BATCH_BYTES", 1 << 16)
    assert spikefold("simulate", net, "--samples", "25", "--out", tmp_path / "b").exit_code == 0
    assert (tmp_path / "a" / "summary.json").read_bytes() == (tmp_path / "b" / "summary.json").read_bytes()


def test_a_strict_run_allows_no_clamp(files: Path, net: Path, tmp_path: Path) -> None:
    assert spikefold("simulate", net, "--samples", "3", "--strict", "--out", tmp_path / "proven").exit_code == 0
    network = network_file.load(net)
    narrow = replace(network.populations[0], potential_bits=4, saturate=True, threshold=np.array([[7]]), decrement=np.array([[7]]))
    network_file.save(replace(network, populations=(narrow, *network.populations[1:])), tmp_path / "narrow.safetensors")
    assert spikefold("simulate", tmp_path / "narrow.safetensors", "--samples", "3", "--out", tmp_path / "loose").exit_code == 0
    ended = spikefold("simulate", tmp_path / "narrow.safetensors", "--samples", "3", "--strict", "--out", tmp_path / "strict")
    ended_badly(ended, "values were clamped to 4 bits; a strict run allows none")
    assert not (tmp_path / "strict").exists()
