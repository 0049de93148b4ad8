"""The command line: what every verb prints and leaves, its exit status, and its one-line errors."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikefold.data.coding import InputCoding
from spikefold.data.shown import percent
from spikefold.network.files import network_file
from spikefold.network.power_terms import term_count
from spikefold.network.trace import Trace
from spikefold.quantize.float_file import save_float
from spikefold.quantize.float_network import FloatLayer, FloatNetwork, Norm
from spikefold.quantize.fold import fold
from tests.command_line import ended_badly, spikefold

VERBS = (
    "train", "evaluate", "compare", "reproduce", "import", "export", "quantize", "search", "drift", "count", "simulate", "generate", "verify",
    "info", "demo",
)  # fmt: skip
RECIPE = """
name = "tiny"
seed = 1
timesteps = 3
[data]
name = "digits"
[input]
shape = [1, 8, 8]
coding = "ternary"
mean = 0.0
std = 16.0
scale = 1.0
payload_bits = 2
seed = 3
[[layers]]
kind = "dense"
out = 12
[[layers]]
kind = "dense"
out = 10
[train]
epochs = 2
batch_size = 256
learning_rate = 0.1
"""


def float_digits() -> FloatNetwork:
    rng = np.random.default_rng(7)
    timesteps = 3
    norm = Norm(
        kind="bntt", gamma=rng.uniform(0.5, 1.5, (timesteps, 4)), beta=rng.normal(0, 0.2, (timesteps, 4)), mean=rng.normal(0, 0.2, (timesteps, 4)),
        var=rng.uniform(0.5, 1.5, (timesteps, 4)), eps=1e-4,
    )  # fmt: skip
    return FloatNetwork(
        timesteps=timesteps,
        input=InputCoding(shape=(1, 8, 8), coding="ternary", mean=0.0, std=16.0, scale=1.0, payload_bits=2, seed=3),
        layers=(
            FloatLayer(name="conv[1]", kind="conv2d", weights=rng.normal(0, 0.5, (4, 1, 3, 3)), padding=1, norm=norm, leak=0.9, reset="soft"),
            FloatLayer(name="out", kind="dense", weights=rng.normal(0, 0.3, (10, 64)), pool=2, norm=Norm.none(10), leak=1.0, reset="none"),
        ),
        readout="potential",
        class_names=tuple(map(str, range(10))),
        provenance={"data": "digits"},
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a float network, an integer one, and a recipe."""
    folder = tmp_path_factory.mktemp("files")
    network = float_digits()
    save_float(network, folder / "float.safetensors")
    network_file.save(fold(network).network, folder / "net.safetensors")
    (folder / "tiny.toml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="module")
def net(files: Path) -> Path:
    return files / "net.safetensors"


@pytest.fixture(scope="module")
def build(net: Path) -> Path:
    result = spikefold("generate", net, "--out", net.parent / "build")
    assert result.exit_code == 0, result.output
    return net.parent / "build"


@pytest.fixture(scope="module")
def run(files: Path) -> Path:
    result = spikefold("train", files / "tiny.toml", "--out", files / "run", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["data"] == "digits"
    return files / "run"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_examples(verb: str) -> None:
    result = spikefold(verb, "--help")
    assert result.exit_code == 0
    assert f"Examples:\n    spikefold {verb}" in result.output


def test_the_verbs_are_listed() -> None:
    result = spikefold("--help")
    assert result.exit_code == 0
    assert all(f"  {verb} " in result.output for verb in VERBS)


def test_a_wrong_option_is_a_usage_error() -> None:
    assert spikefold("simulate", "--speed", "9").exit_code == 2
    assert spikefold("fly").exit_code == 2


def python(code: str, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=300)


WITHOUT = """
import sys

missing = sys.argv.pop(1).split(",")

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Nothing())
from spikefold.cli import main
main()
"""
"""Runs the command line in a Python that lacks some packages."""
EACH_WITHOUT = WITHOUT.replace("main()\n", "for arguments in __import__('json').loads(sys.argv[1]):\n    main(arguments, standalone_mode=False)\n")
"""The same for several verbs, one after another, given as JSON."""


def test_help_needs_no_extra() -> None:
    for verb in VERBS:
        ended = python(WITHOUT, "torch,numba,amaranth,cocotb,sklearn,numpy", verb, "--help")
        assert ended.returncode == 0, ended.stderr


def test_all_but_training_works_without_torch(files: Path, net: Path, build: Path, tmp_path: Path) -> None:
    verbs = (
        ("quantize", files / "float.safetensors", "--out", tmp_path / "n.safetensors"),
        ("simulate", net, "--samples", "2", "--out", tmp_path / "simulated"),
        ("generate", net, "--out", tmp_path / "build"),
        ("verify", build, "--samples", "1"),
        ("info", net),
        ("info", files / "tiny.toml"),
    )
    ended = python(EACH_WITHOUT, "torch", json.dumps([list(map(str, arguments)) for arguments in verbs]))
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "n.safetensors").exists()
    assert (tmp_path / "build" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("module", "extra", "arguments"),
    [
        ("torch", "train", ("train", "tiny.toml", "--out", "x")),
        ("numba", "sim", ("simulate", "net.safetensors", "--out", "x")),
        ("amaranth", "hw", ("generate", "net.safetensors", "--out", "x")),
    ],
)
def test_a_missing_extra_is_named(module: str, extra: str, arguments: tuple[str, ...], files: Path) -> None:
    verb, file, *rest = arguments
    ended = python(WITHOUT, module, verb, files / file, *rest[:-1], files / rest[-1])
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1] == (
        f"spikefold: {module} is not installed; the extra '{extra}' brings it: in a clone, pip install -c constraints.txt -e '.[{extra}]'"
    )
    assert not (files / "x").exists()


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
    monkeypatch.setattr("spikefold.workflow.flow.BATCH_BYTES", 1 << 16)
    assert spikefold("simulate", net, "--samples", "25", "--out", tmp_path / "b").exit_code == 0
    assert (tmp_path / "a" / "summary.json").read_bytes() == (tmp_path / "b" / "summary.json").read_bytes()


def test_generate_gives_the_same_bytes_twice(net: Path, build: Path, tmp_path: Path) -> None:
    assert spikefold("generate", net, "--out", tmp_path / "build", "--json").exit_code == 0
    names = sorted(p.relative_to(build) for p in build.rglob("*") if p.is_file())
    assert Path("manifest.json") in names
    assert names == sorted(p.relative_to(tmp_path / "build") for p in (tmp_path / "build").rglob("*") if p.is_file())
    for name in names:
        assert (build / name).read_bytes() == (tmp_path / "build" / name).read_bytes()


def test_verify_compares_and_says_so(build: Path, tmp_path: Path) -> None:
    result = spikefold("verify", build, "--samples", "2", "--out", tmp_path / "result.json", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document == json.loads((tmp_path / "result.json").read_text())
    assert document["equal"] is True
    assert document["reference_vs_rtl"]["spikes_compared"] == 2 * 3 * (4 * 8 * 8 + 10)
    assert document["cycles"] == {"steps_compared": 2 * (3 + 2), "arrivals_compared": document["cycles"]["arrivals_compared"], "differences": 0}


def test_verify_replaces_nothing_unasked_and_its_build_never(build: Path, tmp_path: Path) -> None:
    copy, out = tmp_path / "build", tmp_path / "result.json"
    shutil.copytree(build, copy)
    (tmp_path / "link").symlink_to(copy / "rtl")
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    out.write_text("years")
    ended_badly(spikefold("verify", copy, "--samples", "1", "--out", out), "result.json: it exists already; use --force to replace it")
    assert out.read_text() == "years"
    for name in (copy / "manifest.json", copy / "network.safetensors", tmp_path / "link" / "spikefold.v", copy / "rtl" / "new.v"):
        ended_badly(spikefold("verify", copy, "--samples", "1", "--out", name, "--force"), f"{name}: it is in {copy}, which is read here")
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before
    assert spikefold("verify", copy, "--samples", "1", "--out", out, "--force").exit_code == 0
    assert json.loads(out.read_text())["equal"] is True


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


def test_compare_evaluates_nothing_where_a_run_is_missing(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "evaluation.json").unlink(missing_ok=True)
    ended_badly(spikefold("compare", copy, tmp_path / "nosuch"), "nosuch: it is not the folder of a finished training run")
    assert not (copy / "evaluation.json").exists()


def test_the_examples_name_recipes_and_tables_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    from spikefold.train.papers.tables import find_table, load_table
    from spikefold.train.recipes.recipe import find_recipe, load_recipe

    monkeypatch.chdir(Path(__file__).parents[2])
    named = []
    for verb, load in (("train", lambda name: load_recipe(find_recipe(name))), ("reproduce", lambda name: load_table(find_table(name)))):
        for line in spikefold(verb, "--help").output.splitlines():
            _, called, rest = line.partition(f"  spikefold {verb} ")
            if called:
                load(rest.split()[0])
                named.append(rest.split()[0])
    assert {"bntt_cifar10_vgg9", "stochmax"} <= set(named)


def altered(run_rtl: Callable[..., Trace], neuron: tuple[int, ...] = (0, 2, 1, 3, 4)) -> Callable[..., Trace]:
    """Return a run of the Verilog in which one potential is wrong."""

    def wrong(*arguments: Any, **options: Any) -> Trace:
        trace = run_rtl(*arguments, **options)
        potentials = [p.copy() for p in trace.potentials or ()]
        potentials[0][neuron] += 1
        return replace(trace, potentials=tuple(potentials))

    return wrong


def test_a_difference_is_status_1_and_is_named(build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spikefold.hw.bench import cosim

    monkeypatch.setattr(cosim, "run_rtl", altered(cosim.run_rtl))
    result = spikefold("verify", build, "--samples", "1", "--out", tmp_path / "result.json")
    assert result.exit_code == 1
    assert "potentials: sample 0, timestep 2, layer 'conv[1]', neuron (1, 3, 4)" in " ".join(result.stdout.split())
    assert json.loads((tmp_path / "result.json").read_text())["reference_vs_rtl"]["differences"] == 1


def test_info_knows_every_kind(files: Path, net: Path, build: Path, run: Path) -> None:
    (files / "chip.toml").write_text('name = "small"\nlanes = 4\n')
    kinds = {
        net: "network", files / "float.safetensors": "float_network", files / "tiny.toml": "recipe", files / "chip.toml": "chip", build: "build",
        run: "float_network",
    }  # fmt: skip
    for path, kind in kinds.items():
        result = spikefold("info", path, "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["kind"] == kind
        assert spikefold("info", path).exit_code == 0


def test_the_chips_that_come_along_are_sound() -> None:
    for chip in sorted((Path(__file__).parents[2] / "examples" / "chips").glob("*.toml")):
        result = spikefold("info", chip, "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["name"] == chip.stem


def test_info_estimates_what_a_chip_must_have(files: Path, net: Path, tmp_path: Path) -> None:
    result = spikefold("info", net, "--chip", Path(__file__).parents[2] / "examples" / "chips" / "ecp5.toml", "--json")
    assert result.exit_code == 0, result.output
    cores = json.loads(result.stdout)["cores"]
    assert [core["layer"] for core in cores] == ["conv[1]", "out"]
    assert all(core["block_rams"] > 0 for core in cores)
    (tmp_path / "chip.toml").write_text('name = "tiny"\ncores = 1\n')
    ended_badly(spikefold("info", net, "--chip", tmp_path / "chip.toml"), "'tiny' has 1 cores")
    ended_badly(spikefold("info", files / "tiny.toml", "--chip", tmp_path / "chip.toml"), "--chip is for an integer network")


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


def test_training_twice_into_a_folder(files: Path, run: Path) -> None:
    ended_badly(spikefold("train", files / "tiny.toml", "--out", run), str(run), "--resume", "--force")
    assert spikefold("train", files / "tiny.toml", "--out", run, "--resume").exit_code == 0
    assert spikefold("train", files / "tiny.toml", "--out", run, "--resume", "--force").exit_code == 2


def test_one_line_for_files_that_cannot_be_used(files: Path, net: Path, tmp_path: Path) -> None:
    content = net.read_bytes()
    out = ("--out", tmp_path / "x")
    ended_badly(spikefold("simulate", tmp_path / "missing.safetensors", *out), "missing.safetensors: No such file or directory")
    ended_badly(spikefold("generate", tmp_path, *out), "it is not a file")
    (tmp_path / "cut.safetensors").write_bytes(content[:-5])
    ended_badly(spikefold("simulate", tmp_path / "cut.safetensors", *out), "cut.safetensors", "data_offsets")
    (tmp_path / "bad.safetensors").write_bytes(content.replace(b'\\"timesteps\\":3', b'\\"timesteps\\":0'))
    ended_badly(spikefold("simulate", tmp_path / "bad.safetensors", *out), "bad.safetensors", "timesteps: value 0", "1..4096")
    ended_badly(spikefold("simulate", files / "float.safetensors", *out), "a float network; an integer network")
    ended_badly(spikefold("quantize", net, "--out", tmp_path / "n.safetensors"), "an integer network; a float network")
    ended_badly(spikefold("quantize", tmp_path, "--out", tmp_path / "n.safetensors"), "there is no model.safetensors")
    ended_badly(spikefold("quantize", files / "float.safetensors", "--out", tmp_path / "n.bin"), "must end in .safetensors")
    ended_badly(spikefold("quantize", files / "float.safetensors", "--out", tmp_path / "no" / "n.safetensors"), "does not exist")
    ended_badly(spikefold("verify", tmp_path), "manifest.json: No such file")
    ended_badly(spikefold("info", tmp_path / "missing.toml"), "missing.toml: No such file")
    assert not (tmp_path / "x").exists()


def test_one_line_for_settings_that_do_not_fit(files: Path, net: Path, build: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "x")
    ended_badly(spikefold("simulate", net, "--data", "cats", *out), "data set 'cats'")
    ended_badly(spikefold("simulate", net, "--split", "middle", *out), "split 'middle'")
    ended_badly(spikefold("simulate", net, "--samples", "999", *out), "999 samples", "it has 360")
    for place, words in ((tmp_path, "it is a folder; a file's name is needed"), (tmp_path / "no" / "result.json", "does not exist")):
        ended_badly(spikefold("verify", build, "--out", place), str(place), words)
    ended_badly(spikefold("verify", build, "--samples", "361"), "361 samples", "it has 360")
    ended_badly(spikefold("simulate", net, "--data", "fashion-mnist", "--data-dir", tmp_path, *out), str(tmp_path))
    (tmp_path / "chip.toml").write_text('name = "tiny"\ncores = 1\n')
    for verb in ("simulate", "generate"):
        ended_badly(spikefold(verb, net, "--chip", tmp_path / "chip.toml", *out), "2 layers", "'tiny' has 1 cores")
    (tmp_path / "odd.toml").write_text("speed = 9\n")
    ended_badly(spikefold("simulate", net, "--chip", tmp_path / "odd.toml", *out), "odd.toml", "'speed'")
    (tmp_path / "recipe.toml").write_text(RECIPE + "speed = 9")
    ended_badly(spikefold("train", tmp_path / "recipe.toml", *out), "recipe.toml", "'speed'")
    ended_badly(spikefold("info", tmp_path / "recipe.toml"), "'speed'")
    (tmp_path / "broken.toml").write_text("a = [")
    ended_badly(spikefold("info", tmp_path / "broken.toml"), "not a TOML file")
    ended_badly(spikefold("demo", "--data", "cats", *out), "'cats'")
    ended_badly(spikefold("demo", "--run", tmp_path, *out), "model.safetensors")
    assert not (tmp_path / "x").exists()


def test_an_existing_folder_is_not_replaced_unasked(net: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    for verb in ("simulate", "generate"):
        ended_badly(spikefold(verb, net, "--samples", "1", "--out", tmp_path / "mine"), "exists already", "--force")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"


def test_force_never_replaces_the_current_folder(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "summary.json").write_text("years")
    monkeypatch.chdir(tmp_path)
    assert "it is empty" in spikefold("simulate", net, "--samples", "1", "--out", "", "--force").stderr
    for out in (".", "..", tmp_path):
        ended_badly(spikefold("simulate", net, "--samples", "1", "--out", out, "--force"), "never replaced")
    assert [p.name for p in tmp_path.iterdir()] == ["summary.json"]


def test_a_wrong_option_is_one_line(net: Path) -> None:
    ended_badly(spikefold("info", net, "--speed"), "No such option", "--speed", "info --help")
    ended_badly(spikefold("fly"), "No such command", "'fly'")
    ended_badly(spikefold(), "Missing command")


def test_a_bug_is_status_3_with_its_traceback(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr("spikefold.cli.model.describe", broken)
    result = spikefold("info", net)
    assert result.exit_code == 3
    assert result.stderr.startswith("Traceback")
    assert "ZeroDivisionError: of ours" in result.stderr


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        ("--help >/dev/full", 2, "No space left on device"),
        ("--version >/dev/full", 2, "No space left on device"),
        ("info NET >/dev/full", 2, "No space left on device"),
        ("info NET --json >&-", 2, "the standard output is closed"),
        ("fly 2>/dev/full", 2, ""),
        ("fly 2>&-", 2, ""),
    ],
)
def test_an_output_that_takes_nothing(net: Path, command: str, status: int, words: str) -> None:
    line = f"{sys.executable} -c 'from spikefold.cli import main; main()' {command.replace('NET', str(net))}"
    ended = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stdout) == (status, "")
    assert ended.stderr == (f"spikefold: {words}\n" if words else "")


@pytest.mark.parametrize("arguments", [("--help",), ("info", "NET"), ("info", "NET", "--json")])
def test_a_pipe_that_nobody_reads_is_no_difference(net: Path, arguments: tuple[str, ...]) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", "from spikefold.cli import main; main()", *(str(net) if a == "NET" else a for a in arguments)]
    ended = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=300)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (2, "")


def test_files_that_say_too_much(tmp_path: Path, build: Path) -> None:
    out = tmp_path / "x"
    for name, text in (("digits", "a = " + "9" * 5000), ("nested", "a = " + "[" * 5000)):
        (tmp_path / f"{name}.toml").write_text(text)
        ended_badly(spikefold("info", tmp_path / f"{name}.toml"), f"{name}.toml: not a TOML file")
        ended_badly(spikefold("train", tmp_path / f"{name}.toml", "--out", out), "not a TOML file")
    (tmp_path / "build").mkdir()
    manifest = json.loads((build / "manifest.json").read_text())
    (tmp_path / "build" / "manifest.json").write_text(json.dumps({**manifest, "network": {"class_names": 5}}))
    assert spikefold("info", tmp_path / "build").exit_code == 0


def test_info_on_a_folder_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text("{}")
    ended_badly(spikefold("info", tmp_path), "neither the folder of a run", "nor that of a build")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    ended_badly(spikefold("info", tmp_path), "is the run finished?")


def test_a_network_whose_data_is_not_known(net: Path, tmp_path: Path) -> None:
    network_file.save(replace(network_file.load(net), provenance={}), tmp_path / "n.safetensors")
    ended_badly(spikefold("simulate", tmp_path / "n.safetensors", "--out", tmp_path / "x"), "provenance names none")
    assert spikefold("simulate", tmp_path / "n.safetensors", "--data", "digits", "--samples", "1", "--out", tmp_path / "x").exit_code == 0


def test_a_build_whose_verilog_was_changed_is_run_as_it_is(build: Path, tmp_path: Path) -> None:
    changed = tmp_path / "build"
    shutil.copytree(build, changed)
    (changed / "rtl" / "more.v").write_text("")
    weights = changed / "mem" / "layer0_weights.hex"
    first, *others = weights.read_text().splitlines()
    weights.write_text("\n".join([f"{int(first, 16) ^ 1:0{len(first)}x}", *others]) + "\n")
    ended = spikefold("verify", changed, "--samples", "2", "--out", tmp_path / "result.json")
    assert ended.exit_code == 1
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["changed"] == ["mem/layer0_weights.hex", "rtl/more.v"]
    assert not result["equal"]


def test_a_change_that_no_sample_reaches_is_a_warning_and_with_strict_status_1(build: Path, tmp_path: Path) -> None:
    changed, name = tmp_path / "build", "mem/layer0_weights.hex"
    shutil.copytree(build, changed)
    # A comment changes the file, and nothing that is run.
    (changed / name).write_text("// edited\n" + (changed / name).read_text())
    ended = spikefold("verify", changed, "--samples", "1")
    assert ended.exit_code == 0
    assert f"warning: {changed}: not as it was generated: {name}; " in ended.stderr
    assert "file that is not as it was generated" in ended.stdout
    assert name in ended.stdout
    strict = spikefold("verify", changed, "--samples", "1", "--strict", "--json")
    assert (strict.exit_code, json.loads(strict.stdout)["changed"], json.loads(strict.stdout)["equal"]) == (1, [name], True)
    assert spikefold("verify", build, "--samples", "1", "--strict").exit_code == 0


def test_a_build_of_another_name_is_verified(net: Path, tmp_path: Path) -> None:
    ended_badly(spikefold("generate", net, "--top", "2nd", "--out", tmp_path / "build"), "top module '2nd': it must be at most 64 letters")
    assert spikefold("generate", net, "--top", "second", "--out", tmp_path / "build").exit_code == 0
    (tmp_path / "build").rename(tmp_path / "moved")
    assert spikefold("verify", tmp_path / "moved", "--samples", "1").exit_code == 0
    manifest = tmp_path / "moved" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"top": "second"', '"top": 2'))
    ended_badly(spikefold("verify", tmp_path / "moved"), "manifest.json top: 2; it must be the name of the top module")


def test_a_build_that_is_not_whole_is_refused(build: Path, tmp_path: Path) -> None:
    changed = tmp_path / "build"
    shutil.copytree(build, changed)
    (changed / "rtl" / "spikefold.v").unlink()
    ended_badly(spikefold("verify", changed), "rtl/spikefold.v", "missing")
    manifest = json.loads((changed / "manifest.json").read_text())
    for content, words in (
        ("{", "not JSON"),
        ("[]", "must be a JSON object"),
        ("{}", "it must hold the chip"),
        (json.dumps({**manifest, "chip": {"wheels": 4}}), "it must hold the chip"),
        (json.dumps({**manifest, "sha256": {"../x": "", **manifest["sha256"]}}), "must be a file of the build"),
    ):
        (changed / "manifest.json").write_text(content)
        ended_badly(spikefold("verify", changed), "manifest.json", words)


def test_a_simulator_that_is_not_installed(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    ended_badly(spikefold("verify", build, "--samples", "1"), "simulator 'icarus': it is not installed")


def test_an_interrupt_leaves_nothing(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("spikefold.workflow.flow.write_trace", interrupted)
    ended_badly(spikefold("simulate", net, "--samples", "1", "--out", tmp_path / "x"), "interrupted")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(net: Path, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("spikefold.data.files.os.fsync", full)
    for verb in ("simulate", "generate"):
        ended_badly(spikefold(verb, net, "--samples", "1", "--out", tmp_path / "x"), "No space left on device")
    ended_badly(spikefold("quantize", files / "float.safetensors", "--out", tmp_path / "n.safetensors"), "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_too_little_memory_is_one_line(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hungry(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("spikefold.workflow.flow.simulate", hungry)
    ended_badly(spikefold("simulate", net, "--out", tmp_path / "x"), "out of memory")


def test_a_strict_run_allows_no_clamp(files: Path, net: Path, tmp_path: Path) -> None:
    assert spikefold("simulate", net, "--samples", "3", "--strict", "--out", tmp_path / "proven").exit_code == 0
    network = network_file.load(net)
    narrow = replace(network.populations[0], potential_bits=4, saturate=True, threshold=np.array([[7]]), decrement=np.array([[7]]))
    network_file.save(replace(network, populations=(narrow, *network.populations[1:])), tmp_path / "narrow.safetensors")
    assert spikefold("simulate", tmp_path / "narrow.safetensors", "--samples", "3", "--out", tmp_path / "loose").exit_code == 0
    ended = spikefold("simulate", tmp_path / "narrow.safetensors", "--samples", "3", "--strict", "--out", tmp_path / "strict")
    ended_badly(ended, "values were clamped to 4 bits; a strict run allows none")
    assert not (tmp_path / "strict").exists()
