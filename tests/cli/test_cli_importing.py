"""``spikefold import`` on the command line: what it leaves, and its one-line errors."""

import json
from dataclasses import replace
from pathlib import Path

import nir
import numpy as np
import pytest

from spikefold.quantize.float_file import load_float, save_float
from tests.command_line import ended_badly, spikefold

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


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.py"
    path.write_text(MODEL, encoding="utf-8")
    return path


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


@pytest.fixture
def hard(tmp_path: Path) -> Path:
    """A float network that NIR can carry, made by import."""
    path = tmp_path / "hard.py"
    path.write_text(MODEL.replace("init_hidden", "reset_mechanism='zero', init_hidden"), encoding="utf-8")
    out = tmp_path / "hard.safetensors"
    result = spikefold("import", f"{path}:net", "--shape", "1", "8", "8", "--timesteps", "3", "--out", out)
    assert result.exit_code == 0, result.output
    return out


def test_export_and_back(hard: Path, tmp_path: Path) -> None:
    graph, back = tmp_path / "net.nir", tmp_path / "back.safetensors"
    result = spikefold("export", hard, "--out", graph, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "graph": "net.nir", "source": str(hard), "dt": 1e-4, "folded": [], "unsaid": [], "layers": ["1", "3"],
    }  # fmt: skip
    ended_badly(spikefold("export", hard, "--out", graph), "exists already", "--force")
    result = spikefold("import", graph, "--out", back)
    assert result.exit_code == 0, result.output
    before, after = load_float(hard), load_float(back)
    assert (before.input, before.class_names, before.timesteps) == (after.input, after.class_names, after.timesteps)
    for a, b in zip(before.layers, after.layers, strict=True):
        assert all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("weights", "leak", "threshold", "load"))
    for option, *values in (
        ("--dt", "1"), ("--data", "digits"), ("--data-dir", tmp_path), ("--samples", "100"), ("--forward", "auto"), ("--readout", "auto"),
        ("--shape", "1", "8", "8"), ("--coding", "direct"), ("--seed", "0"), ("--discretisation", "euler"), ("--timesteps", "3"),
    ):  # fmt: skip
        ended_badly(spikefold("import", graph, "--out", back, "--force", option, *values), f"{graph}: ", f"; {option} is not taken")


def test_the_data_set_goes_round(hard: Path, tmp_path: Path) -> None:
    named, graph, back = tmp_path / "named.safetensors", tmp_path / "net.nir", tmp_path / "back.safetensors"
    network = load_float(hard)
    save_float(replace(network, provenance=dict(network.provenance) | {"data": "digits"}), named)
    integers = tmp_path / "integers.safetensors"
    for line in (("export", named, "--out", graph), ("import", graph, "--out", back), ("quantize", back, "--out", integers)):
        result = spikefold(*line)
        assert result.exit_code == 0, result.output
    assert dict(load_float(back).provenance) == {"data": "digits"}
    result = spikefold("count", integers, "--samples", "2")
    assert result.exit_code == 0, result.output


def test_what_is_read_is_never_replaced(hard: Path, tmp_path: Path) -> None:
    words = ("it is a file that is read here", "which is never replaced; choose another name")
    run, link, graph = tmp_path / "run", tmp_path / "link.nir", tmp_path / "net.json"
    run.mkdir()
    (run / "model.safetensors").write_bytes(hard.read_bytes())
    link.symlink_to(hard)
    assert spikefold("export", hard, "--out", graph).exit_code == 0
    content, written = hard.read_bytes(), graph.read_bytes()
    for force in ((), ("--force",)):
        ended_badly(spikefold("export", hard, "--out", hard, *force), f"{hard}: ", *words)
        ended_badly(spikefold("export", hard, "--out", link, *force), f"{link}: ", *words)
        ended_badly(spikefold("export", run, "--out", run / "model.safetensors", *force), *words)
        ended_badly(spikefold("export", run / "model.safetensors", "--out", run / ".." / "run" / "model.safetensors", *force), *words)
        # The report beside the network would be in its place.
        ended_badly(spikefold("import", graph, "--out", graph.with_suffix(".safetensors"), *force), f"{graph}: ", *words)
    renamed = tmp_path / "graph.safetensors"
    renamed.write_bytes(written)
    ended_badly(spikefold("import", renamed, "--out", renamed, "--force"), *words)
    assert (hard.read_bytes(), (run / "model.safetensors").read_bytes()) == (content, content)
    assert (graph.read_bytes(), renamed.read_bytes()) == (written, written)


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


def test_export_refuses_by_name(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    assert spikefold("import", f"{model}:net", "--shape", "1", "8", "8", "--timesteps", "3", "--out", out).exit_code == 0
    ended_badly(spikefold("export", out, "--out", tmp_path / "net.nir"), "layer '1' reset: 'soft'")
    assert not (tmp_path / "net.nir").exists()
