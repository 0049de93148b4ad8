"""The fold: a trained float network to the integer network of the contract.

The mathematics is exact and lives in :mod:`spikefold.quantize.schedules`; here its real numbers become integers, and each layer gets
its form, its steps and its widths. What does not fold is refused by name. What the rounding costs is in the :class:`LayerReport`.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import FoldError, NetworkError
from spikefold.quantize.float_network import FloatLayer, FloatNetwork
from spikefold.quantize.network import (
    CURRENT_BITS_MAX,
    POTENTIAL_BITS_MAX,
    SPIKE_PAYLOAD_BITS,
    TIMESTEPS_MAX,
    Connection,
    Int,
    Network,
    Population,
    Readout,
    Weights,
    signed_range,
)
from spikefold.quantize.rounding import (
    LeakCode,
    collapse,
    integer_gain,
    integer_leak,
    integer_threshold,
    integer_weights,
    to_int,
    weight_error,
)
from spikefold.quantize.schedules import Schedules, fold_schedules
from spikefold.quantize.steps import check_steps, choose_steps
from spikefold.quantize.widths import bits_for, potential_bounds, weighted_bounds
from spikefold.quantize.windows import Shape

__all__ = ["FoldResult", "LayerReport", "fold"]

Float = npt.NDArray[np.float64]
Form = Literal["B", "C"]

GAIN_BITS = 12
"""On random layers 8 bits of gain triple the spike flips that 8-bit weights cause, 10 add a third, and beyond 12 nothing is gained."""
GAIN_BITS_LEAST = 8
"""In form C the gains of the first timestep are the smallest; ``auto`` leaves them at least so many bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerReport:
    """What the fold made of a layer.

    ``step`` is the coarsest channel's step of the potential as a fraction of the threshold (of the largest weight in an integrating
    readout); ``weight_error`` the rounding of the weights, as a fraction of their root mean square; ``gain_error`` and ``leak_error`` the
    largest rounding errors of gain and leak, relative to the largest gain and absolute.
    """

    name: str
    form: Form
    reason: str
    weight_bits: int
    current_bits: int
    gain_bits: int
    unit_gain: bool
    leak_kind: Literal["none", "shift", "multiply"]
    potential_bits: int
    proven_bits: int
    saturate: bool
    step: float
    weight_error: float
    gain_error: float
    leak_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldResult:
    """The integer network and a report a layer."""

    network: Network
    layers: tuple[LayerReport, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    weight_bits: int
    gain_bits: int
    potential_bits_limit: int
    saturate_bits: int | None
    timesteps: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Source:
    """What feeds a layer: its name, the range and bits of a payload, and the float value of a payload of 1."""

    name: str
    least: int
    most: int
    payload_bits: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _FoldedLayer:
    weights: Weights
    connection: Connection
    population: Population
    offset: Float
    report: LayerReport


def fold(
    network: FloatNetwork,
    *,
    form: Literal["auto", "B", "C"] = "auto",
    weight_bits: int = 8,
    gain_bits: int = GAIN_BITS,
    potential_bits_limit: int = 24,
    saturate_bits: int | None = None,
) -> FoldResult:
    """Fold a trained network into integers.

    ``form`` says how the leak is kept: ``B`` in hardware, ``C`` in the schedules. ``auto`` takes B where the normalisation does not change over
    time (its gain folds into the weights, and no multiplier remains) and else C where its proven width is within
    ``potential_bits_limit``; otherwise B, at its proven width. With ``saturate_bits`` a potential that needs more clamps there instead.

    Raises a FoldError that names the layer, the parameter and what to change.
    """
    if form not in ("auto", "B", "C"):
        raise FoldError(f"form: {form!r}; it must be auto, B or C")
    limits = {
        "weight_bits": (weight_bits, 2, 8),
        "gain_bits": (gain_bits, 2, 16),
        "potential_bits_limit": (potential_bits_limit, 2, POTENTIAL_BITS_MAX),
    }
    if saturate_bits is not None:
        limits["saturate_bits"] = (saturate_bits, 2, POTENTIAL_BITS_MAX)
    for name, (value, low, high) in limits.items():
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise FoldError(f"{name}: {value!r}; it must be an integer in {low}..{high}")
    if network.timesteps > TIMESTEPS_MAX:
        raise FoldError(f"network timesteps: {network.timesteps}; at most {TIMESTEPS_MAX} can be folded, so train with fewer")
    options = _Options(
        weight_bits=weight_bits,
        gain_bits=gain_bits,
        potential_bits_limit=potential_bits_limit,
        saturate_bits=saturate_bits,
        timesteps=network.timesteps,
    )
    coding = network.input
    source = _Source(name="input", least=coding.payload_min, most=coding.payload_max, payload_bits=coding.payload_bits, value=1 / float(coding.scale))
    folded = []
    for layer, shape in zip(network.layers, network.shapes(), strict=True):
        try:
            folded.append(_fold_layer(layer, shape, source, form, options))
        except NetworkError as error:
            raise FoldError(f"layer {layer.name!r} does not fit the contract: {error}") from error
        source = _Source(name=layer.name, least=0, most=1, payload_bits=SPIKE_PAYLOAD_BITS, value=1.0)
    integer = Network(
        timesteps=network.timesteps,
        timesteps_trained=network.timesteps,
        input=coding,
        class_names=network.class_names,
        provenance=dict(network.provenance) | {f"fold {f.report.name}": f"form {f.report.form}: {f.report.reason}" for f in folded},
        weights=tuple(f.weights for f in folded),
        connections=tuple(f.connection for f in folded),
        populations=tuple(f.population for f in folded),
        readout=Readout(decode=network.readout, offset=_offset(network, folded[-1])),
    )
    return FoldResult(network=integer, layers=tuple(f.report for f in folded))


def _offset(network: FloatNetwork, last: _FoldedLayer) -> Int:
    """Return what each class's score holds besides the potential: the bias that an integrating readout accumulated."""
    offset = to_int(last.offset if network.readout == "potential" else np.zeros(len(network.class_names)))
    low, high = signed_range(POTENTIAL_BITS_MAX)
    if (offset < low).any() or (offset > high).any():
        raise FoldError(
            f"layer {last.report.name!r} bias: it adds up to {int(np.abs(offset).max())} counts in the readout, beyond {POTENTIAL_BITS_MAX} bits; "
            "a smaller beta or bias, or fewer weight_bits, is needed"
        )
    return offset


def _fold_layer(layer: FloatLayer, shape: Shape, source: _Source, form: Literal["auto", "B", "C"], options: _Options) -> _FoldedLayer:
    """Fold one layer in the form asked for, or in the one that ``auto`` picks."""
    if form != "auto":
        return _fold_as(layer, shape, source, form, "asked for", options)
    if (layer.norm.scale == layer.norm.scale[:1]).all():
        return _fold_as(layer, shape, source, "B", "the gain does not change over time and folds into the weights", options)
    growth = _growth(layer, options.timesteps)
    if growth > options.potential_bits_limit:
        needs = f"form C would widen the potential by {growth:.1f} bits" if np.isfinite(growth) else "form C divides by the leak, which is 0"
        return _fold_as(layer, shape, source, "B", f"{needs}; the limit is {options.potential_bits_limit}", options)
    # Widths beyond the contract must still be seen as "too wide", so the trial saturates.
    spare = options.gain_bits - GAIN_BITS_LEAST
    if growth > max(spare, 0):
        reason = f"form C would spread the gains over {growth:.1f} bits more; of {options.gain_bits} gain_bits {max(spare, 0)} can be spared"
        return _fold_as(layer, shape, source, "B", reason, options)
    trial = _fold_as(layer, shape, source, "C", "", replace(options, saturate_bits=options.saturate_bits or POTENTIAL_BITS_MAX))
    proven, limit = trial.report.proven_bits, options.potential_bits_limit
    if proven > limit:
        return _fold_as(layer, shape, source, "B", f"form C would take {proven} bits of potential; the limit is {limit}", options)
    return replace(trial, report=replace(trial.report, reason=f"its potential takes {proven} bits; the limit is {limit}"))


def _growth(layer: FloatLayer, timesteps: int) -> float:
    """Return by how many bits form C's last gain and threshold are larger than its first."""
    if timesteps == 1:
        return 0.0
    return (timesteps - 1) * float(-np.log2(layer.leak)) if layer.leak > 0 else np.inf


def _fold_as(layer: FloatLayer, shape: Shape, source: _Source, form: Form, reason: str, options: _Options) -> _FoldedLayer:
    """Fold one layer in a given form."""
    schedules = fold_schedules(layer, options.timesteps, form)
    growth = _growth(layer, options.timesteps) if form == "C" else 0.0
    if growth >= options.gain_bits:
        raise FoldError(
            f"layer {layer.name!r} leak: form C spreads the gains over {growth:.1f} bits, and gain_bits is {options.gain_bits}, "
            "so the first ones would round to 0; use form B, fewer timesteps or a larger leak"
        )
    leak = integer_leak(schedules.leak, options.timesteps)
    static = schedules.gain.shape[0] == 1
    with np.errstate(over="ignore", invalid="ignore"):
        weights = layer.weights * (source.value / layer.pool**2)
        if static:
            # A constant gain, its sign included, is part of the weights: hardware needs no multiplier.
            weights = weights * schedules.gain[0].reshape(-1, *(1,) * (weights.ndim - 1))
    _check_finite(layer, "weights", weights, "smaller weights or gamma, or a larger input scale,")
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        steps = choose_steps(layer, weights, None if static else schedules.gain, leak, options.weight_bits, options.gain_bits)
    check_steps(layer, steps)
    tensor = integer_weights(weights, steps.weight, options.weight_bits)
    if steps.gain is None:
        gain, shift, gain_error = np.full((1, 1), 1 << steps.exponent, np.int64), 0, 0.0
    else:
        gain, shift, gain_error = integer_gain(steps.gain, options.gain_bits)
    low, high = weighted_bounds(tensor, layer.pool, source.least, source.most)
    current_bits = bits_for(int(low.min()), int(high.max()))
    if current_bits > CURRENT_BITS_MAX:
        raise FoldError(
            f"layer {layer.name!r} weights: the current takes {current_bits} bits, at most {CURRENT_BITS_MAX} fit; use fewer weight_bits or inputs"
        )
    connection = Connection(
        source=source.name, target=layer.name, kind=layer.kind, weights=layer.name, pool=layer.pool, stride=layer.stride, padding=layer.padding,
        payload_bits=source.payload_bits, current_bits=current_bits, gain=collapse(gain), gain_shift=np.full((1, 1), shift),
    )  # fmt: skip
    population, proven = _population(layer, shape, schedules, steps.potential, leak, connection, low, high, options)
    reference = abs(layer.threshold) if layer.reset != "none" else float(np.abs(weights).max())
    report = LayerReport(
        name=layer.name,
        form=form,
        reason=reason,
        weight_bits=options.weight_bits,
        current_bits=current_bits,
        gain_bits=bits_for(int(connection.gain.min()), int(connection.gain.max())),
        unit_gain=connection.unit_gain,
        leak_kind=leak.kind,
        potential_bits=population.potential_bits,
        proven_bits=proven,
        saturate=population.saturate,
        step=float(steps.potential.max()) / reference if reference else 0.0,
        weight_error=weight_error(weights, tensor, steps.weight),
        gain_error=gain_error,
        leak_error=leak.error,
    )
    for name in ("step", "weight_error", "gain_error", "leak_error"):
        _check_finite(layer, name, np.array(getattr(report, name)), "a gamma, or weights, nearer to 1")
    return _FoldedLayer(
        weights=Weights(id=layer.name, tensor=tensor, bits=options.weight_bits),
        connection=connection,
        population=population,
        offset=_counts(layer, "bias", -schedules.load[-1], steps.potential) if layer.reset == "none" else np.zeros(shape[0]),
        report=report,
    )


def _check_finite(layer: FloatLayer, name: str, values: Float, remedy: str) -> None:
    """Refuse what float64 cannot hold."""
    if not np.isfinite(values).all():
        raise FoldError(f"layer {layer.name!r} {name}: folded, a value is not finite; {remedy} is needed")


def _counts(layer: FloatLayer, name: str, values: Float, step: Float) -> Float:
    """Return ``values`` in counts of ``step``."""
    with np.errstate(over="ignore"):
        counts = np.asarray(values / step)
    _check_finite(layer, name, counts, "a smaller beta or bias, or a larger threshold or weights,")
    return counts


def _population(
    layer: FloatLayer, shape: Shape, s: Schedules, step: Float, leak: LeakCode, connection: Connection, low: Int, high: Int, options: _Options
) -> tuple[Population, int]:
    """Round the schedules to counts of ``step``, prove the width, and return the population and the proven bits."""
    fires = layer.reset != "none"
    zero = np.zeros((1, 1), np.int64)
    threshold = integer_threshold(_counts(layer, "threshold", s.threshold, step), layer.fires_at_threshold) if fires else np.full((1, 1), 1 << 40)
    decrement = to_int(_counts(layer, "decrement", s.decrement, step)) if layer.reset == "soft" else zero
    load = to_int(_counts(layer, "load", s.load, step)) if layer.reset == "hard" else zero

    def build(bits: int, saturate: bool) -> Population:
        narrow, wide = signed_range(bits), signed_range(bits + 1)
        fields: dict[str, Any] = {"leak": np.full((1, 1), leak.leak), "leak_frac_bits": leak.frac_bits, "leak_shift": leak.shift}
        # Beyond these ends nothing changes: no potential reaches such a threshold, none needs such a decrement or load.
        return Population(
            name=layer.name, shape=shape, reset=layer.reset, leak_kind=leak.kind, **fields, threshold=collapse(np.clip(threshold, *wide)),
            decrement=collapse(np.clip(decrement, *wide)), load=collapse(np.clip(load, *narrow)), potential_bits=bits, threshold_bits=bits + 1,
            saturate=saturate, unit=step if (step != step[0]).any() else step[:1],
        )  # fmt: skip

    widest = build(POTENTIAL_BITS_MAX, True)
    proven = bits_for(*potential_bounds(connection, widest, options.timesteps, low, high))
    clipped = (load < signed_range(POTENTIAL_BITS_MAX)[0]).any() or (load > signed_range(POTENTIAL_BITS_MAX)[1]).any()
    if clipped and proven == POTENTIAL_BITS_MAX:
        proven += 1  # A load beyond the widest potential can be reached, so the proof does not hold.
    if options.saturate_bits is not None and proven > options.saturate_bits:
        return build(options.saturate_bits, True), proven
    if proven > POTENTIAL_BITS_MAX:
        form = "form B or " if s.form == "C" else ""
        raise FoldError(
            f"layer {layer.name!r} potential: its proof takes {proven} bits, at most {POTENTIAL_BITS_MAX} fit; "
            f"use {form}saturate_bits, or fewer weight_bits"
        )
    return build(max(proven, 2), False), proven
