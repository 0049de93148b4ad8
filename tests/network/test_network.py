"""The contract refuses what it cannot mean, with place, value and limit."""

from dataclasses import fields as fields_of
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from spikefold.data.errors import NetworkError, SpikefoldError
from spikefold.network.connection import Connection, Weights
from spikefold.network.fields import signed_range
from spikefold.network.network import ExitRule, Network, Readout
from spikefold.network.population import Population, PspScale, State
from tests.cases import CASES

BASE = next(case.network for case in CASES if case.name == "corners, padding 1, stride 2")


def one(*value: int) -> np.ndarray:
    return np.array(value, np.int64).reshape(1, -1)


def connection(**fields: Any) -> Connection:
    given: dict[str, Any] = {
        "source": "input",
        "target": "a",
        "kind": "conv2d",
        "weights": "w",
        "current_bits": 8,
        "gain": one(1),
        "gain_shift": one(0),
    }
    return Connection(**{**given, **fields})


def population(**fields: Any) -> Population:
    given: dict[str, Any] = {
        "name": "a", "shape": (2, 1, 1), "reset": "soft", "leak_kind": "none", "threshold": one(3), "potential_bits": 8,
        "saturate": False,
    }  # fmt: skip
    return Population(**{**given, **fields})


A = "connection 'input' to 'a'"
P = "population 'a'"
ORDER = "connection '{}' to '{}': connections must be in the order of what they feed, and come from the input or an earlier population"
SCALE = PspScale(about="zero", decay=1, payload_shift=2, floor=1, shift=3)
STATE = State(name="rise", bits=8, decay=1)
CONNECTION_ERRORS: list[tuple[dict[str, Any], str]] = [
    ({"kind": "conv3d"}, f"{A} kind: value 'conv3d'; it must be one of dense, conv2d, identity"),
    ({"pool": 17}, f"{A} pool: value 17; it must be an integer in 1..16"),
    ({"stride": 0}, f"{A} stride: value 0; it must be an integer in 1..16"),
    ({"stride": 1.0}, f"{A} stride: value 1.0; it must be an integer in 1..16"),
    ({"padding": 16}, f"{A} padding: value 16; it must be an integer in 0..15"),
    ({"padding": True}, f"{A} padding: value True; it must be an integer in 0..15"),
    ({"dilation": 2}, f"{A} dilation: 2 is not supported by this version; it must be 1"),
    ({"groups": 2}, f"{A} groups: 2 is not supported by this version; it must be 1"),
    ({"delay": 1}, f"{A} delay: 1 is not supported by this version; it must be 0"),
    ({"hold": True}, f"{A} hold: True is not supported by this version; it must be False"),
    ({"kind": "dense", "stride": 2}, f"{A}: stride 2, padding 0; dense has 1 and 0"),
    ({"kind": "identity", "stride": 2}, f"{A}: stride 2, padding 0; identity has 1 and 0"),
    ({"kind": "identity", "weights": "w"}, f"{A}: pool 1, weights 'w'; an identity has 1 and none"),
    ({"kind": "identity", "weights": "", "pool": 2}, f"{A}: pool 2, weights ''; an identity has 1 and none"),
    ({"payload_bits": 17}, f"{A} payload_bits: value 17; it must be an integer in 2..16"),
    ({"current_bits": 33}, f"{A} current_bits: value 33; it must be an integer in 1..32"),
    ({"gain": one(1).ravel()}, f"{A} gain: 1 axes; it must have 2"),
    ({"gain": np.ones((1, 1))}, f"{A} gain: dtype float64; it must be an integer type"),
    ({"gain": one(0, 1 << 23)}, f"{A} gain[0, 1]: value 8388608; it must be in -8388608..8388607"),
    ({"gain": np.array([[(1 << 64) - 3]], np.uint64)}, f"{A} gain: value 18446744073709551613; it must fit 64 signed bits"),
    ({"gain_shift": one(32)}, f"{A} gain_shift[0, 0]: value 32; it must be in 0..31"),
]
POPULATION_ERRORS: list[tuple[dict[str, Any], str]] = [
    ({"shape": (0, 1, 1)}, f"{P} shape: (0, 1, 1); it must be three numbers in 1..65536"),
    ({"neuron": "izhikevich"}, f"{P} neuron: value 'izhikevich'; it must be one of lif, linear, srm"),
    ({"neuron": "if"}, f"{P} neuron: value 'if'; it must be one of lif, linear, srm"),
    (
        {"neuron": "srm"},
        f"{P} states: (); srm neurons have ('rise', 'psp', 'refractory') or ('rise', 'psp', 'refractory', 'refractory_rise')",
    ),
    ({"neuron": "srm", "reset": "hard"}, f"{P}: reset 'hard', leak_kind 'none'; srm neurons have no leak and no such reset"),
    ({"neuron": "linear"}, f"{P} output: 'spike'; linear neurons send graded payloads, and no others do"),
    (
        {"neuron": "linear", "output": "graded", "potential_bits": 24},
        f"{P} potential_bits: value 24; it must be an integer in 2..16",
    ),
    ({"reset": "half"}, f"{P} reset: value 'half'; it must be one of soft, hard, none"),
    ({"leak_kind": "log"}, f"{P} leak_kind: value 'log'; it must be one of none, shift, multiply"),
    ({"states": (STATE,)}, f"{P} states: ('rise',); lif neurons have none"),
    ({"scale": SCALE}, f"{P} scale: 'lif' neurons have none; only srm neurons may have one"),
    ({"output": "analog"}, f"{P} output: value 'analog'; it must be one of spike, graded"),
    ({"output": "graded", "potential_bits": 8}, f"{P} output: 'graded'; linear neurons send graded payloads, and no others do"),
    ({"potential_bits": 33}, f"{P} potential_bits: value 33; it must be an integer in 2..32"),
    ({"leak_frac_bits": 17}, f"{P} leak_frac_bits: value 17; it must be an integer in 0..16"),
    ({"leak_shift": 32}, f"{P} leak_shift: value 32; it must be an integer in 0..31"),
    ({"saturate": 1}, f"{P} saturate: 1; it must be true or false"),
    ({"initial": np.array([128])}, f"{P} initial[0]: value 128; it must be in -128..127"),
    ({"leak": one(5), "leak_frac_bits": 2}, f"{P} leak[0, 0]: value 5; it must be in 0..4"),
    ({"threshold": one(256)}, f"{P} threshold[0, 0]: value 256; it must be in -256..255"),
    ({"decrement": one(1, -257)}, f"{P} decrement[0, 1]: value -257; it must be in -256..255"),
    ({"load": one(-129)}, f"{P} load[0, 0]: value -129; it must be in -128..127"),
    ({"unit": np.zeros(1)}, f"{P} unit: it must be one axis of finite numbers above 0"),
    ({"unit": np.array([np.inf])}, f"{P} unit: it must be one axis of finite numbers above 0"),
]


@pytest.mark.parametrize(("fields", "text"), CONNECTION_ERRORS)
def test_connection(fields: dict[str, Any], text: str):
    with pytest.raises(NetworkError) as error:
        connection(**fields)
    assert str(error.value) == text


@pytest.mark.parametrize(("fields", "text"), POPULATION_ERRORS)
def test_population(fields: dict[str, Any], text: str):
    with pytest.raises(NetworkError) as error:
        population(**fields)
    assert str(error.value) == text


@pytest.mark.parametrize(
    ("tensor", "bits", "text"),
    [
        (np.zeros((1, 1), np.int8), 9, "weights 'w' bits: value 9; it must be an integer in 2..8"),
        (np.zeros((1, 1), np.int16), 8, "weights 'w': int16 [1, 1]; it must be int8 [O, I] or [O, I, KY, KX]"),
        (np.zeros((1, 1, 1), np.int8), 8, "weights 'w': int8 [1, 1, 1]; it must be int8 [O, I] or [O, I, KY, KX]"),
        (np.zeros((0, 1), np.int8), 8, "weights 'w': int8 [0, 1]; it must be int8 [O, I] or [O, I, KY, KX]"),
        (np.array([[0, 4]], np.int8), 3, "weights 'w' tensor[0, 1]: value 4; it must be in -4..3"),
    ],
)
def test_weights(tensor: np.ndarray, bits: int, text: str):
    with pytest.raises(NetworkError) as error:
        Weights(id="w", tensor=tensor, bits=bits)
    assert str(error.value) == text


def test_readout_and_exit():
    for build, text in [
        (lambda: Readout(decode="max", offset=np.zeros(2, np.int64)), "readout decode: value 'max'; it must be one of potential, spike_count"),
        (lambda: Readout(decode="potential", offset=np.zeros(2)), "readout offset: dtype float64; it must be an integer type"),
        (
            lambda: Readout(decode="potential", offset=np.array([1 << 31])),
            "readout offset[0]: value 2147483648; it must be in -2147483648..2147483647",
        ),
        (
            lambda: Readout(decode="potential", offset=np.array([1 << 63], np.uint64)),
            "readout offset: value 9223372036854775808; it must fit 64 signed bits",
        ),
        (
            lambda: replace(BASE.input, shape=(1, 65537, 1)),
            "input shape (1, 65537, 1): it must be three numbers (channels, height, width) in 1..65536",
        ),
        (lambda: ExitRule(rule="margin"), "exit rule: 'margin' is not supported by this version; it must be 'none'"),
        (lambda: ExitRule(step=3), "exit step: 3 is not supported by this version; it must be 0"),
    ]:
        with pytest.raises(SpikefoldError) as error:
            build()
        assert str(error.value) == text


def edited(index: int, **fields: Any) -> dict[str, Any]:
    """Change one layer of BASE; the names of the fields say of which object."""
    connections, populations = list(BASE.connections), list(BASE.populations)
    for parts in (connections, populations):
        known = {k: v for k, v in fields.items() if k in {f.name for f in fields_of(parts[index])}}
        parts[index] = replace(parts[index], **known)
    return {"connections": tuple(connections), "populations": tuple(populations)}


NETWORK_ERRORS: list[tuple[dict[str, Any], str]] = [
    ({"format_version": 1}, "format_version: 1 is not supported by this version; it must be 3"),
    ({"timesteps": 0}, "timesteps: value 0; it must be an integer in 1..4096"),
    ({"timesteps_trained": 4097}, "timesteps_trained: value 4097; it must be an integer in 1..4096"),
    ({"weights": (*BASE.weights, BASE.weights[0])}, "weights: two tensors have the same id; each id must be there once"),
    ({"weights": BASE.weights[1:]}, "connection into 'conv': weights id 'conv' is not in the network"),
    ({"weights": (*BASE.weights, replace(BASE.weights[0], id="spare"))}, "weights 'spare': no connection uses them"),
    (edited(1, name="input"), "populations: a name is there twice, or is 'input'; names must differ"),
    (edited(1, name="conv"), "populations: a name is there twice, or is 'input'; names must differ"),
    ({"connections": ()}, "population 'conv': no connection feeds it; at least 1 is needed"),
    ({"populations": (), "connections": ()}, "network: it has no populations; at least 1 is needed"),
    ({"connections": (*BASE.connections, replace(BASE.connections[0], source="out"))}, ORDER.format("out", "conv")),
    (edited(0, source="conv"), ORDER.format("conv", "conv")),
    ({"connections": BASE.connections[::-1]}, ORDER.format("input", "conv")),
    (edited(1, source="missing"), "connection 'missing' to 'out': there is no population 'missing'"),
    (edited(1, source="input"), "layer 'out' weights: shape [2, 18]; [out, 25] is expected for a source of (1, 5, 5)"),
    (edited(0, shape=(2, 3, 2)), "layer 'conv' shape: (2, 3, 2); its connection from 'input' gives (2, 3, 3)"),
    (edited(0, payload_bits=3), "layer 'conv' payload_bits: value 3; its source 'input' sends payloads of 2 bits"),
    (edited(1, payload_bits=3), "layer 'out' payload_bits: value 3; its source 'conv' sends payloads of 2 bits"),
    (edited(0, threshold=np.ones((2, 1), np.int64)), "layer 'conv' threshold: shape [2, 1]; it must be [4 or 1, 2 or 1]"),
    (edited(0, gain=np.ones((1, 3), np.int64)), "layer 'conv' gain: shape [1, 3]; it must be [4 or 1, 2 or 1]"),
    (edited(0, initial=np.zeros(3, np.int64)), "layer 'conv' initial: 3 values; it must be 2 or 1"),
    (edited(0, unit=np.ones(3)), "layer 'conv' unit: 3 values; it must be 2 or 1"),
    ({"class_names": ("a",)}, "readout: 1 class names, 2 offsets and a last population of (2, 1, 1); it must be one neuron and one offset a class"),
    (edited(1, threshold=one(5)), "population 'out' threshold: a potential readout never fires, so it must lie above every potential"),
    (edited(0, current_bits=6), "layer 'conv' current_bits: 6; its weights can reach -45..45, which takes 7"),
]


@pytest.mark.parametrize(("fields", "text"), NETWORK_ERRORS)
def test_network(fields: dict[str, Any], text: str):
    with pytest.raises(NetworkError) as error:
        replace(BASE, **fields)
    assert str(error.value) == text


def test_a_width_that_is_not_proven():
    with pytest.raises(
        NetworkError, match=r"^layer 'conv' potential_bits: 6; the potential can reach -\d+\.\.\d+, which takes \d+ \(or set saturate\)$"
    ):
        replace(BASE, **edited(0, potential_bits=6, threshold=one(4), decrement=one(4)))
    assert isinstance(replace(BASE, **edited(0, potential_bits=6, threshold=one(4), decrement=one(4), saturate=True)), Network)


def test_arrays_are_read_only_copies():
    gain = one(2)
    built = connection(gain=gain)
    gain[0, 0] = 9
    assert built.gain.values[0, 0] == 2
    tensor = np.ones((1, 1), np.int8)
    weights = Weights(id="w", tensor=tensor, bits=2)
    for array in (built.gain.values, population().threshold.values, weights.tensor, population().unit, BASE.readout.offset):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_properties():
    assert connection().unit_gain
    assert not connection(gain=one(1, 2)).unit_gain
    assert not connection(gain_shift=one(1)).unit_gain
    assert population(threshold=one(128)).never_fires
    assert not population(threshold=one(128, 127)).never_fires
    assert population(shape=(3, 4, 5)).size == 60
    assert [BASE.source(c).shape for c in BASE.connections] == [(1, 5, 5), (2, 3, 3)]
    assert BASE.weights_of(BASE.connections[1]).id == "out"
    assert signed_range(4) == (-8, 7)
