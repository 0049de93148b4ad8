"""``spikefold quantize``: the network and the report that it leaves, and its one-line errors."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spikefold.network.files import network_file
from spikefold.network.power_terms import term_count
from spikefold.quantize.float_file import save_float
from tests.cli.sources import RECIPE, float_digits
from tests.command_line import ended_badly, spikefold

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_quantize_writes_the_network_and_its_report(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    result = spikefold("quantize", files / "float.safetensors", "--out", out, "--weight-bits", "5")
    assert result.exit_code == 0, result.output
    assert "conv[1]" in result.stdout
    assert network_file.load(out).weights[0].bits == 5
    report = json.loads((tmp_path / "net.json").read_text())
    assert [layer["name"] for layer in report["layers"]] == ["conv[1]", "out"]
    ended_badly(spikefold("quantize", files / "float.safetensors", "--out", out), "net.safetensors", "--force")
    assert spikefold("quantize", files / "float.safetensors", "--out", out, "--force", "--json").exit_code == 0
    assert network_file.load(out).weights[0].bits == 8
    both = ("--weight-bits", "6", "--weight-bits", "out=3", "--gain-bits", "9", "--timesteps", "2")
    assert spikefold("quantize", files / "float.safetensors", "--out", out, "--force", *both).exit_code == 0
    network = network_file.load(out)
    assert [weights.bits for weights in network.weights] == [6, 3]
    assert (network.timesteps, network.timesteps_trained) == (2, 3)
    ended_badly(spikefold("quantize", files / "float.safetensors", "--out", out, "--weight-bits", "out=9"), "'out=9' is neither a number in 2..8")
    wrong = spikefold("quantize", files / "float.safetensors", "--out", out, "--force", "--weight-bits", "none=4")
    ended_badly(wrong, "weight_bits of 'none': there is no such layer; the layers are conv[1], out")


def test_quantize_keeps_a_grid_and_warns_of_what_became_0(files: Path, tmp_path: Path) -> None:
    conv, last = float_digits().layers
    codes = np.random.default_rng(0).integers(-6, 6, last.weights.shape, endpoint=True)
    codes[:, 0] = 6
    huge = np.where(np.arange(9).reshape(3, 3) == 4, 1e3, conv.weights)
    layers = (replace(conv, weights=huge), replace(last, weights=codes * 0.05))
    save_float(replace(float_digits(), layers=layers), tmp_path / "float.safetensors")
    given = ("quantize", tmp_path / "float.safetensors", "--out", tmp_path / "n.safetensors", "--force", "--weight-bits")
    result = spikefold(*given, "out=keep", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["layers"][1]["weight_bits"] == 4
    assert np.array_equal(network_file.load(tmp_path / "n.safetensors").weights[1].tensor, codes)
    assert report["layers"][0]["weights_lost"] == pytest.approx(8 / 9)
    (warning,) = report["warnings"]
    assert warning.startswith("layer 'conv[1]': 88.9% of its weights became 0 in 8 bits, more than three quarters in 4 of 4 channels;")
    assert result.stderr == f"warning: {warning}\n"
    assert "88.89%" in spikefold(*given, "8").stdout
    ended_badly(spikefold(*given, "conv[1]=keep"), "layer 'conv[1]' weights: keep; they lie on no grid that 8 bits hold")
    ended_badly(spikefold(*given, "out=hold"), "'out=hold' is neither a number in 2..8 or keep, nor LAYER= and one of these")


def test_quantize_takes_the_widths_of_a_run_that_was_trained_through_the_fold(run: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "quantized", tmp_path / "net.safetensors"
    recipe = RECIPE.replace("[train]", f'[train]\nmethod = "quantize"\nstart = "{run}"') + "[quantize]\nweight_bits = 3\ngain_terms = 1\n"
    (tmp_path / "quantized.toml").write_text(recipe)
    assert spikefold("train", tmp_path / "quantized.toml", "--out", folder).exit_code == 0
    for options, bits, terms in (((), 3, 1), (("--weight-bits", "5"), 5, 1), (("--gain-terms", "0", "--form", "C"), 3, 9)):
        assert spikefold("quantize", folder, "--out", out, "--force", *options).exit_code == 0
        network = network_file.load(out)
        assert {weights.bits for weights in network.weights} == {bits}
        assert max(term_count(connection.gain.values) for connection in network.connections) <= terms
    assert max(term_count(connection.gain.values) for connection in network.connections) > 1
    # Bits of one layer leave the others as they were trained.
    first, last = (weights.id for weights in network.weights)
    assert spikefold("quantize", folder, "--out", out, "--force", "--weight-bits", f"{last}=6").exit_code == 0
    assert {weights.id: weights.bits for weights in network_file.load(out).weights} == {first: 3, last: 6}
    ended_badly(spikefold("quantize", folder, "--out", out, "--weight-bits", "readout=" + "5" * 5000), "--weight-bits", "neither a number in 2..8")
    ended_badly(spikefold("evaluate", folder), "quantized: it was trained through the fold, for its integer network alone; quantize it")
    ended_badly(spikefold("quantize", folder, "--out", out, "--force", "--calibrate", "5"), "calibration: no layer is normalised by psp-ln")
    ended_badly(spikefold("quantize", folder, "--out", out, "--force", "--data-dir", tmp_path), "--data-dir", "it is for --calibrate")


def test_quantize_replaces_neither_its_input_nor_a_folder(files: Path, run: Path, tmp_path: Path) -> None:
    source = tmp_path / "float.safetensors"
    shutil.copy(files / "float.safetensors", source)
    (tmp_path / "link.safetensors").symlink_to(source)
    before = source.read_bytes()
    for out in (source, tmp_path / "link.safetensors", tmp_path / ".." / tmp_path.name / source.name):
        ended_badly(spikefold("quantize", source, "--out", out, "--force"), "is read here, which is never replaced")
    ended_badly(spikefold("quantize", run, "--out", run / "model.safetensors", "--force"), "is read here, which is never replaced")
    assert source.read_bytes() == before
    (tmp_path / "a.json").mkdir()
    (tmp_path / "b.safetensors").mkdir()
    ended_badly(spikefold("quantize", source, "--out", tmp_path / "a.safetensors", "--force"), "a.json: it is a folder")
    ended_badly(spikefold("quantize", source, "--out", tmp_path / "b.safetensors", "--force"), "b.safetensors: it is a folder")
    assert not (tmp_path / "a.safetensors").exists()


def test_bits_that_are_given_twice_are_refused(tmp_path: Path) -> None:
    command = ("quantize", EXAMPLES / "models" / "digits", "--out", tmp_path / "net.safetensors")
    ended_badly(spikefold(*command, "--weight-bits", "4", "--weight-bits", "5"), "--weight-bits: all layers have bits twice")
    ended_badly(spikefold(*command, "--weight-bits", "hidden=4", "--weight-bits", "hidden=4"), "--weight-bits: layer 'hidden' has bits twice")
