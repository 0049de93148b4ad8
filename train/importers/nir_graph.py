"""A NIR graph from a file as nodes in a row.

NIR: Pedersen et al. 2024; the files of its Python package, versions 0.1, 0.2 and 1.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spikefold.data.files import read_whole
from spikefold.data.shown import shortened, shown
from spikefold.train.importers.errors import SourceError
from spikefold.train.importers.hdf5_file import FILE_BYTES_MAX, parse_hdf5
from spikefold.train.importers.parts import Float

__all__ = ["METADATA", "NirChain", "NirNode", "chain_of", "parse_chain", "read_chain"]

METADATA = "spikefold"
"""The name of this package's text in the metadata of a graph."""
FLOAT_EXACT = 1 << 53
GRAPH_FIELDS = {"type", "nodes", "edges", "metadata"}
VERSIONS = re.compile(r"(0\.[12]|1\.[0-9]{1,3})(\.\w{1,20})?")
"""In 0.1 and 0.2, neurons may lack v_reset, which is 0 then, and flattenings their shape."""
CYCLE_SHOWN = 4
SYNAPSES = ("Affine", "Linear", "Conv1d", "Conv2d", "Scale", "Flatten", "Delay")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NirNode:
    """A node's name, type and fields, as they are in the file."""

    name: str
    type: str
    fields: Mapping[str, Any]

    @property
    def place(self) -> str:
        """How errors name it."""
        return f"node {shown(self.name)} ({shortened(repr(self.type)[1:-1])})"

    def values(self, name: str) -> Float:
        """Return a field of numbers as float64."""
        value = self.fields.get(name)
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
            raise SourceError(f"{self.place} {name}: {'it is missing' if value is None else _said(value)}; it must be numbers")
        if value.dtype.kind != "f" and ((value > FLOAT_EXACT) | (value < -FLOAT_EXACT)).any():
            raise SourceError(f"{self.place} {name}: a whole number beyond 2**53, which no float holds")
        return value.astype(np.float64)

    def whole(self, name: str) -> tuple[int, ...]:
        """Return a field of whole numbers."""
        values = self.values(name).reshape(-1)
        if (values != np.rint(values)).any() or np.abs(values).max(initial=0) > 1 << 31:
            raise SourceError(f"{self.place} {name}: {shown(values.tolist())}; it must be whole numbers")
        return tuple(map(int, values))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NirChain:
    """The nodes from the input to the output, and this package's text in the metadata (empty: there is none)."""

    version: str
    nodes: tuple[NirNode, ...]
    metadata: str


def read_chain(path: Path) -> NirChain:
    """Return the graph in a file; one that is no row of nodes, or of an unknown version, is a SourceError."""
    try:
        content = read_whole(path, FILE_BYTES_MAX)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from error
    return parse_chain(content, str(path))


def parse_chain(file: bytes, path: str) -> NirChain:
    """Return the graph in the bytes of a file, as :func:`read_chain` does; ``path`` names it in errors."""
    return chain_of(parse_hdf5(file, path), path)


def chain_of(content: Mapping[str, Any], path: str) -> NirChain:
    """Return the graph in what was read from a file."""
    version, graph = content.get("version"), content.get("node")
    if not isinstance(version, str) or not VERSIONS.fullmatch(version):
        raise SourceError(f"{path}: version {shown(version)}; a NIR file of a version 0.1, 0.2 or 1 is expected")
    if (
        not isinstance(graph, dict)
        or not isinstance(graph.get("type"), str)
        or graph["type"] != "NIRGraph"
        or not isinstance(graph.get("nodes"), dict)
    ):
        raise SourceError(f"{path}: it holds no NIRGraph with nodes")
    for place, table, known in (("", content, {"version", "node"}), ("the graph: ", graph, GRAPH_FIELDS)):
        if unknown := sorted(set(table) - known):
            raise SourceError(f"{path}: {place}{shown(unknown[0])} is unknown; {', '.join(sorted(known))} are known")
    nodes = {}
    for name, fields in graph["nodes"].items():
        if not isinstance(fields, dict) or not isinstance(fields.get("type"), str):
            raise SourceError(f"{path}: node {shown(name)} has no type")
        nodes[name] = NirNode(name=name, type=fields["type"], fields=fields)
        if (inner := fields.get("nodes")) is not None and fields["type"] == "NIRGraph":
            _check_cycles(f"{path}: {nodes[name].place}: in it, ", inner, fields.get("edges"))
    metadata = graph.get("metadata", {})
    text = metadata.get(METADATA, "") if isinstance(metadata, dict) else ""
    if not isinstance(text, str):
        raise SourceError(f"{path}: metadata {METADATA}: {shown(text)}; it must be a text")
    return NirChain(version=version, nodes=tuple(_row(path, nodes, graph.get("edges"))), metadata=text)


def _said(value: Any) -> str:
    """Return a value of another kind in words."""
    if isinstance(value, np.ndarray):
        return f"values of the type {value.dtype}"
    return "a group" if isinstance(value, dict) else shown(value)


def _are_pairs(edges: Any) -> bool:
    return isinstance(edges, list) and all(
        isinstance(edge, list) and len(edge) == 2 and all(isinstance(name, str) for name in edge) for edge in edges
    )


def _check_cycles(place: str, nodes: Any, edges: Any) -> None:
    """Refuse a graph with a node that feeds itself, through others or not."""
    cycle = _cycle(edges) if _are_pairs(edges) else []
    if not cycle:
        return

    def said(name: str) -> str:
        fields = nodes.get(name) if isinstance(nodes, dict) else None
        kind = fields.get("type") if isinstance(fields, dict) else None
        return NirNode(name=name, type=kind, fields={}).place.removeprefix("node ") if isinstance(kind, str) else shown(name)

    # What is recurrent are neurons; that their weights feed themselves too says less.
    kinds = [said(name).endswith(tuple(f"({kind})" for kind in SYNAPSES)) for name in cycle]
    first = kinds.index(False) if False in kinds else 0
    own, *through = (said(name) for name in (*cycle[first:], *cycle[:first])[:CYCLE_SHOWN])
    more = " and others" if len(cycle) > CYCLE_SHOWN else ""
    words = f"feeds itself{' through ' if through else ''}{', '.join(through)}{more}"
    raise SourceError(f"{place}node {own} is recurrent: it {words}, for which a float network has no place")


def _cycle(edges: list[list[str]]) -> list[str]:
    """Return the names along one cycle of the edges, or none if there is no cycle."""
    # What has no edge to it or none from it is in no cycle; taken away until nothing of that kind is left.
    towards: dict[str, list[str]] = {}
    count: dict[str, int] = {}
    for source, target in edges:
        towards.setdefault(target, []).append(source)
        count[source] = count.get(source, 0) + 1
    ends = [name for name in towards if not count.get(name)]
    while ends:
        for source in towards.pop(ends.pop(), []):
            count[source] -= 1
            if not count[source]:
                ends.append(source)
    # Each of the rest has an edge to one of the rest.
    onwards = {source: target for source, target in edges if count.get(source) and count.get(target)}
    walked: dict[str, None] = {}
    name = next(iter(onwards), "")
    while name in onwards and name not in walked:
        walked[name] = None
        name = onwards[name]
    names = list(walked)
    return names[names.index(name) :] if name in walked else []


def _row(place: str, nodes: Mapping[str, NirNode], edges: Any) -> list[NirNode]:
    """Return the nodes in the order of the edges."""
    following: dict[str, str] = {}
    received: set[str] = set()
    if not _are_pairs(edges):
        raise SourceError(f"{place}: edges: they must be pairs of names")
    for name in (name for edge in edges for name in edge):
        if name not in nodes:
            raise SourceError(f"{place}: edges: {shown(name)} is no node")
    _check_cycles(f"{place}: ", {name: node.fields for name, node in nodes.items()}, edges)
    for source, target in edges:
        if source in following or target in received:
            raise SourceError(
                f"{place}: edge {shown(source)} to {shown(target)}: a second one of a node; a row of nodes is expected, without branches"
            )
        following[source] = target
        received.add(target)
    inputs = [node for node in nodes.values() if node.type == "Input"]
    if len(inputs) != 1:
        raise SourceError(f"{place}: {len(inputs)} nodes of the type Input; one is expected")
    row = [inputs[0]]
    while row[-1].name in following and len(row) <= len(nodes):
        row.append(nodes[following[row[-1].name]])
    if row[-1].type != "Output" or len(row) != len(nodes):
        where = f"along {len(row)} of {len(nodes)} nodes, to {row[-1].place}"
        raise SourceError(f"{place}: the edges lead from the Input {where}; they must lead along all of them, to the Output")
    return row
