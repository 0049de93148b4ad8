"""The file of an integer network: exact both ways, and strict."""

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikefold.data.errors import NetworkError
from spikefold.network.files import network_file, tensor_file
from spikefold.network.files.records import pack
from spikefold.network.network import Network
from tests.quantize.networks import integer_network


def assert_same(a: Any, b: Any) -> None:
    """Compare two records field by field, with the dtypes of arrays."""
    assert type(a) is type(b)
    if dataclasses.is_dataclass(a):
        for field in dataclasses.fields(a):
            assert_same(getattr(a, field.name), getattr(b, field.name))
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        assert np.array_equal(a, b)
    elif isinstance(a, tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), timesteps=st.integers(1, 5), classes=st.integers(1, 4))
def test_a_network_comes_back_exactly(seed: int, timesteps: int, classes: int) -> None:
    network = integer_network(seed, timesteps=timesteps, classes=classes)
    content = network_file.dumps(network)
    read = network_file.loads(content)
    assert_same(read, network)
    assert network_file.dumps(read) == content


def test_saving_what_was_loaded_gives_the_same_file(tmp_path: Path) -> None:
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    network_file.save(integer_network(), first)
    network_file.save(network_file.load(first), second)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("name", ["", "input layer", "größe/Ω", "a" * 500, "..", "w.0"])
def test_any_printable_name_of_a_layer_is_kept(name: str) -> None:
    network = integer_network()
    conv, out = network.populations
    c0, c1 = network.connections
    renamed = dataclasses.replace(
        network,
        populations=(dataclasses.replace(conv, name=name), out),
        connections=(dataclasses.replace(c0, target=name), dataclasses.replace(c1, source=name)),
    )
    assert network_file.loads(network_file.dumps(renamed)).populations[0].name == name


def test_every_field_is_in_the_file() -> None:
    table, tensors = pack(integer_network())
    assert set(table) == {f.name for f in dataclasses.fields(Network)}
    for name in ("initial", "leak", "threshold", "decrement", "load", "unit"):
        assert f"populations.0.{name}" in tensors


Parts = tuple[dict[str, Any], dict[str, np.ndarray]]


def parts() -> Parts:
    return copy.deepcopy(pack(integer_network()))


def put(*path: str | int, value: Any) -> Callable[[Parts], None]:
    """Return a change of one place of the table."""

    def change(given: Parts) -> None:
        at: Any = given[0]
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value

    return change


def drop(*path: str | int) -> Callable[[Parts], None]:
    def change(given: Parts) -> None:
        at: Any = given[0]
        for key in path[:-1]:
            at = at[key]
        del at[path[-1]]

    return change


def tensor(name: str, value: Any) -> Callable[[Parts], None]:
    """Return a change of one tensor; None takes it away."""

    def change(given: Parts) -> None:
        if value is None:
            del given[1][name]
        else:
            given[1][name] = value

    return change


I64 = np.int64
REFUSED = {
    "unknown version": (put("format_version", value=1), "format_version: 1; this version of spikefold reads 3; fold the float network again"),
    "version missing": (drop("format_version"), "format_version: None"),
    "version true": (put("format_version", value=True), "format_version: True"),
    "unknown field": (put("spin", value=1), "'spin': unknown field"),
    "unknown field of a layer": (put("populations", 0, "spin", value=1), "populations[0] 'conv' 'spin': unknown field"),
    "missing field": (drop("timesteps"), "timesteps: the field is missing"),
    "missing field of a layer": (drop("populations", 1, "reset"), "populations[1] 'out' reset: the field is missing"),
    "integer as text": (put("timesteps", value="3"), "timesteps: '3'; it must be an integer"),
    "integer as float": (put("timesteps", value=3.0), "timesteps: 3.0; it must be an integer"),
    "integer as truth": (put("timesteps", value=True), "timesteps: True; it must be an integer"),
    "integer of 70 bits": (put("input", "seed", value=1 << 70), "input seed: 1180591620717411303424; it must be an integer of 64 bits"),
    "seed negative": (put("input", "seed", value=-1), "input seed -1"),
    "truth as integer": (put("populations", 0, "saturate", value=1), "populations[0] 'conv' saturate: 1; it must be true or false"),
    "text as number": (put("populations", 0, "name", value=7), "populations[0] name: 7; it must be a text"),
    "float as integer": (put("input", "std", value=1), "input std: 1; it must be a number with a point"),
    "shape of two": (put("populations", 0, "shape", value=[2, 6]), "populations[0] 'conv' shape: [2, 6]; it must be a list of 3"),
    "shape of another": (
        put("populations", 0, "shape", value=[2, 6, 7]),
        "layer 'conv' shape: (2, 6, 7); its connection from 'input' gives (2, 6, 6)",
    ),
    "shape enormous": (put("input", "shape", value=[1, 2**62, 2**62]), "input shape (1, 4611686018427387904,"),
    "layers not a list": (put("populations", value={}), "populations: {}; it must be a list"),
    "layer not a table": (put("populations", 0, value="conv"), "populations[0]: 'conv'; it must be a table of fields"),
    "provenance not texts": (put("provenance", value={"a": 1}), "provenance: {'a': 1}; it must be a table of texts"),
    "unknown word": (put("populations", 0, "reset", value="medium"), "population 'conv' reset: value 'medium'; it must be one of soft, hard, none"),
    "out of range": (put("populations", 0, "potential_bits", value=33), "population 'conv' potential_bits: value 33; it must be an integer in 2..32"),
    "not in this version": (put("connections", 0, "delay", value=1), "delay: 1 is not supported by this version"),
    "states": (
        put("populations", 0, "states", value=[{"name": "s", "bits": 8, "decay": 1 << 17}]),
        "state 's' decay: value 131072; it must be an integer in 0..65536",
    ),
    "scale": (put("populations", 0, "scale", value=3), "populations[0] 'conv' scale: 3; it must be a table of fields"),
    "missing tensor": (tensor("populations.0.threshold", None), "populations[0] 'conv' threshold: the tensor 'populations.0.threshold' is missing"),
    "spare tensor": (tensor("spare", np.zeros(3)), "tensor 'spare': no field refers to it"),
    "tensor of no layer": (tensor("populations.2.threshold", np.zeros((1, 1), I64)), "tensor 'populations.2.threshold': no field"),
    "tensor in the table": (put("populations", 0, "threshold", value=[[1]]), "'threshold': unknown field"),
    "dtype": (tensor("populations.0.threshold", np.ones((1, 1))), "populations[0] 'conv' threshold: dtype float64; it must be int64"),
    "narrower dtype": (tensor("connections.0.gain", np.ones((1, 1), np.int32)), "connections[0] 'conv' gain: dtype int32; it must be int64"),
    "weights of 64 bits": (tensor("weights.0.tensor", np.ones((2, 1, 3, 3), I64)), "weights[0] 'w0' tensor: dtype int64; it must be int8"),
    "axes": (tensor("populations.0.threshold", np.ones(3, I64)), "population 'conv' threshold: 1 axes; it must have 2"),
    "timesteps of a schedule": (
        tensor("populations.0.threshold", np.ones((2, 2), I64)),
        "layer 'conv' threshold: shape [2, 2]; it must be [3 or 1, 2 or 1]",
    ),
    "weights shape": (tensor("weights.0.tensor", np.ones((2, 2, 3, 3), np.int8)), "layer 'conv' weights: shape [2, 2, 3, 3]"),
    "weight beyond its bits": (
        tensor("weights.0.tensor", np.full((2, 1, 3, 3), 8, np.int8)),
        "weights 'w0' tensor[0, 0, 0, 0]: value 8; it must be in -8..7",
    ),
    "threshold beyond its bits": (tensor("populations.0.threshold", np.full((1, 1), 1 << 24, I64)), "threshold[0, 0]: value 16777216; it must be in"),
    "least integer": (tensor("populations.0.load", np.full((1, 1), -(1 << 63), I64)), "load[0, 0]: value -9223372036854775808"),
    "shift": (tensor("connections.0.gain_shift", np.full((1, 1), 32, I64)), "gain_shift[0, 0]: value 32; it must be in 0..31"),
    "unit zero": (tensor("populations.0.unit", np.zeros(1)), "population 'conv' unit"),
    "width not proven": (put("connections", 1, "current_bits", value=5), "layer 'out' current_bits: 5; its weights can reach"),
    "chain broken": (
        put("connections", 1, "source", value="input"),
        "layer 'out' weights: shape [3, 18]; [out, 9] is expected for a source of (1, 6, 6)",
    ),
    "no layers": (put("populations", value=[]), "network: it has no populations; at least 1 is needed"),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_a_network_that_breaks_the_contract_is_refused_by_name(case: str, tmp_path: Path) -> None:
    change, words = REFUSED[case]
    table, tensors = parts()
    change((table, tensors))
    path = tmp_path / "net.safetensors"
    tensor_file.write(path, tensors, {"kind": "network", "network": table})
    with pytest.raises(NetworkError) as caught:
        network_file.load(path)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({}, "kind None; an integer network"),
        ({"kind": "float_network"}, "kind 'float_network', a float network; an integer network"),
        ({"kind": ["network"]}, r"kind \['network'\]"),
        ({"kind": "network"}, r"keys \['kind'\]; it must hold 'kind' and the table 'network'"),
        ({"kind": "network", "network": []}, "the table 'network'"),
        ({"kind": "network", "network": {"format_version": 2}, "more": 1}, "'more'"),
    ],
)
def test_a_file_of_another_kind_says_so(header: dict[str, Any], words: str) -> None:
    with pytest.raises(NetworkError, match=words):
        network_file.loads(tensor_file.dumps({}, header, "f"), "f")


def assert_read_or_refused(content: bytes) -> None:
    message = ""
    try:
        network_file.loads(content, "f")
    except NetworkError as error:
        message = str(error)
    assert len(message.splitlines()) <= 1


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_a_damaged_network_is_read_or_refused_but_never_worse(data: st.DataObject) -> None:
    content = bytearray(network_file.dumps(integer_network()))
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
        content[at] = data.draw(st.integers(0, 255))
    assert_read_or_refused(bytes(content))


values = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.sampled_from([0.5, "", "input", [], {}, [1], [-1, 0, 2**40], {"x": "y"}])


@settings(deadline=None, max_examples=400)
@given(data=st.data())
def test_any_value_in_any_field_is_read_or_refused(data: st.DataObject) -> None:
    table, tensors = parts()
    at: Any = table
    while True:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if not isinstance(at[key], (dict, list)) or not at[key] or data.draw(st.booleans()):
            break
        at = at[key]
    at[key] = data.draw(values)
    content = tensor_file.dumps(tensors, {"kind": "network", "network": table}, "f")
    assert_read_or_refused(content)
