"""The reference against a scalar oracle written from the definition, and against what must not matter."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikefold.data.errors import DataError
from spikefold.network import reference
from spikefold.network.network import Network
from spikefold.network.trace import Trace, compare
from spikefold.quantize.fold import fold
from tests import oracle
from tests.cases import CASES
from tests.float_networks import CELLS, Cell, random_events, random_float_network
from tests.random_networks import BOUNDARIES, Case, boundary_statistics, firing_rates, random_case
from tests.strategies import cases, rasters


def assert_as_the_oracle(network: Network, events: np.ndarray) -> Trace:
    expected, got = oracle.run(network, events), reference.run(network, events, potentials=True)
    comparison = compare(expected, got)
    assert comparison.equal, str(comparison.first)
    assert comparison.compared["potentials"] == comparison.compared["spikes"] > 0
    assert got.clamps == expected.clamps
    assert np.array_equal(got.sops, expected.sops)
    return got


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_boundary_vectors_are_as_the_oracle_has_them(case: Case):
    assert_as_the_oracle(case.network, case.events)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_random_networks_are_as_the_oracle_has_them(data: st.DataObject):
    case = data.draw(cases(timesteps_max=8))
    assert_as_the_oracle(case.network, case.events)
    assert_as_the_oracle(case.network, data.draw(rasters(case.network)))


REFUSED = {("psp-bn", "backres"), ("psp-bn-eq15", "backres"), ("psp-ln-eq15", "backres"), ("psp-ln", "residual"), ("psp-ln-eq15", "residual")}
"""Normalisations and topologies that have no integers."""
GRAPHS = [
    cell
    for cell in CELLS
    if cell.coding == ("direct" if cell.reset in ("alpha", "hard") else "ternary")
    and (cell.neuron == "srm" or (cell.topology in ("residual", "hybrid") and cell.norm in ("none", "bntt")))
    and (cell.norm, cell.topology) not in REFUSED
]


@pytest.mark.parametrize("cell", GRAPHS, ids=str)
def test_what_no_core_runs_is_as_the_oracle_has_it(cell: Cell):
    """Spike response neurons, PSP-LN's root, linear neurons and identities: docs/folding.md has them line by line."""
    rng = np.random.default_rng(4)
    floats = random_float_network(rng, cell, timesteps=5)
    assert_as_the_oracle(fold(floats).network, random_events(rng, floats, samples=1))


def test_the_boundary_vectors_meet_every_boundary():
    totals = dict.fromkeys(BOUNDARIES, 0)
    for case in CASES:
        for name, count in boundary_statistics(case).items():
            totals[name] += count
    assert all(totals.values()), totals


@pytest.mark.parametrize("small", [True, False])
def test_random_networks_fire_and_meet_every_boundary(small: bool):
    found = [random_case(seed, small=small) for seed in range(100)]
    lively = sum(all(0.02 <= rate <= 0.6 for rate in firing_rates(case)) for case in found)
    statistics = [boundary_statistics(case) for case in found[:50]]
    totals = {name: sum(of_case[name] for of_case in statistics) for name in BOUNDARIES}
    assert lively >= 85
    assert all(count >= 20 for count in totals.values()), totals
    sizes = [population.size for case in found for population in case.network.populations]
    assert max(sizes) <= (80 if small else 600)
    lanes = {case.chip.architecture.lanes for case in found}
    assert {1, 16} <= lanes
    assert any(case.network.populations[0].shape[0] % case.chip.architecture.lanes for case in found)


def test_random_networks_reach_every_part_of_the_contract():
    networks = [random_case(seed, small=True).network for seed in range(150)]
    populations = [p for n in networks for p in n.populations]
    connections = [c for n in networks for c in n.connections]
    assert {(p.leak_kind, p.reset, p.saturate) for p in populations} == {
        (leak, reset, saturate) for leak in ("none", "shift", "multiply") for reset in ("soft", "hard", "none") for saturate in (True, False)
    }
    assert {n.readout.decode for n in networks} == {"potential", "spike_count"}
    assert {n.input.coding for n in networks} == {"ternary", "poisson", "direct"}
    assert {(c.kind, c.stride) for c in connections} == {("dense", 1), ("conv2d", 1), ("conv2d", 2)}
    assert {c.pool for c in connections} == {1, 2, 3}
    assert {c.padding for c in connections} == {0, 1, 2}
    assert {w.bits for n in networks for w in n.weights} == set(range(2, 9))
    assert any(c.unit_gain for c in connections)
    for least in (-1, 0):
        assert any((c.gain.values == 0).any() if least == 0 else c.gain.signed for c in connections)
    assert any("t" in c.gain_shift.axes for c in connections)


def test_a_seed_is_a_case():
    first, second = random_case(3, small=True), random_case(3, small=True)
    assert np.array_equal(first.events, second.events)
    assert all(
        np.array_equal(a.threshold.values, b.threshold.values) for a, b in zip(first.network.populations, second.network.populations, strict=True)
    )
    assert first.chip == second.chip


def dense_case(seed: int = 5) -> tuple[Network, np.ndarray]:
    """A random case whose first layer is dense over unpooled, ungraded inputs."""
    for s in range(seed, seed + 400):
        case = random_case(s, small=True, timesteps=6)
        first = case.network.connections[0]
        if first.kind == "dense" and first.pool == 1 and len(case.network.populations) > 1:
            return case.network, case.events
    raise AssertionError("no seed gives a dense first layer")


def test_samples_do_not_touch_each_other():
    case = random_case(12, small=True, timesteps=3)
    together = reference.run(case.network, case.events, potentials=True)
    for n in range(len(case.events)):
        alone = reference.run(case.network, case.events[n : n + 1], potentials=True)
        for a, b in zip(together.potentials, alone.potentials, strict=True):
            assert np.array_equal(a[n], b[0])
        assert np.array_equal(together.scores[n], alone.scores[0])


def test_later_timesteps_do_not_touch_earlier_ones():
    case = random_case(21, small=True, timesteps=9)
    changed = case.events.copy()
    changed[:, 5:] = 0
    a, b = (reference.run(case.network, events, potentials=True) for events in (case.events, changed))
    assert all(np.array_equal(x[:, :5], y[:, :5]) for x, y in zip(a.potentials, b.potentials, strict=True))
    assert not np.array_equal(a.potentials[0], b.potentials[0])


def test_permuting_inputs_with_their_weights_changes_nothing():
    network, events = dense_case()
    order = np.random.default_rng(0).permutation(network.input.shape[0])
    first = network.weights[0]
    c, h, w = network.input.shape
    shuffled = first.tensor.reshape(-1, c, h * w)[:, order].reshape(first.tensor.shape)
    other = replace(network, weights=(replace(first, tensor=shuffled), *network.weights[1:]))
    assert compare(reference.run(network, events, potentials=True), reference.run(other, events[:, :, order], potentials=True)).equal


def test_unused_synapses_change_nothing_but_the_operations():
    """A silent input channel may have any weights."""
    network, events = dense_case()
    silent = events.copy()
    silent[:, :, 0] = 0
    first = network.weights[0]
    tensor = first.tensor.reshape(first.tensor.shape[0], *network.input.shape).copy()
    tensor[:, 0] = 0
    other = replace(network, weights=(replace(first, tensor=tensor.reshape(first.tensor.shape)), *network.weights[1:]))
    assert compare(reference.run(network, silent, potentials=True), reference.run(other, silent, potentials=True)).equal


def test_wider_potentials_change_nothing_where_the_width_is_proven():
    found = 0
    for seed in range(30):
        case = random_case(seed, small=True)
        if any(p.saturate or p.never_fires for p in case.network.populations):
            continue
        wide = tuple(replace(p, potential_bits=32, saturate=seed % 2 == 0) for p in case.network.populations)
        other = reference.run(replace(case.network, populations=wide), case.events, potentials=True)
        assert compare(reference.run(case.network, case.events, potentials=True), other).equal
        assert not any(other.clamps)
        found += 1
    assert found >= 4


def test_predictions_are_the_lowest_index_among_the_greatest_scores():
    case = next(case for case in CASES if case.name == "scores that tie")
    trace = reference.run(case.network, case.events)
    assert trace.scores.tolist() == [[0, 2, 2, 0]]
    assert trace.predictions.tolist() == [1]


def test_potentials_are_kept_only_on_demand():
    case = CASES[0]
    assert reference.run(case.network, case.events).potentials is None


class TestErrors:
    def test_events_of_another_shape(self):
        case = CASES[0]
        with pytest.raises(DataError) as error:
            reference.run(case.network, np.zeros((1, 9, 1, 1, 1), np.int8))
        assert str(error.value) == "events: int8 [1, 9, 1, 1, 1]; the network takes int8 [N, 3, 1, 1, 1] with N of at least 1"

    def test_events_of_another_type_and_none_at_all(self):
        case = CASES[0]
        for events in (case.events.astype(np.int16), case.events[:0]):
            with pytest.raises(DataError, match=r"the network takes int8 \[N, 3, 1, 1, 1\] with N of at least 1$"):
                reference.run(case.network, events)

    def test_payloads_out_of_range(self):
        case = CASES[0]
        with pytest.raises(DataError) as error:
            reference.run(case.network, case.events * 2)
        assert str(error.value) == "events: a payload in 2..2; ternary payloads are in -1..1"
