"""``spikefold drift``: its tables, its JSON, what it leaves, and its one-line errors."""

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from spikefold.analysis.drift import drift
from spikefold.data.datasets import load_dataset
from spikefold.data.shown import percent
from spikefold.network.files import network_file
from spikefold.quantize.float_file import save_float
from spikefold.quantize.fold import fold
from spikefold.workflow.samples import events_of
from tests.cli.sources import MARKUP, float_digits
from tests.command_line import ended_badly, spikefold


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the float network of a run, and net.safetensors, 4-bit weights, beside it."""
    folder = tmp_path_factory.mktemp("run")
    save_float(float_digits(name=MARKUP), folder / "model.safetensors")
    network_file.save(fold(float_digits(name=MARKUP), weight_bits=4).network, folder / "net.safetensors")
    return folder


def test_drift_prints_tables_and_leaves_json_and_a_picture(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "drift"
    result = spikefold("drift", run, run / "net.safetensors", "--samples", "20", "--out", out)
    assert result.exit_code == 0, result.output
    for words in ("conv[1] <&>", "own flips", "own error", "dead", "saturated", "clamps", "bits used", "memory in bits", "t = 2", "float values"):
        assert words in result.stdout
    assert sorted(path.name for path in out.iterdir()) == ["drift.json", "drift.svg"]
    document = json.loads((out / "drift.json").read_text(encoding="utf-8"))
    for key in ("float_accuracy", "integer_accuracy", "agreement"):
        assert percent(document[key]) in result.stdout
    printed = spikefold("drift", run / "model.safetensors", run / "net.safetensors", "--samples", "20", "--json")
    assert json.loads(printed.stdout) == document
    data = load_dataset("digits", "test")
    report = drift(
        float_digits(name=MARKUP), fold(float_digits(name=MARKUP), weight_bits=4).network, [events_of(float_digits(name=MARKUP), data, range(20))]
    )
    assert document["layers"] == report.to_dict()["layers"]
    assert document["layers"][0]["flips"] > 20
    assert (document["float_accuracy"], document["integer_accuracy"]) == report.accuracies(data.labels[:20])
    assert document["float_accuracy"] == (report.float_predictions == data.labels[:20]).mean()


def test_the_picture_has_two_bars_a_timestep_and_one_for_each_width(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "drift"
    assert spikefold("drift", run, run / "net.safetensors", "--samples", "20", "--out", out).exit_code == 0
    root = ElementTree.parse(out / "drift.svg").getroot()
    layers = json.loads((out / "drift.json").read_text(encoding="utf-8"))["layers"]
    boxes = [box for box in root if box.tag.endswith("rect")][1:]
    bars, widths = boxes[:6], [boxes[6:8], boxes[8:]]
    for kind, shown in (("flips", bars[:3]), ("own_flips", bars[3:])):
        heights = np.array([float(bar.attrib["height"]) for bar in shown])
        flips = np.array(layers[0]["timesteps"][kind])
        assert np.abs(heights / heights.max() - flips / flips.max()).max() < 0.01
    for layer, (used, there) in zip(layers, widths, strict=True):
        seen = layer["ranges"][0]
        assert float(used.attrib["width"]) * seen["bits"] == float(there.attrib["width"]) * seen["used_bits"]
    words = ["".join(text.itertext()) for text in root if text.tag.endswith("text")]
    assert any(line.startswith("conv[1] <&>: ") for line in words)


def test_the_first_hundred_samples_are_the_default(run: Path) -> None:
    document = json.loads(spikefold("drift", run, run / "net.safetensors", "--json").stdout)
    assert (document["samples"], document["split"], document["data"]) == (100, "test", "digits")


def test_more_timesteps_than_columns_share_them(tmp_path: Path) -> None:
    save_float(float_digits(25, name=MARKUP), tmp_path / "long.safetensors")
    network_file.save(fold(float_digits(25, name=MARKUP)).network, tmp_path / "net.safetensors")
    result = spikefold("drift", tmp_path / "long.safetensors", tmp_path / "net.safetensors", "--samples", "2")
    assert result.exit_code == 0, result.output
    assert "t = 0..2" in result.stdout
    assert "t = 23..24" in result.stdout


def test_networks_that_do_not_belong_together_are_refused(run: Path, tmp_path: Path) -> None:
    network, net = float_digits(name=MARKUP), run / "net.safetensors"
    conv, out = network.layers
    for changed, words in (
        (float_digits(4, name=MARKUP), "integer network timesteps: 3; the float network has 4"),
        (replace(network, input=replace(network.input, seed=4)), "integer network input seed: 3; the float network has 4"),
        (replace(network, layers=(replace(conv, name="other"), out)), "integer network layers: conv[1] <&>, out; the float network has other, out"),
        (replace(network, layers=(replace(conv, reset="hard"), out)), "layer 'conv[1] <&>' reset: soft; the float network has hard"),
    ):
        save_float(changed, tmp_path / "changed.safetensors")
        ended_badly(spikefold("drift", tmp_path / "changed.safetensors", net, "--out", tmp_path / "drift"), words)
        assert not (tmp_path / "drift").exists()


def test_bad_arguments_end_in_one_line(run: Path, tmp_path: Path) -> None:
    net = run / "net.safetensors"
    (tmp_path / "there").mkdir()
    ended_badly(spikefold("drift", run, net, "--out", tmp_path / "there"), "it exists already; choose another name")
    ended_badly(spikefold("drift", tmp_path / "none", net), "none")
    ended_badly(spikefold("drift", tmp_path / "there", net), "it is neither the folder of a run")
    ended_badly(spikefold("drift", run, run / "model.safetensors"), "model.safetensors")
    ended_badly(spikefold("drift", run, net, "--samples", "9999"), "9999 samples are asked for")
    ended_badly(spikefold("drift", run, net, "--data", "fashion"), "fashion")
    ended_badly(spikefold("drift", run), "NET")


def test_help_has_examples() -> None:
    assert "Examples:\n    spikefold drift " in spikefold("drift", "--help").output
