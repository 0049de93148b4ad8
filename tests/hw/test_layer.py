from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Const
from amaranth.lib import data

from spikefold.chip.placement import place
from spikefold.hw.gateware.interface import Interface
from spikefold.hw.gateware.layer import LayerConfig, event_layout
from spikefold.network.network import Network
from spikefold.network.population import Population
from spikefold.network.schedule import Schedule
from tests.cases import single

T, C = 3, 5
TABLE = np.arange(T * C).reshape(T, C) * 3 % 11 + 1
AXES = {"": TABLE[:1, :1], "t": TABLE[:, :1], "c": TABLE[:1], "tc": TABLE}


def layer_of(lanes: int, decode: str = "spike_count", **fields: Any) -> LayerConfig:
    """A layer of 5 neurons and 3 timesteps."""
    potential = {"threshold": (1 << 24) - 1, "reset": "none"} if decode == "potential" else {}
    case = single("schedule", [[1]] * T, np.arange(1, C + 1)[:, None], lanes=lanes, decode=decode, **{"threshold": 9} | potential | fields)
    return Interface(place(case.network, case.chip)).layers[0]


def stored(layer: LayerConfig, name: str) -> np.ndarray:
    """Read a parameter [T, C] back, as the memories and constants give it to each lane."""
    found = np.zeros((T, C), np.int64)
    groups = layer.plan.groups
    for t in range(T):
        for c in range(C):
            group, lane = divmod(c, layer.lanes)
            addresses = {"t": t, "c": group, "tc": t * groups + group}
            words = {axes: rom.signature.members["data"].shape.from_bits(rom.words[addresses[axes]]) for axes, rom in layer.schedule.roms.items()}
            constant = layer.schedule.constant(name)
            if constant is None:
                axes = next(axes for axes, word in words.items() if name in dict(word.shape()))
                constant = words[axes][name][lane] if "c" in axes else words[axes][name]
            found[t, c] = constant
    return found


def declared(network: Network, name: str) -> np.ndarray:
    population: Population = network.populations[0]
    if name == "initial":
        return np.broadcast_to(population.initial, (T, C))
    if name == "offset":
        return np.broadcast_to(network.readout.offset, (T, C))
    schedule: Schedule = getattr(network.connections[0] if name.startswith("gain") else population, name)
    return schedule.over(T, C)


@pytest.mark.parametrize("lanes", [1, 2, 4, 5, 8])
@pytest.mark.parametrize("axes", list(AXES))
@pytest.mark.parametrize("name", ["threshold", "decrement", "gain", "gain_shift", "leak"])
def test_a_parameter_is_stored_by_the_axes_along_which_it_changes(name: str, axes: str, lanes: int) -> None:
    others: dict[str, Any] = {"gain": TABLE - 4, "gain_shift": TABLE % 4, "leak": TABLE, "leak_kind": "multiply", "leak_frac_bits": 5, "decrement": 2}
    layer = layer_of(lanes, **others | {name: AXES[axes] - 6 if name in ("threshold", "decrement", "gain") else AXES[axes]})
    for parameter in ("threshold", "decrement", "gain", "gain_shift", "leak", "initial", "offset"):
        np.testing.assert_array_equal(stored(layer, parameter), declared(layer.network, parameter), err_msg=parameter)
    held = [where for where, rom in layer.schedule.roms.items() if name in dict(rom.signature.members["data"].shape)]
    assert held == ([axes] if axes else [])
    assert (name in layer.schedule.neuron_ports) == bool(axes)


@pytest.mark.parametrize("lanes", [1, 2, 8])
def test_memories_hold_a_word_for_each_timestep_and_group(lanes: int) -> None:
    layer = layer_of(lanes, reset="hard", load=TABLE - 5, threshold=TABLE[:, :1], initial=np.arange(C), gain=TABLE)
    groups = -(-C // lanes)
    assert {axes: len(rom.words) for axes, rom in layer.schedule.roms.items()} == {"t": T, "c": groups, "tc": T * groups}
    for name in ("load", "threshold", "initial", "gain"):
        np.testing.assert_array_equal(stored(layer, name), declared(layer.network, name), err_msg=name)
    for rom in layer.schedule.roms.values():
        assert max(rom.words) < 1 << rom.width


def test_what_a_layer_does_not_use_is_not_stored() -> None:
    plain = layer_of(4, decrement=3).schedule
    assert plain.roms == {}
    assert {name: plain.constant(name) for name in ("threshold", "decrement", "initial", "offset")} == {
        "threshold": 9, "decrement": 3, "initial": 0, "offset": 0,
    }  # fmt: skip
    assert "gain" not in plain.parameters
    assert "leak" not in plain.parameters
    assert plain.value("threshold", 0, {}).value == Const(9).value
    assert "decrement" not in layer_of(4, reset="hard", load=-2).schedule.parameters


@pytest.mark.parametrize(
    ("shape", "payload_bits", "widths"),
    [
        ((1, 1, 1), 0, {"channel": 1, "y": 1, "x": 1}),
        ((12, 28, 17), 0, {"channel": 4, "y": 5, "x": 5}),
        ((2, 3, 4), 2, {"channel": 1, "y": 2, "x": 2, "payload": 2}),
        ((16, 64, 65), 7, {"channel": 4, "y": 6, "x": 7, "payload": 7}),
    ],
)
def test_an_event_is_its_address_and_payload_from_the_low_bits_on(shape: tuple[int, int, int], payload_bits: int, widths: dict[str, int]) -> None:
    layout = event_layout(shape, payload_bits)
    assert {name: field.width for name, field in layout} == widths
    assert [field.offset for _, field in layout] == [sum(list(widths.values())[:i]) for i in range(len(widths))]
    if payload_bits:
        least = -(1 << (payload_bits - 1))
        word = layout.const({"channel": shape[0] - 1, "y": shape[1] - 1, "x": shape[2] - 1, "payload": least}).as_bits()
        assert layout.from_bits(word).payload == least


def test_widths_come_from_network_and_plan() -> None:
    layer = layer_of(2, decode="potential", potential_bits=11, threshold=(1 << 11) - 1)
    assert (layer.lanes, layer.plan.words, layer.word_bits, layer.label_bits) == (2, 3, 2, 3)
    assert (layer.weight_bits, layer.current_shape.width, layer.potential_shape.width) == (8, layer.connection.current_bits, 11)
    assert (layer.current_shape.signed, layer.potential_shape.signed, layer.score_shape.signed) == (True, True, True)
    assert layer.lanes_of(layer.potential_shape) == data.ArrayLayout(layer.potential_shape, 2)
    assert (layer.is_last, layer.event_payload_bits) == (True, 2)
