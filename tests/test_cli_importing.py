"""``spikefold import`` on the command line: what it leaves, and its one-line errors."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from spikefold.quantize.float_file import load_float

pytest.importorskip("snntorch")
from spikefold.cli import main

MODEL = """
import snntorch
import torch
from torch import nn

def make(last=True):
    torch.manual_seed(0)
    parts = [nn.Flatten(), nn.Linear(64, 16), snntorch.Leaky(beta=0.9, init_hidden=True), nn.Linear(16, 10)]
    with torch.no_grad():
        parts[1].weight.mul_(4), parts[3].weight.mul_(4)
    return nn.Sequential(*parts, snntorch.Leaky(beta=0.8, threshold=0.5, init_hidden=True)) if last else nn.Sequential(*parts)

net = make()
readout = make(False)
pooled = nn.Sequential(nn.MaxPool2d(1), *make())
silent = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), snntorch.Leaky(beta=0.9, threshold=1e6, init_hidden=True))
"""


def spikefold(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.py"
    path.write_text(MODEL, encoding="utf-8")
    return path


def ended_badly(result: Result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1, result.stderr
    for word in words:
        assert word in result.stderr, result.stderr


def test_import_on_a_data_set(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    digits = ("--data", "digits", "--std", "16", "--scale", "16", "--payload-bits", "6", "--timesteps", "4", "--samples", "20")
    result = spikefold("import", f"{model}:net", *digits, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report == json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert (report["forward"], report["samples_compared"]) == ("step", 28)
    assert [layer["spikes_compared"] for layer in report["layers"]] == [28 * 4 * 16, 28 * 4 * 10]
    assert all(layer["differences"] == 0 and layer["firing_rate"] > 0.01 for layer in report["layers"])
    network = load_float(out)
    assert (network.timesteps, network.readout, network.class_names) == (4, "spike_count", tuple("0123456789"))
    assert (network.input.std, network.input.scale, network.input.payload_bits) == (16.0, 16.0, 6)
    assert {key: network.provenance[key] for key in ("data", "imported")} == {"data": "digits", "imported": "model.py:net"}
    assert network.provenance["snntorch"]
    table = spikefold("import", f"{model}:readout", *digits, "--out", out, "--force")
    assert table.exit_code == 0, table.output
    assert "flipped in float32" in table.stdout
    assert load_float(out).readout == "potential"


def test_import_of_a_shape(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    result = spikefold("import", f"{model}:make", "--shape", "1", "8", "8", "--coding", "ternary", "--timesteps", "3", "--out", out)
    assert result.exit_code == 0, result.output
    network = load_float(out)
    assert (network.input.coding, network.input.shape, network.class_names[-1]) == ("ternary", (1, 8, 8), "9")
    assert "data" not in network.provenance


def test_a_silent_layer_is_said(model: Path, tmp_path: Path) -> None:
    result = spikefold("import", f"{model}:silent", "--shape", "1", "8", "8", "--timesteps", "2", "--out", tmp_path / "net.safetensors")
    assert result.exit_code == 0, result.output
    assert "layer '1' fired in no sample" in result.stderr


def test_bad_input_leaves_no_file(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    common = ("--timesteps", "3", "--out", out)
    shape = ("--shape", "1", "8", "8")
    ended_badly(spikefold("import", model, *shape, *common), "FILE.py:NAME")
    ended_badly(spikefold("import", f"{model}:net", *common), "one of --data and --shape")
    ended_badly(spikefold("import", f"{model}:net", *shape, "--data", "digits", *common), "one of --data and --shape")
    ended_badly(spikefold("import", f"{model}:other", *shape, *common), "it has no 'other'")
    ended_badly(spikefold("import", f"{model}:pooled", *shape, *common), "0 (torch.MaxPool2d)", "use AvgPool2d")
    ended_badly(spikefold("import", f"{model}:net", "--shape", "1", "7", "7", *common), "its forward failed on an input of [8, 1, 7, 7]")
    ended_badly(spikefold("import", f"{model}:net", *shape, "--coding", "frames", "--std", "2", *common), "std 2.0")
    ended_badly(spikefold("import", f"{model}:net", *shape, "--timesteps", "3", "--out", tmp_path / "net.txt"), "must end in .safetensors")
    ended_badly(spikefold("import", f"{model}:net", *shape, "--timesteps", "3", "--out", tmp_path / "no" / "net.safetensors"), "does not exist")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == ["model.py"]
    out.write_text("mine", encoding="utf-8")
    ended_badly(spikefold("import", f"{model}:net", *shape, *common), "exists already", "--force")
    assert out.read_text(encoding="utf-8") == "mine"


def test_help_says_that_the_file_is_executed() -> None:
    assert "EXECUTED" in spikefold("import", "--help").stdout
