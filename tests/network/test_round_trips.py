"""Files keep every field: each record goes through its file with a value that no field has by default."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikefold.chip.architecture import Architecture
from spikefold.chip.config import ChipConfig, chip_from_table, load_chip
from spikefold.chip.device import Device
from spikefold.data.coding import InputCoding
from spikefold.network.connection import Connection, Weights
from spikefold.network.files import network_file
from spikefold.network.network import Network, Readout
from spikefold.network.population import Population, PspScale, State
from spikefold.quantize.float_file import load_float, save_float
from spikefold.quantize.float_network import FloatLayer, FloatNetwork, Norm
from spikefold.quantize.fold import fold
from tests.chips import chip_of
from tests.float_networks import Cell, random_float_network
from tests.network.test_network_file import assert_same
from tests.quantize.networks import float_network, integer_network

ONE_VALUE = {
    "Network": {"format_version", "exit"},
    "Connection": {"dilation", "groups", "delay", "hold"},
}
"""Fields that have a single value in this version."""
CELLS = (
    Cell(norm="psp-ln-eq15", neuron="srm", reset="alpha", coding="poisson", topology="plain"),
    Cell(norm="psp-ln", neuron="srm", reset="exponential", coding="sequence", topology="pooled"),
    Cell(norm="bntt", neuron="lif", reset="hard", coding="direct", topology="residual"),
    Cell(norm="bn", neuron="lif", reset="soft", coding="ternary", topology="hybrid"),
    Cell(norm="none", neuron="if", reset="soft", coding="frames", topology="backres"),
)


def float_networks() -> list[FloatNetwork]:
    """Networks of every kind of layer, and one whose fields are all unusual."""
    found = [float_network(), *(random_float_network(np.random.default_rng(seed), cell) for cell in CELLS for seed in (3, 4))]
    plain = found[0]
    first = dataclasses.replace(plain.layers[0], stride=2, padding=3, fires_at_threshold=True)
    changed = dataclasses.replace(
        plain, layers=(first, dataclasses.replace(plain.layers[1], weights=np.ones((3, 8)), decrement=np.full(3, 0.5), load=-0.25, initial=0.125)),
        input=dataclasses.replace(plain.input, seed=99), provenance={"by": "hand", "é": "ß"}, class_names=("x", "é 1", "z"),
    )  # fmt: skip
    return [*found, changed]


def integer_networks() -> list[Network]:
    """Networks of every kind of population, and some whose fields are unusual."""
    plain = integer_network(5)
    conv, out = plain.populations
    shifted = dataclasses.replace(
        conv, shape=(2, 3, 3), reset="soft", leak_kind="shift", leak_shift=7, leak=np.zeros((1, 1), np.int64), leak_frac_bits=0,
        decrement=np.array([[3, -4]]), load=np.zeros((1, 1), np.int64),
    )  # fmt: skip
    first, second = plain.connections
    strided = dataclasses.replace(
        plain, populations=(shifted, out), timesteps_trained=77, provenance={"a": "b"},
        connections=(dataclasses.replace(first, stride=2), dataclasses.replace(second, pool=1)),
    )  # fmt: skip
    return [plain, strided, *(fold(network).network for network in float_networks())]


def records(value: Any) -> Iterator[Any]:
    """Yield every record in ``value``, itself among them."""
    if dataclasses.is_dataclass(value):
        yield value
        for field in dataclasses.fields(value):
            yield from records(getattr(value, field.name))
    elif isinstance(value, tuple):
        for item in value:
            yield from records(item)


def default_of(field: Any) -> Any:
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default


def same(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a, b)) if isinstance(b, np.ndarray) else a is b or (type(a) is type(b) and a == b)


def ordinary(networks: list[Any], classes: tuple[type, ...]) -> set[tuple[str, str]]:
    """Return the fields that are at their default in every record; of those without one, that are the same in all."""
    held: dict[tuple[type, str], list[Any]] = {(cls, field.name): [] for cls in classes for field in dataclasses.fields(cls)}
    for record in records(tuple(networks)):
        for field in dataclasses.fields(record):
            if type(record) in classes:
                held[type(record), field.name].append(getattr(record, field.name))
    found = set()
    for cls in classes:
        for field in dataclasses.fields(cls):
            values, default = held[cls, field.name], default_of(field)
            usual = values[0] if default is dataclasses.MISSING else default
            if field.name not in ONE_VALUE.get(cls.__name__, ()) and all(same(value, usual) for value in values):
                found.add((cls.__name__, field.name))
    return found


def test_every_field_of_an_integer_network_comes_back() -> None:
    networks = integer_networks()
    assert ordinary(networks, (Network, InputCoding, Weights, Connection, Population, State, PspScale, Readout)) == set()
    for network in networks:
        assert_same(network_file.loads(network_file.dumps(network)), network)


def test_every_field_of_a_float_network_comes_back(tmp_path: Path) -> None:
    networks = float_networks()
    assert ordinary(networks, (FloatNetwork, InputCoding, FloatLayer, Norm)) == set()
    for network in networks:
        save_float(network, tmp_path / "float.safetensors")
        assert_same(load_float(tmp_path / "float.safetensors"), network)


@pytest.mark.parametrize("part", [Architecture, Device])
def test_every_field_of_a_chip_is_read(tmp_path: Path, part: type[Architecture] | type[Device]) -> None:
    table, path = part.__name__.lower(), tmp_path / "chip.toml"
    for field in dataclasses.fields(part):
        value = 2 if field.name == "gain_terms" else field.default // 2 + 3
        path.write_text(f'name = "größe"\n[{table}]\n{field.name} = {value}\n', encoding="utf-8")
        chip = load_chip(path)
        assert chip == chip_of("größe", **{field.name: value}) != ChipConfig(name="größe")
        assert chip_from_table(chip.to_dict()) == chip
        assert chip.to_dict()[table][field.name] == value
