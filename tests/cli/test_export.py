"""``spikefold export``: the graph that it leaves, the way back, and its one-line errors."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from spikefold.quantize.float_file import load_float, save_float
from tests.command_line import ended_badly, spikefold


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


def test_export_refuses_by_name(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    assert spikefold("import", f"{model}:net", "--shape", "1", "8", "8", "--timesteps", "3", "--out", out).exit_code == 0
    ended_badly(spikefold("export", out, "--out", tmp_path / "net.nir"), "layer '1' reset: 'soft'")
    assert not (tmp_path / "net.nir").exists()
