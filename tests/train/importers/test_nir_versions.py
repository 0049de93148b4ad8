"""NIR files of versions 0.1.1 and 0.2.0, as people publish them, written here by h5py: their spikes, and what of them is refused."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest

from spikefold.data.coding import InputCoding
from spikefold.quantize.float_evaluation import evaluate
from spikefold.train.importers.errors import SourceError
from spikefold.train.importers.modules import random_events
from spikefold.train.importers.nir_import import NirRules, import_nir
from tests.train.importers import nir_definition

Tree = dict[str, Any]
TIMESTEPS = 8
HARD = NirRules(dt=1e-4, compare="above", reset="hard")
SINABS = NirRules(dt=1.0, compare="at", reset="soft")
RNG = np.random.default_rng(4)
ROW = (3, 1, 1)


def numbers(*shape: int, mean: float = 0.2) -> Any:
    return RNG.normal(mean, 0.6, shape).astype(np.float32)


def full(shape: int | tuple[int, ...], value: float) -> Any:
    return np.full(shape, value, np.float32)


def lif(size: int, **fields: Any) -> Tree:
    """Neurons as they were written then: without a potential to reset to."""
    values = {"tau": 2.5e-4, "r": 2.0, "v_leak": 0.0, "v_threshold": 0.3} | fields
    return {"type": "LIF", **{name: full(size, value) for name, value in values.items()}}


def perfect(*shape: int) -> Tree:
    return {"type": "IF", "r": full(shape, 1.0), "v_threshold": full(shape, 1.0)}


def affine(out: int, fan_in: int) -> Tree:
    return {"type": "Affine", "weight": numbers(out, fan_in), "bias": full(out, 0.0)}


def conv(out: int, fan_in: int, side: int, shape: tuple[int, int]) -> Tree:
    pair = {name: np.array([value] * 2) for name, value in (("stride", 1), ("padding", 1), ("dilation", 1))}
    return {"type": "Conv2d", "input_shape": np.array(shape), "weight": numbers(out, fan_in, side, side), "bias": full(out, 0.0),
            "groups": np.array(1), **pair}  # fmt: skip


def pool() -> Tree:
    return {"type": "SumPool2d", "kernel_size": np.array([2, 2]), "stride": np.array([2, 2]), "padding": np.array([0, 0])}


def written(path: Path, version: str, nodes: Tree, edges: list[tuple[str, str]] | None = None, *, out: Any = ROW[:1]) -> Path:
    """Write nodes between an input of three numbers and an output.

    If no edges are given, they lead along the nodes; their order says nothing.
    """
    first = {"input": {"type": "Input", "shape": np.array(ROW[:1])}}
    named = first | nodes | {"output": {"type": "Output", "shape": np.array(out)}}
    edges = list(pairwise(named))[::-1] if edges is None else edges
    with h5py.File(path, "w") as file:
        put(file, {"version": version, "node": {"type": "NIRGraph", "nodes": named, "edges": edges}})
    return path


def put(group: Any, tree: Tree) -> None:
    for name, value in tree.items():
        if isinstance(value, dict):
            put(group.create_group(name), value)
        else:
            group.create_dataset(name, data=value, **({} if isinstance(value, np.ndarray) else {"dtype": h5py.string_dtype()}))


def coding(shape: tuple[int, int, int]) -> InputCoding:
    return InputCoding(shape=shape, coding="frames", mean=0.0, std=1.0, scale=1.0, payload_bits=3, seed=0)


def check(path: Path, shape: tuple[int, int, int], rules: NirRules, *, typed: bool = True) -> None:
    """Hold every spike of every layer against the definition of the nodes that the nir package reads."""
    network = import_nir(path, coding=coding(shape), timesteps=TIMESTEPS, rules=rules)
    events = random_events(np.random.default_rng(2), coding(shape), TIMESTEPS, 6)
    graph, trace = nir.read(path, type_check=typed), evaluate(network, events)
    sent = nir_definition.sent(graph, np.moveaxis(events, 1, 0), rules)
    fired = [values for name, values in sent.items() if type(graph.nodes[name]).__name__ in ("LIF", "IF")]
    assert len(fired) == len(trace.spikes)
    for got, expected in zip(trace.spikes, fired, strict=True):
        np.testing.assert_array_equal(np.moveaxis(got, 1, 0).reshape(expected.shape), expected > 0)
        assert 0.02 < got.mean() < 0.98, "silent networks prove nothing"


@pytest.mark.usefixtures("hdf5_in_this_process")
@pytest.mark.parametrize("version", ["0.1.1", "0.2.0"])
def test_neurons_of_older_versions(version: str, tmp_path: Path) -> None:
    linear = {"type": "Linear", "weight": numbers(3, 3)}
    nodes = {"0_Linear": linear, "1_LIF": lif(3), "2_Linear": affine(2, 3), "3_LIF": lif(2, v_leak=0.1, tau=4e-4)}
    check(written(tmp_path / "g.nir", version, nodes, out=(2,)), ROW, HARD)
    for rules in (NirRules(dt=1e-4, compare="above", reset="soft"), NirRules(dt=1e-4, compare="at", reset="hard", discretisation="exponential")):
        check(tmp_path / "g.nir", ROW, rules)


@pytest.mark.usefixtures("hdf5_in_this_process")
def test_an_output_of_more_axes_than_the_neurons(tmp_path: Path) -> None:
    """The nir package reads such a one without its types alone."""
    path = written(tmp_path / "g.nir", "0.2.0", {"0": {"type": "Linear", "weight": numbers(3, 3)}, "1": lif(3)}, out=(1, 1, 3))
    with pytest.raises(ValueError, match="type mismatch"):
        nir.read(path)
    check(path, ROW, HARD, typed=False)


@pytest.mark.usefixtures("hdf5_in_this_process")
def test_a_convolutional_network_of_perfect_neurons(tmp_path: Path) -> None:
    """What sinabs wrote: sums over windows and a flattening; without shapes in the nodes it is the same network."""
    flat = {"type": "Flatten", "input_type": np.array([3, 3, 3]), "start_dim": np.array(0), "end_dim": np.array(-1)}
    nodes = {"0": conv(4, 3, 3, (6, 6)), "1": perfect(4, 6, 6), "2": pool(), "3": conv(3, 4, 3, (3, 3)), "4": perfect(3, 3, 3), "5": flat,
             "10": affine(3, 27), "11": perfect(3)}  # fmt: skip
    path = written(tmp_path / "g.nir", "0.2.0", nodes)
    with h5py.File(path, "r+") as file:
        del file["node/nodes/input/shape"]
        file["node/nodes/input/shape"] = np.array([3, 6, 6])
    check(path, (3, 6, 6), SINABS)
    said = import_nir(path, coding=coding((3, 6, 6)), timesteps=TIMESTEPS, rules=SINABS)
    with h5py.File(path, "r+") as file:
        for name in ("0/input_shape", "3/input_shape", "5/input_type"):
            del file[f"node/nodes/{name}"]
    unsaid = import_nir(path, coding=coding((3, 6, 6)), timesteps=TIMESTEPS, rules=SINABS)
    for a, b in zip(said.layers, unsaid.layers, strict=True):
        np.testing.assert_array_equal(a.weights, b.weights)
    assert said.shapes() == unsaid.shapes() == ((4, 6, 6), (3, 3, 3), (3, 1, 1))


CUBA = {"type": "CubaLIF", **{name: full(3, 1e-3) for name in ("tau_mem", "tau_syn", "r", "v_leak", "v_threshold", "w_in")}}
INNER = {"type": "NIRGraph", "nodes": {"input": {"type": "Input", "shape": np.array([3])}, "lif1": CUBA, "lin": affine(3, 3)},
         "edges": [("input", "lif"), ("lif", "lin"), ("lin", "lif"), ("lif", "output")]}  # fmt: skip
BEHIND = "for which a float network has no place"


@pytest.mark.usefixtures("hdf5_in_this_process")
@pytest.mark.parametrize(
    ("nodes", "more", "words"),
    [
        ({"fc": affine(3, 3), "lif.lif": CUBA, "lif.w_rec": affine(3, 3)}, [("lif.w_rec", "lif.lif"), ("lif.lif", "lif.w_rec")],
         f"node 'lif.lif' (CubaLIF) is recurrent: it feeds itself through 'lif.w_rec' (Affine), {BEHIND}"),
        ({"fc": affine(3, 3), "lif": lif(3)}, [("lif", "lif")], f"node 'lif' (LIF) is recurrent: it feeds itself, {BEHIND}"),
        ({f"n{i}": affine(3, 3) for i in range(6)}, [(f"n{i}", f"n{(i + 1) % 6}") for i in range(6)],
         f"(Affine) is recurrent: it feeds itself through 'n1' (Affine), 'n2' (Affine), 'n3' (Affine) and others, {BEHIND}"),
        ({"fc": affine(3, 3), "lif1": INNER}, [("fc", "lif1")],
         f"node 'lif1' (NIRGraph): in it, node 'lif' is recurrent: it feeds itself through 'lin' (Affine), {BEHIND}"),
        ({"fc": affine(3, 3), "lif1": CUBA}, None, "node 'lif1' (CubaLIF): it has a synaptic current beside the potential"),
        ({"fc": affine(3, 3), "sub": {**INNER, "edges": [("input", "lif1"), ("lif1", "output")]}}, None,
         "node 'sub' (NIRGraph): it is a graph within the graph; its nodes must stand in the outer one"),
        ({"a": affine(3, 3), "b": affine(3, 3), "c": lif(3)}, [("a", "b"), ("a", "c"), ("b", "c"), ("c", "output")],
         "a second one of a node; a row of nodes is expected, without branches"),
    ],
)  # fmt: skip
def test_what_is_recurrent_is_named(nodes: Tree, more: list[tuple[str, str]] | None, words: str, tmp_path: Path) -> None:
    edges = None if more is None else [("input", next(iter(nodes))), *more]
    path = written(tmp_path / "g.nir", "0.2.0", nodes, edges)
    with pytest.raises(SourceError) as error:
        import_nir(path, coding=coding(ROW), timesteps=2, rules=HARD)
    assert words in str(error.value), str(error.value)


@pytest.mark.usefixtures("hdf5_in_this_process")
@pytest.mark.parametrize("version", ["0.0.1", "0.3.0", "0.9", "0.1.1\n", "2.0"])
def test_versions_that_are_not_known(version: str, tmp_path: Path) -> None:
    path = written(tmp_path / "g.nir", version, {"0": affine(3, 3), "1": lif(3)})
    with pytest.raises(SourceError, match=r"a NIR file of a version 0\.1, 0\.2 or 1 is expected"):
        import_nir(path, coding=coding(ROW), timesteps=2, rules=HARD)


def test_older_files_are_read_as_safely(tmp_path: Path) -> None:
    """In a process of its own, and without a way out of the file."""
    (tmp_path / "secret").write_bytes(np.full(3, 2.5e-4).tobytes())
    path = written(tmp_path / "g.nir", "0.1.1", {"0": affine(3, 3), "1": lif(3)})
    with h5py.File(path, "r+") as file:
        del file["node/nodes/1/tau"]
        file["node/nodes/1"].create_dataset("tau", shape=(3,), dtype="f8", external=[(str(tmp_path / "secret"), 0, 24)])
    np.testing.assert_array_equal(nir.read(path).nodes["1"].tau, 2.5e-4, "the package follows it")
    with pytest.raises(SourceError, match="/node/nodes/1/tau: its values lie in another file"):
        import_nir(path, coding=coding(ROW), timesteps=2, rules=HARD)
