"""``spikefold count``: its tables, its JSON, and its one-line errors."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spikefold.analysis.counts import count
from spikefold.chip.config import ChipConfig
from spikefold.chip.placement import place
from spikefold.cli.count import count_tables
from spikefold.cli.tables import show
from spikefold.data.datasets import load_dataset
from spikefold.data.shown import percent
from spikefold.network.files import network_file
from spikefold.network.network import Network
from spikefold.quantize.fold import fold
from spikefold.workflow.samples import events_of
from spikefold.workflow.simulation import simulate
from tests.cli.sources import MARKUP, float_digits
from tests.command_line import ended_badly, spikefold
from tests.float_networks import CELLS, random_events, random_float_network


def digits() -> Network:
    return fold(float_digits(name=MARKUP)).network


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("count") / "net.safetensors"
    network_file.save(digits(), path)
    return path


def test_count_prints_tables_and_the_same_as_json(net: Path, tmp_path: Path) -> None:
    result = spikefold("count", net, "--samples", "20", "--out", tmp_path / "counts.json")
    assert result.exit_code == 0, result.output
    for words in ("conv[1] <&>", "connection sparsity", "effective MACs", "membrane updates", "in floats: multiply-adds", "thresholds: bits"):
        assert words in result.stdout
    document = json.loads((tmp_path / "counts.json").read_text(encoding="utf-8"))
    assert json.loads(spikefold("count", net, "--samples", "20", "--json").stdout) == document
    for share in (document["accuracy"], document["neurobench"]["ConnectionSparsity"], document["layers"][1]["neurobench"]["ActivationSparsity"]):
        assert percent(share) in result.stdout
    data = load_dataset("digits", "test")
    counted = count(digits(), [events_of(digits(), data, range(20))])
    assert document == {"data": "digits", "split": "test", "accuracy": counted.accuracy(data.labels[:20]), **counted.to_dict()}
    assert list(document["neurobench"]) == [
        "Footprint", "ParameterCount", "ConnectionSparsity", "ActivationSparsity", "SynapticOperations", "MembraneUpdates",
    ]  # fmt: skip
    # Ternary input is added, and counts of pooled spikes are multiplied where there is one above 1.
    assert document["layers"][0]["neurobench"]["SynapticOperations"]["Effective_MACs"] == 0
    assert document["layers"][1]["neurobench"]["SynapticOperations"]["Effective_MACs"] > 0


def test_the_operations_on_the_chip_are_those_of_simulate(net: Path) -> None:
    document = json.loads(spikefold("count", net, "--samples", "20", "--json").stdout)
    summary = simulate(place(digits(), ChipConfig(), untimed=True), load_dataset("digits", "test"), samples=20).summary()
    assert document["chip"]["synaptic_operations"] == summary["sops_per_inference"]
    assert document["accuracy"] == summary["accuracy"]
    for counted, simulated in zip(document["layers"], summary["layers"], strict=True):
        assert counted["neurobench"]["ActivationSparsity"] == pytest.approx(1 - simulated["firing_rate"])


def test_small_batches_give_the_same_figures(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = spikefold("count", net, "--samples", "25", "--json")
    monkeypatch.setattr("spikefold.workflow.batches.BATCH_BYTES", 1 << 16)
    assert spikefold("count", net, "--samples", "25", "--json").stdout == whole.stdout


def test_the_first_hundred_samples_are_the_default(net: Path) -> None:
    document = json.loads(spikefold("count", net, "--json").stdout)
    assert (document["samples"], document["split"], document["data"]) == (100, "test", "digits")


def test_bad_arguments_end_in_one_line(net: Path, tmp_path: Path) -> None:
    ended_badly(spikefold("count", tmp_path / "none.safetensors"), "none.safetensors")
    ended_badly(spikefold("count", net, "--samples", "9999"), "9999 samples are asked for")
    ended_badly(spikefold("count", net, "--data", "fashion"), "fashion")
    ended_badly(spikefold("count", net, "--out", tmp_path), "it is a folder; a file's name is needed")
    ended_badly(spikefold("count", net, "--out", tmp_path / "none" / "counts.json"), f"the folder {tmp_path / 'none'} does not exist")
    ended_badly(spikefold("count"), "NET")
    network_file.save(replace(digits(), provenance={}), tmp_path / "unknown.safetensors")
    ended_badly(spikefold("count", tmp_path / "unknown.safetensors"), "provenance names none")


def test_count_replaces_nothing_unasked_and_its_network_never(net: Path, tmp_path: Path) -> None:
    out, before = tmp_path / "counts.json", net.read_bytes()
    out.write_text("years")
    ended_badly(spikefold("count", net, "--samples", "2", "--out", out), "counts.json: it exists already; use --force to replace it")
    assert out.read_text() == "years"
    assert spikefold("count", net, "--samples", "2", "--out", out, "--force").exit_code == 0
    assert json.loads(out.read_text())["samples"] == 2
    (tmp_path / "link").symlink_to(net)
    for name in (net, tmp_path / "link"):
        ended_badly(spikefold("count", net, "--samples", "2", "--out", name, "--force"), f"{name}: it is a file that is read here")
    assert net.read_bytes() == before


def test_figures_are_shown_where_they_cannot_be_written(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: int) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("spikefold.data.files.os.fsync", refused)
    result = spikefold("count", net, "--samples", "2", "--json", "--out", tmp_path / "counts.json")
    assert (result.exit_code, result.stderr) == (2, f"spikefold: {tmp_path / 'counts.json'}: Permission denied\n")
    assert json.loads(result.stdout)["samples"] == 2
    assert list(tmp_path.iterdir()) == []


def test_figures_are_written_where_they_cannot_be_shown(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("spikefold.cli.tables.show", closed)
    assert spikefold("count", net, "--samples", "2", "--out", tmp_path / "counts.json").exit_code == 2
    assert json.loads((tmp_path / "counts.json").read_text())["samples"] == 2


def test_a_file_that_appears_during_the_run_is_kept(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: object) -> None:
        (tmp_path / "counts.json").write_text("of another run")

    monkeypatch.setattr("spikefold.cli.tables.show", slow)
    ended_badly(spikefold("count", net, "--samples", "2", "--out", tmp_path / "counts.json"), "it exists already")
    assert (tmp_path / "counts.json").read_text() == "of another run"


def test_the_verb_is_listed_and_has_examples() -> None:
    assert "  count " in spikefold("--help").output
    assert "Examples:\n    spikefold count " in spikefold("count", "--help").output


@pytest.mark.parametrize("norm", ["psp-ln", "psp-bn"])
def test_roots_have_a_row_and_a_column_where_there_are_some(norm: str, capsys: pytest.CaptureFixture[str]) -> None:
    cell = next(c for c in CELLS if (c.norm, c.topology, c.coding, c.reset) == (norm, "plain", "poisson", "exponential"))
    rng = np.random.default_rng(3)
    floats = random_float_network(rng, cell)
    counted = count(fold(floats).network, [random_events(rng, floats, 1)])
    show(count_tables({"data": "random", "split": "test", "accuracy": 1.0, **counted.to_dict()}, "net"), False)
    shown = capsys.readouterr().out
    roots = counted.total.root_multiplications
    assert (roots > 0) == ("of PSP-LN" in shown) == ("by roots" in shown) == (norm == "psp-ln")
    assert not roots or f"{roots:,}" in shown
