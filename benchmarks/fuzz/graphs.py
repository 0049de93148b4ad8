"""NIR graphs in HDF5: nodes, edges and this package's text, what HDF5 itself can say of them, and the bytes of the file.

A case is a file of h5py with what a tree says otherwise put into it by h5py. It is read in this process, which is what is measured: to start Python
and h5py for each would take hours. What was changed in its bytes is read in a forked process first, under the limits of the one that reads users'
files, since libhdf5 may end with it; some cases are read as users' files are.
"""

import os
import resource
import tempfile
from collections.abc import Callable
from functools import cache
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks.fuzz.cases import Case, Random, Reader, cut_or_grown, flipped, is_there, numbers, odd_entries, some
from benchmarks.fuzz.graph_meaning import difference_of
from benchmarks.fuzz.measure import SECONDS_MAX
from benchmarks.fuzz.trees import changed, parse, text
from spikefold.data.coding import InputCoding
from spikefold.data.files import read_whole
from spikefold.quantize.float_network import FloatLayer, FloatNetwork, Norm
from spikefold.train.importers import hdf5_child
from spikefold.train.importers.errors import SourceError
from spikefold.train.importers.hdf5_file import FILE_BYTES_MAX, decoded
from spikefold.train.importers.nir_export import export_nir, exported_network
from spikefold.train.importers.nir_graph import NirChain, chain_of, read_chain
from spikefold.train.importers.nir_import import NirRules, network_of

__all__ = ["NIR"]

Tree = dict[str, Any]
Made = Callable[[Any, str], object]
"""What is put into a group of a file under a name by h5py itself, where no value can say it."""
TEXT = h5py.string_dtype()
TIMESTEPS = 3
SHAPES = {"maps": (2, 5, 6), "row": (4, 1, 1)}
RULES = {
    "hard": NirRules(dt=1e-4, compare="above", reset="hard"), "at": NirRules(dt=1e-4, compare="at", reset="hard"),
    "soft": NirRules(dt=1e-4, compare="at", reset="soft"),
    "exact": NirRules(dt=1e-4, compare="above", reset="hard", discretisation="exponential"),
}  # fmt: skip
PROCESS, RAW = "process", "raw"
"""Of a name: it is read by a process of its own, as users' files are; its bytes were changed."""


def _coding(shape: tuple[int, int, int]) -> InputCoding:
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
def _foreign(number: int) -> tuple[str, Tree]:
    """Return what a graph of another framework is read with, and the graph."""
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
    return f"{name}-{rules}", {"version": "1.0.8", "node": {"type": "NIRGraph", "nodes": named, "edges": edges}}


@cache
def _exported(number: int) -> tuple[str, Tree]:
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
        FloatLayer(name="b", kind="dense", weights=rng.normal(0, 0.5, (3, 18)), pool=2, **last),
    )
    readout: Any = "potential" if number % 3 == 0 else "spike_count"
    network = FloatNetwork(timesteps=TIMESTEPS, input=_coding((2, 5, 6)), layers=layers, readout=readout, class_names=("x", "y", "z"))
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


@cache
def _written(exported: bool, number: int, compressed: bool) -> bytes:
    """Return a graph as a file."""
    buffer = BytesIO()
    with h5py.File(buffer, "w") as file:
        _put(file, {}, (_exported if exported else _foreign)(number)[1], compressed)
    return buffer.getvalue()


def _put(group: Any, there: Tree, tree: Tree, compressed: bool) -> None:
    """Put into a group what the tree says otherwise than the one that is there."""
    options = {"compression": "gzip"} if compressed else {}
    for name in [name for name in there if name not in tree]:
        del group[name]
    for name, value in tree.items():
        old = there.get(name)
        if old is value:
            continue
        if isinstance(old, dict) and isinstance(value, dict):
            _put(group[name], old, value, compressed)
            continue
        if name in there:
            del group[name]
        if callable(value):
            value(group, name)
        elif isinstance(value, dict):
            _put(group.create_group(name), {}, value, compressed)
        elif isinstance(value, str | bytes | list):
            group.create_dataset(name, data=value, dtype=TEXT)
        else:
            group.create_dataset(name, data=value, **(options if np.ndim(value) else {}))


# What is done to a tree: each takes a copy of it and says where.


def _place(rng: Random, tree: Tree, among: Callable[[Any], bool] = lambda _: True) -> tuple[Tree, str]:
    """Return a group of the tree and a name in it, whose value is one of those that count."""
    places = list(_places(tree, among))
    return rng.choice(places)


def _places(tree: Tree, among: Callable[[Any], bool]) -> Any:
    for name, value in tree.items():
        if among(value):
            yield tree, name
        if isinstance(value, dict):
            yield from _places(value, among)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)


def _values(rng: Random, tree: Tree) -> str:
    group, name = _place(rng, tree, _is_array)
    values = group[name] = group[name].copy()
    if not values.size:
        return name
    at = np.unravel_index(rng.randrange(values.size), values.shape)
    if values.dtype.kind == "f":
        values[at] = rng.choice((np.nan, np.inf, -np.inf, 0, -0.0, 1e308, -1, 5e-324, 1e-12, 2 * values[at], values[at] + 1e-3))
    else:
        values[at] = rng.choice((-1, 0, 1, 2, 3, 5, 17, 2**31, 2**53 + 1, -(2**63), 2**63 - 1, int(values[at]) + 1))
    if rng.random() < 0.4:
        values[...] = values[at]
    return name


def _type_of_numbers(rng: Random, tree: Tree) -> str:
    group, name = _place(rng, tree, _is_array)
    dtype = rng.choice(("f2", "f4", ">f8", "i1", "i8", ">i2", "u8", "?", "c16", "g", "S8", [("a", "f8")], "i4"))
    with np.errstate(all="ignore"):
        group[name] = group[name].astype(dtype)
    return f"{name} {dtype}"


def _shape_of_numbers(rng: Random, tree: Tree) -> str:
    group, name = _place(rng, tree, _is_array)
    values = group[name]
    group[name] = rng.choice((
        values[None], values[..., None], values.reshape(-1), values.reshape(-1)[:1], values.reshape(-1)[:0], values.T, np.stack([values, values]),
        values.reshape(-1)[0] if values.size else values, np.repeat(values.reshape(-1), 2), values[..., :-1] if values.ndim else values,
        np.concatenate([np.atleast_1d(values)] * 2), np.zeros((0, 3)), values.reshape((1,) * 4 + values.shape),
    ))  # fmt: skip
    return name


def _entry(rng: Random, tree: Tree) -> str:
    """Take an entry away, name it otherwise, put another beside it, or another value in its place."""
    group, name = _place(rng, tree)
    other = rng.choice(("more", "shape", "bias", "v_reset", "weight", "metadata", "tau", "x\n", "\x1b[2J", "x" * 3000, "é", name + "_", "w_in"))
    action, value = rng.randrange(5), _value(rng)
    if action == 0:
        del group[name]
    elif action == 1:
        group[other] = group.pop(name)
    elif action == 2:
        group[other] = group[name]
    elif action == 3:
        group[other] = value
    else:
        group[name] = value
    return f"{name} {other[:20]!r}"


def _value(rng: Random) -> Any:
    return rng.choice((
        "", "LIF", "valid", "same", "1.0", "a\nb", "\x1b[2J", "é\u202e", "x" * 5000, "y" * 70000, b"\xff\xfe", ["a", "b"], [["a", "b"]], {},
        {"a": "b"},
        np.array(1.0), np.array([1.0]), np.array(-1), np.array([2, 2]), np.array([1, 2]), np.zeros((3, 3)), np.array(numbers(rng) % 2**63, np.int64),
        np.array([[1, 2], [2, 3]]), np.array([np.nan]), np.array(["a", "b"], "S3"), np.array("1.0", "S3"), np.array(True),
    ))  # fmt: skip


def _type_of_node(rng: Random, tree: Tree) -> str:
    group, name = _place(rng, tree["node"]["nodes"], lambda value: isinstance(value, dict))
    kinds = ("LIF", "LI", "IF", "I", "Affine", "Linear", "Conv2d", "AvgPool2d", "SumPool2d", "Flatten", "Scale", "Input", "Output", "NIRGraph",
             "CubaLIF", "CubaLI", "Delay", "Conv1d", "Threshold", "Neuron", "lif", "", "x" * 3000, "\x1b")  # fmt: skip
    group[name]["type"] = kind = rng.choice(kinds)
    return f"{name} {kind[:20]!r}"


def _nodes(rng: Random, tree: Tree) -> str:
    """Take a node out of the row, put one in, or two in each other's place."""
    graph = tree["node"]
    row = list(dict.fromkeys(name for edge in graph["edges"] for name in edge))
    inner = row[1:-1]
    action, at = rng.randrange(4), rng.choice(inner)
    if action == 0:
        row.remove(at)
        del graph["nodes"][at]
    elif action == 1:
        graph["nodes"]["new"] = {**graph["nodes"][rng.choice(row)]}
        row.insert(rng.randint(0, len(row)), "new")
    elif action == 2:
        i, k = rng.randrange(len(row)), rng.randrange(len(row))
        row[i], row[k] = row[k], row[i]
    else:
        side = np.array([rng.choice((1, 2, 3, 17, 2**30))] * 2)
        several = rng.choice((1, 1, 40, 600))
        for i in range(several):
            graph["nodes"][f"p{i}"] = {"type": rng.choice(("AvgPool2d", "SumPool2d")), "kernel_size": side, "stride": side,
                                       "padding": np.array([0, 0])}  # fmt: skip
            row.insert(1, f"p{i}")
    graph["edges"] = [list(pair) for pair in pairwise(row)]
    return f"{at} {action}"


def _edges(rng: Random, tree: Tree) -> str:
    graph = tree["node"]
    edges = [list(edge) for edge in graph["edges"]]
    action, at = rng.randrange(9), rng.randrange(len(edges))
    if action == 0:
        del edges[at]
    elif action == 1:
        edges.append(list(edges[at]))
    elif action == 2:
        edges[at].reverse()
    elif action == 3:
        edges.append([edges[at][1], edges[at][0]])
    elif action == 4:
        edges[at][rng.randrange(2)] = rng.choice(("nowhere", "", "input", "output", edges[0][0], edges[-1][1], "\x1b[2J", "x" * 3000))
    elif action == 5:
        edges[at] = [edges[at][0]] * 2
    elif action == 6:
        rng.shuffle(edges)
    elif action == 7:
        edges = [[*edge, edge[0]] for edge in edges]
    else:
        edges = rng.choice(([], [["a"]], [name for edge in edges for name in edge], edges * 3000))
    graph["edges"] = edges if edges else np.zeros((0, 2))
    return f"{at} {action}"


def _version(rng: Random, tree: Tree) -> str:
    tree["version"] = version = rng.choice(("1.0", "1.0.8", "1.999", "2.0", "0.9", "", "1", "1.0.8\n", "1.0.\u0661", "1." + "0" * 3000, " 1.0"))
    return repr(version[:20])


def _said(rng: Random, tree: Tree) -> str:
    """Change this package's text, or put one where none was."""
    graph = tree["node"]
    if "metadata" not in graph:
        said = rng.choice(("", "{}", "[", "[]", "null", '{"format_version":1}', '{"format_version":' + "1" * 3000 + "}", '{"format_version":2}'))
        graph["metadata"] = rng.choice(({"spikefold": said}, {"spikefold": np.array([1.0])}, {"other": said}, said, {}))
        return repr(said[:20])
    old = graph["metadata"]["spikefold"]
    if rng.random() < 0.15:
        graph["metadata"]["spikefold"] = rng.choice((
            "[" * 100_000, '{"a":' * 90_000, "", " ", old + " ", old[:-1], old.replace(",", ",,", 1), "\ufeff" + old, "[]", "NaN", old * 2,
            "[" + "[]," * 300_000 + "[]]", old + " " * 1_000_000, old.replace("0.", "1" * 5000 + ".", 1),
        ))  # fmt: skip
        return "text"
    said = parse(old)
    for _ in range(rng.choice((1, 1, 1, 2))):
        said, where = changed(rng, said)
    graph["metadata"]["spikefold"] = text(said).encode("utf-8", "surrogatepass")
    return where


def _in_hdf5(rng: Random, tree: Tree) -> str:
    """Put in a place what HDF5 can say and no graph needs."""
    group, name = _place(rng, tree)
    value = group[name]
    label, made = rng.choice(MADE)
    group[name] = made
    if label in BESIDE and not isinstance(value, dict):
        other = "w_in" if rng.random() < 0.2 else name
        group[other] = made
    return f"{name} {label}"


def _external(group: Any, name: str) -> None:
    group.create_dataset(name, shape=(4,), dtype="f8", external=[("/etc/passwd", 0, 32)])


def _virtual(group: Any, name: str) -> None:
    layout = h5py.VirtualLayout(shape=(4,), dtype="f8")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(4,))
    group.create_virtual_dataset(name, layout)


def _filtered(group: Any, name: str) -> None:
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((4,))
    plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())
    h5py.h5d.create(group.id, name.encode(), h5py.h5t.NATIVE_DOUBLE, h5py.h5s.create_simple((4,)), plist)


def _deep(group: Any, name: str) -> None:
    for _ in range(40):
        group = group.create_group(name)


def _soft_cycle(group: Any, name: str) -> None:
    group[name] = h5py.SoftLink(f"{group.name}/{name}")


def _set(value: Any) -> Made:
    def made(group: Any, name: str) -> None:
        group[name] = value

    return made


def _made(**options: Any) -> Made:
    def made(group: Any, name: str) -> None:
        group.create_dataset(name, **options)

    return made


def _many(group: Any, name: str) -> None:
    group = group.create_group(name)
    for i in range(400):
        group.create_group(str(i))


def _reference(group: Any, name: str) -> None:
    group.create_dataset(name, data=group.file.ref, dtype=h5py.ref_dtype)


BESIDE = ("a hole", "a hole of 2**60", "compressed zeros", "compressed in four axes")
MADE: tuple[tuple[str, Made], ...] = (
    ("external", _external), ("virtual", _virtual), ("filtered", _filtered), ("deep", _deep), ("soft cycle", _soft_cycle), ("many", _many),
    ("reference", _reference), ("soft", _set(h5py.SoftLink("/version"))), ("soft to nothing", _set(h5py.SoftLink("/nothing"))),
    ("link out", _set(h5py.ExternalLink("/etc/passwd", "/"))), ("link to itself", _set(h5py.ExternalLink("file", "/"))),
    ("above", lambda group, name: group.__setitem__(name, group.file["/"])), ("itself", lambda group, name: group.__setitem__(name, group)),
    ("a type", _set(np.dtype("f8"))), ("nothing", _made(data=h5py.Empty("f8"))), ("nothing of text", _made(data=h5py.Empty(TEXT))),
    ("a hole", _made(shape=(4_500_000,), dtype="f8")), ("a hole of 2**60", _made(shape=(1 << 30, 1 << 30), dtype="f4", chunks=(1024, 1))),
    ("a hole of texts", _made(shape=(19_000,), dtype=TEXT)), ("too many texts", _made(shape=(30_000,), dtype=TEXT)),
    ("compressed zeros", _made(data=np.zeros(4_190_000, "f4"), compression="gzip")), ("many numbers", _made(data=np.ones(600_000, "i1"))),
    ("compressed in four axes", _made(data=np.zeros((100, 100, 10, 9)), compression="gzip", compression_opts=9, shuffle=True)),
    ("a large chunk", _made(shape=(4,), maxshape=(None,), dtype="f8", chunks=(1 << 28,))),
    ("lzf", _made(data=np.ones(3), chunks=(2,), compression="lzf")), ("fletcher", _made(data=np.ones(3), chunks=(2,), fletcher32=True)),
    ("scaled", _made(data=np.ones(3, "i4"), chunks=(2,), scaleoffset=2)), ("several numbers", _made(shape=(2,), dtype=h5py.vlen_dtype("i4"))),
    ("an enumeration", _made(data=np.ones(3, "i1"), dtype=h5py.enum_dtype({"a": 1}))), ("arrays", _made(shape=(3,), dtype="(2,)f8")),
    ("a long text", _made(data="x" * (1 << 20), dtype=TEXT)), ("no texts", _made(shape=(0, 2), dtype=TEXT)),
    ("texts of one length", _made(data=np.array([["input", "n0"]], "S9"))), ("opaque", _made(data=np.void(b"abc"))),
    ("zeros without end", _made(shape=(0, 1 << 62), dtype="f8")),
)  # fmt: skip


WAYS: list[tuple[float, Callable[[Random, Tree], str]]] = [
    (16, _values), (8, _type_of_numbers), (9, _shape_of_numbers), (14, _entry), (7, _type_of_node), (6, _nodes), (6, _edges), (2, _version),
    (12, _said), (8, _in_hdf5),
]  # fmt: skip


def _copied(tree: Tree) -> Tree:
    return {name: _copied(value) if isinstance(value, dict) else value for name, value in tree.items()}


def _case(rng: Random) -> Case:
    exported, number, compressed, chance = rng.random() < 0.4, rng.randrange(16), rng.random() < 0.5, rng.random()
    name, tree = (_exported if exported else _foreign)(number)
    content = _written(exported, number, compressed)
    if chance < 0.01:
        return odd_entries(rng, {name: content})
    if chance < 0.04:
        return Case(what="as written", files={f"{name}-{PROCESS}" if rng.random() < 0.1 else name: content}, expect="accepted")
    words: list[str] = []
    if chance < 0.85:
        content, words = _tree_changed(rng, content, tree, compressed)
    if chance >= 0.85 or rng.random() < 0.02:
        content, more = _bytes_changed(rng, content)
        name, words = f"{name}-{RAW}", [*words, more]
    return Case(what=", ".join(words), files={f"{name}-{PROCESS}" if rng.random() < 0.005 else name: content})


def _tree_changed(rng: Random, content: bytes, tree: Tree, compressed: bool) -> tuple[bytes, list[str]]:
    """Return a file changed in one way or two that h5py can write."""
    while True:
        other, words = _copied(tree), []
        for _ in range(rng.choice((1, 1, 1, 2))):
            way = some(rng, WAYS)
            try:
                words.append(f"{way.__name__.strip('_').replace('_', ' ')} {way(rng, other)}")
            except (KeyError, TypeError, IndexError, AttributeError, ValueError, OverflowError):
                # The way before took away what this one needs.
                continue
        buffer = BytesIO(content)
        try:
            with h5py.File(buffer, "r+") as file:
                _put(file, tree, other, compressed)
        except (ValueError, TypeError, KeyError, OSError, RuntimeError, OverflowError):
            # It is no file that can be written.
            continue
        return buffer.getvalue(), words


def _bytes_changed(rng: Random, content: bytes) -> tuple[bytes, str]:
    """Change bytes behind the first 96, which are HDF5's own header, more often than any."""
    return some(rng, [
        (8, (flipped(rng, content, 96), "bytes changed")), (2, (flipped(rng, content[:96]) + content[96:], "bytes of the header changed")),
        (2, (cut_or_grown(rng, content), "cut or grown")), (1, (bytes(512) + content, "behind a block of a user's")),
        (0.3, (rng.randbytes(60), "noise")), (0.3, (content[:8] + rng.randbytes(200), "noise behind the magic")),
    ])  # fmt: skip


REFUSED = 2


def _read(folder: Path) -> Any:
    path = next((path for path in map(folder.joinpath, _names()) if is_there(path)), folder / _names()[0])
    shape, rules, *marks = path.name.split("-")
    # What is no file is refused before any process would be started.
    chain = _chain(path, raw=RAW in marks) if PROCESS not in marks and path.is_file() else read_chain(path)
    if chain.metadata:
        return exported_network(chain, str(path))
    return network_of(chain, _coding(SHAPES[shape]), TIMESTEPS, RULES[rules], None, {})


@cache
def _names() -> tuple[str, ...]:
    marks = ("", f"-{RAW}", f"-{PROCESS}", f"-{RAW}-{PROCESS}")
    return tuple(f"{shape}-{rules}{mark}" for shape in SHAPES for rules in RULES for mark in marks)


def _chain(path: Path, *, raw: bool) -> NirChain:
    """Return the graph in a file, as ``read_chain`` does."""
    content = read_whole(path, FILE_BYTES_MAX)
    if raw:
        status = os.waitstatus_to_exitcode(_forked(content))
        if status:
            # Without its limits, libhdf5 may take gigabytes before it refuses.
            raise SourceError(f"{path}: the process that read it {'refused it' if status == REFUSED else f'ended with status {status}'}")
    return chain_of(decoded(b"".join(hdf5_child.written(hdf5_child.read(content))), str(path)), str(path))


def _forked(content: bytes) -> int:
    """Return how a process ended that reads a file as ``hdf5_child`` does."""
    if (pid := os.fork()) == 0:
        status = 1
        try:
            memory = hdf5_child.used_bytes() + hdf5_child.MEMORY_BYTES + 4 * len(content)
            resource.setrlimit(resource.RLIMIT_AS, (memory, resource.RLIM_INFINITY))
            resource.setrlimit(resource.RLIMIT_CPU, (int(SECONDS_MAX), int(SECONDS_MAX) + 1))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            result = hdf5_child.read(content)
            for _ in hdf5_child.written(result):
                pass
            status = REFUSED if "error" in result else 0
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1]


def _differs(case: Case, network: FloatNetwork) -> str:
    name = next(iter(case.files))
    shape, rules, *_ = name.split("-")
    return difference_of(case.content(name), SHAPES[shape], RULES[rules], network)


def _past_header(case: Case) -> bool:
    """Return whether h5py opens the file, and a graph is in it."""
    name, content = next(iter(case.files.items()), ("", None))
    if not isinstance(content, bytes) or (RAW in name and _forked(content)):
        return False
    try:
        with h5py.File(BytesIO(content)) as file:
            return "node" in file and len(file["node"]) > 0
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, OverflowError):
        # h5py turns what libhdf5 finds into errors of many types.
        return False


NIR = Reader(
    name="nir", case=_case, read=_read, differs=_differs, past_header=_past_header,
    covers={
        "spikefold.train.importers.hdf5_child": ("_Reader", "read", "written"), "spikefold.train.importers.hdf5_file": ("decoded", "_value"),
        "spikefold.train.importers.nir_graph": (), "spikefold.train.importers.nir_import": ("network_of", "_"),
        "spikefold.train.importers.nir_export": ("exported_network", "_exact"),
    },
)  # fmt: skip
