"""What is done to the tree of a NIR graph: its numbers, entries, nodes, edges and texts, and what only HDF5 can say.

Each change takes a copy of the tree and returns in words what it did.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import h5py
import numpy as np

from benchmarks.fuzz.cases import Random, numbers
from benchmarks.fuzz.graph_samples import Tree
from benchmarks.fuzz.trees import changed, parse, text

__all__ = ["TEXT", "WAYS"]

Made = Callable[[Any, str], object]
"""What is put into a group of a file under a name by h5py itself, where no value can say it."""
TEXT = h5py.string_dtype()


def _place(rng: Random, tree: Tree, among: Callable[[Any], bool] = lambda _: True) -> tuple[Tree, str]:
    """Return a group of the tree and a name in it, whose value is one of those that count."""
    places: list[tuple[Tree, str]] = list(_places(tree, among))
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
    tree["version"] = version = rng.choice(
        ("1.0", "1.0.8", "1.999", "2.0", "0.1.1", "0.2.0", "0.3.0", "0.9", "", "1", "1.0.8\n", "1.0.\u0661", "1." + "0" * 3000, " 1.0")
    )
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
