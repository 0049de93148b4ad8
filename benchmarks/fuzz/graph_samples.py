"""Sound NIR graphs as trees: those that other frameworks write, and those that this package exports."""

import tempfile
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from spikefold.data.coding import InputCoding
from spikefold.quantize.float_network import FloatLayer, FloatNetwork, Norm
from spikefold.train.importers.nir_export import export_nir
from spikefold.train.importers.nir_import import NirRules

__all__ = ["FOREIGN", "RULES", "SHAPES", "TIMESTEPS", "Tree", "coding_of", "exported", "foreign"]

Tree = dict[str, Any]
TIMESTEPS = 3
FOREIGN = 32
"""How many graphs of other frameworks there are; every second one is of an older version of NIR."""
OLDER = ("0.1.1", "0.2.0")
SHAPES = {"maps": (2, 5, 6), "row": (4, 1, 1)}
RULES = {
    "hard": NirRules(dt=1e-4, compare="above", reset="hard"), "at": NirRules(dt=1e-4, compare="at", reset="hard"),
    "soft": NirRules(dt=1e-4, compare="at", reset="soft"),
    "exact": NirRules(dt=1e-4, compare="above", reset="hard", discretisation="exponential"),
}  # fmt: skip


def coding_of(shape: tuple[int, int, int]) -> InputCoding:
    return InputCoding(shape=shape, coding="ternary", mean=0.0, std=1.0, scale=1.0, payload_bits=2, seed=0)


def _lif(rng: Any, shape: tuple[int, ...], load: float) -> Tree:
    tau, leaks = np.full(shape, rng.uniform(2e-4, 9e-4)), rng.normal(0, 0.1)
    return {"type": "LIF", "tau": tau, "r": np.full(shape, 1.5), "v_leak": np.full(shape, leaks), "v_threshold": np.full(shape, 0.5),
            "v_reset": np.full(shape, load)}  # fmt: skip


def _affine(rng: Any, out: int, into: int) -> Tree:
    return {"type": "Affine", "weight": rng.normal(0, 0.5, (out, into)), "bias": rng.normal(0, 0.1, out)}


def _conv(rng: Any, weights: tuple[int, ...], shape: tuple[int, int], padding: Any) -> Tree:
    return {"type": "Conv2d", "input_shape": np.array(shape), "weight": rng.normal(0, 0.5, weights), "bias": rng.normal(0, 0.1, weights[0]),
            "stride": np.array([1, 1]), "padding": padding, "dilation": np.array([1, 1]), "groups": np.array(1)}  # fmt: skip


def _pool(kind: str) -> Tree:
    return {"type": kind, "kernel_size": np.array([2, 2]), "stride": np.array([2, 2]), "padding": np.array([0, 0])}


@cache
def foreign(number: int) -> tuple[str, Tree]:
    """Return what a graph of another framework is read with, and the graph."""
    number, older = divmod(number, 2)
    rng, load = np.random.default_rng(number), 0.0 if number % 4 == 2 else -0.1
    rules, kind = list(RULES)[number % 4], number // 4 % 4
    if kind == 0:
        shape, out = (2, 5, 6), (3, 1, 1)
        flat = {"type": "Flatten", "input_type": np.array([4, 1, 2]), "start_dim": np.array(0), "end_dim": np.array(-1)}
        fires = {"type": "IF", "r": np.full((4, 1, 2), 8e3), "v_threshold": np.full((4, 1, 2), 0.5), "v_reset": np.full((4, 1, 2), load)}
        nodes = [_conv(rng, (3, 2, 3, 3), (5, 6), np.array([1, 1])), _lif(rng, (3, 5, 6), load), _pool("AvgPool2d"),
                 _conv(rng, (4, 3, 2, 2), (2, 3), "valid"), fires, flat, _affine(rng, 3, 8), _lif(rng, (3,), load)]  # fmt: skip
    elif kind == 1:
        shape, out = (2, 5, 6), (3, 2, 3)
        nodes = [_pool("SumPool2d"), _conv(rng, (3, 2, 1, 1), (2, 3), np.array(0)), {"type": "Scale", "scale": np.full((3, 2, 3), 2.0)}]
    elif kind == 2:
        shape, out = (4, 1, 1), (3, 1, 1)
        first = {"type": "Scale", "scale": np.linspace(0.5, 2, 5)}
        nodes = [_affine(rng, 5, 4), first, _lif(rng, (5,), load), {"type": "Linear", "weight": rng.normal(0, 0.5, (3, 5))},
                 {"type": "LI", "tau": np.full(3, 4e-4), "r": np.ones(3), "v_leak": np.zeros(3)}]  # fmt: skip
    else:
        shape, out = (4, 1, 1), (2, 1, 1)
        nodes = [_affine(rng, 2, 4), {"type": "I", "r": np.full(2, 1e4)}]
    output = [n for n in out if n > 1]
    named = {"input": {"type": "Input", "shape": np.array([n for n in shape if n > 1])}, **{f"n{i}": node for i, node in enumerate(nodes)},
             "output": {"type": "Output", "shape": np.array(output)}}  # fmt: skip
    name = next(key for key, value in SHAPES.items() if value == shape)
    edges = [list(pair) for pair in pairwise(named)]
    version = OLDER[number % 2] if older else "1.0.8"
    if older:
        named = {key: _older(node, version) for key, node in named.items()}
    return f"{name}-{rules}", {"version": version, "node": {"type": "NIRGraph", "nodes": named, "edges": edges}}


def _older(node: Tree, version: str) -> Tree:
    """Return a node as versions before 1 wrote it: numbers of 32 bits, no potential to reset to, and in the oldest no shapes within."""
    left_out = {"v_reset", "input_type", "input_shape"} if version == OLDER[0] else {"v_reset"}
    narrow = {key: value.astype(np.float32) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value for key, value in node.items()}
    return {key: value for key, value in narrow.items() if key not in left_out}


@cache
def exported(number: int) -> tuple[str, Tree]:
    """Return a graph that this package wrote."""
    rng = np.random.default_rng(number)

    def neurons(channels: int) -> dict[str, Any]:
        count = (1, channels)[int(rng.integers(2))]
        return {
            "leak": np.ones(1) if rng.random() < 0.2 else rng.uniform(0.3, 0.9, count), "reset": "hard", "threshold": rng.uniform(0.3, 1, count),
            "load": rng.normal(0, 0.1, count), "bias": rng.normal(0, 0.1, channels) if rng.random() < 0.5 else None,
            "fires_at_threshold": bool(rng.integers(2)), "initial": rng.normal(0, 0.1, channels) * int(rng.integers(2)), "norm": Norm.none(channels),
        }  # fmt: skip

    last = neurons(3) | ({"reset": "none", "load": np.zeros(1)} if number % 3 == 0 else {})
    layers = (
        FloatLayer(name="a", kind="conv2d", weights=rng.normal(0, 0.5, (3, 2, 3, 3)), padding=1, **neurons(3)),
        FloatLayer(name="b", kind="dense", weights=rng.normal(0, 0.5, (4, 18)), pool=2, **neurons(4)),
        FloatLayer(name="c", kind="dense", weights=rng.normal(0, 0.5, (3, 4)), **last),
    )
    readout: Any = "potential" if number % 3 == 0 else "spike_count"
    network = FloatNetwork(
        timesteps=TIMESTEPS, input=coding_of((2, 5, 6)), layers=layers, readout=readout, class_names=("x", "y", "z"),
        provenance={"data": "digits"} if number % 2 else {},
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        export_nir(network, Path(folder) / "graph.nir")
        with h5py.File(Path(folder) / "graph.nir") as file:
            return "maps-hard", _tree(file)


def _tree(group: Any) -> Tree:
    return {name: _tree(item) if isinstance(item, h5py.Group) else _plain(item[()]) for name, item in group.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    value = np.asarray(value)
    return [[name.decode() for name in pair] for pair in value] if value.dtype == object else value
