"""The simulated chip against the reference: batches change nothing, and a difference is found."""

from dataclasses import replace
from typing import Any

import pytest

from spikefold.chip.placement import place
from spikefold.network import reference
from spikefold.network.network import Network
from spikefold.workflow import batches
from spikefold.workflow.reference_check import compare_with_reference
from tests.quantize.networks import integer_network
from tests.workflow.samples import CHIP, dataset


def test_reference_and_simulator_agree_over_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    network = integer_network(4)
    data = dataset(network)
    whole = compare_with_reference(place(network, CHIP, untimed=True), data)
    monkeypatch.setattr(batches, "BATCH_BYTES", 1)
    single = compare_with_reference(place(network, CHIP, untimed=True), data)
    assert whole.accuracy == single.accuracy
    # Clamps are counted once a batch and layer, all else once a value.
    values = {"spikes": 12 * 3 * 75, "potentials": 12 * 3 * 75, "scores": 36, "sops": 24}
    assert whole.comparison.compared == {**values, "clamps": 2}
    assert single.comparison.compared == {**values, "clamps": 24}
    assert whole.comparison.equal
    assert single.comparison.equal


def test_a_simulator_that_lies_is_found_with_the_sample_of_the_split(monkeypatch: pytest.MonkeyPatch) -> None:
    network = integer_network(4)
    monkeypatch.setattr(batches, "BATCH_BYTES", 1)
    run, calls = reference.run, []

    def wrong(given: Network, events: Any, *, potentials: bool = False) -> Any:
        trace = run(given, events, potentials=potentials)
        calls.append(1)
        return replace(trace, scores=trace.scores + 1) if len(calls) == 4 else trace

    monkeypatch.setattr(reference, "run", wrong)
    found = compare_with_reference(place(network, CHIP, untimed=True), dataset(network)).comparison
    assert found.differing["scores"] == 3
    assert found.first is not None
    assert found.first.sample == 3
