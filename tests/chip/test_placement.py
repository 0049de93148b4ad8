"""Placing layers on cores: tables that walk the fan-out, images, and the errors of a network that is too large."""

from dataclasses import replace

import numpy as np
import pytest

from spikefold.chip import placement
from spikefold.chip.core import CorePlan, plan_connection
from spikefold.chip.placement import place
from spikefold.data.errors import ChipError
from spikefold.network.network import Network
from tests import oracle
from tests.cases import CASES
from tests.chips import chip_of
from tests.random_networks import random_case

NETWORK = next(case.network for case in CASES if case.name == "corners, padding 1, stride 2")


def walked(plan: CorePlan, channel: int, y: int, x: int) -> dict[tuple[int, int, int], int]:
    """Follow the tables as a core does, and return the weight that each neuron gets."""
    found: dict[tuple[int, int, int], int] = {}
    (row, row_weight, rows), (column, column_weight, columns) = plan.rows[y], plan.columns[x]
    for i in range(rows):
        for j in range(columns):
            word = row + i * plan.row_step + column + j * plan.column_step
            weight = row_weight - i * plan.row_weight_step + column_weight - j * plan.column_weight_step + channel * plan.channel_step
            for g in range(plan.groups):
                pixel, group = divmod(int(word) + g, plan.groups)
                for lane in range(plan.lanes):
                    c = group * plan.lanes + lane
                    if c < plan.shape[0]:
                        key = (c, pixel // plan.shape[2], pixel % plan.shape[2])
                        assert key not in found
                        found[key] = int(plan.weights[weight + g, lane])
                    else:
                        assert plan.weights[weight + g, lane] == 0
    return found


def check(network: Network, lanes: int) -> int:
    compared = 0
    for index in range(len(network.populations)):
        plan = plan_connection(network, network.connections[index], lanes)
        fan_out = plan.fan_out()
        for channel, y, x in np.ndindex(*plan.source_shape):
            expected = {n[:3]: n[3] for n in oracle.fan_out(network, index, (channel, y, x, 1))}
            assert walked(plan, channel, y, x) == expected
            assert fan_out[y, x] * plan.lanes * plan.shape[0] == len(expected) * plan.groups * plan.lanes
            compared += len(expected)
    return compared


@pytest.mark.parametrize("lanes", [1, 2, 3, 8])
def test_tables_reach_what_the_definition_reaches_on_boundary_vectors(lanes: int):
    assert sum(check(case.network, lanes) for case in CASES) > 3000


def test_tables_reach_what_the_definition_reaches_on_random_networks():
    assert sum(check(case.network, case.chip.architecture.lanes) for case in (random_case(seed, small=True) for seed in range(40))) > 10_000


def test_one_core_a_layer_in_order():
    plans = place(NETWORK, chip_of(lanes=4)).cores
    assert [(p.index, p.name, p.shape) for p in plans] == [(0, "conv", (2, 3, 3)), (1, "out", (2, 1, 1))]
    assert [p.words for p in plans] == [9, 1]
    assert plans[0].weights.shape == (9, 4)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"cores": 1}, "network: 2 layers, one core each; chip 'c' has 1 cores"),
        ({"axons_per_core": 24}, "layer 'conv' axons_per_core: 25 needed; chip 'c' has 24"),
        ({"neurons_per_core": 35, "lanes": 4}, "layer 'conv' neurons_per_core: 36 needed; chip 'c' has 35"),
        ({"weight_bits_per_core": 100, "lanes": 2}, "layer 'conv' weight_bits_per_core: 144 needed; chip 'c' has 100"),
        ({"potential_bits": 23}, "layer 'conv' potential_bits: 24 needed; chip 'c' has 23"),
        ({"current_bits": 6}, "layer 'conv' current_bits: 7 needed; chip 'c' has 6"),
    ],
)
def test_limits_name_the_layer(fields: dict[str, int], text: str):
    with pytest.raises(ChipError) as error:
        place(NETWORK, chip_of(name="c", **fields))
    assert str(error.value) == text


def test_what_is_too_large_is_refused_before_it_is_laid_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(placement, "plan_connection", None)
    for limit in ("axons_per_core", "neurons_per_core"):
        with pytest.raises(ChipError, match=rf"^layer 'conv' {limit}: \d+ needed; chip 'c' has 1$"):
            place(NETWORK, chip_of(name="c", **{limit: 1}))


def test_schedules_count_what_changes_and_nothing_else():
    scheduled = next(case.network for case in CASES if case.name == "schedules, hard")
    # Three channels on four lanes; the thresholds 1..9 take 4 bits and the loads -4..4 four, in each of 4 timesteps; hard reset has no decrement.
    bits = 4 * 4 * (4 + 4)
    place(scheduled, chip_of(name="c", lanes=4, schedule_bits_per_core=bits))
    with pytest.raises(ChipError, match=rf"^layer 'only' schedule_bits_per_core: {bits} needed; chip 'c' has {bits - 1}$"):
        place(scheduled, chip_of(name="c", lanes=4, schedule_bits_per_core=bits - 1))
    constant = replace(scheduled.populations[0], threshold=scheduled.populations[0].threshold.values[:1, :1])
    place(replace(scheduled, populations=(constant,)), chip_of(name="c", lanes=4, schedule_bits_per_core=4 * 4 * 4))


def test_lanes_that_do_not_divide_the_channels_are_padded_with_zeros():
    network = random_case(4, small=True).network
    plan = plan_connection(network, network.connections[0], 5)
    channels = plan.shape[0]
    assert plan.groups == -(-channels // 5)
    assert plan.weights.size == plan.groups * 5 * network.weights[0].tensor[0].size
    assert int(np.abs(plan.weights.astype(int)).sum()) == int(np.abs(network.weights[0].tensor.astype(int)).sum())


def test_gains_that_a_chip_cannot_shift_are_refused():
    connection = replace(NETWORK.connections[0], gain=np.full((1, 1), 11))
    network = replace(NETWORK, connections=(connection, *NETWORK.connections[1:]))
    place(network, chip_of(name="c"))
    name = NETWORK.populations[0].name
    text = rf"^layer '{name}' gain: a sum of 3 powers of two; chip 'c' shifts and adds 2, so fold with gain_terms \(--gain-terms\) 2$"
    with pytest.raises(ChipError, match=text):
        place(network, chip_of(name="c", gain_terms=2))
    for gain in (-8, 0, 12):
        place(replace(network, connections=(replace(connection, gain=np.full((1, 1), gain)), *NETWORK.connections[1:])), chip_of(gain_terms=2))
