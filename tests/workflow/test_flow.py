"""The functions behind the verbs: batches change nothing, and comparisons add up."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spikefold.chip.config import ChipConfig
from spikefold.data.coding import InputCoding, encode
from spikefold.data.datasets import Dataset, load_dataset
from spikefold.data.errors import ChipError, DataError
from spikefold.hw.bench import cosim
from spikefold.network import reference
from spikefold.network.network import Network
from spikefold.network.trace import Comparison, Difference, Trace, compare
from spikefold.quantize.float_evaluation import evaluate
from spikefold.quantize.float_network import FloatNetwork
from spikefold.quantize.fold import fold
from spikefold.report.figures import firing_svg
from spikefold.sim.engine import Chip
from spikefold.train.modules.export import to_float_network
from spikefold.train.modules.network import build_network
from spikefold.train.recipes.recipe import Recipe, parse_recipe
from spikefold.train.runs.run import load_data
from spikefold.workflow import flow
from spikefold.workflow import verification as rtl
from tests.data.test_datasets import write_fashion
from tests.float_networks import CELLS, random_float_network
from tests.quantize.networks import float_network, integer_network

CHIP = ChipConfig(lanes=2)


def dataset(network: Any, samples: int = 12) -> Dataset:
    rng = np.random.default_rng(5)
    classes = len(network.class_names)
    return Dataset(
        name="noise", images=rng.random((samples, *network.input.shape)), labels=rng.integers(0, classes, samples), class_names=network.class_names
    )


def comparison(differing: int, sample: int | None = None) -> Comparison:
    first = Difference(kind="spikes", sample=sample, timestep=1, layer="a", neuron=(0, 0, 0), expected=1, got=0) if differing else None
    return Comparison(compared={"spikes": 10, "cycles": 2}, differing={"spikes": differing, "cycles": 0}, first=first)


def test_comparisons_add_up_and_keep_the_first_difference() -> None:
    merged = flow.merge([comparison(0), flow.shifted(comparison(3, sample=2), 10), replace(comparison(1, sample=0), omitted=("sops",))])
    assert merged.compared == {"spikes": 30, "cycles": 6}
    assert merged.differing == {"spikes": 4, "cycles": 0}
    assert merged.first is not None
    assert merged.first.sample == 12
    assert not merged.equal
    table = flow.comparison_table(merged, 9)
    assert table["differences"] == 4
    assert table["omitted"] == ["sops"]
    assert table["first_difference"].startswith("spikes: sample 12, timestep 1")


def test_a_difference_without_a_sample_is_not_shifted() -> None:
    assert flow.shifted(comparison(1), 5).first == comparison(1).first
    assert flow.shifted(comparison(0), 5).first is None


@pytest.mark.parametrize("batch_bytes", [1, 40_000, 1 << 30])
def test_a_simulation_is_that_of_the_chip_whatever_the_batches(batch_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "BATCH_BYTES", batch_bytes)
    network = integer_network(3)
    data = dataset(network)
    seen: list[tuple[str, int, int]] = []
    result = flow.simulate(network, CHIP, data, trace_samples=5, potentials=True, progress=lambda *step: seen.append(step))
    whole = Chip(network, CHIP).run(flow.events_of(network, data, range(12)))
    assert np.array_equal(result.predictions, whole.predictions)
    assert np.array_equal(result.cycles, flow.inference_cycles(whole, 12))
    assert whole.timing is not None
    assert result.cycles.sum() == whole.timing.cycles.sum()
    assert [s.tolist() for s in result.spikes] == [s.sum((0, 2, 3, 4)).tolist() for s in whole.spikes]
    assert result.clamps == whole.clamps
    assert result.trace.scores.shape == (5, 3)
    assert result.trace.potentials is not None
    assert seen[-1] == ("simulate", 12, 12)
    summary = result.summary()
    assert summary["layers"][0]["firing_rate"] == pytest.approx(whole.spikes[0].mean())


def test_reference_and_simulator_agree_over_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    network = integer_network(4)
    data = dataset(network)
    whole = flow.compare_with_reference(network, CHIP, data)
    monkeypatch.setattr(flow, "BATCH_BYTES", 1)
    single = flow.compare_with_reference(network, CHIP, data)
    assert whole.accuracy == single.accuracy
    # Clamps are counted once a batch and layer, all else once a value.
    values = {"spikes": 12 * 3 * 75, "potentials": 12 * 3 * 75, "scores": 36, "sops": 24}
    assert whole.comparison.compared == {**values, "clamps": 2}
    assert single.comparison.compared == {**values, "clamps": 24}
    assert whole.comparison.equal
    assert single.comparison.equal


def test_a_simulator_that_lies_is_found_with_the_sample_of_the_split(monkeypatch: pytest.MonkeyPatch) -> None:
    network = integer_network(4)
    monkeypatch.setattr(flow, "BATCH_BYTES", 1)
    run, calls = reference.run, []

    def wrong(given: Network, events: Any, *, potentials: bool = False) -> Any:
        trace = run(given, events, potentials=potentials)
        calls.append(1)
        return replace(trace, scores=trace.scores + 1) if len(calls) == 4 else trace

    monkeypatch.setattr(flow.reference, "run", wrong)
    found = flow.compare_with_reference(network, CHIP, dataset(network)).comparison
    assert found.differing["scores"] == 3
    assert found.first is not None
    assert found.first.sample == 3


def test_the_float_network_is_run_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    network = float_network()
    data = dataset(network)
    whole = flow.float_accuracy(network, data)
    monkeypatch.setattr(flow, "BATCH_BYTES", 1)
    seen: list[int] = []
    assert flow.float_accuracy(network, data, progress=lambda _, done, total: seen.append(done)) == whole
    assert seen == list(range(1, 13))


def recipe(coding: str, timesteps: int, shape: tuple[int, int, int], name: str = "digits", size: int = 0) -> Recipe:
    """A recipe of two dense layers for a data set of 10 classes."""
    scale = 4.0 if coding in ("direct", "sequence") else 1.0
    mean, std = (0.0, 1.0) if coding == "frames" else (8.0, 8.0)
    return parse_recipe(
        f"""
name = "coded"
seed = 3
timesteps = {timesteps}
readout = "potential"
[data]
name = "{name}"
size = {size}
[input]
shape = {list(shape)}
coding = "{coding}"
mean = {mean}
std = {std}
scale = {scale}
payload_bits = 4
seed = 9
[neuron]
leak = 0.9
threshold = 0.5
[norm]
kind = "none"
[[layers]]
kind = "dense"
out = 6
[[layers]]
kind = "dense"
out = 10
[train]
epochs = 1
batch_size = 64
learning_rate = 0.1
""",
        "recipe.toml",
    )


def untrained(plan: Recipe) -> FloatNetwork:
    """The float network that training by ``plan`` would leave, with the weights that it begins with."""
    torch.manual_seed(1)
    module = build_network(plan).double().eval()
    return to_float_network(module, coding=plan.input, class_names=tuple("0123456789"), provenance={"data": plan.data.name})


def trained_events(plan: Recipe, samples: range) -> np.ndarray:
    """The events of the test split's samples as training and its evaluation make them."""
    return encode(load_data(plan, "test", None).images[samples.start : samples.stop], plan.input, plan.timesteps, samples)


CODED = [
    recipe("sequence", 8, (1, 1, 8)),
    recipe("sequence", 16, (1, 1, 16), size=16),
    recipe("direct", 3, (1, 16, 16), size=16),
    recipe("ternary", 3, (1, 12, 12), size=12),
]


@pytest.mark.parametrize("plan", CODED, ids=lambda plan: f"{plan.input.coding}-{plan.data.size}")
@pytest.mark.parametrize("given", [None, "digits"])
def test_any_coding_and_size_is_run_on_the_events_of_training(plan: Recipe, given: str | None) -> None:
    floats = untrained(plan)
    network = fold(floats).network
    data, events = flow.data_for(network, given, "test"), trained_events(plan, range(20))
    for each in (network, floats):
        assert np.array_equal(flow.events_of(each, flow.data_for(each, given, "test"), range(20)), events)
    result = flow.simulate(network, CHIP, data, samples=20, trace_samples=20, potentials=True)
    expected = reference.run(network, events, potentials=True)
    assert compare(expected, result.trace).equal
    assert sum(int(spikes.sum()) for spikes in expected.spikes) > 0
    assert np.array_equal(result.predictions, expected.predictions)
    assert flow.compare_with_reference(network, CHIP, data, samples=20).comparison.equal
    right = (evaluate(floats, events).scores.argmax(1) == data.labels[:20]).mean()
    assert flow.float_accuracy(floats, data, samples=20) == right


def test_events_are_counted_in_the_frames_of_training(tmp_path: Path) -> None:
    write_fashion(tmp_path, "t10k", np.random.default_rng(1).integers(0, 256, (3, 28, 28)), np.array([0, 9, 1]), False)
    plan = recipe("frames", 5, (2, 34, 34), "moving-fashion-mnist")
    network = fold(untrained(plan)).network
    data = flow.data_for(network, None, "test", tmp_path)
    events = encode(load_data(plan, "test", tmp_path).images[0:3], plan.input, 5, range(3))
    result = flow.simulate(network, CHIP, data, potentials=True)
    assert compare(reference.run(network, events, potentials=True), result.trace).equal
    assert events.any()
    early = replace(network, timesteps=2)
    assert np.array_equal(flow.events_of(early, flow.data_for(early, None, "test", tmp_path), range(3)), events[:, :2])
    # Two longer frames of the same recording are something else.
    fewer = load_dataset("moving-fashion-mnist", "test", tmp_path, timesteps=2)
    with pytest.raises(DataError, match=r"'moving-fashion-mnist': images of \[2, 2, 34, 34\]; the network takes \[5, 2, 34, 34\]$"):
        flow.simulate(early, CHIP, fewer)
    with pytest.raises(DataError, match=r"'digits': images of \[1, 8, 8\]; the network takes \[5, 2, 34, 34\]$"):
        flow.simulate(network, CHIP, load_dataset("digits", "test"))
    with pytest.raises(DataError, match=r"of \[5, 2, 34, 34\]; the network takes \[1, H, W\] with H x W = 64 pixels, 8 in each of 8 timesteps$"):
        flow.events_of(untrained(CODED[0]), data, range(2))
    with pytest.raises(DataError, match=r"images of \[5, 2, 34, 34\]; the network takes \[2, 34, 34\]$"):
        flow.events_of(untrained(recipe("direct", 5, (2, 34, 34))), data, range(2))


@pytest.mark.parametrize("plan", CODED, ids=lambda plan: f"{plan.input.coding}-{plan.data.size}")
def test_an_early_exit_sees_the_first_timesteps(plan: Recipe) -> None:
    # The schedules of this network do not change over time, so that nothing else is to be cut.
    early = replace(fold(untrained(plan), form="B").network, timesteps=2)
    assert early.timesteps_trained == plan.timesteps
    data, events = flow.data_for(early, None, "test"), np.ascontiguousarray(trained_events(plan, range(20))[:, :2])
    assert np.array_equal(flow.events_of(early, data, range(20)), events)
    result = flow.simulate(early, CHIP, data, samples=20, trace_samples=20, potentials=True)
    assert compare(reference.run(early, events, potentials=True), result.trace).equal


def test_only_what_the_network_was_trained_on_is_resized() -> None:
    network = untrained(CODED[2])
    for provenance in ({}, {"data": "mnist"}):
        data = flow.data_for(replace(network, provenance=provenance), "digits", "test")
        with pytest.raises(DataError, match=r"data set 'digits': images of \[1, 8, 8\]; the network takes \[1, 16, 16\]$"):
            flow.sample_count(network, data, None)
    # Neither is what no size fits.
    for coding, shape in (("direct", (1, 16, 8)), ("direct", (3, 16, 16)), ("direct", (1, 1025, 1025)), ("sequence", (1, 1, 7))):
        other = untrained(recipe(coding, 3, shape))
        with pytest.raises(DataError, match=r"data set 'digits': images of \[1, 8, 8\]; the network takes "):
            flow.sample_count(other, flow.data_for(other, None, "test"), None)


def test_data_that_does_not_fit_is_refused() -> None:
    network = integer_network()
    digits = load_dataset("digits", "test")
    with pytest.raises(DataError, match=r"images of \[1, 8, 8\]; the network takes \[1, 6, 6\]"):
        flow.simulate(network, CHIP, digits)
    data = dataset(network)
    with pytest.raises(DataError, match="2 classes; the network has 3"):
        flow.simulate(network, CHIP, replace(data, labels=data.labels * 0, class_names=("a", "b")))
    for samples in (0, 13):
        with pytest.raises(DataError, match=f"{samples} samples are asked for; it has 12"):
            flow.simulate(network, CHIP, data, samples=samples)
    with pytest.raises(DataError, match="trace samples: 0"):
        flow.simulate(network, CHIP, data, trace_samples=0)
    with pytest.raises(ChipError, match="2 layers, one core each"):
        flow.simulate(network, ChipConfig(cores=1), data)


def test_a_trace_without_timing_has_no_cycles() -> None:
    network = integer_network()
    trace = Chip(network, CHIP).run(flow.events_of(network, dataset(network), range(2)), timing=False)
    with pytest.raises(DataError, match="without timing"):
        flow.inference_cycles(trace, 2)
    assert set(flow.trace_arrays(trace)) == {"populations", "scores", "spikes_0", "spikes_1", "sops", "clamps"}


def test_runs_of_the_verilog_cover_all_samples_in_twos_at_least() -> None:
    network = integer_network()
    chip = Chip(network, CHIP)
    first = flow.events_of(network, dataset(network), range(1))
    assert list(rtl.runs(chip, first, 5, 1)) == [range(0, 2), range(2, 4), range(4, 5)]
    assert list(rtl.runs(chip, first, 5, 1 << 40)) == [range(0, 5)]


def test_a_verification_compares_all_that_both_sides_can_record(monkeypatch: pytest.MonkeyPatch) -> None:
    network = integer_network()
    chip = Chip(network, CHIP)

    def hardware(build: Path, network: Network, config: ChipConfig, events: np.ndarray, *, simulator: str, top: str) -> Trace:
        return replace(chip.run(events, potentials=True, gaps=None), clamps=None, sops=None)

    monkeypatch.setattr(cosim, "run_rtl", hardware)
    monkeypatch.setattr(rtl, "read_build", lambda build: rtl.Build(network=network, chip=CHIP, top="spikefold", changed=()))
    found = rtl.verify(Path(), dataset(network), samples=3)
    values = {"spikes", "potentials", "scores"}
    assert {kind for kind, count in found.reference.compared.items() if count} == values
    assert {kind for kind, count in found.simulated.compared.items() if count} == values | {"arrivals", "results", "cycles"}
    assert (found.reference.omitted, found.simulated.omitted) == (("clamps", "sops", "timing"), ("clamps", "sops"))


def test_the_picture_has_a_bar_a_timestep_and_escapes_names() -> None:
    network = integer_network()
    populations = (replace(network.populations[0], name="<a & b>"), network.populations[1])
    connections = (replace(network.connections[0], target="<a & b>"), replace(network.connections[1], source="<a & b>"))
    named = replace(network, populations=populations, connections=connections)
    picture = firing_svg(named, [np.array([0, 5, 9]), np.zeros(3, np.int64)], 2)
    assert "&lt;a &amp; b&gt;" in picture
    assert picture.count('fill="#31688e"') == 3


def test_the_input_is_keyed_by_the_sample_of_the_split() -> None:
    network = integer_network()
    assert isinstance(network.input, InputCoding)
    data = dataset(network)
    whole = flow.events_of(network, data, range(12))
    assert np.array_equal(whole[4:7], flow.events_of(network, data, range(4, 7)))


@pytest.mark.parametrize("topology", ["residual", "hybrid"])
def test_what_no_core_runs_is_simulated_without_cycles_and_not_generated(topology: str, tmp_path: Path) -> None:
    cell = next(cell for cell in CELLS if (cell.norm, cell.neuron, cell.coding, cell.topology) == ("bntt", "lif", "poisson", topology))
    network = fold(random_float_network(np.random.default_rng(4), cell)).network
    data = dataset(network)
    result = flow.simulate(network, CHIP, data)
    events = flow.events_of(network, data, range(len(data)))
    expected = reference.run(network, events)
    assert np.array_equal(result.predictions, expected.predictions)
    summary = result.summary()
    assert summary["cycles_per_inference"] is None
    assert sum(layer["sops"] for layer in summary["layers"]) == int(expected.sops.sum())
    words = {
        "residual": r"layer 'layer2' connections: conv2d from 'layer1', identity from 'layer0'; a core has one",
        "hybrid": r"layer 'layer0' neuron: 'linear'; cores run",
    }
    assert re.match(words[topology], summary["untimed"])
    assert flow.compare_with_reference(network, CHIP, data).comparison.equal
    with pytest.raises(ChipError, match=f"^{words[topology]}.* in this version$"):
        rtl.generate(network, CHIP, data, tmp_path)
    with pytest.raises(ChipError, match="nothing can be timed; run it without timing"):
        Chip(network, CHIP).run(events)
