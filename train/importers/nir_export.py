"""A float network as a NIR file, and back to the same network.

NIR carries dense layers and convolutions, average pooling, and leaky or perfect integrate-and-fire neurons with a hard reset. What else the numbers
need to be the same network stands as JSON under ``spikefold`` in the metadata of the graph: a version, dt, the discretisation, reset,
arithmetic and rounding, the input coding, the data set that it was trained on, and of every layer its name and the parameters of its neurons as
they are, since a time constant does not give back its leak to the last bit. Other readers do not know that text; :func:`export_nir` says what
they will miss.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from spikefold.data.coding import InputCoding
from spikefold.data.files import write_bytes
from spikefold.data.shown import shown
from spikefold.network.files.records import pack, unpack
from spikefold.network.files.tensor_file import parse_json
from spikefold.network.windows import Shape, pooled_shape
from spikefold.quantize.float_network import FloatLayer, FloatNetwork, Norm
from spikefold.train.importers.errors import SourceError
from spikefold.train.importers.nir_graph import METADATA, NirChain, parse_chain
from spikefold.train.importers.nir_import import NirRules, network_of
from spikefold.train.importers.parts import Float

__all__ = ["DT_S", "Exported", "export_nir", "exported_network"]

DT_S = 1e-4
"""The timestep, in seconds, that snnTorch and SpikingJelly take for granted."""
META_VERSION = 1
META_BYTES_MAX = 1_000_000
DATA_NAME_MAX = 100
TOLERANCE = 1e-9
Numbers = tuple[float, ...]


_ARITHMETIC: dict[str, Any] = {"discretisation": "euler", "reset": "hard", "arithmetic": "float64", "rounding": "none"}
"""What every graph that is written says of how its numbers are meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """A layer's name and its neurons' parameters, one number or one a channel; ``bias``: whether there is one."""

    name: str
    bias: bool
    fires_at_threshold: bool
    leak: Numbers
    threshold: Numbers
    load: Numbers
    initial: Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class _Meta:
    """What stands in the metadata, besides ``data``, which is left out where the network names no data set."""

    format_version: int
    dt: float
    discretisation: Literal["euler"]
    reset: Literal["hard"]
    arithmetic: Literal["float64"]
    rounding: Literal["none"]
    timesteps: int
    input: InputCoding
    readout: Literal["potential", "spike_count"]
    class_names: tuple[str, ...]
    layers: tuple[_Layer, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exported:
    """The network in the file; ``folded`` names the layers whose norm went into the weights, ``unsaid`` is what other readers will not know."""

    network: FloatNetwork
    folded: tuple[str, ...]
    unsaid: tuple[str, ...]


def export_nir(network: FloatNetwork, path: Path, dt: float = DT_S) -> Exported:
    """Write ``network`` to ``path``, the whole file or nothing, once it was read back as the same network.

    Of the provenance it keeps the name of the data set. A normalisation that is the same in every timestep goes into weights and bias. What NIR
    cannot carry is a SourceError that names the layer.
    """
    if not 0 < dt < np.inf:
        raise SourceError(f"dt: {dt}; it must be above 0")
    for layer in network.layers:
        _check(layer)
    written = replace(network, layers=tuple(_without_norm(layer) for layer in network.layers), provenance=_data(network.provenance, "provenance"))
    content = _file(written, dt)
    back = exported_network(parse_chain(content, str(path)), str(path))
    if _packed(back) != _packed(written):
        raise SourceError(f"{path}: it does not read back as the network that was written")
    write_bytes(path, content)
    folded = tuple(layer.name for layer in network.layers if layer.norm.kind != "none")
    return Exported(network=written, folded=folded, unsaid=tuple(_unsaid(written)))


def _check(layer: FloatLayer) -> None:
    place = f"layer {layer.name!r}"
    if layer.neuron != "lif":
        raise SourceError(f"{place} neuron: {layer.neuron!r}; NIR has lif neurons")
    if layer.reset == "soft":
        raise SourceError(f"{place} reset: 'soft'; NIR's neurons load v_reset, and readers would do that; only a hard reset can be written")
    if layer.add or layer.shared:
        raise SourceError(f"{place}: it has a residual connection or shared weights; only layers in a row can be written")
    if (layer.norm.scale != layer.norm.scale[:1]).any() or (layer.norm.shift != layer.norm.shift[:1]).any():
        raise SourceError(f"{place} norm: {layer.norm.kind!r}; NIR has nothing that changes from timestep to timestep")
    if (layer.leak == 1).any() and (layer.leak != 1).any():
        raise SourceError(f"{place} leak: 1 in some channels, below in others; NIR has LIF and IF neurons, a layer is one of them")


def _without_norm(layer: FloatLayer) -> FloatLayer:
    """Return the layer with its normalisation in weights and bias."""
    plain = replace(layer, decrement=None)
    if layer.norm.kind == "none":
        return plain
    scale = layer.drive_scale[0].reshape(-1, *(1,) * (layer.weights.ndim - 1))
    return replace(plain, weights=layer.weights * scale, bias=layer.drive_shift[0], norm=Norm.none(len(layer.weights)))


def _unsaid(network: FloatNetwork) -> list[str]:
    """Return what makes a difference and stands in the metadata alone, or is read wrongly."""
    found = []
    for layer in network.layers:
        if layer.fires_at_threshold and layer.reset != "none":
            found.append(f"layer {layer.name!r} fires at its threshold, NIR's neurons above it")
        if layer.initial.any():
            found.append(f"layer {layer.name!r} begins at other potentials than 0")
        if layer.kind == "conv2d" and layer.weights.shape[2] != layer.weights.shape[3]:
            height, width = layer.weights.shape[2:]
            found.append(f"layer {layer.name!r} has a kernel of {height} x {width}, which nir's own reader takes for a square")
    return found


def _file(network: FloatNetwork, dt: float) -> bytes:
    """Return the bytes of the file."""
    import nir

    nodes: dict[str, Any] = {"input": nir.Input(input_type=np.array(network.input.shape))}
    source: tuple[int, ...] = network.input.shape
    for i, (layer, shape) in enumerate(zip(network.layers, network.shapes(), strict=True)):
        if layer.pool > 1:
            side = np.array([layer.pool] * 2)
            nodes[f"{i}_pool"] = nir.AvgPool2d(kernel_size=side, stride=side, padding=np.zeros(2, np.int64))
            source = pooled_shape(_maps(layer, source), layer.pool)
        if layer.kind == "dense" and len(source) > 1:
            nodes[f"{i}_flatten"] = nir.Flatten(input_type={"input": np.array(source)}, start_dim=0, end_dim=-1)
        nodes[f"{i}_weights"] = _weights(nir, layer, source)
        source = _neuron_shape(layer, shape)
        nodes[f"{i}_neurons"] = _neurons(nir, layer, source, dt)
    nodes["output"] = nir.Output(output_type=np.array(source))
    names = list(nodes)
    text = json.dumps(pack(_meta(network, dt))[0] | dict(network.provenance))
    graph = nir.NIRGraph(nodes=nodes, edges=list(pairwise(names)), metadata={METADATA: text}, type_check=False)
    buffer = io.BytesIO()
    nir.write(buffer, graph)
    return buffer.getvalue()


def _maps(layer: FloatLayer, source: tuple[int, ...]) -> Shape:
    """Return a shape of maps; a row is a SourceError: NIR has no node that makes maps of it."""
    if len(source) == 1:
        words = "it takes the row of neurons of a dense layer for maps; NIR has no node for that, so make it dense"
        raise SourceError(f"layer {layer.name!r}: {words}")
    channels, height, width = source
    return channels, height, width


def _weights(nir: Any, layer: FloatLayer, source: tuple[int, ...]) -> Any:
    if layer.kind == "dense":
        return nir.Linear(weight=layer.weights) if layer.bias is None else nir.Affine(weight=layer.weights, bias=layer.bias)
    bias = np.zeros(len(layer.weights)) if layer.bias is None else layer.bias
    stride, padding = (layer.stride,) * 2, (layer.padding,) * 2
    return nir.Conv2d(
        input_shape=_maps(layer, source)[1:], weight=layer.weights, stride=stride, padding=padding, dilation=(1, 1), groups=1, bias=bias
    )


def _neuron_shape(layer: FloatLayer, shape: Shape) -> tuple[int, ...]:
    return shape[:1] if layer.kind == "dense" else shape


def _neurons(nir: Any, layer: FloatLayer, full: tuple[int, ...], dt: float) -> Any:
    """Return the node of a layer's neurons: ``tau = dt / (1 - leak)`` and ``r = tau / dt``, so that the input is not scaled."""

    def spread(values: Float) -> Float:
        return np.array(np.broadcast_to(values.reshape(-1, *(1,) * (len(full) - 1)), full))

    fires = {} if layer.reset == "none" else {"v_threshold": spread(layer.threshold), "v_reset": spread(layer.load)}
    if (layer.leak == 1).all():
        return (nir.IF if fires else nir.I)(r=np.full(full, 1 / dt), **fires)
    left = 1 - spread(layer.leak)
    return (nir.LIF if fires else nir.LI)(tau=dt / left, r=1 / left, v_leak=np.zeros(full), **fires)


def _meta(network: FloatNetwork, dt: float) -> _Meta:
    def numbers(values: Float) -> Numbers:
        return tuple(map(float, values))

    return _Meta(
        format_version=META_VERSION, dt=float(dt), **_ARITHMETIC,
        timesteps=network.timesteps, input=network.input, readout=network.readout, class_names=network.class_names,
        layers=tuple(
            _Layer(
                name=layer.name, bias=layer.bias is not None, fires_at_threshold=layer.fires_at_threshold, leak=numbers(layer.leak),
                threshold=numbers(layer.threshold), load=numbers(layer.load), initial=numbers(layer.initial),
            )
            for layer in network.layers
        ),
    )  # fmt: skip


def exported_network(chain: NirChain, place: str) -> FloatNetwork:
    """Return the network of a graph with this package's metadata; where text and nodes say different things, that is a SourceError."""
    text = chain.metadata.encode("utf-8", "surrogatepass")
    if len(text) > META_BYTES_MAX:
        raise SourceError(f"{place}: metadata {METADATA}: it is larger than {META_BYTES_MAX} bytes, which is the limit")
    table = parse_json(text, f"{place}: metadata {METADATA}")
    version = table.get("format_version")
    if version != META_VERSION:
        raise SourceError(f"{place}: metadata {METADATA}: format_version {shown(version)}; it must be {META_VERSION}")
    provenance = _data(table, f"{place}: metadata {METADATA}")
    meta: _Meta = unpack(_Meta, {key: value for key, value in table.items() if key != "data"}, {})
    for name, expected in _ARITHMETIC.items():
        if getattr(meta, name) != expected:
            raise SourceError(f"{place}: metadata {METADATA}: {name} {shown(getattr(meta, name))}; it must be {expected!r}")
    rules = NirRules(dt=meta.dt, compare="above", reset="hard")
    network = network_of(chain, meta.input, meta.timesteps, rules, meta.class_names, {})
    found, said = ((len(one.layers), one.readout) for one in (network, meta))
    if found != said:
        raise SourceError(f"{place}: layers and readout {found}; the metadata says {said}")
    layers = tuple(_exact(place, layer, said) for layer, said in zip(network.layers, meta.layers, strict=True))
    return replace(network, layers=layers, provenance=provenance)


def _data(table: Mapping[str, Any], place: str) -> dict[str, str]:
    """Return what a table says of the data set, nothing or its name; what is no name is a SourceError."""
    if "data" not in table:
        return {}
    name = table["data"]
    if not isinstance(name, str) or not name.isprintable() or not 1 <= len(name) <= DATA_NAME_MAX:
        raise SourceError(f"{place}: data {shown(name)}; it must be a data set's name, of 1 to {DATA_NAME_MAX} printable characters")
    return {"data": name}


def _exact(place: str, layer: FloatLayer, said: _Layer) -> FloatLayer:
    """Return a layer with the parameters that the metadata says; they must be what the nodes say but for rounding."""
    where = f"{place}: layer {said.name!r}"
    pairs = [("leak", layer.leak, said.leak), ("gain", layer.norm.scale, (1.0,)), ("offset", layer.norm.shift, (0.0,))]
    if layer.reset != "none":
        pairs += [("threshold", layer.threshold, said.threshold), ("load", layer.load, said.load)]
    for name, found, expected in pairs:
        if len(expected) not in (1, len(layer.weights)) or not np.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE):
            raise SourceError(f"{where} {name}: the metadata says otherwise than the nodes")
    bias = layer.bias
    if said.bias and bias is None:
        bias = np.zeros(len(layer.weights))
    if not said.bias and bias is not None:
        raise SourceError(f"{where} bias: the metadata says that there is none")
    return replace(
        layer, name=said.name, bias=bias, fires_at_threshold=said.fires_at_threshold, norm=Norm.none(len(layer.weights)), leak=np.array(said.leak),
        threshold=np.array(said.threshold), load=np.array(said.load), initial=np.array(said.initial),
    )  # fmt: skip


def _packed(network: FloatNetwork) -> tuple[Any, ...]:
    """Return all of a network in a form that compares."""
    table, tensors = pack(network)
    return table, {name: (tensor.shape, tensor.tobytes()) for name, tensor in tensors.items()}
