"""The float network that training hands on; what it computes is :mod:`spikefold.quantize.float_evaluation`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from spikefold.data.coding import InputCoding
from spikefold.data.errors import NetworkError
from spikefold.network.connection import INPUT
from spikefold.network.windows import PADDING_MAX, POOL_MAX, STRIDE_MAX, Shape, layer_shape

__all__ = ["CURRENT_NORMS", "LN_NORMS", "PSP_NORMS", "Float", "FloatLayer", "FloatNetwork", "Norm"]

Float = npt.NDArray[np.float64]
CURRENT_NORMS = ("none", "bn", "bntt")
"""Normalisations of the current behind the weights, per channel of the layer."""
EPS_MAX = 1e3
LN_NORMS = ("psp-ln", "psp-ln-eq15")
"""Normalisations of the postsynaptic potentials by each sample's own statistics."""
PSP_NORMS = ("psp-bn", *LN_NORMS)
"""Normalisations of the postsynaptic potentials before the weights, with a factor on each channel of the source."""


def _float(array: npt.ArrayLike, ndim: int, place: str) -> Float:
    given = np.asarray(array)
    if given.dtype.kind not in "fiu" or given.ndim != ndim:
        raise NetworkError(f"{place}: {given.dtype} with {given.ndim} axes; it must be numbers on {ndim} axes")
    result = np.array(given, dtype=np.float64, order="C")
    if not np.isfinite(result).all():
        raise NetworkError(f"{place}: a value is not finite")
    result.setflags(write=False)
    return result


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Norm:
    """Normalisation in evaluation mode; every array is [T or 1, C].

    ``none``, ``bn`` (tdBN is one, once it is trained) and ``bntt`` normalise the current of the layer's C channels. ``psp-bn`` scales the
    postsynaptic potentials of the source's C channels by ``gamma / sqrt(var + eps)``, eps being the paper's Lambda and ``var`` the second
    raw moment (Ikegawa 2022, eq. 19) or the variance (eq. 15); it is [1, C] and shifts nothing. ``psp-ln`` and ``psp-ln-eq15`` divide them by
    the root of each sample's own raw moment or variance, over all timesteps, plus eps; ``gamma`` is what multiplies them, and ``var`` is 1.
    """

    kind: Literal["none", "bn", "bntt", "psp-bn", "psp-ln", "psp-ln-eq15"]
    gamma: Float
    beta: Float
    mean: Float
    var: Float
    eps: float

    def __post_init__(self) -> None:
        if self.kind not in CURRENT_NORMS + PSP_NORMS:
            raise NetworkError(f"norm kind: {self.kind!r}; it must be one of {', '.join(CURRENT_NORMS + PSP_NORMS)}")
        for name in ("gamma", "beta", "mean", "var"):
            object.__setattr__(self, name, _float(getattr(self, name), 2, f"norm {name}"))
            if getattr(self, name).shape != self.gamma.shape:
                raise NetworkError(f"norm {name}: shape {getattr(self, name).shape}; gamma has {self.gamma.shape}")
        if (self.var < 0).any() or not 0 <= self.eps <= EPS_MAX or ((self.var + self.eps) <= 0).any():
            raise NetworkError(f"norm: var must not be negative and eps {self.eps} must be in 0..{EPS_MAX:g} with var + eps above 0")
        if self.kind in LN_NORMS and (self.eps == 0 or (self.var != 1).any()):
            raise NetworkError(f"norm {self.kind}: eps {self.eps}, or a var that is not 1; eps must be above 0, as silent samples have no variance")
        if self.kind in PSP_NORMS and (len(self.gamma) != 1 or self.beta.any() or self.mean.any()):
            raise NetworkError(f"norm {self.kind}: {len(self.gamma)} timesteps, or a beta or mean; it has one row and neither of them")
        with np.errstate(over="ignore", invalid="ignore"):
            scale, shift = self.scale, self.shift
        if not np.isfinite(scale).all():
            raise NetworkError("norm gamma: gamma / sqrt(var + eps) is not finite; a smaller gamma or a larger var or eps is needed")
        if not np.isfinite(shift).all():
            raise NetworkError("norm mean: beta - gamma * mean / sqrt(var + eps) is not finite; a smaller mean, beta or gamma is needed")

    @classmethod
    def none(cls, channels: int) -> "Norm":
        """Return the normalisation that changes nothing."""
        one, zero = np.ones((1, channels)), np.zeros((1, channels))
        return cls(kind="none", gamma=one, beta=zero, mean=zero, var=one, eps=0.0)

    def cut(self, timesteps: int) -> "Norm":
        """Return the normalisation of the first ``timesteps``."""
        return self if len(self.gamma) == 1 else replace(self, **{name: getattr(self, name)[:timesteps] for name in ("gamma", "beta", "mean", "var")})

    @property
    def scale(self) -> Float:
        """``a`` [T or 1, C]; of the norms by a sample's own statistics, what is the same for all samples."""
        return self.gamma if self.kind in LN_NORMS else np.asarray(self.gamma / np.sqrt(self.var + self.eps))

    @property
    def shift(self) -> Float:
        """``b`` [T or 1, C]."""
        return np.asarray(self.beta - self.scale * self.mean)


def _vector(array: npt.ArrayLike, channels: int, place: str) -> Float:
    """Return a number, or one for each channel, as [C or 1]."""
    result = _float(np.atleast_1d(np.asarray(array)), 1, place)
    if len(result) not in (1, channels):
        raise NetworkError(f"{place}: {len(result)} values; one, or one for each of {channels} channels, is expected")
    return result


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FloatLayer:
    """Weights, normalisation and neurons of one layer; it receives what the layer before it sends.

    ``weights`` is [out, in] (dense; inputs in (channel, y, x) order) or [out, in, kernel_y, kernel_x]; ``pool`` the side of the average
    pooling of the incoming events. ``shared`` names an earlier layer whose weights these are, a backward residual connection unrolled
    (BackRes; Panda et al. 2020). ``add`` names an earlier layer of the same shape whose ``drive`` (pre-activation residual block) or
    ``output`` (post-activation) is added to this one's drive.

    ``leak``, ``threshold``, ``decrement`` (None: the threshold), ``load`` and ``initial`` are numbers, or [C]. ``reset`` is ``none`` only
    for ``relu`` and for an integrating readout, which never fires. ``tau_s`` and ``tau_r`` are in timesteps; only ``srm`` has them.
    """

    name: str
    kind: Literal["dense", "conv2d"]
    weights: Float
    shared: str = ""
    bias: Float | None = None
    stride: int = 1
    padding: int = 0
    pool: int = 1
    norm: Norm
    add: str = ""
    add_from: Literal["drive", "output"] = "drive"
    neuron: Literal["lif", "srm", "relu"] = "lif"
    leak: Float
    threshold: Float = field(default_factory=lambda: np.ones(1))
    fires_at_threshold: bool = False
    reset: Literal["soft", "hard", "none"]
    decrement: Float | None = None
    load: Float = field(default_factory=lambda: np.zeros(1))
    initial: Float = field(default_factory=lambda: np.zeros(1))
    tau_s: float = 0.0
    tau_r: float = 0.0
    refractory: Literal["none", "exponential", "alpha"] = "none"

    def __post_init__(self) -> None:
        place = f"layer {self.name!r}"
        if self.kind not in ("dense", "conv2d"):
            raise NetworkError(f"{place} kind: {self.kind!r}; it must be dense or conv2d")
        object.__setattr__(self, "weights", _float(self.weights, 2 if self.kind == "dense" else 4, f"{place} weights"))
        channels = self.weights.shape[0]
        if self.bias is not None:
            object.__setattr__(self, "bias", _float(self.bias, 1, f"{place} bias"))
            if self.bias.shape != (channels,):
                raise NetworkError(f"{place} bias: shape {self.bias.shape}; ({channels},) is expected")
        if self.norm.kind in CURRENT_NORMS and self.norm.gamma.shape[1] != channels:
            raise NetworkError(f"{place} norm: {self.norm.gamma.shape[1]} channels; the weights have {channels}")
        limits = {"stride": (1, STRIDE_MAX), "padding": (0, PADDING_MAX), "pool": (1, POOL_MAX)}
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise NetworkError(f"{place} {name}: {getattr(self, name)}; it must be in {low}..{high}")
        if self.kind == "dense" and (self.stride, self.padding) != (1, 0):
            raise NetworkError(f"{place}: stride {self.stride}, padding {self.padding}; a dense layer has 1 and 0")
        for name in ("leak", "threshold", "load", "initial", "decrement"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _vector(getattr(self, name), channels, f"{place} {name}"))
        if (self.leak < 0).any() or (self.leak > 1).any():
            raise NetworkError(f"{place}: leak {self.leak.min():g}..{self.leak.max():g}; the leak must be in 0..1")
        self._check_neuron(place)

    def _check_neuron(self, place: str) -> None:
        """Hold the words for the neuron against each other."""
        for name, words in (
            ("neuron", ("lif", "srm", "relu")), ("reset", ("soft", "hard", "none")), ("add_from", ("drive", "output")),
            ("refractory", ("none", "exponential", "alpha")),
        ):  # fmt: skip
            if getattr(self, name) not in words:
                raise NetworkError(f"{place} {name}: {getattr(self, name)!r}; it must be one of {', '.join(words)}")
        srm = self.neuron == "srm"
        if srm != (0 < self.tau_s < np.inf) or (srm and self.reset != "none") != (0 < self.tau_r < np.inf):
            raise NetworkError(f"{place}: tau_s {self.tau_s}, tau_r {self.tau_r}; above 0 for srm neurons that fire, and 0 for others, is expected")
        if (self.refractory != "none") != (srm and self.reset != "none"):
            raise NetworkError(f"{place} refractory: {self.refractory!r}; srm neurons that fire have a refractory response, and no others")
        if self.norm.kind in PSP_NORMS and not srm:
            raise NetworkError(f"{place} norm: {self.norm.kind}; only srm neurons have postsynaptic potentials, these are {self.neuron}")
        if self.neuron == "relu" and self.reset != "none":
            raise NetworkError(f"{place} reset: {self.reset!r}; relu neurons have none")
        if srm and self.reset == "hard":
            raise NetworkError(f"{place} reset: 'hard'; srm neurons have a refractory response, so it must be 'soft'")
        if srm and (self.initial.any() or self.decrement is not None or (self.threshold <= 0).any()):
            raise NetworkError(f"{place}: srm neurons begin at 0, with no decrement, and their threshold is above 0")

    @property
    def subtracted(self) -> Float:
        """What a soft reset takes from the potential, [C or 1]."""
        return self.threshold if self.decrement is None else self.decrement

    @property
    def drive_scale(self) -> Float:
        """``a`` [T or 1, C], which multiplies the weighted input."""
        return self.norm.scale if self.norm.kind in CURRENT_NORMS else np.ones((1, len(self.weights)))

    @property
    def drive_shift(self) -> Float:
        """``a * bias + b`` [T or 1, C], the part of the drive that no input changes."""
        shift = self.norm.shift if self.norm.kind in CURRENT_NORMS else np.zeros((1, len(self.weights)))
        if self.bias is None:
            return shift
        # What float64 cannot hold is refused by the fold, which can say where.
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(shift + self.drive_scale * self.bias)

    @property
    def source_weights(self) -> Float:
        """The weights with a psp norm's factors on the source's channels in them."""
        if self.norm.kind not in PSP_NORMS:
            return self.weights
        factors = self.norm.scale[0]
        if self.kind == "dense":
            # A source of several pixels has (channel, y, x) order.
            return np.asarray(self.weights * np.repeat(factors, self.weights.shape[1] // len(factors)))
        return np.asarray(self.weights * factors[:, None, None])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FloatNetwork:
    """A trained network, layer after layer; ``readout`` says whether the last one integrates (``potential``) or counts its spikes."""

    timesteps: int
    input: InputCoding
    layers: tuple[FloatLayer, ...]
    readout: Literal["potential", "spike_count"]
    class_names: tuple[str, ...]
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.timesteps < 1 or not self.layers:
            raise NetworkError(f"float network: {self.timesteps} timesteps, {len(self.layers)} layers; at least 1 of each is needed")
        if len({layer.name for layer in self.layers}) != len(self.layers):
            raise NetworkError("float network: two layers have the same name")
        if any(layer.name == INPUT for layer in self.layers):
            raise NetworkError(f"float network: a layer is named {INPUT!r}; that is the name of the network's input")
        if self.readout not in ("potential", "spike_count"):
            raise NetworkError(f"float network readout: {self.readout!r}; it must be potential or spike_count")
        for i, layer in enumerate(self.layers):
            if layer.norm.gamma.shape[0] not in (1, self.timesteps):
                raise NetworkError(f"layer {layer.name!r} norm: {layer.norm.gamma.shape[0]} timesteps; the network has {self.timesteps}")
            integrates = i == len(self.layers) - 1 and self.readout == "potential"
            if layer.neuron != "relu" and (layer.reset == "none") != integrates:
                raise NetworkError(f"layer {layer.name!r} reset: {layer.reset!r}; 'none' is for an integrating readout and for relu alone")
        if self.layers[-1].neuron == "relu":
            raise NetworkError(f"layer {self.layers[-1].name!r} neuron: 'relu'; the last layer integrates, or its spikes are counted")
        self._check_references()
        if self.layers[-1].weights.shape[0] != len(self.class_names):
            raise NetworkError(f"float network: {len(self.class_names)} class names for {self.layers[-1].weights.shape[0]} outputs")

    def _check_references(self) -> None:
        """Check that shapes follow each other, and that what a layer takes from an earlier one fits it."""
        earlier: dict[str, tuple[FloatLayer, Shape]] = {}
        channels = self.input.shape[0]
        for layer, shape in zip(self.layers, self.shapes(), strict=True):
            place = f"layer {layer.name!r}"
            for name in ("shared", "add"):
                other = getattr(layer, name)
                if other and other not in earlier:
                    raise NetworkError(f"{place} {name}: {other!r}; no earlier layer has that name")
            if layer.shared and (earlier[layer.shared][0].shared or not np.array_equal(earlier[layer.shared][0].weights, layer.weights)):
                raise NetworkError(f"{place} shared: {layer.shared!r}; that layer must have these weights, and be the first to have them")
            if layer.add and earlier[layer.add][1] != shape:
                raise NetworkError(f"{place} add: {layer.add!r} has the shape {earlier[layer.add][1]}; {shape} is expected")
            if layer.add and layer.add_from == "output" and "srm" in (layer.neuron, earlier[layer.add][0].neuron):
                raise NetworkError(f"{place} add_from: 'output'; between srm neurons only a drive can be added")
            if layer.norm.kind in PSP_NORMS and layer.norm.gamma.shape[1] != channels:
                raise NetworkError(f"{place} norm: {layer.norm.gamma.shape[1]} channels; its source has {channels}")
            earlier[layer.name] = layer, shape
            channels = shape[0]

    def cut(self, timesteps: int) -> "FloatNetwork":
        """Return the network that ends after ``timesteps``, as an early exit does; one that needs all of them is a NetworkError."""
        if not 1 <= timesteps <= self.timesteps:
            raise NetworkError(f"timesteps: {timesteps}; the network has {self.timesteps}, and at least 1 is needed")
        if timesteps < self.timesteps and self.input.coding in ("frames", "sequence"):
            raise NetworkError(f"timesteps: {timesteps} of {self.timesteps}; with {self.input.coding} coding a sample takes all of them")
        for layer in self.layers:
            if timesteps < self.timesteps and layer.norm.kind in LN_NORMS:
                raise NetworkError(
                    f"timesteps: {timesteps} of {self.timesteps}; the norm {layer.norm.kind} of layer {layer.name!r} takes all of them"
                )
        layers = tuple(replace(layer, norm=layer.norm.cut(timesteps)) for layer in self.layers)
        return replace(self, timesteps=timesteps, layers=layers)

    def shapes(self) -> tuple[Shape, ...]:
        """Return the neuron shape (channels, height, width) of every layer."""
        shape, shapes = self.input.shape, []
        for layer in self.layers:
            shape = layer_shape(f"layer {layer.name!r}", layer.kind, shape, layer.pool, layer.weights.shape, layer.stride, layer.padding)
            shapes.append(shape)
        return tuple(shapes)
