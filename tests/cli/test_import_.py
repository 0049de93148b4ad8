"""``spikefold import``: what it leaves, and its one-line errors."""

import json
from pathlib import Path

import nir
import numpy as np

from spikefold.quantize.float_file import load_float
from tests.command_line import ended_badly, spikefold


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
    ended_badly(spikefold("import", f"{model}:net", "--shape", "1", "7", "7", *common), "its forward failed on an input of [8, 1, 7, 7]", "--forward")
    ended_badly(spikefold("import", f"{model}:net", *shape, "--coding", "frames", "--std", "2", *common), "std 2.0")
    ended_badly(spikefold("import", f"{model}:net", *shape, "--timesteps", "3", "--out", tmp_path / "net.txt"), "must end in .safetensors")
    ended_badly(spikefold("import", f"{model}:net", *shape, "--timesteps", "3", "--out", tmp_path / "no" / "net.safetensors"), "does not exist")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == ["model.py"]
    out.write_text("mine", encoding="utf-8")
    ended_badly(spikefold("import", f"{model}:net", *shape, *common), "exists already", "--force")
    assert out.read_text(encoding="utf-8") == "mine"


def test_help_says_that_the_file_is_executed() -> None:
    assert "EXECUTED" in spikefold("import", "--help").stdout


NIR_RULES = ("--dt", "1e-4", "--reset", "hard", "--compare", "above")


def test_a_graph_of_another_framework_needs_its_rules(tmp_path: Path) -> None:
    neurons = nir.LIF(tau=np.full(3, 2e-4), r=np.full(3, 2.0), v_leak=np.zeros(3), v_threshold=np.full(3, 0.5), v_reset=np.zeros(3))
    path, out = tmp_path / "g.nir", tmp_path / "net.safetensors"
    nir.write(path, nir.NIRGraph.from_list(nir.Affine(weight=np.ones((3, 4)), bias=np.zeros(3)), neurons))
    common = ("--shape", "4", "1", "1", "--timesteps", "3", "--out", out)
    ended_badly(spikefold("import", path, *common), "--dt, --reset, --compare must say what a NIR graph does not")
    ended_badly(spikefold("import", path, *common, *NIR_RULES[2:]), "--dt must say")
    ended_badly(spikefold("import", path, *NIR_RULES, "--shape", "4", "1", "1", "--out", out), "--timesteps is missing")
    for option, value in (("--forward", "step"), ("--readout", "auto"), ("--samples", "3"), ("--data-dir", "somewhere")):
        ended_badly(spikefold("import", path, *common, *NIR_RULES, option, value), f"{option} is not taken")
    ended_badly(spikefold("import", path, *common, *NIR_RULES[:1], "-1", *NIR_RULES[2:]), "dt: -1.0; it must be above 0")
    assert not out.exists()
    result = spikefold("import", path, *common, *NIR_RULES, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["layers"][0]["leak"] == [0.5]
    assert load_float(out).layers[0].reset == "hard"


def test_rules_of_nir_are_not_for_modules(model: Path, tmp_path: Path) -> None:
    common = ("--shape", "1", "8", "8", "--timesteps", "3", "--out", tmp_path / "net.safetensors")
    ended_badly(spikefold("import", f"{model}:net", *common, "--reset", "hard"), "NIR graphs", "--reset is not taken")
    ended_badly(spikefold("import", f"{model}:net", *common, "--discretisation", "euler"), "--discretisation is not taken")
    ended_badly(spikefold("import", f"{model}:net", *common, "--samples", "5"), "no --data is given; --samples is not taken")
    ended_badly(spikefold("import", f"{model}:net", *common, "--data-dir", tmp_path), "no --data is given; --data-dir is not taken")
    missing = tmp_path / "none.nir"
    ended_badly(spikefold("import", missing, *common), str(missing))
