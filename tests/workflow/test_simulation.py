"""A data set on the simulated chip: batches change nothing, and what does not fit is refused."""

import re
from dataclasses import replace

import numpy as np
import pytest

from spikefold.chip.placement import place
from spikefold.data.datasets import load_dataset
from spikefold.data.errors import ChipError, DataError
from spikefold.network import reference
from spikefold.workflow import batches
from spikefold.workflow.reference_check import compare_with_reference
from spikefold.workflow.samples import events_of
from spikefold.workflow.simulation import inference_cycles, simulate
from tests.chips import chip_of
from tests.quantize.networks import integer_network
from tests.virtual import virtual
from tests.workflow.networks import BEYOND_CORES, beyond_cores
from tests.workflow.samples import CHIP, dataset


@pytest.mark.parametrize("batch_bytes", [1, 40_000, 1 << 30])
def test_a_simulation_is_that_of_the_chip_whatever_the_batches(batch_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH_BYTES", batch_bytes)
    network = integer_network(3)
    data = dataset(network)
    seen: list[tuple[str, int, int]] = []
    result = simulate(place(network, CHIP, untimed=True), data, trace_samples=5, potentials=True, progress=lambda *step: seen.append(step))
    whole = virtual(network, CHIP).run(events_of(network, data, range(12)))
    assert np.array_equal(result.predictions, whole.predictions)
    assert np.array_equal(result.cycles, inference_cycles(whole, 12))
    assert whole.timing is not None
    assert result.cycles.sum() == whole.timing.cycles.sum()
    assert [s.tolist() for s in result.spikes] == [s.sum((0, 2, 3, 4)).tolist() for s in whole.spikes]
    assert result.clamps == whole.clamps
    assert result.trace.scores.shape == (5, 3)
    assert result.trace.potentials is not None
    assert seen[-1] == ("simulate", 12, 12)
    summary = result.summary()
    assert summary["layers"][0]["firing_rate"] == pytest.approx(whole.spikes[0].mean())


def test_data_that_does_not_fit_is_refused() -> None:
    network = integer_network()
    digits = load_dataset("digits", "test")
    with pytest.raises(DataError, match=r"images of \[1, 8, 8\]; the network takes \[1, 6, 6\]"):
        simulate(place(network, CHIP, untimed=True), digits)
    data = dataset(network)
    with pytest.raises(DataError, match="2 classes; the network has 3"):
        simulate(place(network, CHIP, untimed=True), replace(data, labels=data.labels * 0, class_names=("a", "b")))
    for samples in (0, 13):
        with pytest.raises(DataError, match=f"{samples} samples are asked for; it has 12"):
            simulate(place(network, CHIP, untimed=True), data, samples=samples)
    with pytest.raises(DataError, match="trace samples: 0"):
        simulate(place(network, CHIP, untimed=True), data, trace_samples=0)
    with pytest.raises(ChipError, match="2 layers, one core each"):
        simulate(place(network, chip_of(cores=1), untimed=True), data)


def test_a_trace_without_timing_has_no_cycles() -> None:
    network = integer_network()
    trace = virtual(network, CHIP).run(events_of(network, dataset(network), range(2)), timing=False)
    with pytest.raises(DataError, match="without timing"):
        inference_cycles(trace, 2)


@pytest.mark.parametrize("topology", BEYOND_CORES)
def test_what_no_core_runs_is_simulated_without_cycles(topology: str) -> None:
    network = beyond_cores(topology)
    data = dataset(network)
    result = simulate(place(network, CHIP, untimed=True), data)
    events = events_of(network, data, range(len(data)))
    expected = reference.run(network, events)
    assert np.array_equal(result.predictions, expected.predictions)
    summary = result.summary()
    assert summary["cycles_per_inference"] is None
    assert sum(layer["sops"] for layer in summary["layers"]) == int(expected.sops.sum())
    assert re.match(BEYOND_CORES[topology], summary["untimed"])
    assert compare_with_reference(place(network, CHIP, untimed=True), data).comparison.equal
    with pytest.raises(ChipError, match="nothing can be timed; run it without timing"):
        virtual(network, CHIP).run(events)
