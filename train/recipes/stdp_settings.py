"""The settings of layer-wise STDP, checked on construction. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from spikefold.network.windows import KERNEL_MAX, PADDING_MAX, POOL_MAX, STRIDE_MAX, Shape, layer_shape, pooled_shape
from spikefold.train.errors import RecipeError

__all__ = ["StdpSettings", "StdpStage", "feature_shape", "stage_shapes"]

Limits = Sequence[tuple[str, float, float]]


def _check(place: str, settings: object, limits: Limits) -> None:
    for key, low, high in limits:
        value = getattr(settings, key)
        if not low <= value <= high:
            raise RecipeError(f"{place} {key}: {value}; it must be in {low}..{high}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StdpStage:
    """One convolutional layer of LIF neurons that STDP trains: ``out`` maps, a square kernel.

    ``threshold`` is what every map's threshold starts from, in units of the weights. ``unroll`` is how often the layer runs in a
    timestep, each time on what it sent the time before, with the same weights (BackRes); ``residual`` adds what went into
    the layer to its spikes, each time.
    """

    out: int
    kernel: int
    threshold: float
    stride: int = 1
    padding: int = 0
    unroll: int = 1
    residual: bool = False

    def __post_init__(self) -> None:
        _check("stdp stage", self, (
            ("out", 1, 65536), ("kernel", 1, KERNEL_MAX), ("threshold", 1e-3, 1e6), ("stride", 1, STRIDE_MAX), ("padding", 0, PADDING_MAX),
            ("unroll", 1, 64),
        ))  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class StdpSettings:
    """Layer-wise mini-batch STDP (Panda, Aketi and Roy 2020, sections 3.2.3 and 4.3).

    - ``rule``: ``real`` moves weights within ``weight_min``..``weight_max``; ``binary`` switches them between the two at random.
    - ``learning_rate``: eta of eq. 5; of the binary rule, the probability of a switch where the mean correlation is 1.
    - ``offset``: STDP_offset of eq. 5: what ``exp((t_pre - t_post) / tau)`` must exceed for a weight to grow.
    - ``trace_tau``: tau of eq. 5, in timesteps.
    - ``leak``: the factor on the potentials in a timestep.
    - ``threshold_rise``: what a map's threshold gains in a timestep in which all of its neurons fire; ``threshold_tau``: the timesteps
      in which the gain falls to 1/e.
    - ``drop``: the probability with which a map takes no part in the learning of a sample.
    - ``samples``: how many training samples STDP sees (0: all), ``epochs`` times, ``batch_size`` at once.
    - ``pool``: the side of the windows over which the classifier's features are averaged.
    """

    stages: tuple[StdpStage, ...]
    rule: Literal["real", "binary"] = "real"
    learning_rate: float = 0.02
    offset: float = 0.6
    trace_tau: float = 2.0
    weight_min: float = 0.0
    weight_max: float = 1.0
    leak: float = 0.95
    threshold_rise: float = 20.0
    threshold_tau: float = 1000.0
    drop: float = 0.2
    samples: int = 0
    epochs: int = 1
    batch_size: int = 64
    pool: int = 2

    def __post_init__(self) -> None:
        if not self.stages:
            raise RecipeError("stdp stages: there must be at least one")
        _check("stdp", self, (
            ("learning_rate", 0, 1), ("offset", 0, 1), ("trace_tau", 1e-3, 1e6), ("weight_min", -1e3, 1e3), ("weight_max", -1e3, 1e3), ("leak", 0, 1),
            ("threshold_rise", 0, 1e6), ("threshold_tau", 1, 1e9), ("drop", 0, 0.99), ("samples", 0, 10**9), ("epochs", 1, 100_000),
            ("batch_size", 1, 65536), ("pool", 1, POOL_MAX),
        ))  # fmt: skip
        if self.rule not in ("real", "binary"):
            raise RecipeError(f"stdp rule: {self.rule!r}; it must be real or binary")
        if self.weight_min >= self.weight_max:
            raise RecipeError(f"stdp weight_min {self.weight_min}, weight_max {self.weight_max}: the first must be below the second")


def stage_shapes(settings: StdpSettings, source: Shape) -> tuple[Shape, ...]:
    """Return the (maps, height, width) of every stage of an input of shape ``source``.

    A kernel that does not fit is a NetworkError; a stage that unrolls or has a residual without its output having the shape of its
    input is a RecipeError.
    """
    shapes = []
    for i, stage in enumerate(settings.stages):
        place = f"stdp stages[{i}]"
        shape = layer_shape(place, "conv2d", source, 1, (stage.out, source[0], stage.kernel, stage.kernel), stage.stride, stage.padding)
        if (stage.unroll > 1 or stage.residual) and shape != source:
            what = f"unroll {stage.unroll}" if stage.unroll > 1 else "residual"
            raise RecipeError(f"{place}: {what} needs an output of the shape of its input; the output is {shape}, the input {source}")
        shapes.append(shape)
        source = shape
    return tuple(shapes)


def feature_shape(settings: StdpSettings, source: Shape) -> Shape:
    """Return the (channels, height, width) of the classifier's features: the maps of all stages, pooled, one after the other.

    Stages of different height or width are a RecipeError.
    """
    shapes = stage_shapes(settings, source)
    for i, shape in enumerate(shapes):
        if shape[1:] != shapes[0][1:]:
            raise RecipeError(f"stdp stages[{i}]: {shape[1:]} neurons a map, stages[0] has {shapes[0][1:]}; the classifier needs maps of one size")
    pooled = pooled_shape((sum(shape[0] for shape in shapes), *shapes[0][1:]), settings.pool)
    if min(pooled) < 1:
        raise RecipeError(f"stdp pool {settings.pool}: it leaves nothing of maps of {shapes[0][1:]} neurons")
    return pooled
