"""The simulator against the reference: spikes, potentials, scores, clamps and synaptic operations, bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikefold.network.trace import compare
from tests.cases import CASES
from tests.chips import chip_of
from tests.equivalence.check import check_simulator
from tests.random_networks import Case, random_case
from tests.strategies import cases, rasters
from tests.virtual import virtual


def assert_simulated(case: Case) -> int:
    comparison = check_simulator(case)[0]
    assert comparison.first is None, str(comparison.first)
    assert {"clamps", "sops"} <= set(comparison.compared)
    assert comparison.compared["potentials"] == comparison.compared["spikes"]
    return comparison.compared["spikes"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_boundary_vectors(case: Case):
    assert_simulated(case)


def test_random_networks():
    assert sum(assert_simulated(random_case(seed, small=seed % 2 == 0)) for seed in range(1000, 1060)) > 40_000


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_drawn_networks_and_rasters(data: st.DataObject):
    case = data.draw(cases())
    events = data.draw(rasters(case.network))
    assert_simulated(Case(name=case.name, network=case.network, chip=case.chip, events=events))


def test_the_chip_changes_no_value():
    case = random_case(77, small=True)
    runs = [
        virtual(case.network, chip_of(lanes=lanes, event_queue_depth=depth)).run(case.events, potentials=True)
        for lanes, depth in ((1, 1), (3, 4), (16, 16))
    ]
    for other in runs[1:]:
        for a, b in zip(runs[0].potentials or (), other.potentials or (), strict=True):
            assert np.array_equal(a, b)
        assert np.array_equal(runs[0].scores, other.scores)
    assert runs[0].timing is not None
    assert runs[1].timing is not None
    assert not np.array_equal(runs[0].timing.cycles, runs[1].timing.cycles)


def test_gaps_change_no_value():
    case = next(case for case in CASES if case.name == "three inferences start alike")
    chip = virtual(case.network, case.chip)
    expected = chip.run(case.events, potentials=True, timing=False)
    for gaps in (0, 1, [3, 0, 2], None):
        assert compare(expected, chip.run(case.events, potentials=True, gaps=gaps)).equal
