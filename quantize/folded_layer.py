"""One folded layer in integers: its connections with their gains, its population with its schedules, and their proven widths."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import FoldError
from spikefold.network.connection import Connection
from spikefold.network.fields import (
    CURRENT_BITS_MAX,
    DECAY_BITS,
    FLOOR_MAX,
    GRADED_BITS_MAX,
    POTENTIAL_BITS_MAX,
    PSP_BITS_MAX,
    SHIFT_MAX,
    Int,
    bits_for,
    signed_range,
)
from spikefold.network.population import Population, PspScale, State
from spikefold.network.schedule import Schedule
from spikefold.network.widths import drive_bounds, potential_bounds, state_bounds, weighted_bounds
from spikefold.network.windows import Shape
from spikefold.quantize.float_network import PSP_NORMS, FloatLayer
from spikefold.quantize.fold_options import FoldOptions
from spikefold.quantize.rounding import LeakCode, integer_gain, integer_threshold, integer_weights, to_int, weight_steps
from spikefold.quantize.schedules import Schedules
from spikefold.quantize.steps import counted

__all__ = ["Divisor", "Incoming", "Source", "StoredWeights", "divisor_of", "graded_population", "identity", "neurons", "store_shared", "weighted"]

Float = npt.NDArray[np.float64]
NEVER = 1 << 40
SCALED_MAX = 1 << 14
"""The largest threshold or decrement that PSP-LN's root is to multiply: a rounding of less than 0.01 %."""
STEP_GROWTH = 1.125
"""How much coarser the step of a sent drive becomes until what rounding adds to its proven range fits."""
PSP_REACH = 1 << 20
"""The largest potential that PSP-LN squares, where a payload's own bits leave the choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What feeds a layer: its name, the range and bits of a payload, and the float value of a payload of 1."""

    name: str
    least: int
    most: int
    payload_bits: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredWeights:
    """Weights under their id: ``exact``, and in counts of ``steps`` [out]."""

    id: str
    exact: Float
    tensor: npt.NDArray[np.int8]
    steps: Float

    @classmethod
    def of(cls, name: str, weights: Float, steps: Float, bits: int) -> "StoredWeights":
        """Round ``weights``."""
        return cls(id=name, exact=weights, tensor=integer_weights(weights, steps, bits), steps=steps)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Incoming:
    """A connection, the bounds [C or 1] of its current, and the rounding of its gain (see :func:`integer_gain`)."""

    connection: Connection
    low: Int
    high: Int
    gain_error: float

    @property
    def bounds(self) -> tuple[Connection, Int, Int]:
        """What :mod:`spikefold.network.widths` takes."""
        return self.connection, self.low, self.high


def store_shared(layer: FloatLayer, bits: int) -> StoredWeights:
    """Return the weights that several layers use: nothing that belongs to one of them may be in them."""
    steps = counted(weight_steps(layer.weights, bits))
    return StoredWeights.of(layer.name, layer.weights, steps, bits)


def check_sharing(layer: FloatLayer) -> None:
    """Refuse what would have to be in shared weights."""
    if layer.norm.kind in PSP_NORMS and (layer.norm.scale != 1).any():
        raise FoldError(
            f"layer {layer.name!r} norm: {layer.norm.kind} scales the weights of each source channel, and these weights are shared; "
            "give the layer weights of its own, or a norm of the current (bn, bntt)"
        )


def weighted(
    layer: FloatLayer, target: str, source: Source, stored: StoredWeights, gain: Float | None, exponent: int, options: FoldOptions
) -> Incoming:
    """Return the connection that applies a layer's weights; ``gain`` [T or 1, C] is in counts, None for ``2**exponent``."""
    if gain is None:
        counts, shift, error = np.full((1, 1), 1 << exponent, np.int64), np.zeros((1, 1), np.int64), 0.0
    else:
        counts, shift, error = rounded_gain(target, gain, options)
    low, high = weighted_bounds(stored.tensor, layer.pool, source.least, source.most)
    current_bits = bits_for(int(low.min()), int(high.max()))
    if current_bits > CURRENT_BITS_MAX:
        raise FoldError(
            f"layer {layer.name!r} weights: the current takes {current_bits} bits, at most {CURRENT_BITS_MAX} fit; "
            f"use fewer weight_bits{', graded_bits' if source.payload_bits > 8 else ''} or inputs"
        )
    connection = Connection(
        source=source.name, target=target, kind=layer.kind, weights=stored.id, pool=layer.pool, stride=layer.stride, padding=layer.padding,
        payload_bits=source.payload_bits, current_bits=current_bits, gain=Schedule.of(counts).collapsed(), gain_shift=Schedule.of(shift).collapsed(),
    )  # fmt: skip
    return Incoming(connection=connection, low=low, high=high, gain_error=error)


def identity(target: str, source: Source, gain: Float, options: FoldOptions) -> Incoming:
    """Return the connection that adds each payload of ``source`` to the neuron in its place; ``gain`` [T or 1, C or 1] is in counts."""
    counts, shift, error = rounded_gain(target, gain, options)
    connection = Connection(
        source=source.name, target=target, kind="identity", weights="", payload_bits=source.payload_bits,
        current_bits=bits_for(source.least, source.most), gain=Schedule.of(counts).collapsed(), gain_shift=Schedule.of(shift).collapsed(),
    )  # fmt: skip
    return Incoming(connection=connection, low=np.array([source.least]), high=np.array([source.most]), gain_error=error)


def rounded_gain(target: str, gain: Float, options: FoldOptions) -> tuple[Int, Int, float]:
    """Return :func:`integer_gain` of what must fit the bits of gains; steps are chosen so that it does."""
    most, largest = (1 << (options.gain_bits - 1)) - 1, float(np.abs(gain).max())
    # Quotients of float64 may pass it by their own rounding.
    if largest > most * (1 + 1e-9):
        raise FoldError(f"layer {target!r} gain: the largest takes {largest:.6g} counts, and {options.gain_bits} gain_bits hold {most}; use more")
    return integer_gain(gain, options.gain_bits, options.gain_terms)


def in_counts(layer: FloatLayer, name: str, values: Float, step: Float) -> Float:
    """Return ``values`` in counts of ``step``."""
    with np.errstate(over="ignore"):
        counts = np.asarray(values / step)
    check_finite(layer, name, counts, "a smaller beta or bias, or a larger threshold or weights,")
    return counts


def check_finite(layer: FloatLayer, name: str, values: Float, remedy: str) -> None:
    """Refuse what float64 cannot hold."""
    if not np.isfinite(values).all():
        raise FoldError(f"layer {layer.name!r} {name}: folded, a value is not finite; {remedy} is needed")


def graded_population(
    layer: FloatLayer, name: str, shape: Shape, source: Source, stored: StoredWeights, unit: Float, added: Source | None, shift: Float | None,
    options: FoldOptions,
) -> tuple[Population, list[Incoming], Source]:  # fmt: skip
    """Return a population that sends a layer's drive, its connections, and what it sends.

    ``unit`` [C] is what a count of the current means. With ``shift`` [T or 1, C], the bias, the neurons are ReLU: it is added, and
    only what is above 0 is sent. The step of the payloads is the least that their proven range leaves in their bits.
    """
    relu = shift is not None
    bits = options.graded_bits if relu else GRADED_BITS_MAX
    reach = np.maximum(*map(np.abs, weighted_bounds(stored.tensor, layer.pool, source.least, source.most))) * unit * np.abs(layer.drive_scale)
    if added is not None:
        reach = reach + max(-added.least, added.most) * added.value
    if shift is not None:
        reach = reach + np.abs(shift)
    check_finite(layer, "drive", reach, "smaller weights, gamma or bias")
    # Room is left for what rounding adds, of the gains and of their products; where it is not enough, the step grows until it is.
    counts = max(1, (1 << (bits - 1)) - 3) * max(0.5, 1 - 2.0 ** (2 - options.gain_bits))
    value = float(reach.max()) / counts if reach.any() else 1.0
    own = layer.drive_scale * unit
    value = max(value, max(float(np.abs(own).max()), 0.0 if added is None else added.value) / ((1 << (options.gain_bits - 1)) - 1))
    while True:
        incoming = [weighted(layer, name, source, stored, own / value, 0, options)]
        if added is not None:
            incoming.append(identity(name, added, np.full((1, 1), added.value / value), options))
        load = Schedule.constant(0) if shift is None else Schedule.of(to_int(in_counts(layer, "bias", shift, np.full(1, value)))).collapsed()
        low, high = zip(*(summed_bounds(incoming, load, t) for t in range(options.timesteps)), strict=True)
        proven = bits_for(min(low), max(high))
        if proven <= bits:
            break
        value *= STEP_GROWTH
    threshold = Schedule.constant(1 if relu else signed_range(proven + 1)[0])
    population = Population(
        name=name, shape=shape, neuron="linear", output="graded", reset="none", leak_kind="none", threshold=threshold, load=load,
        potential_bits=max(proven, 2), saturate=False, unit=np.array([value]),
    )  # fmt: skip
    least, most = population.payload_range
    return population, incoming, Source(name=name, least=least, most=most, payload_bits=population.payload_bits, value=value)


def summed_bounds(incoming: Sequence[Incoming], load: Schedule, t: int) -> tuple[int, int]:
    """Return the least and greatest potential of neurons without a state in timestep ``t``."""
    low, high = drive_bounds([one.bounds for one in incoming], t)
    start = load.at(t)
    return int((low + start).min()), int((high + start).max())


@dataclass(frozen=True, slots=True, kw_only=True)
class Divisor:
    """PSP-LN's, in integers: what it is taken of, about what, and the float ``value`` of a root of 1."""

    about: Literal["zero", "mean"]
    decay: int
    payload_shift: int
    floor: int
    value: float

    def scale(self, largest: float) -> PspScale:
        """Return the scale of thresholds whose largest is ``largest`` counts at a root of 1, with as many fraction bits as fit."""
        shift = int(np.clip(np.floor(np.log2(SCALED_MAX / (largest * self.value))), 0, SHIFT_MAX)) if largest else 0
        return PspScale(about=self.about, decay=self.decay, payload_shift=self.payload_shift, floor=self.floor, shift=shift)


def response_height(layer: FloatLayer, value: float) -> float:
    """Return what a count in the first state of the kernel means that a pooled payload passes, where a payload of 1 means ``value``."""
    return float(np.e / layer.tau_s * value / layer.pool**2)


def divisor_of(layer: FloatLayer, source: Source, options: FoldOptions) -> Divisor:
    """Return the divisor of a layer normalised by PSP-LN, whose potentials have as many fraction bits as their proof leaves."""
    decay = round(np.exp(-1 / layer.tau_s) * (1 << DECAY_BITS))
    lags = np.arange(options.timesteps) / layer.tau_s
    reach = max(-source.least, source.most, 1 << (source.payload_bits - 1)) * layer.pool**2 * float((lags * np.exp(-lags) * layer.tau_s).sum() + 1)
    about: Literal["zero", "mean"] = "zero" if layer.norm.kind == "psp-ln" else "mean"
    payload_shift = int(np.clip(np.floor(np.log2(PSP_REACH / reach)), 0, PSP_BITS_MAX))
    height = response_height(layer, source.value)
    while (floor := round(layer.norm.eps / (height / 2.0**payload_shift) ** 2)) > FLOOR_MAX and payload_shift:
        payload_shift -= 1
    if floor > FLOOR_MAX:
        raise FoldError(
            f"layer {layer.name!r} norm: what {layer.norm.kind} adds to the mean square, {layer.norm.eps:g}, takes {floor:.3g} counts, "
            f"and {FLOOR_MAX} fit; train with a smaller lam or tau_s"
        )
    return Divisor(about=about, decay=decay, payload_shift=payload_shift, floor=max(1, floor), value=height / 2.0**payload_shift)


def neurons(
    layer: FloatLayer, shape: Shape, s: Schedules, step: Float, leak: LeakCode, incoming: Sequence[Incoming], options: FoldOptions,
    divisor: Divisor | None = None,
) -> tuple[Population, int]:  # fmt: skip
    """Round the schedules to counts of ``step`` [C], prove the width, and return the population and the proven bits.

    With a ``divisor``, thresholds and decrements are those at a root of 1, in fractions.
    """
    threshold, decrement, scale = _firing(layer, s, step, divisor)
    load = to_int(in_counts(layer, "load", s.load, step)) if layer.reset == "hard" else np.zeros((1, 1), np.int64)
    # Scaled thresholds are fractions, and spikes of srm neurons kick a state: both need their bits whatever the potentials need.
    least = SCALED_MAX.bit_length() if scale is not None else 2
    if s.decays:
        least = max(least, bits_for(int(decrement.min()), int(decrement.max())) - 1)
    bounds = [one.bounds for one in incoming]

    def build(bits: int, saturate: bool, states: tuple[State, ...]) -> Population:
        narrow, wide = signed_range(bits), signed_range(bits + 1)
        fields: dict[str, Any] = {"leak": Schedule.of(leak.leak[None]), "leak_frac_bits": leak.frac_bits, "leak_shift": leak.shift}
        # Beyond these ends nothing changes: no potential reaches such a threshold, none needs such a decrement or load.
        return Population(
            name=layer.name, shape=shape, neuron="srm" if s.decays else "lif", reset=layer.reset, leak_kind=leak.kind, **fields,
            threshold=Schedule.of(np.clip(threshold, *wide)).collapsed(), decrement=Schedule.of(np.clip(decrement, *wide)).collapsed(),
            load=Schedule.of(np.clip(load, *narrow)).collapsed(),
            potential_bits=bits, saturate=saturate, states=states, scale=scale,
            unit=step if (step != step[0]).any() else step[:1],
        )  # fmt: skip

    states = tuple(State(name=name, bits=POTENTIAL_BITS_MAX, decay=round(decay * (1 << DECAY_BITS))) for name, decay in s.decays.items())
    widest = build(POTENTIAL_BITS_MAX, True, states)
    if states:
        reached = state_bounds(bounds, widest, options.timesteps)
        states = tuple(_proven_state(layer, state, *reached[state.name]) for state in states)
    proven = bits_for(*potential_bounds(bounds, widest, options.timesteps))
    clipped = (load < signed_range(POTENTIAL_BITS_MAX)[0]).any() or (load > signed_range(POTENTIAL_BITS_MAX)[1]).any()
    if clipped and proven == POTENTIAL_BITS_MAX:
        proven += 1  # A load beyond the widest potential can be reached, so the proof does not hold.
    if options.saturate_bits is not None and proven > options.saturate_bits:
        if options.saturate_bits < least:
            raise FoldError(f"layer {layer.name!r} saturate_bits: {options.saturate_bits}; the decrement of its neurons takes {least} bits")
        return build(options.saturate_bits, True, states), proven
    if proven > POTENTIAL_BITS_MAX:
        form = "form B or " if s.form == "C" else ""
        raise FoldError(
            f"layer {layer.name!r} potential: its proof takes {proven} bits, at most {POTENTIAL_BITS_MAX} fit; "
            f"use {form}saturate_bits, or fewer weight_bits"
        )
    return build(max(proven, least), False, states), proven


def _firing(layer: FloatLayer, s: Schedules, step: Float, divisor: Divisor | None) -> tuple[Int, Int, PspScale | None]:
    """Return thresholds and decrements in counts of ``step`` [C].

    With a ``divisor`` they are fractions, and their scale is returned too; else it is None.
    """
    scale: PspScale | None = None
    threshold, decrement = np.full((1, 1), NEVER), np.zeros((1, 1), np.int64)
    if divisor is not None:
        wanted = in_counts(layer, "threshold", s.threshold, step), in_counts(layer, "decrement", s.decrement, step)
        scale = divisor.scale(max(float(np.abs(values).max()) for values in wanted))
        threshold, decrement = (to_int(values * divisor.value * 2.0**scale.shift) for values in wanted)
        resolved = float((np.abs(layer.threshold) / step).min()) * divisor.value * math.isqrt(divisor.floor)
        if 0 < resolved < 0.5:
            raise FoldError(
                f"layer {layer.name!r} threshold: {resolved:.2g} counts for a sample without spikes, "
                "whose root is the least; use more weight_bits or gain_bits, or train with a larger lam"
            )
    elif layer.reset != "none":
        threshold = integer_threshold(in_counts(layer, "threshold", s.threshold, step), layer.fires_at_threshold)
        decrement = to_int(in_counts(layer, "decrement", s.decrement, step)) if layer.reset == "soft" else decrement
    return threshold, decrement, scale


def _proven_state(layer: FloatLayer, state: State, least: int, most: int) -> State:
    bits = bits_for(least, most)
    if bits > POTENTIAL_BITS_MAX:
        raise FoldError(
            f"layer {layer.name!r} state {state.name!r}: its proof takes {bits} bits, at most {POTENTIAL_BITS_MAX} fit; "
            "use fewer weight_bits, or train with smaller tau_s and tau_r"
        )
    return State(name=state.name, bits=max(2, bits), decay=state.decay)
