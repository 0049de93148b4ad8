"""The proofs of widths, against every input that a tiny network can be given."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from spikefold.data.errors import NetworkError
from spikefold.network import reference
from spikefold.network.widths import PROVEN_MAX, bits_for, current_bounds, potential_bounds, weighted_bounds
from tests.cases import CASES, coding, layer, network
from tests.random_networks import random_case


@pytest.mark.parametrize(
    ("low", "high", "bits"),
    [(0, 0, 1), (-1, 0, 1), (0, 1, 2), (-2, 1, 2), (-3, 1, 3), (-128, 127, 8), (-129, 0, 9), (0, 128, 9), (1, 5, 4), (-7, -5, 4)],
)
def test_bits_for(low: int, high: int, bits: int):
    assert bits_for(low, high) == bits


def every_input(least: int, most: int, inputs: int, timesteps: int) -> np.ndarray:
    """All rasters, [N, T, inputs, 1, 1]."""
    values = itertools.product(range(least, most + 1), repeat=inputs * timesteps)
    return np.array(list(values), np.int8).reshape(-1, timesteps, inputs, 1, 1)


def random_tiny(seed: int):
    """A network of one layer with two inputs and three timesteps, and all that can be fed to it."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(-9, 10, (3, 2))
    kinds = [
        {"leak_kind": "none"},
        {"leak_kind": "shift", "leak_shift": 1},
        {"leak_kind": "multiply", "leak": rng.integers(0, 9, (3, 3)), "leak_frac_bits": 3},
    ]
    fields = {
        "gain": rng.integers(-4, 5, (3, 3)), "gain_shift": rng.integers(0, 3, (3, 1)), "reset": ["soft", "hard", "none"][seed % 3],
        "threshold": rng.integers(-5, 12, (3, 3)), "decrement": rng.integers(-3, 14, (3, 3)), "load": rng.integers(-9, 10, (3, 3)),
        "initial": rng.integers(-5, 6, 3), **kinds[seed // 3 % 3],
    }  # fmt: skip
    source = coding((2, 1, 1), 2)
    return network([layer("input", "only", source.shape, weights, (-1, 1, 2), **fields)], source, 3), every_input(-1, 1, 2, 3)


def test_bounds_hold_for_every_input_and_are_near():
    slack = []
    for seed in range(90):
        net, events = random_tiny(seed)
        low, high = current_bounds(net.feeding(0)[0])
        current, _ = reference.currents(net.connections[0], net.weights[0], events.astype(np.int64))
        seen = current.reshape(-1, 3, 3)
        assert np.array_equal(seen.min((0, 1)), low)
        assert np.array_equal(seen.max((0, 1)), high)
        least, most = potential_bounds([(net.connections[0], low, high)], net.populations[0], 3)
        reached = [int(net.populations[0].initial.min()), int(net.populations[0].initial.max())]
        trace = reference.run(net, events, potentials=True)
        assert trace.potentials is not None
        reached += [int(trace.potentials[0].min()), int(trace.potentials[0].max())]
        # The sum before a reset counts too: with no reset in timestep t it is the potential there.
        for t in range(3):
            never = net.populations[0].threshold.values.copy()
            never[t] = (1 << 24) - 1
            summed = reference.run_population([(net.connections[0], current)], replace(net.populations[0], threshold=never))[1][:, t]
            reached += [int(summed.min()), int(summed.max())]
        assert least <= min(reached)
        assert most >= max(reached)
        slack.append((most - least) / (max(reached) - min(reached)))
    assert np.mean(np.array(slack) == 1.0) > 0.4
    assert np.mean(slack) < 1.25


def test_a_soft_reset_that_always_happens_lowers_the_upper_bound():
    source = coding((1, 1, 1), 2)
    fields = {"threshold": 1, "decrement": 4, "initial": np.array([4])}
    built = layer("input", "only", source.shape, [[1]], (-1, 1, 2), **fields)
    net = network([built], source, 6)
    assert potential_bounds([(net.connections[0], np.array([-1]), np.array([1]))], net.populations[0], 6) == (-7, 5)


def test_pooled_and_unsigned_payloads():
    tensor = np.array([[1, -2], [3, 4]], np.int8)
    assert [b.tolist() for b in weighted_bounds(tensor, 2, 0, 1)] == [[-8, 0], [4, 28]]
    assert [b.tolist() for b in weighted_bounds(tensor, 1, -3, 3)] == [[-9, -21], [9, 21]]


def test_random_runs_stay_within_what_is_declared():
    for seed in range(40):
        case = random_case(seed, small=True)
        trace = reference.run(case.network, case.events, potentials=True)
        assert trace.potentials is not None
        for potential, population in zip(trace.potentials, case.network.populations, strict=True):
            edge = 1 << (population.potential_bits - 1)
            assert -edge <= potential.min()
            assert potential.max() < edge


def test_a_proof_stops_before_it_overflows():
    source = coding((1, 1, 1), 2)
    built = layer(
        "input", "only", source.shape, [[127]], (-1, 1, 2), gain=(1 << 23) - 1, threshold=1, decrement=(1 << 32) - 1, potential_bits=32, saturate=True
    )
    net = network([built], source, 4096)
    least, most = potential_bounds([(net.connections[0], np.array([-127]), np.array([127]))], net.populations[0], 4096)
    assert least < -(1 << 40)
    assert most > 1 << 29


def test_a_network_at_every_limit_is_refused():
    """Eight timesteps of 24-bit gains on 32-bit currents, times a leak of 17 bits, would pass 2**63."""
    source = coding((1, 256, 512), 8)
    tensor = np.full((1, 512), 127, np.int8)
    bound = {"threshold": (1 << 32) - 1, "potential_bits": 32, "leak_kind": "multiply", "leak": 1 << 16, "leak_frac_bits": 16}
    built = layer("input", "only", source.shape, tensor, (-127, 127, 8), pool=16, gain=(1 << 23) - 1, **bound)
    assert built[1].current_bits == 32
    least, most = potential_bounds([(built[1], *weighted_bounds(tensor, 16, -127, 127))], built[2], 8)
    assert least < -PROVEN_MAX
    assert most > PROVEN_MAX
    with pytest.raises(NetworkError, match=r"^layer 'only' potential_bits: 32; the potential can reach -\d+\.\.\d+, which takes \d+ "):
        network([built], source, 8)


def test_a_case_whose_width_is_just_reached():
    net = next(case.network for case in CASES if case.name == "a proven width that is just reached")
    assert potential_bounds([(net.connections[0], *current_bounds(net.feeding(0)[0]))], net.populations[0], 1) == (-16, 15)
