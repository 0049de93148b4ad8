"""What vectors touch of the memories, and how they are chosen."""

from pathlib import Path

import numpy as np
import pytest

from spikefold.chip.config import ChipConfig
from spikefold.chip.placement import place
from spikefold.hw.emit.coverage import choose, touched, untouched
from spikefold.hw.gateware.interface import Interface
from spikefold.network import reference
from spikefold.quantize.float_file import load_float
from spikefold.quantize.fold import fold
from spikefold.workflow.build import chosen_events
from spikefold.workflow.samples import data_for, events_of
from tests.random_networks import random_case

DIGITS = Path(__file__).parents[2] / "examples" / "models" / "digits" / "model.safetensors"


@pytest.mark.parametrize("seed", range(6))
def test_an_event_touches_the_words_that_the_core_walks(seed: int) -> None:
    case = random_case(seed, small=True)
    interface = Interface(place(case.network, case.chip))
    spikes = reference.run(case.network, case.events).spikes
    found = touched(interface, case.events, spikes)
    for layer, source in zip(interface.layers, [case.events, *spikes[:-1]], strict=True):
        plan = layer.plan
        expected = {name: np.zeros((len(source), size), bool) for name, size in (("rows", len(plan.rows)), ("columns", len(plan.columns)))}
        expected["weights"] = np.zeros((len(source), len(plan.weights)), bool)
        for n, _, c, y, x in np.argwhere(source):
            (_, row, rows), (_, column, columns) = plan.rows[y], plan.columns[x]
            expected["rows"][n, y] = expected["columns"][n, x] = True
            for i, j, group in np.ndindex(rows, columns, plan.groups):
                word = c * plan.channel_step + row - i * plan.row_weight_step + column - j * plan.column_weight_step + group
                expected["weights"][n, word] = True
        for name, words in expected.items():
            np.testing.assert_array_equal(found[f"mem/layer{plan.index}_{name}.hex"][:, :, 0], words)
    assert set(found) == {rom.file for layer in interface.layers for rom in layer.schedule.roms.values()} | {
        f"mem/layer{d}_{name}.hex" for d in range(interface.depth) for name in ("rows", "columns", "weights")
    }


def test_a_schedule_is_touched_by_neurons_that_fire_and_by_neurons_that_do_not() -> None:
    case = random_case(35, small=True)
    interface = Interface(place(case.network, case.chip))
    spikes = reference.run(case.network, case.events).spikes
    rest, ceaseless = (tuple(np.full_like(s, value) for s in spikes) for value in (False, True))
    for layer in interface.layers:
        for rom in layer.schedule.roms.values():
            never = layer.population.never_fires
            assert touched(interface, case.events, rest)[rom.file].all() == never
            assert not touched(interface, case.events, ceaseless)[rom.file].all(2).any()


def test_samples_are_chosen_until_no_part_gains_a_touch() -> None:
    parts = np.array([[1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 1, 0]], bool)
    found = {"a": parts[:, :2, None], "b": parts[:, None, 2:]}
    assert choose(found, 1, 10) == [2, 3]
    assert choose(found, 9, 10) == [2, 0, 1, 3]
    assert choose(found, 9, 2) == [2, 0]
    assert untouched(found) == {"b": [0]}


def test_the_chosen_vectors_of_the_digits_touch_every_word_and_the_first_sample_does_not() -> None:
    network, chip = fold(load_float(DIGITS)).network, ChipConfig()
    data = data_for(network, None, "test", None)
    interface = Interface(place(network, chip))

    def missed(events: np.ndarray) -> set[str]:
        return set(untouched(touched(interface, events, reference.run(network, events).spikes)))

    assert missed(chosen_events(place(network, chip), data)) == set()
    assert missed(events_of(network, data, range(1))) == {
        "mem/layer0_columns.hex", "mem/layer0_weights.hex", "mem/layer0_schedule_tc.hex", "mem/layer1_weights.hex"
    }  # fmt: skip
