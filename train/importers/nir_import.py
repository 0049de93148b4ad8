"""A NIR graph as a float network.

NIR says differential equations and leaves open how they are stepped through time, so that is given: ``dt``, the discretisation, whether neurons
fire above the threshold or at it, and what a reset does. Neurons begin at ``v_leak``, or where they have none at ``v_reset``.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path
from typing import Literal

import numpy as np

from spikefold.data.coding import InputCoding
from spikefold.data.shown import shown
from spikefold.network.windows import Shape, pooled_shape
from spikefold.quantize.float_network import FloatNetwork, Norm
from spikefold.train.importers.chain import layers_of
from spikefold.train.importers.errors import SourceError
from spikefold.train.importers.nir_graph import NirChain, NirNode, read_chain
from spikefold.train.importers.parts import Float, Identity, Neurons, Part, Pool, Weights

__all__ = ["NirRules", "import_nir", "network_of"]

REFUSED = {
    "CubaLIF": "it has a synaptic current beside the potential, for which a float network has no place; LIF can be read",
    "CubaLI": "it has a synaptic current beside the potential, for which a float network has no place; LI can be read",
    "NIRGraph": "it is a graph within the graph; its nodes must stand in the outer one",
    "Delay": "a float network has no delays",
    "Conv1d": "a float network has dense layers and convolutions over two axes",
    "Threshold": "it has no potential; LIF and IF can be read",
}
WINDOW = ("kernel_size", "stride", "padding")
FIELDS = {
    "Input": ("shape",), "Output": ("shape",), "Affine": ("weight", "bias"), "Linear": ("weight",),
    "Conv2d": ("input_shape", "weight", "stride", "padding", "dilation", "groups", "bias"), "AvgPool2d": WINDOW, "SumPool2d": WINDOW,
    "Flatten": ("input_type", "start_dim", "end_dim"), "Scale": ("scale",), "LIF": ("tau", "r", "v_leak", "v_threshold", "v_reset"),
    "LI": ("tau", "r", "v_leak"), "IF": ("r", "v_threshold", "v_reset"), "I": ("r",),
}  # fmt: skip
"""What each node says besides its type and metadata, which mean nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NirRules:
    """What NIR does not say: ``dt`` in the unit of the time constants, and how a timestep of that length goes.

    ``euler`` is ``v + dt / tau * (v_leak - v + r x)``; ``exponential`` is ``v_leak + r x + (v - v_leak - r x) exp(-dt / tau)``. ``above``: a
    neuron fires where ``v > v_threshold``, ``at``: where ``v >= v_threshold``. ``hard`` loads ``v_reset``, ``soft`` subtracts ``v_threshold``.
    """

    dt: float
    compare: Literal["above", "at"]
    reset: Literal["hard", "soft"]
    discretisation: Literal["euler", "exponential"] = "euler"

    def __post_init__(self) -> None:
        if not 0 < self.dt < math.inf:
            raise SourceError(f"dt: {self.dt}; it must be above 0")


def import_nir(
    path: Path, *, coding: InputCoding, timesteps: int, rules: NirRules, class_names: Sequence[str] | None = None,
    provenance: Mapping[str, str] | None = None,
) -> FloatNetwork:  # fmt: skip
    """Return the float network that the graph in a file is under ``rules``; what cannot be carried over is a SourceError with the node's name."""
    return network_of(read_chain(path), coding, timesteps, rules, class_names, dict(provenance or {}))


def network_of(
    chain: NirChain, coding: InputCoding, timesteps: int, rules: NirRules, class_names: Sequence[str] | None, provenance: dict[str, str]
) -> FloatNetwork:
    """Return the float network of a row of nodes."""
    for node in (chain.nodes[0], chain.nodes[-1]):
        _check_fields(node)
    _check_input(chain.nodes[0], coding)
    reader, parts = _Reader(rules), []
    for node in chain.nodes[1:-1]:
        part = reader.read(node)
        if not isinstance(part, Identity):
            parts.append((f"{node.name} ({node.type})", part))
    integrates = bool(parts) and (not isinstance(parts[-1][1], Neurons) or parts[-1][1].reset == "none")
    readout: Literal["potential", "spike_count"] = "potential" if integrates else "spike_count"
    layers = layers_of(parts, coding, readout)
    network = FloatNetwork(
        timesteps=timesteps, input=coding, layers=layers, readout=readout,
        class_names=tuple(map(str, range(len(layers[-1].weights)))) if class_names is None else tuple(class_names),
        provenance={**provenance, "nir": chain.version},
    )  # fmt: skip
    _check_shapes(chain.nodes, network)
    return network


def _check_input(node: NirNode, coding: InputCoding) -> None:
    shape = node.whole("shape")
    if not _fits(shape, coding.shape):
        raise SourceError(f"{node.place} shape: {shown(list(shape))}; the network's input is {list(coding.shape)}")


def _check_fields(node: NirNode) -> None:
    """Refuse a field that its type does not have: what it would change is not known."""
    known = FIELDS[node.type]
    if unknown := sorted(set(node.fields) - {"type", "metadata", *known}):
        raise SourceError(f"{node.place} {shown(unknown[0])}: it is unknown; {', '.join(known)} are known")


def _check_shapes(nodes: Sequence[NirNode], network: FloatNetwork) -> None:
    """Hold what nodes say of shapes, each in its place behind the one before, against those of the network."""
    shape, layers = network.input.shape, iter(network.shapes())
    for node in nodes:
        if node.type in ("AvgPool2d", "SumPool2d"):
            shape = pooled_shape(shape, _side(node, "kernel_size"))
        elif node.type in ("Affine", "Linear", "Conv2d"):
            said = node.whole("input_shape") if "input_shape" in node.fields else shape[1:]
            # NIR calls them N_x, N_y, and its own code takes the first for the height.
            if sorted(said) != sorted(shape[1:]):
                raise SourceError(f"{node.place} input_shape: {shown(list(said))}; here it is {list(shape[1:])}")
            shape = next(layers)
        elif node.type == "Flatten":
            _check_flatten(node, shape)
        elif node.type in ("LIF", "LI", "IF", "I", "Scale"):
            for name in FIELDS[node.type]:
                if name in node.fields and (values := node.values(name)).size != 1 and not _fits(values.shape, shape):
                    raise SourceError(f"{node.place} {name}: shape {list(values.shape)}; the neurons are {list(shape)}")
        elif not _fits(said := node.whole("shape"), shape):
            raise SourceError(f"{node.place} shape: {shown(list(said))}; here it is {list(shape)}")


def _check_flatten(node: NirNode, shape: Shape) -> None:
    """Refuse one that leaves more than one axis, or is of another shape."""
    said = node.whole("input_type") if "input_type" in node.fields else shape
    ends = {name: node.whole(name) for name in ("start_dim", "end_dim")}
    for name, values in ends.items():
        if len(values) != 1:
            raise SourceError(f"{node.place} {name}: {len(values)} numbers; it must be one")
    start, end = (values[0] for values in ends.values())
    axes = len(said)
    flat = range(start % max(axes, 1), end % max(axes, 1) + 1)
    if not _fits(said, shape):
        raise SourceError(f"{node.place} input_type: {shown(list(said))}; here it is {list(shape)}")
    if not (-axes <= start < axes and -axes <= end < axes) or any(size != 1 for i, size in enumerate(said) if i not in flat):
        raise SourceError(f"{node.place}: start_dim {start}, end_dim {end}; of {list(said)}, all that is not 1 must be flattened")


def _fits(said: Sequence[int], shape: Shape) -> bool:
    """Return whether a shape is that of the network, in maps or in a row. Some frameworks leave the batch of one in it that they traced with."""
    return _stripped(said) in (_stripped(shape), _stripped((math.prod(shape),)))


def _stripped(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(dropwhile(lambda size: size == 1, shape))


class _Reader:
    """Reads nodes one after the other; what a neuron's parameters mean depends on the weights before it."""

    def __init__(self, rules: NirRules) -> None:
        self.rules = rules
        self.kind: Literal["dense", "conv2d"] = "dense"
        self.outputs = 1

    def read(self, node: NirNode) -> Part:
        """Return what a node is."""
        readers = {
            "Affine": self.dense, "Linear": self.dense, "Conv2d": self.conv2d, "AvgPool2d": self.pool, "SumPool2d": self.pool,
            "Flatten": self.flatten, "Scale": self.scale, "LIF": self.leaky, "LI": self.leaky, "IF": self.integrator, "I": self.integrator,
        }  # fmt: skip
        if node.type not in readers:
            reason = REFUSED.get(node.type, f"nothing in a float network is the same; those that are: {', '.join(readers)}")
            raise SourceError(f"{node.place}: {reason}")
        _check_fields(node)
        return readers[node.type](node)

    def dense(self, node: NirNode) -> Part:
        weights = _axes(node, "weight", 2)
        self.kind, self.outputs = "dense", len(weights)
        return Weights(kind="dense", weights=weights, bias=_axes(node, "bias", 1) if node.type == "Affine" else None)

    def conv2d(self, node: NirNode) -> Part:
        weights, bias = _axes(node, "weight", 4), _axes(node, "bias", 1)
        self.kind, self.outputs = "conv2d", len(weights)
        if node.whole("groups") != (1,) or set(node.whole("dilation")) != {1}:
            raise SourceError(f"{node.place}: groups {shown(node.whole('groups'))}, dilation {shown(node.whole('dilation'))}; both must be 1")
        said = node.fields.get("padding")
        padding = 0 if isinstance(said, str) and said == "valid" else _side(node, "padding")
        if len(bias) != len(weights):
            raise SourceError(f"{node.place} bias: {len(bias)} values; the weights have {len(weights)} channels")
        # Where there is none, a bias of zeros is what NIR has.
        return Weights(kind="conv2d", weights=weights, bias=bias if bias.any() else None, stride=_side(node, "stride"), padding=padding)

    def pool(self, node: NirNode) -> Part:
        side = _side(node, "kernel_size")
        if _side(node, "stride") != side or _side(node, "padding") != 0:
            raise SourceError(
                f"{node.place}: kernel_size {side}, stride {_side(node, 'stride')}; the stride must be the kernel_size, with no padding"
            )
        return Pool(side=side, gain=1.0 if node.type == "AvgPool2d" else float(side**2))

    def flatten(self, node: NirNode) -> Part:
        return Identity()

    def scale(self, node: NirNode) -> Part:
        factors = np.broadcast_to(self.channels(node, "scale"), self.outputs)
        zero = np.zeros((1, len(factors)))
        return Norm(kind="bn", gamma=factors[None], beta=zero, mean=zero, var=zero + 1, eps=0.0)

    def leaky(self, node: NirNode) -> Part:
        tau, r, rest = (self.channels(node, name) for name in ("tau", "r", "v_leak"))
        if (tau <= 0).any():
            raise SourceError(f"{node.place} tau: {tau.min():g}; it must be above 0")
        # A tau that is next to nothing gives infinity, which is refused here.
        with np.errstate(over="ignore"):
            rate = self.rules.dt / tau if self.rules.discretisation == "euler" else -np.expm1(-self.rules.dt / tau)
        if (rate > 1).any():
            raise SourceError(f"{node.place} tau: {tau.min():g}; it must be at least dt, which is {self.rules.dt:g}")
        return self.neurons(node, leak=1 - rate, gain=rate * r, offset=rate * rest, initial=rest)

    def integrator(self, node: NirNode) -> Part:
        gain = self.channels(node, "r") * self.rules.dt
        initial = self.channels(node, "v_reset") if "v_reset" in node.fields else np.zeros(1)
        return self.neurons(node, leak=np.ones(1), gain=gain, offset=np.zeros(1), initial=initial)

    def neurons(self, node: NirNode, *, leak: Float, gain: Float, offset: Float, initial: Float) -> Neurons:
        """Return neurons, or for LI and I what integrates and does not fire."""
        if node.type in ("LI", "I"):
            one = np.ones(1)
            return Neurons(leak=leak, threshold=one, fires_at_threshold=False, reset="none", gain=gain, offset=offset, initial=initial)
        load = self.channels(node, "v_reset") if "v_reset" in node.fields else np.zeros(1)
        if self.rules.reset == "soft" and load.any():
            raise SourceError(f"{node.place} v_reset: {shown(load.tolist())}; a soft reset has none")
        return Neurons(
            leak=leak, threshold=self.channels(node, "v_threshold"), fires_at_threshold=self.rules.compare == "at", reset=self.rules.reset,
            load=load, gain=gain, offset=offset, initial=initial,
        )  # fmt: skip

    def channels(self, node: NirNode, name: str) -> Float:
        """Return a parameter as [1] or [C]; of [C, H, W], the pixels of a channel must agree."""
        values = node.values(name)
        if values.size == 1:
            return values.reshape(1)
        if values.ndim != (1 if self.kind == "dense" else 3):
            raise SourceError(f"{node.place} {name}: shape {list(values.shape)}; one value, or one for each neuron, is expected")
        if len(values) != self.outputs:
            raise SourceError(f"{node.place} {name}: {len(values)} channels; the weights before have {self.outputs}")
        rows = values.reshape(len(values), -1)
        if (rows != rows[:, :1]).any():
            raise SourceError(f"{node.place} {name}: it differs between the pixels of a channel; one value a channel is expected")
        return np.asarray(rows[:1, 0] if (rows == rows[0, 0]).all() else rows[:, 0])


def _axes(node: NirNode, name: str, count: int) -> Float:
    values = node.values(name)
    if values.ndim != count:
        raise SourceError(f"{node.place} {name}: shape {list(values.shape)}; {count} axes are expected")
    return values


def _side(node: NirNode, name: str) -> int:
    sides = set(node.whole(name))
    if len(sides) != 1:
        raise SourceError(f"{node.place} {name}: {shown(sorted(sides))}; it must be one number, the same in both directions")
    return sides.pop()
