"""The samples of a data set as training had them: their coding, size, frames and timesteps."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spikefold.chip.placement import place
from spikefold.data.coding import InputCoding, encode
from spikefold.data.datasets import load_dataset
from spikefold.data.errors import DataError
from spikefold.network import reference
from spikefold.network.trace import compare
from spikefold.quantize.float_evaluation import evaluate
from spikefold.quantize.fold import fold
from spikefold.train.recipes.recipe import Recipe
from spikefold.train.runs.run import load_data
from spikefold.workflow.accuracy import float_accuracy
from spikefold.workflow.reference_check import compare_with_reference
from spikefold.workflow.samples import data_for, events_of, sample_count
from spikefold.workflow.simulation import simulate
from tests.data.test_datasets import write_fashion
from tests.quantize.networks import integer_network
from tests.workflow.samples import CHIP, CODED, dataset, recipe, trained_events, untrained


@pytest.mark.parametrize("plan", CODED, ids=lambda plan: f"{plan.input.coding}-{plan.data.size}")
@pytest.mark.parametrize("given", [None, "digits"])
def test_any_coding_and_size_is_run_on_the_events_of_training(plan: Recipe, given: str | None) -> None:
    floats = untrained(plan)
    network = fold(floats).network
    data, events = data_for(network, given, "test"), trained_events(plan, range(20))
    for each in (network, floats):
        assert np.array_equal(events_of(each, data_for(each, given, "test"), range(20)), events)
    result = simulate(place(network, CHIP, untimed=True), data, samples=20, trace_samples=20, potentials=True)
    expected = reference.run(network, events, potentials=True)
    assert compare(expected, result.trace).equal
    assert sum(int(spikes.sum()) for spikes in expected.spikes) > 0
    assert np.array_equal(result.predictions, expected.predictions)
    assert compare_with_reference(place(network, CHIP, untimed=True), data, samples=20).comparison.equal
    right = (evaluate(floats, events).scores.argmax(1) == data.labels[:20]).mean()
    assert float_accuracy(floats, data, samples=20) == right


def test_events_are_counted_in_the_frames_of_training(tmp_path: Path) -> None:
    write_fashion(tmp_path, "t10k", np.random.default_rng(1).integers(0, 256, (3, 28, 28)), np.array([0, 9, 1]), False)
    plan = recipe("frames", 5, (2, 34, 34), "moving-fashion-mnist")
    network = fold(untrained(plan)).network
    data = data_for(network, None, "test", tmp_path)
    events = encode(load_data(plan, "test", tmp_path).images[0:3], plan.input, 5, range(3))
    result = simulate(place(network, CHIP, untimed=True), data, potentials=True)
    assert compare(reference.run(network, events, potentials=True), result.trace).equal
    assert events.any()
    early = replace(network, timesteps=2)
    assert np.array_equal(events_of(early, data_for(early, None, "test", tmp_path), range(3)), events[:, :2])
    # Two longer frames of the same recording are something else.
    fewer = load_dataset("moving-fashion-mnist", "test", tmp_path, timesteps=2)
    with pytest.raises(DataError, match=r"'moving-fashion-mnist': images of \[2, 2, 34, 34\]; the network takes \[5, 2, 34, 34\]$"):
        simulate(place(early, CHIP, untimed=True), fewer)
    with pytest.raises(DataError, match=r"'digits': images of \[1, 8, 8\]; the network takes \[5, 2, 34, 34\]$"):
        simulate(place(network, CHIP, untimed=True), load_dataset("digits", "test"))
    with pytest.raises(DataError, match=r"of \[5, 2, 34, 34\]; the network takes \[1, H, W\] with H x W = 64 pixels, 8 in each of 8 timesteps$"):
        events_of(untrained(CODED[0]), data, range(2))
    with pytest.raises(DataError, match=r"images of \[5, 2, 34, 34\]; the network takes \[2, 34, 34\]$"):
        events_of(untrained(recipe("direct", 5, (2, 34, 34))), data, range(2))


@pytest.mark.parametrize("plan", CODED, ids=lambda plan: f"{plan.input.coding}-{plan.data.size}")
def test_an_early_exit_sees_the_first_timesteps(plan: Recipe) -> None:
    # The schedules of this network do not change over time, so that nothing else is to be cut.
    early = replace(fold(untrained(plan), form="B").network, timesteps=2)
    assert early.timesteps_trained == plan.timesteps
    data, events = data_for(early, None, "test"), np.ascontiguousarray(trained_events(plan, range(20))[:, :2])
    assert np.array_equal(events_of(early, data, range(20)), events)
    result = simulate(place(early, CHIP, untimed=True), data, samples=20, trace_samples=20, potentials=True)
    assert compare(reference.run(early, events, potentials=True), result.trace).equal


def test_only_what_the_network_was_trained_on_is_resized() -> None:
    network = untrained(CODED[2])
    for provenance in ({}, {"data": "mnist"}):
        data = data_for(replace(network, provenance=provenance), "digits", "test")
        with pytest.raises(DataError, match=r"data set 'digits': images of \[1, 8, 8\]; the network takes \[1, 16, 16\]$"):
            sample_count(network, data, None)
    # Neither is what no size fits.
    for coding, shape in (("direct", (1, 16, 8)), ("direct", (3, 16, 16)), ("direct", (1, 1025, 1025)), ("sequence", (1, 1, 7))):
        other = untrained(recipe(coding, 3, shape))
        with pytest.raises(DataError, match=r"data set 'digits': images of \[1, 8, 8\]; the network takes "):
            sample_count(other, data_for(other, None, "test"), None)


def test_the_input_is_keyed_by_the_sample_of_the_split() -> None:
    network = integer_network()
    assert isinstance(network.input, InputCoding)
    data = dataset(network)
    whole = events_of(network, data, range(12))
    assert np.array_equal(whole[4:7], events_of(network, data, range(4, 7)))
