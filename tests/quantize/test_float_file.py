"""The file of a float network: exact both ways, and strict."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikefold.data.errors import NetworkError
from spikefold.network.files import network_file, tensor_file
from spikefold.network.files.records import pack
from spikefold.quantize.float_file import FLOAT_FORMAT_VERSION, load_float, save_float
from tests.network.test_network_file import assert_same
from tests.quantize.networks import float_network, integer_network


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), timesteps=st.integers(1, 4))
def test_a_float_network_comes_back_exactly(seed: int, timesteps: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("float")
    network = float_network(seed, timesteps=timesteps)
    save_float(network, folder / "a")
    read = load_float(folder / "a")
    assert_same(read, network)
    save_float(read, folder / "b")
    assert (folder / "a").read_bytes() == (folder / "b").read_bytes()


def test_the_absent_bias_stays_absent(tmp_path: Path) -> None:
    save_float(float_network(), tmp_path / "a")
    read = load_float(tmp_path / "a")
    assert read.layers[0].bias is not None
    assert read.layers[1].bias is None


def test_each_kind_of_file_names_the_other(tmp_path: Path) -> None:
    save_float(float_network(), tmp_path / "float")
    network_file.save(integer_network(), tmp_path / "integer")
    with pytest.raises(NetworkError, match=r"kind 'float_network', a float network; an integer network .* is expected here"):
        network_file.load(tmp_path / "float")
    with pytest.raises(NetworkError, match=r"kind 'network', an integer network; a float network .* is expected here"):
        load_float(tmp_path / "integer")


def changed(**change: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    table, tensors = copy.deepcopy(pack(float_network()))
    table = {"format_version": FLOAT_FORMAT_VERSION, **table}
    for path, value in change.items():
        *way, last = path.split("__")
        at: Any = table
        for key in way:
            at = at[int(key) if key.isdigit() else key]
        at[last] = value
    return table, tensors


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format_version": 3}, "format_version: 3; this version of spikefold reads 2"),
        ({"layers__0__bias": 1}, r"layers\[0\] 'first' bias: 1; it must be true or false"),
        ({"layers__0__bias": False}, "tensor 'layers.0.bias': no field refers to it"),
        ({"layers__1__bias": True}, r"layers\[1\] 'second' bias: the tensor 'layers.1.bias' is missing"),
        ({"layers__0__norm__kind": "layer"}, "norm kind: 'layer'"),
        ({"layers__0__tau_s": 2.0}, "layer 'first': tau_s 2.0, tau_r 0.0; above 0 for srm neurons"),
        ({"layers__0__tau_s": 1}, "tau_s: 1; it must be a number with a point"),
        ({"layers__0__stride": 0}, "layer 'first' stride: 0; it must be in 1..16"),
        ({"layers__0__fires_at_threshold": "yes"}, "fires_at_threshold: 'yes'"),
        ({"layers__1__pool": 5}, "layer 'second'"),
        ({"layers__1__pool": 9}, "leaves nothing"),
        ({"layers__1__pool": 99}, "pool: 99; it must be in 1..16"),
        ({"extra": 1}, "'extra': unknown field"),
        ({"class_names": ["a"]}, "1 class names for 3 outputs"),
        ({"input__coding": "morse"}, "input coding 'morse'"),
    ],
)
def test_a_float_network_that_breaks_the_contract_is_refused_by_name(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    table, tensors = changed(**change)
    tensor_file.write(tmp_path / "f", tensors, {"kind": "float_network", "float_network": table})
    with pytest.raises(NetworkError, match=words) as caught:
        load_float(tmp_path / "f")
    assert len(str(caught.value).splitlines()) == 1


def test_what_float32_holds_exactly_is_kept_in_it(tmp_path: Path) -> None:
    network = float_network()
    first = replace(network.layers[0], weights=network.layers[0].weights.astype(np.float32))
    inexact = network.layers[1].weights.copy()
    inexact[0] = 1 / 3
    second = replace(network.layers[1], weights=inexact)
    network = replace(network, layers=(first, second, *network.layers[2:]))
    save_float(network, tmp_path / "f")
    _, tensors = tensor_file.read(tmp_path / "f")
    assert tensors["layers.0.weights"].dtype == np.float32
    assert tensors["layers.1.weights"].dtype == np.float64
    read = load_float(tmp_path / "f")
    assert_same(read, network)
    assert read.layers[0].weights.dtype == np.float64


def test_tensors_are_floats_only(tmp_path: Path) -> None:
    table, tensors = changed()
    tensors["layers.0.weights"] = tensors["layers.0.weights"].astype(np.int32)
    tensor_file.write(tmp_path / "f", tensors, {"kind": "float_network", "float_network": table})
    with pytest.raises(NetworkError, match=r"layers\[0\] 'first' weights: dtype int32; it must be float64"):
        load_float(tmp_path / "f")


def test_a_tensor_without_axes_is_refused(tmp_path: Path) -> None:
    """As a number for all channels it would be read, and written with an axis."""
    table, tensors = changed()
    tensors["layers.0.threshold"] = tensors["layers.0.threshold"].reshape(-1)[0]
    tensor_file.write(tmp_path / "f", tensors, {"kind": "float_network", "float_network": table})
    with pytest.raises(NetworkError, match=r"tensor 'layers.0.threshold' shape: \[\]; it must have at least 1 axis"):
        load_float(tmp_path / "f")
