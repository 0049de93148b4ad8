"""What a NIR graph says, read by h5py alone and node for node as NIR describes it, held against the network that was made of it."""

import math
from io import BytesIO
from typing import Any

import h5py
import numpy as np

from benchmarks.fuzz.trees import plain
from spikefold.network.files.records import pack
from spikefold.quantize.float_network import FloatNetwork
from spikefold.train.importers.nir_import import NirRules

__all__ = ["difference_of"]

Shape = tuple[int, ...]
KNOWN = {
    "Input": "shape", "Output": "shape", "Affine": "weight bias", "Linear": "weight", "AvgPool2d": "kernel_size stride padding",
    "Conv2d": "input_shape weight stride padding dilation groups bias", "SumPool2d": "kernel_size stride padding", "Scale": "scale",
    "Flatten": "input_type start_dim end_dim", "LIF": "tau r v_leak v_threshold v_reset", "LI": "tau r v_leak",
    "IF": "r v_threshold v_reset", "I": "r",
}  # fmt: skip
NEARLY = 1e-8
VERSIONS = ("0.1.", "0.2.", "1.")


class UnsoundError(ValueError):
    """A graph that says nothing, or two things."""


def difference_of(content: bytes, shape: Shape, rules: NirRules, network: FloatNetwork) -> str:
    """Return in what ``network`` differs from the graph in a file, or ""; an UnsoundError where the file is no graph."""
    with h5py.File(BytesIO(content)) as file:
        _demand(set(file) == {"version", "node"} and _text(file["version"]).startswith(VERSIONS), "version")
        graph = file["node"]
        _demand(set(graph) <= {"type", "nodes", "edges", "metadata"} and _text(graph["type"]) == "NIRGraph", "graph")
        metadata = graph.get("metadata")
        text = _text(metadata["spikefold"]) if isinstance(metadata, h5py.Group) and "spikefold" in metadata else ""
        row = _row(graph["nodes"], [_names(pair) for pair in graph["edges"]])
        nodes = [_fields(graph["nodes"], name) for name in row]
    if not text:
        return _compared(nodes, shape, rules, network, 0.0)
    said = plain(text)
    _demand(said["discretisation"] == "euler" and said["reset"] == "hard" and said["format_version"] == 1, "metadata")
    rules = NirRules(dt=said["dt"], compare="above", reset="hard")
    return _compared_with_text(said, network) or _compared(nodes, tuple(said["input"]["shape"]), rules, network, NEARLY)


def _demand(sound: bool, what: str) -> None:
    if not sound:
        raise UnsoundError(what)


def _text(data: Any) -> str:
    value = data[()]
    return value.decode() if isinstance(value, bytes) else str(value)


def _names(pair: Any) -> tuple[str, str]:
    source, target = pair
    return source.decode(), target.decode()


def _row(nodes: Any, edges: list[tuple[str, str]]) -> list[str]:
    """Return the names along the edges; each node has one edge to it and one from it."""
    following = dict(edges)
    inputs = [name for name in nodes if _text(nodes[name]["type"]) == "Input"]
    _demand(len(following) == len(edges) == len({b for _, b in edges}) == len(nodes) - 1 and len(inputs) == 1, "edges")
    row = inputs
    while row[-1] in following:
        row.append(following[row[-1]])
        _demand(len(row) <= len(nodes), "a cycle")
    _demand(sorted(row) == sorted(nodes) and _text(nodes[row[-1]]["type"]) == "Output", "row")
    return row


def _fields(nodes: Any, name: str) -> dict[str, Any]:
    """Return a node's name, type and numbers."""
    node = nodes[name]
    found: dict[str, Any] = {"name": name, "type": _text(node["type"])}
    known = KNOWN[found["type"]].split()
    _demand(set(node) <= {"type", "metadata", *known}, "a field that is not known")
    for key in set(node) & set(known):
        value = node[key][()]
        if isinstance(value, bytes) and (key, value) == ("padding", b"valid"):
            value = 0
        _demand(np.asarray(value).dtype.kind in "fiu", key)
        found[key] = np.asarray(value, np.float64)
        _demand(bool(np.isfinite(found[key]).all() and (np.asarray(value) == found[key]).all()), key)
    return found


def _one(node: dict[str, Any], key: str) -> int:
    """Return a whole number that is the same in both directions."""
    values = set(node[key].reshape(-1).tolist())
    _demand(len(values) == 1 and values == {int(v) for v in values}, key)
    return int(values.pop())


def _fit(said: Any, shape: Shape) -> None:
    """Hold a shape that is said against one that is, ones left out: a batch of one and the axes of what stands in a row."""
    sizes = tuple(int(n) for n in said if n != 1)
    _demand(sizes in (tuple(n for n in shape if n != 1), tuple(n for n in (math.prod(shape),) if n != 1)), f"shape {sizes} for {shape}")


def _compared(nodes: list[dict[str, Any]], shape: Shape, rules: NirRules, network: FloatNetwork, tolerance: float) -> str:
    """Go along the row with the shape; at each node that ends a layer, compare that layer."""
    if network.input.shape != shape:
        return f"input {network.input.shape}, {shape} was given"
    _fit(nodes[0]["shape"].reshape(-1), shape)
    layers, shapes = iter(network.layers), iter(network.shapes())
    pool, gain = 1, 1.0
    weights: dict[str, Any] | None = None
    factor: Any = 1.0
    for i, node in enumerate(nodes[1:]):
        kind = node["type"]
        if kind in ("AvgPool2d", "SumPool2d"):
            side = _one(node, "kernel_size")
            _demand(side >= 1 and _one(node, "stride") == side and not node["padding"].any(), "pool")
            pool, gain, shape = pool * side, gain * (side**2 if kind == "SumPool2d" else 1), (shape[0], shape[1] // side, shape[2] // side)
        elif kind == "Flatten":
            sizes = node["input_type"].reshape(-1) if "input_type" in node else np.array(shape)
            _fit(sizes, shape)
            left = np.ones(sizes.shape)
            start, end = (int(node[key].reshape(-1)[0]) for key in ("start_dim", "end_dim"))
            flat = np.prod(sizes[start % len(sizes) : end % len(sizes) + 1]) if len(left) else 1
            _demand(flat == math.prod(shape), "flatten")
        elif kind in ("Affine", "Linear", "Conv2d"):
            _demand(weights is None, "weights")
            weights, shape, factor = node, _behind(node, shape), 1.0
        elif kind == "Scale":
            factor = factor * _channels(node, "scale", shape)
        ends = kind in ("LIF", "LI", "IF", "I", "Output")
        if ends and weights is not None:
            _demand(kind == "Output" or i < len(nodes) - 1, "end")
            if next(shapes) != shape:
                return f"layer before {node['name']}: shape"
            if where := _layer(next(layers), weights, node, shape, rules, pool, gain, factor, tolerance):
                return f"{node['name']} {where}"
            pool, gain, weights = 1, 1.0, None
    _fit(nodes[-1]["shape"].reshape(-1), shape)
    return "more layers than nodes" if next(layers, None) else ""


def _behind(node: dict[str, Any], shape: Shape) -> Shape:
    """Return the shape behind weights."""
    weights = node["weight"]
    if node["type"] != "Conv2d":
        _demand(weights.shape[1] == math.prod(shape), "fan-in")
        return len(weights), 1, 1
    _demand(sorted(node["input_shape"].reshape(-1)) == sorted(shape[1:]) if "input_shape" in node else True, "input_shape")
    _demand(set(node["dilation"].reshape(-1)) == {1} and node["groups"].reshape(-1).tolist() == [1], "groups")
    stride, padding = _one(node, "stride"), _one(node, "padding")
    return len(weights), *((size + 2 * padding - k) // stride + 1 for size, k in zip(shape[1:], weights.shape[2:], strict=True))


def _channels(node: dict[str, Any], key: str, shape: Shape) -> Any:
    """Return a parameter, one a channel."""
    values = node[key]
    if values.size == 1:
        return np.broadcast_to(values.reshape(1), shape[0])
    _fit(values.shape, shape)
    rows = values.reshape(shape[0], -1)
    _demand(bool((rows == rows[:, :1]).all()), key)
    return rows[:, 0]


def _layer(
    layer: Any, weights: dict[str, Any], node: dict[str, Any], shape: Shape, rules: NirRules, pool: int, gain: float, factor: Any, tolerance: float
) -> str:
    """Return in what a layer differs from its nodes."""
    kind, zero, one = node["type"], np.zeros(shape[0]), np.ones(shape[0])
    if kind in ("LIF", "LI"):
        tau, rest = _channels(node, "tau", shape), _channels(node, "v_leak", shape)
        rate = rules.dt / tau if rules.discretisation == "euler" else 1 - np.exp(-rules.dt / tau)
        leak, scale, shift, initial = 1 - rate, rate * _channels(node, "r", shape), rate * rest, rest
    elif kind in ("IF", "I"):
        scale, shift, leak = _channels(node, "r", shape) * rules.dt, zero, one
        initial = _channels(node, "v_reset", shape) if "v_reset" in node else zero
    else:
        leak, scale, shift, initial = one, one, zero, zero
    bias = weights.get("bias", zero)
    drive = scale * factor
    pairs: list[tuple[str, Any, Any]] = [
        ("leak", layer.leak, leak), ("weights", layer.weights * layer.drive_scale[0].reshape(-1, *(1,) * (layer.weights.ndim - 1)),
        weights["weight"] * gain * drive.reshape(-1, *(1,) * (layer.weights.ndim - 1))), ("shift", layer.drive_shift, drive * bias + shift),
    ]  # fmt: skip
    if tolerance == 0:
        pairs.append(("initial", layer.initial, initial))
    if kind in ("LIF", "IF"):
        pairs += [("threshold", layer.threshold, _channels(node, "v_threshold", shape)),
                  ("load", layer.load if rules.reset == "hard" else 0, _channels(node, "v_reset", shape) if "v_reset" in node else 0)]  # fmt: skip
        if layer.reset != rules.reset or (tolerance == 0 and layer.fires_at_threshold != (rules.compare == "at")):
            return f"reset {layer.reset}, fires_at_threshold {layer.fires_at_threshold}"
    for name, found, expected in pairs:
        if not np.allclose(found, expected, rtol=max(tolerance, 1e-12), atol=max(tolerance, 1e-15)):
            return f"{name}: {np.ravel(found)[:3]} was read, the file says {np.ravel(expected)[:3]}"
    stride, padding = (_one(weights, "stride"), _one(weights, "padding")) if weights["type"] == "Conv2d" else (1, 0)
    if (layer.pool, layer.stride, layer.padding) != (pool, stride, padding):
        return f"pool, stride, padding {layer.pool, layer.stride, layer.padding}, the file says {pool, stride, padding}"
    return ""


def _ordered(value: Any) -> Any:
    return sorted(value.items()) if isinstance(value, dict) else value


def _compared_with_text(said: dict[str, Any], network: FloatNetwork) -> str:
    """Return in what a network differs from this package's own text."""
    table, _ = pack(network)
    for key in ("timesteps", "readout", "input", "class_names"):
        # The order of a table's keys means nothing.
        if repr(_ordered(table[key])) != repr(_ordered(said[key])):
            return f"{key}: {table[key]!r:.200}, the text says {said[key]!r:.200}"
    trained_on = {key: said[key] for key in ("data",) if key in said}
    if dict(network.provenance) != trained_on:
        return f"provenance: {dict(network.provenance)!r:.200}, the text says {trained_on!r:.200}"
    for layer, told in zip(network.layers, said["layers"], strict=True):
        found = {
            "name": layer.name, "bias": layer.bias is not None, "fires_at_threshold": layer.fires_at_threshold, "leak": layer.leak.tolist(),
            "threshold": layer.threshold.tolist(), "load": layer.load.tolist(), "initial": layer.initial.tolist(),
        }  # fmt: skip
        if repr(sorted(found.items())) != repr(sorted(told.items())):
            return f"layer {layer.name!r:.100}: {found!r:.300}, the text says {told!r:.300}"
    return ""
