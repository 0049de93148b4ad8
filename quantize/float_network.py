"""The float network that training hands on, and its direct evaluation in float64.

Per layer and timestep t, with ``x`` the weighted (average-pooled) input and ``c`` the channel:
``u = leak * u + a[t, c] * (x + bias[c]) + b[t, c]``, fire where ``u > threshold`` (``>=`` where ``fires_at_threshold``), then subtract
the threshold (soft reset) or load 0 (hard). ``a = gamma / sqrt(var + eps)`` and ``b = beta - a * mean`` are the normalisation
in evaluation mode (BNTT: Kim and Panda 2021).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from spikefold.data.coding import InputCoding, encode
from spikefold.data.datasets import Dataset
from spikefold.data.errors import NetworkError
from spikefold.quantize.network import INPUT
from spikefold.quantize.windows import PADDING_MAX, POOL_MAX, STRIDE_MAX, Shape, layer_shape, patches, pool

__all__ = ["FloatLayer", "FloatNetwork", "FloatTrace", "Norm", "evaluate", "float_accuracy"]

Float = npt.NDArray[np.float64]


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
    """Normalisation of the input current in evaluation mode; every array is [T or 1, C]."""

    kind: Literal["none", "bn", "bntt"]
    gamma: Float
    beta: Float
    mean: Float
    var: Float
    eps: float

    def __post_init__(self) -> None:
        if self.kind not in ("none", "bn", "bntt"):
            raise NetworkError(f"norm kind: {self.kind!r}; it must be none, bn or bntt")
        for name in ("gamma", "beta", "mean", "var"):
            object.__setattr__(self, name, _float(getattr(self, name), 2, f"norm {name}"))
            if getattr(self, name).shape != self.gamma.shape:
                raise NetworkError(f"norm {name}: shape {getattr(self, name).shape}; gamma has {self.gamma.shape}")
        if (self.var < 0).any() or not 0 <= self.eps < 1 or ((self.var + self.eps) <= 0).any():
            raise NetworkError(f"norm: var must not be negative and eps {self.eps} must be in 0..1 with var + eps above 0")
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

    @property
    def scale(self) -> Float:
        """``a`` [T or 1, C]."""
        return np.asarray(self.gamma / np.sqrt(self.var + self.eps))

    @property
    def shift(self) -> Float:
        """``b`` [T or 1, C]."""
        return np.asarray(self.beta - self.scale * self.mean)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FloatLayer:
    """Weights, normalisation and neurons of one layer.

    ``weights`` is [out, in] (dense; inputs in (channel, y, x) order) or [out, in, kernel_y, kernel_x]; ``pool`` the side of the average
    pooling of the incoming spikes. ``reset`` is ``none`` only for an integrating readout, which never fires.
    """

    name: str
    kind: Literal["dense", "conv2d"]
    weights: Float
    bias: Float | None = None
    stride: int = 1
    padding: int = 0
    pool: int = 1
    norm: Norm
    leak: float
    threshold: float = 1.0
    fires_at_threshold: bool = False
    reset: Literal["soft", "hard", "none"]

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
        if self.norm.gamma.shape[1] != channels:
            raise NetworkError(f"{place} norm: {self.norm.gamma.shape[1]} channels; the weights have {channels}")
        limits = {"stride": (1, STRIDE_MAX), "padding": (0, PADDING_MAX), "pool": (1, POOL_MAX)}
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise NetworkError(f"{place} {name}: {getattr(self, name)}; it must be in {low}..{high}")
        if self.kind == "dense" and (self.stride, self.padding) != (1, 0):
            raise NetworkError(f"{place}: stride {self.stride}, padding {self.padding}; a dense layer has 1 and 0")
        if not 0 <= self.leak <= 1 or not np.isfinite(self.threshold):
            raise NetworkError(f"{place}: leak {self.leak}, threshold {self.threshold}; the leak must be in 0..1, the threshold finite")
        if self.reset not in ("soft", "hard", "none"):
            raise NetworkError(f"{place} reset: {self.reset!r}; it must be soft, hard or none")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FloatNetwork:
    """A trained chain of layers; ``readout`` says whether the last one integrates (``potential``) or counts its spikes."""

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
            if (layer.reset == "none") != integrates:
                raise NetworkError(f"layer {layer.name!r} reset: {layer.reset!r}; 'none' is for an integrating readout alone")
        self.shapes()
        if self.layers[-1].weights.shape[0] != len(self.class_names):
            raise NetworkError(f"float network: {len(self.class_names)} class names for {self.layers[-1].weights.shape[0]} outputs")

    def shapes(self) -> tuple[Shape, ...]:
        """Return the neuron shape (channels, height, width) of every layer."""
        shape, shapes = self.input.shape, []
        for layer in self.layers:
            shape = layer_shape(f"layer {layer.name!r}", layer.kind, shape, layer.pool, layer.weights.shape, layer.stride, layer.padding)
            shapes.append(shape)
        return tuple(shapes)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FloatTrace:
    """Spikes (bool [N, T, C, H, W]) and potentials before firing (float64) of every layer; scores [N, classes]."""

    spikes: tuple[npt.NDArray[np.bool_], ...]
    potentials: tuple[Float, ...]
    scores: Float


def evaluate(network: FloatNetwork, events: npt.NDArray[np.int8]) -> FloatTrace:
    """Run ``network`` in float64 on payloads [N, T, C, H, W], directly as defined above: nothing is folded."""
    x = events.astype(np.float64) / network.input.scale
    spikes, potentials = [], []
    for layer in network.layers:
        pooled = pool(x, layer.pool) / layer.pool**2
        weights = layer.weights if layer.kind == "conv2d" else layer.weights.reshape(len(layer.weights), *pooled.shape[2:])
        seen = patches(pooled, (weights.shape[2], weights.shape[3]), layer.stride, layer.padding)
        current = np.einsum("nthwcyx,ocyx->ntohw", seen, weights, optimize=True)
        if layer.bias is not None:
            current = current + layer.bias[:, None, None]
        fired, u = neurons(layer, current)
        spikes.append(fired)
        potentials.append(u)
        x = fired.astype(np.float64)
    final = potentials[-1][:, -1] if network.readout == "potential" else x.sum(1)
    return FloatTrace(spikes=tuple(spikes), potentials=tuple(potentials), scores=final.reshape(len(events), -1))


def neurons(layer: FloatLayer, current: Float) -> tuple[npt.NDArray[np.bool_], Float]:
    """Run a layer's neurons over their current [N, T, C, H, W]; return spikes and potentials before the reset."""
    a, b = (np.broadcast_to(v, (current.shape[1], current.shape[2]))[:, :, None, None] for v in (layer.norm.scale, layer.norm.shift))
    u = np.zeros_like(current[:, 0])
    spikes, potentials = np.zeros(current.shape, np.bool_), np.empty_like(current)
    for t in range(current.shape[1]):
        u = layer.leak * u + a[t] * current[:, t] + b[t]
        potentials[:, t] = u
        if layer.reset != "none":
            fired = (u >= layer.threshold) if layer.fires_at_threshold else (u > layer.threshold)
            spikes[:, t] = fired
            u = np.where(fired, u - layer.threshold, u) if layer.reset == "soft" else np.where(fired, 0.0, u)
    return spikes, potentials


def float_accuracy(
    network: FloatNetwork, data: Dataset, *, samples: int | None = None, batch: int = 50, progress: Callable[[int, int], None] | None = None
) -> float:
    """Return the share of the first ``samples`` of a split (None: all) that the network classifies rightly in float64.

    Sample i is keyed by i, as everywhere, and ``batch`` samples are evaluated at a time; ``progress`` is called with (done, in all).
    """
    count, right = len(data) if samples is None else samples, 0
    for start in range(0, count, batch):
        part = np.arange(start, min(start + batch, count))
        scores = evaluate(network, encode(data.images[part], network.input, network.timesteps, part)).scores
        right += int((scores.argmax(1) == data.labels[part]).sum())
        if progress is not None:
            progress(int(part[-1]) + 1, count)
    return right / count
