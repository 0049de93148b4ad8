"""NIR graphs: as other frameworks write them, written and read back as the same network, and refused by name where they cannot be."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest

from spikefold.data.coding import InputCoding
from spikefold.network.files.records import pack
from spikefold.quantize.float_evaluation import evaluate
from spikefold.quantize.float_network import FloatLayer, FloatNetwork, Norm
from spikefold.train.importers.errors import SourceError
from spikefold.train.importers.modules import random_events
from spikefold.train.importers.nir_export import export_nir, exported_network
from spikefold.train.importers.nir_graph import read_chain
from spikefold.train.importers.nir_import import NirRules, import_nir

pytestmark = pytest.mark.usefixtures("hdf5_in_this_process")

CODING = InputCoding(shape=(2, 5, 6), coding="ternary", mean=0.0, std=1.0, scale=1.0, payload_bits=2, seed=0)
FLAT = InputCoding(shape=(4, 1, 1), coding="ternary", mean=0.0, std=1.0, scale=1.0, payload_bits=2, seed=0)
RULES = NirRules(dt=1e-4, compare="above", reset="hard")


def network(seed: int, **last: Any) -> FloatNetwork:
    """Two convolutions and a dense layer with hard resets, everything that NIR can carry drawn at random."""
    rng = np.random.default_rng(seed)

    def neurons(channels: int) -> dict[str, Any]:
        several = rng.random() < 0.5
        return {
            "leak": 1.0 if rng.random() < 0.2 else rng.uniform(0.3, 0.99, channels if several else 1), "reset": "hard",
            "threshold": rng.uniform(0.3, 1, channels if several else 1), "load": rng.normal(0, 0.1, channels if several else 1),
            "bias": rng.normal(0, 0.1, channels) if rng.random() < 0.5 else None, "fires_at_threshold": bool(rng.integers(2)),
            "initial": rng.normal(0, 0.1, channels) * (rng.random() < 0.3), "norm": Norm.none(channels),
        }  # fmt: skip

    layers = [
        FloatLayer(name="a", kind="conv2d", weights=rng.normal(0, 0.5, (3, 2, 3, 3)), padding=1, **neurons(3)),
        FloatLayer(name="b", kind="conv2d", weights=rng.normal(0.1, 0.5, (4, 3, 2, 2)), pool=2, stride=1, **neurons(4)),
        FloatLayer(name="c", kind="dense", weights=rng.normal(0.1, 0.5, (3, 8)), **neurons(3) | last),
    ]
    readout = "potential" if last.get("reset") == "none" else "spike_count"
    return FloatNetwork(timesteps=4, input=CODING, layers=tuple(layers), readout=readout, class_names=("x", "y", "z"))


def parts(float_network: FloatNetwork) -> Any:
    table, tensors = pack(float_network)
    return table, {name: tensor.tolist() for name, tensor in tensors.items()}


@pytest.mark.parametrize("seed", range(6))
def test_what_is_written_reads_back_as_the_same_network(seed: int, tmp_path: Path) -> None:
    written = network(seed, **{"reset": "none", "leak": [0.9, 1.0][seed % 2]} if seed % 3 == 0 else {})
    path = tmp_path / "net.nir"
    exported = export_nir(written, path, dt=[1e-4, 1.0, 0.3][seed % 3])
    assert exported.folded == ()
    assert parts(exported_network(read_chain(path), "net")) == parts(written)
    assert len(nir.read(path).nodes) == len(read_chain(path).nodes), "the package's own reader takes it, with its types checked"
    content = path.read_bytes()
    export_nir(written, path, dt=[1e-4, 1.0, 0.3][seed % 3])
    assert path.read_bytes() == content
    # What the nodes say alone, to a reader that is told dt: the same but for what is unsaid.
    layers = tuple(replace(layer, fires_at_threshold=False, initial=np.zeros(1)) for layer in written.layers)
    foreign = import_nir(path, coding=CODING, timesteps=4, rules=replace(RULES, dt=[1e-4, 1.0, 0.3][seed % 3]))
    events = random_events(np.random.default_rng(seed), CODING, 4, 6)
    expected, got = evaluate(replace(written, layers=layers), events), evaluate(replace(foreign, layers=_begun(foreign)), events)
    for a, b in zip(expected.spikes, got.spikes, strict=True):
        np.testing.assert_array_equal(a, b)
    assert expected.spikes[0].any()


def _begun(foreign: FloatNetwork) -> tuple[FloatLayer, ...]:
    """IF neurons of a foreign graph begin at v_reset."""
    return tuple(replace(layer, initial=np.zeros(1)) for layer in foreign.layers)


@pytest.mark.parametrize("provenance", [{}, {"data": "digits", "torch": "2"}, {"data": "é" * 100}])
def test_the_name_of_the_data_set_goes_with_the_graph(provenance: dict[str, str], tmp_path: Path) -> None:
    from benchmarks.fuzz.graph_meaning import difference_of

    path, kept = tmp_path / "net.nir", {key: value for key, value in provenance.items() if key == "data"}
    exported = export_nir(replace(network(5), provenance=provenance), path)
    with h5py.File(path) as file:
        said = json.loads(file["node/metadata/spikefold"][()])
    assert {key: value for key, value in said.items() if key == "data"} == kept, "it is left out where there is none"
    back = exported_network(read_chain(path), "net")
    assert dict(exported.network.provenance) == dict(back.provenance) == kept
    # The fuzzer's own reading of the bytes agrees, and notices another name.
    assert difference_of(path.read_bytes(), CODING.shape, RULES, back) == ""
    assert "provenance" in difference_of(path.read_bytes(), CODING.shape, RULES, replace(back, provenance={"data": "mnist"}))


def test_a_name_that_is_none_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"provenance: data 'a\\nb'; it must be a data set's name"):
        export_nir(replace(network(5), provenance={"data": "a\nb"}), tmp_path / "net.nir")
    assert not list(tmp_path.iterdir())


def test_a_static_norm_goes_into_the_weights(tmp_path: Path) -> None:
    plain = network(1)
    row = np.array([[0.5, -1.5, 2.0]])
    norm = Norm(kind="bn", gamma=row, beta=row / 4, mean=row / 8, var=np.full((1, 3), 0.7), eps=1e-5)
    normed = replace(plain, layers=(replace(plain.layers[0], norm=norm), *plain.layers[1:]))
    exported = export_nir(normed, tmp_path / "net.nir")
    assert exported.folded == ("a",)
    events = random_events(np.random.default_rng(1), CODING, 4, 6)
    for a, b in zip(evaluate(normed, events).spikes, evaluate(exported.network, events).spikes, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_others_will_not_know_is_said(tmp_path: Path) -> None:
    plain = network(1, fires_at_threshold=True, initial=np.full(3, 0.1))
    unsaid = export_nir(plain, tmp_path / "net.nir").unsaid
    assert "layer 'c' fires at its threshold, NIR's neurons above it" in unsaid
    assert "layer 'c' begins at other potentials than 0" in unsaid
    oblong = replace(plain.layers[1], weights=np.ones((4, 3, 1, 2)))
    wide = replace(plain, layers=(plain.layers[0], oblong, replace(plain.layers[2], weights=np.ones((3, 16)))))
    assert "layer 'b' has a kernel of 1 x 2, which nir's own reader takes for a square" in export_nir(wide, tmp_path / "net.nir").unsaid


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ({"reset": "soft"}, "layer 'c' reset: 'soft'; NIR's neurons load v_reset"),
        ({"leak": np.array([1.0, 0.5, 0.5])}, "layer 'c' leak: 1 in some channels"),
        ({"norm": Norm(kind="bntt", gamma=np.arange(12.0).reshape(4, 3), **{k: np.ones((4, 3)) for k in ("beta", "mean", "var")}, eps=0.0)},
         "layer 'c' norm: 'bntt'; NIR has nothing that changes from timestep to timestep"),
        ({"neuron": "srm", "reset": "soft", "tau_s": 2.0, "tau_r": 2.0, "refractory": "alpha", "initial": np.zeros(1)}, "layer 'c' neuron: 'srm'"),
    ],
)  # fmt: skip
def test_what_nir_cannot_carry_is_refused(last: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=words):
        export_nir(network(2, **last), tmp_path / "net.nir")
    assert not list(tmp_path.iterdir())


def test_a_residual_connection_is_refused(tmp_path: Path) -> None:
    plain = network(2)
    again = replace(plain.layers[0], name="again", weights=np.ones((3, 3, 1, 1)), padding=0, add="a", norm=Norm.none(3))
    with pytest.raises(SourceError, match="layer 'again': it has a residual connection"):
        export_nir(replace(plain, layers=(plain.layers[0], again, *plain.layers[1:])), tmp_path / "net.nir")


def lif(size: int = 3, **fields: Any) -> Any:
    values = {"tau": 2e-4, "r": 1.0, "v_leak": 0.0, "v_threshold": 0.5, "v_reset": 0.0} | fields
    return nir.LIF(**{name: np.full(size, value) if np.ndim(value) == 0 else value for name, value in values.items()})


def graph(path: Path, *nodes: Any, edges: list[tuple[str, str]] | None = None, size: int = 4, out: int = 3, **metadata: Any) -> Path:
    """Write nodes in a row, named 0, 1 and so on."""
    named = {"input": nir.Input(input_type=np.array([size])), **{str(i): node for i, node in enumerate(nodes)}}
    named["output"] = nir.Output(output_type=np.array([out]))
    names = list(named)
    edges = list(pairwise(names)) if edges is None else edges
    nir.write(path, nir.NIRGraph(nodes=named, edges=edges, metadata=metadata, type_check=False))
    return path


def read(path: Path, rules: NirRules = RULES) -> FloatNetwork:
    return import_nir(path, coding=FLAT, timesteps=3, rules=rules)


def affine(out: int = 3) -> Any:
    return nir.Affine(weight=np.arange(4.0 * out).reshape(out, 4) / 8, bias=np.zeros(out))


def test_the_equations_of_nir(tmp_path: Path) -> None:
    """Each rule against the recurrence written out."""
    path = graph(tmp_path / "g.nir", affine(), lif(tau=3e-4, r=1.7, v_leak=0.05, v_reset=-0.1))
    events = random_events(np.random.default_rng(3), FLAT, 3, 5)
    x = events[..., 0, 0] @ (np.arange(12.0).reshape(3, 4) / 8).T
    for discretisation, kept in (("euler", 1 - 1 / 3), ("exponential", np.exp(-1 / 3))):
        for compare in ("above", "at"):
            v, rules = np.full((5, 3), 0.05), NirRules(dt=1e-4, compare=compare, reset="hard", discretisation=discretisation)
            spikes = evaluate(read(path, rules), events).spikes[0][..., 0, 0]
            for t in range(3):
                v = 0.05 + 1.7 * x[:, t] + (v - 0.05 - 1.7 * x[:, t]) * kept
                fired = v >= 0.5 if compare == "at" else v > 0.5
                np.testing.assert_array_equal(spikes[:, t], fired)
                v = np.where(fired, -0.1, v)
    soft = read(graph(tmp_path / "s.nir", affine(), lif()), replace(RULES, reset="soft")).layers[0]
    assert (soft.reset, float(soft.subtracted[0])) == ("soft", 0.5)


def test_pooling_scaling_and_readouts(tmp_path: Path) -> None:
    ones = np.ones((3, 2, 1, 1))
    conv = nir.Conv2d(input_shape=(2, 3), weight=ones, stride=1, padding=0, dilation=1, groups=1, bias=np.zeros(3))
    side = np.array([2, 2])
    for pool, gain in ((nir.SumPool2d, 4.0), (nir.AvgPool2d, 1.0)):
        windows = pool(kernel_size=side, stride=side, padding=np.zeros(2, int))
        path = graph(tmp_path / "g.nir", windows, conv, nir.Scale(scale=np.array([2.0])), size=60, out=18)
        found = import_nir(path, coding=CODING, timesteps=3, rules=RULES)
        assert (found.readout, found.layers[0].pool) == ("potential", 2)
        np.testing.assert_array_equal(found.layers[0].weights * found.layers[0].norm.scale[0, 0], ones * gain * 2)
    leaky = read(graph(tmp_path / "l.nir", affine(), nir.LI(tau=np.full(3, 4e-4), r=np.ones(3), v_leak=np.zeros(3))))
    assert (leaky.readout, float(leaky.layers[0].leak[0])) == ("potential", 0.75)
    perfect = read(graph(tmp_path / "i.nir", affine(), nir.I(r=np.full(3, 1e4))))
    assert (perfect.readout, float(perfect.layers[0].leak[0]), float(perfect.layers[0].norm.scale[0, 0])) == ("potential", 1.0, 1.0)


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        (lambda: [affine(), lif(tau=5e-5)], r"node '1' \(LIF\) tau: 5e-05; it must be at least dt, which is 0.0001"),
        (lambda: [affine(), lif(tau=-1.0)], r"node '1' \(LIF\) tau: -1; it must be above 0"),
        (lambda: [affine(), lif(size=2)], r"node '1' \(LIF\) tau: 2 channels|shape \[2\]"),
        (lambda: [affine(), nir.Threshold(threshold=np.ones(3))], r"node '1' \(Threshold\): it has no potential"),
        (lambda: [affine(), nir.Delay(delay=np.ones(3))], "has no delays"),
        (lambda: [affine(), nir.CubaLIF(**{n: np.ones(3) for n in ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold")})], "synaptic current"),
        (lambda: [lif(size=1)], "it cannot stand here"),
        (lambda: [affine()] * 2, "shape|cannot stand here"),
        (lambda: [affine(), lif(), nir.Scale(scale=np.ones(3))], "cannot stand here"),
    ],
)  # fmt: skip
def test_nodes_that_are_refused(nodes: Callable[[], list[Any]], words: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=words):
        read(graph(tmp_path / "g.nir", *nodes()))


@pytest.mark.parametrize(
    ("edges", "words"),
    [
        ([("input", "0"), ("0", "1"), ("1", "output"), ("0", "output")], "a second one of a node"),
        ([("input", "0"), ("0", "1"), ("1", "output"), ("1", "0")], r"node '1' \(LIF\) is recurrent: it feeds itself through '0' \(Affine\)"),
        ([("input", "0"), ("0", "1"), ("1", "1")], r"node '1' \(LIF\) is recurrent: it feeds itself, for which"),
        ([("input", "0"), ("1", "output")], r"along 2 of 4 nodes, to node '0' \(Affine\)"),
        ([("input", "output"), ("0", "1")], r"along 2 of 4 nodes, to node 'output'"),
        ([("input", "nowhere")], "'nowhere' is no node"),
    ],
)
def test_graphs_that_are_no_row(edges: list[tuple[str, str]], words: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=words):
        read(graph(tmp_path / "g.nir", affine(), lif(), edges=edges))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f["node/nodes/1/tau"].__setitem__(0, np.nan), r"/node/nodes/1/tau: a value is not finite"),
        (lambda f: _replaced(f, "version", "2.0"), "version .2.0.; a NIR file of a version 0.1, 0.2 or 1"),
        (lambda f: f.__delitem__("version"), "version None"),
        (lambda f: _replaced(f, "node/type", "LIF"), "no NIRGraph"),
        (lambda f: _replaced(f, "node/nodes/1/type", "Neuron"), r"node '1' \(Neuron\): nothing in a float network is the same"),
        (lambda f: f.__delitem__("node/nodes/1/tau"), r"node '1' \(LIF\) tau: it is missing"),
        (lambda f: _replaced(f, "node/nodes/1/tau", "soon"), r"tau: 'soon'; it must be numbers"),
        (lambda f: _replaced(f, "node/nodes/1/tau", np.ones((3, 2))), r"tau: shape \[3, 2\]"),
        (lambda f: _replaced(f, "node/nodes/input/shape", np.array([5])), r"shape: \[5\]; the network's input is \[4, 1, 1\]"),
        (lambda f: _replaced(f, "node/nodes/input/shape", np.array([4.5])), "whole numbers"),
        (lambda f: f.__delitem__("node/edges"), "edges: they must be pairs of names"),
        (lambda f: _replaced(f, "node/type", np.ones(2)), "it holds no NIRGraph"),
        (lambda f: _replaced(f, "extra", 1), r"g\.nir: 'extra' is unknown; node, version are known"),
        (lambda f: _replaced(f, "node/input_type", 1), "the graph: 'input_type' is unknown; edges, metadata, nodes, type are known"),
        (lambda f: _replaced(f, "node/nodes/1/w_in", np.ones(3)), r"node '1' \(LIF\) 'w_in': it is unknown; tau, r, v_leak, v_threshold, v_reset"),
        (lambda f: _replaced(f, "node/nodes/output/v", 1), r"node 'output' \(Output\) 'v': it is unknown; shape are known"),
        (lambda f: _replaced(f, "node/nodes/output/shape", np.array([4])), r"node 'output' \(Output\) shape: \[4\]; here it is \[3, 1, 1\]"),
        (lambda f: _replaced(f, "node/nodes/0/weight", np.full((3, 4), 2**53 + 1)), r"weight: a whole number beyond 2\*\*53, which no float holds"),
        (lambda f: _replaced(f, "node/nodes/0/weight", np.ones((3, 4), bool)), "weight: values of the type bool; it must be numbers"),
        (lambda f: _replaced(f, "node/nodes/1/type", "x" * 9000), r"node '1' \(x{400}…\): nothing in a float network is the same"),
        (lambda f: _replaced(f, "node/nodes/input/shape", np.full(900, 4.5)), r"shape: \[4\.5, .{100,400}…; it must be whole numbers"),
    ],
)
def test_files_with_something_wrong(change: Callable[[Any], None], words: str, tmp_path: Path) -> None:
    path = graph(tmp_path / "g.nir", affine(), lif())
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(SourceError, match=words):
        read(path)


def flattening(path: Path, change: Callable[[Any], None]) -> FloatNetwork:
    """Write a convolution, its neurons and a dense layer, change the file, and read it."""
    weights = np.ones((3, 2, 2, 2))
    conv = nir.Conv2d(input_shape=(5, 6), weight=weights, stride=1, padding=0, dilation=1, groups=1, bias=np.zeros(3))
    neurons = nir.IF(**{name: np.full((3, 4, 5), value) for name, value in (("r", 1e4), ("v_threshold", 0.5), ("v_reset", 0.0))})
    flat = nir.Flatten(input_type={"input": np.array([3, 4, 5])}, start_dim=0, end_dim=-1)
    graph(path, conv, neurons, flat, nir.Linear(weight=np.ones((3, 60))), size=60)
    with h5py.File(path, "r+") as file:
        change(file)
    return import_nir(path, coding=CODING, timesteps=3, rules=RULES)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("0/input_shape", [5, 5], r"node '0' \(Conv2d\) input_shape: \[5, 5\]; here it is \[5, 6\]"),
        ("0/bias", np.zeros(2), r"node '0' \(Conv2d\) bias: 2 values; the weights have 3 channels"),
        ("1/v_threshold", np.full((3, 4, 4), 0.5), r"node '1' \(IF\) v_threshold: shape \[3, 4, 4\]; the neurons are \[3, 4, 5\]"),
        ("2/input_type", [3, 4, 4], r"node '2' \(Flatten\) input_type: \[3, 4, 4\]; here it is \[3, 4, 5\]"),
        ("2/start_dim", 1, r"node '2' \(Flatten\): start_dim 1, end_dim -1; of \[3, 4, 5\], all that is not 1 must be flattened"),
        ("2/end_dim", 3, "start_dim 0, end_dim 3; of"),
        ("2/start_dim", np.zeros(0, np.int64), r"node '2' \(Flatten\) start_dim: 0 numbers; it must be one"),
    ],
)
def test_shapes_that_are_not_those_of_the_network_are_refused(name: str, value: Any, words: str, tmp_path: Path) -> None:
    assert flattening(tmp_path / "g.nir", lambda _: None).shapes() == ((3, 4, 5), (3, 1, 1))
    with pytest.raises(SourceError, match=words):
        flattening(tmp_path / "g.nir", lambda file: _replaced(file, f"node/nodes/{name}", value))


def test_a_batch_of_one_may_stand_before_a_flattening(tmp_path: Path) -> None:
    def change(file: Any) -> None:
        _replaced(file, "node/nodes/2/input_type", [1, 3, 4, 5])
        _replaced(file, "node/nodes/2/start_dim", 1)

    assert len(flattening(tmp_path / "g.nir", change).layers) == 2


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.nir: No such file or directory$"):
        read(tmp_path / "none.nir")


def _replaced(file: Any, name: str, value: Any) -> None:
    if name in file:
        del file[name]
    file.create_dataset(name, data=value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m | {"format_version": 2}, "format_version 2; it must be 1"),
        (lambda m: m | {"more": 1}, "'more': unknown field"),
        (lambda m: {k: v for k, v in m.items() if k != "dt"}, "dt: the field is missing"),
        (lambda m: m | {"dt": 2e-4}, "(leak|gain): the metadata says otherwise than the nodes|it must be at least dt"),
        (lambda m: m | {"reset": "soft"}, "reset 'soft'; it must be 'hard'"),
        (lambda m: m | {"rounding": "floor"}, "rounding 'floor'; it must be 'none'"),
        (lambda m: m | {"layers": []}, "layers and readout .*; the metadata says"),
        (lambda m: m | {"layers": [{**m["layers"][0], "threshold": [0.2]}, *m["layers"][1:]]}, "layer 'a' threshold: the metadata says otherwise"),
        (lambda m: m | {"class_names": ["x"]}, "1 class names for 3 outputs"),
        (lambda m: m | {"data": 7}, r"net: metadata spikefold: data 7; it must be a data set's name, of 1 to 100 printable characters"),
        (lambda m: m | {"data": None}, "data None; it must be a data set's name"),
        (lambda m: m | {"data": ""}, "data ''; it must be"),
        (lambda m: m | {"data": "x" * 101}, "data 'x{101}'; it must be"),
        (lambda m: m | {"data": "a\u200b"}, r"data 'a\\u200b'; it must be"),
        (lambda m: "[", "not JSON in UTF-8"),
        (lambda m: "[" * 90_000, "nested deeper than 16"),
        (lambda m: " " * 1_000_001, "larger than 1000000 bytes"),
        (lambda m: '{"dt":1,"dt":1}', "key 'dt' is there twice"),
        (lambda m: m | {"format_version": "x" * 9000}, r"format_version 'x{399}…; it must be 1"),
    ],
)
def test_metadata_that_is_wrong(change: Callable[[Any], Any], words: str, tmp_path: Path) -> None:
    path = tmp_path / "net.nir"
    export_nir(network(4), path)
    with h5py.File(path, "r+") as file:
        meta = change(json.loads(file["node/metadata/spikefold"][()]))
        _replaced(file, "node/metadata/spikefold", meta if isinstance(meta, str) else json.dumps(meta))
    from spikefold.data.errors import SpikefoldError

    with pytest.raises(SpikefoldError, match=words):
        exported_network(read_chain(path), "net")
