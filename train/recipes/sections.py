"""What the tables of a recipe say: one frozen dataclass each, every field under its name in the file. No torch here."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

from spikefold.network.power_terms import TERMS_MAX
from spikefold.network.windows import KERNEL_MAX, PADDING_MAX, POOL_MAX, STRIDE_MAX, Shape, layer_shape, pooled_shape
from spikefold.train.errors import RecipeError

__all__ = [
    "ConversionRecipe", "DataRecipe", "LayerRecipe", "NeuronRecipe", "NormRecipe", "PlacedLayer", "QuantizeSettings", "TrainSettings",
    "check_range", "default_name", "place_layers",
]  # fmt: skip

LIF_LEAK = 0.95
THRESHOLD_MIN, THRESHOLD_MAX = 1e-3, 1e3
SIZE_MAX = 1024
# Told by identity: a nan that stands in a file is another object, and out of range.
_NOT_GIVEN = float("nan")
_WITHOUT_WIDTH = ("triangular", "fast-sigmoid", "arctan")


def check_range(place: str, value: float, low: float, high: float) -> None:
    """Raise a RecipeError that starts with ``place`` unless ``value`` is in ``low..high``."""
    if not low <= value <= high:
        raise RecipeError(f"{place}: {value}; it must be in {low}..{high}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRecipe:
    """``[data]``: the data set by its name, its images resized to ``size`` by ``size`` pixels (0: left as they are)."""

    name: str
    size: int = 0

    def __post_init__(self) -> None:
        check_range("data size", self.size, 0, SIZE_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuronRecipe:
    """``[neuron]``: the neurons of every layer that fires.

    ``lif`` leaks: its potential is multiplied by ``leak`` (0.95 where none is given) in each timestep; ``if`` is the same with a
    leak of 1. ``srm`` is the spike response model with the time constants ``tau_s`` of its postsynaptic potential and
    ``tau_r`` of its refractory response, in timesteps; it has no leak (0 stands there) and no reset.
    ``surrogate_scale`` and ``surrogate_width`` are the surrogate's own published values where they are None.
    """

    kind: Literal["lif", "if", "srm"] = "lif"
    leak: float = _NOT_GIVEN
    learn_leak: bool = False
    threshold: float = 1.0
    reset: Literal["soft", "hard"] = "soft"
    surrogate: Literal["triangular", "exponential", "exponential-literal", "fast-sigmoid", "arctan"] = "triangular"
    surrogate_scale: float | None = None
    surrogate_width: float | None = None
    tau_s: float = 10.0
    tau_r: float = 10.0
    refractory: Literal["exponential", "alpha"] = "exponential"

    def __post_init__(self) -> None:
        leak = {"lif": LIF_LEAK, "if": 1.0, "srm": 0.0}[self.kind]
        if self.leak is _NOT_GIVEN:
            object.__setattr__(self, "leak", leak)
        elif self.kind != "lif" and self.leak != leak:
            raise RecipeError(f"neuron leak: {self.leak}; only lif neurons take a leak, these are {self.kind}")
        check_range("neuron leak", self.leak, 0, 1)
        check_range("neuron threshold", self.threshold, THRESHOLD_MIN, THRESHOLD_MAX)
        if self.learn_leak and self.kind != "lif":
            raise RecipeError(f"neuron learn_leak: true; only lif neurons have a leak to learn, these are {self.kind}")
        for key in ("surrogate_scale", "surrogate_width"):
            if (value := getattr(self, key)) is not None:
                check_range(f"neuron {key}", value, 1e-6, 1e6)
        if self.surrogate_width is not None and self.surrogate in _WITHOUT_WIDTH:
            raise RecipeError(f"neuron surrogate_width: {self.surrogate_width}; the surrogate {self.surrogate!r} has none")
        self._check_responses()

    def _check_responses(self) -> None:
        """Hold what only the spike response model has, and what it has not, against the kind."""
        for key in ("tau_s", "tau_r"):
            check_range(f"neuron {key}", getattr(self, key), 0.1, 1e4)
        if self.kind == "srm" and self.reset == "hard":
            raise RecipeError("neuron reset: 'hard'; srm neurons have a refractory response in the place of a reset")
        if self.kind != "srm" and (self.tau_s, self.tau_r, self.refractory) != (10.0, 10.0, "exponential"):
            raise RecipeError(
                f"neuron tau_s {self.tau_s}, tau_r {self.tau_r}, refractory {self.refractory!r}: only srm neurons take them, these are {self.kind}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class NormRecipe:
    """``[norm]``: the normalisation of every layer that fires and does not say otherwise.

    ``bn`` (static), ``tdbn`` (its gamma starts at ``alpha`` times the threshold) and ``bntt`` (one a timestep; no beta
    unless asked) normalise the current, behind the weights. The ``psp`` kinds (Ikegawa 2022) normalise the postsynaptic
    potential, before the weights, per channel (``bn``) or sample (``ln``), with ``lam`` in the place of eps: by
    the second raw moment (eq. 19), or, as the paper's steps towards it, by eq. 12 or eq. 15.
    """

    kind: Literal[
        "none", "bn", "tdbn", "bntt", "psp-bn", "psp-ln", "psp-bn-eq12", "psp-bn-eq15", "psp-ln-eq12", "psp-ln-eq15"
    ] = "bntt"  # fmt: skip
    beta: bool = False
    eps: float = 1e-4
    momentum: float = 0.1
    lam: float = 0.1
    alpha: float = 1.0

    def __post_init__(self) -> None:
        check_range("norm eps", self.eps, 1e-12, 0.1)
        check_range("norm momentum", self.momentum, 1e-6, 1)
        check_range("norm lam", self.lam, 1e-12, 1e3)
        check_range("norm alpha", self.alpha, 1e-3, 1e3)
        if self.lam != 0.1 and not self.before:
            raise RecipeError(f"norm lam: {self.lam}; only the psp kinds take it, this is {self.kind!r}")
        if self.alpha != 1.0 and self.kind != "tdbn":
            raise RecipeError(f"norm alpha: {self.alpha}; only tdbn takes it, this is {self.kind!r}")
        if self.beta and self.before:
            raise RecipeError(f"norm beta: true; {self.kind!r} has what its equation has")

    @property
    def before(self) -> bool:
        """Whether it acts on the postsynaptic potential, before the weights, and not on the current behind them."""
        return self.kind.startswith("psp-")

    @property
    def side(self) -> Literal["", "before", "after"]:
        """Where it stands, seen from the weights; empty for ``none``."""
        return "" if self.kind == "none" else "before" if self.before else "after"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRecipe:
    """One of ``[[layers]]``: ``out`` neurons or channels, the incoming spikes averaged over ``pool`` by ``pool`` windows.

    ``norm`` is whether ``[norm]`` applies here. ``threshold`` is this layer's own in the place of ``[neuron]``'s. ``weights``
    names an earlier layer whose weights this one uses again: a backward residual connection, unrolled (Panda et al. 2020).
    ``add`` names an earlier layer that is added to the drive of this one, which is what its neurons receive, normalised:
    that layer's ``drive`` (pre-activation residual block, Ikegawa 2022, eq. 8) or its ``output`` (post-activation, eq. 9).
    A layer without a name is called by ``default_name``.
    """

    kind: Literal["dense", "conv2d"]
    out: int
    name: str = ""
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    pool: int = 1
    bias: bool = False
    norm: bool = True
    neuron: Literal["spiking", "relu"] = "spiking"
    threshold: float | None = None
    weights: str = ""
    add: str = ""
    add_from: Literal["drive", "output"] = "drive"

    def __post_init__(self) -> None:
        for key, low, high in (
            ("out", 1, 65536),
            ("kernel", 1, KERNEL_MAX),
            ("stride", 1, STRIDE_MAX),
            ("padding", 0, PADDING_MAX),
            ("pool", 1, POOL_MAX),
        ):
            check_range(f"layer {key}", getattr(self, key), low, high)
        if self.kind == "dense" and (self.kernel, self.stride, self.padding) != (1, 1, 0):
            raise RecipeError(f"layer kernel {self.kernel}, stride {self.stride}, padding {self.padding}: a dense layer takes none of them")
        if self.threshold is not None:
            check_range("layer threshold", self.threshold, THRESHOLD_MIN, THRESHOLD_MAX)
            if self.neuron == "relu":
                raise RecipeError(f"layer threshold: {self.threshold}; relu neurons have none")
        if self.add_from == "output" and not self.add:
            raise RecipeError("layer add_from: 'output'; it says what of the layer in add is added, and add is missing")


def default_name(kind: str, number: int) -> str:
    """Return what a layer without a name is called; ``number`` counts all layers from 1."""
    return f"{kind.removesuffix('2d')}{number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedLayer:
    """A layer with its name, what it receives (not pooled yet), the shape of its weights, and that of its neurons (channels, height, width)."""

    name: str
    layer: LayerRecipe
    source: Shape
    weights: tuple[int, ...]
    shape: Shape


def place_layers(layers: Iterable[LayerRecipe], source: Shape) -> Iterator[PlacedLayer]:
    """Yield each layer in its place behind an input of shape ``source``; one that does not fit there is a NetworkError."""
    for i, layer in enumerate(layers):
        pooled = pooled_shape(source, layer.pool)
        weights = (layer.out, prod(pooled)) if layer.kind == "dense" else (layer.out, pooled[0], layer.kernel, layer.kernel)
        shape = layer_shape(f"layers[{i}]", layer.kind, source, layer.pool, weights, layer.stride, layer.padding)
        yield PlacedLayer(name=layer.name or default_name(layer.kind, i + 1), layer=layer, source=source, weights=weights, shape=shape)
        source = shape


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """``[train]``: the method, the optimiser and its schedule, the loss, and what is done to the samples.

    ``start`` is the folder of a finished run with the same layers, relative to the recipe's own: its values are what is trained on.
    ``learning_rate`` falls along half a cosine to 0, or to a tenth after 5, 7 and 9 tenths of the epochs (``step``), or not at all.
    ``validation`` is the share of the training split that chooses the epoch. ``threads`` belongs here because it changes
    the order of sums, so the last bits of the result. ``samples_per_epoch`` random samples make an epoch, and ``subset``
    samples in all are trained on (0: all). The loss ``spike_count`` wants ``true_rate`` spikes a timestep of the right class
    and ``false_rate`` of the others (the defaults are those of SLAYER's N-MNIST example: 60 and 10 spikes in 300 timesteps).
    ``weight_decay`` is added to the gradient; ``adamw`` takes it off the weights, times the learning rate, beside the step.
    ``init`` is xavier-uniform with a gain of 2 (Kim and Panda 2021, code) or PyTorch's own, times ``weight_scale``.
    ``augment_crop`` is the padding in pixels before a random crop of the old size.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    method: Literal["bptt", "conversion", "stdp", "quantize"] = "bptt"
    start: str = ""
    optimizer: Literal["sgd", "adam", "adamw", "adabelief"] = "sgd"
    momentum: float = 0.9
    weight_decay: float = 1e-4
    amsgrad: bool = False
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    validation: float = 0.1
    threads: int = 1
    loss: Literal["cross_entropy", "spike_count"] = "cross_entropy"
    true_rate: float = 0.2
    false_rate: float = 1 / 30
    label_smoothing: float = 0.0
    classifier: Literal["softmax", "stochmax"] = "softmax"
    augment_crop: int = 0
    augment_flip: bool = False
    samples_per_epoch: int = 0
    subset: int = 0
    init: Literal["xavier", "torch"] = "xavier"
    weight_scale: float = 1.0
    amp: bool = False

    def __post_init__(self) -> None:
        for key, low, high in (
            ("epochs", 1, 100_000), ("batch_size", 2, 65536), ("learning_rate", 1e-9, 1e3), ("momentum", 0, 1), ("weight_decay", 0, 1),
            ("validation", 0.001, 0.9), ("threads", 1, 256), ("true_rate", 0, 1), ("false_rate", 0, 1), ("label_smoothing", 0, 0.99),
            ("augment_crop", 0, 64), ("samples_per_epoch", 0, 10**9), ("subset", 0, 10**9), ("weight_scale", 1e-3, 1e4),
        ):  # fmt: skip
            check_range(f"train {key}", getattr(self, key), low, high)
        if self.amsgrad and self.optimizer not in ("adam", "adamw"):
            raise RecipeError(f"train amsgrad: true; only adam and adamw take it, this is {self.optimizer}")
        if self.false_rate >= self.true_rate:
            raise RecipeError(f"train false_rate: {self.false_rate}; it must be below true_rate, {self.true_rate}")
        if self.loss == "spike_count" and (self.label_smoothing or self.classifier == "stochmax"):
            raise RecipeError("train loss: 'spike_count'; label_smoothing and the classifier 'stochmax' belong to cross_entropy")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionRecipe:
    """``[conversion]``: how a trained network of ReLU neurons becomes one of integrate-and-fire neurons (threshold balancing).

    A layer's threshold is the ``percentile`` of the currents that ``balance_samples`` training samples cause (100: the
    largest). The timesteps are the recipe's.
    """

    balance_samples: int = 256
    percentile: float = 100.0

    def __post_init__(self) -> None:
        check_range("conversion balance_samples", self.balance_samples, 1, 10**9)
        check_range("conversion percentile", self.percentile, 50, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeSettings:
    """``[quantize]``: the integers of a network that is trained through the fold, as :func:`spikefold.quantize.fold.fold` takes them.

    ``layer_bits`` are the bits of the weights of some layers by name, in the place of ``weight_bits``. Before the first epoch, the statistics
    of the normalisations are taken again, with the rounded weights, from ``calibrate`` training samples (0: they are left as they are).
    """

    weight_bits: int = 8
    layer_bits: dict[str, int] = field(default_factory=dict)
    gain_bits: int = 12
    gain_terms: int = 0
    form: Literal["auto", "B", "C"] = "auto"
    calibrate: int = 256

    def __post_init__(self) -> None:
        for key, low, high in (("weight_bits", 2, 8), ("gain_bits", 2, 16), ("gain_terms", 0, TERMS_MAX), ("calibrate", 0, 10**9)):
            check_range(f"quantize {key}", getattr(self, key), low, high)
        for name, bits in self.layer_bits.items():
            check_range(f"quantize layer_bits {name!r}", bits, 2, 8)

    @property
    def widths(self) -> dict[str, Any]:
        """What ``fold`` takes, by its parameters' names."""
        return {
            "weight_bits": {"": self.weight_bits, **self.layer_bits}, "gain_bits": self.gain_bits, "gain_terms": self.gain_terms, "form": self.form,
        }  # fmt: skip
