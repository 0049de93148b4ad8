"""From real numbers to the integers of a layer: steps of weights and potentials, leaks, gains and thresholds.

A *step* is what one count means in the float network: ``weight = count * step``. Steps are chosen per output channel.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from spikefold.network.fields import SHIFT_MAX, Int, signed_range
from spikefold.network.power_terms import nearest_terms
from spikefold.quantize.grids import grid_codes, held

__all__ = [
    "LeakCode", "integer_gain", "integer_leak", "integer_threshold", "integer_weights", "one_shift", "to_int",
    "weight_error", "weight_steps",
]  # fmt: skip

Float = npt.NDArray[np.float64]
LEAK_FRAC_BITS = 15
"""With the sign an unsigned leak of 15 fraction bits fits an 18-bit multiplier input."""
INT_LIMIT = 1 << 40
"""Far beyond every width of the contract: clipping there keeps a meaning of "never" and fits int64."""
GAIN_LOST = 1 / 32
"""How much more of its largest gain a channel may lose by a shift that serves all channels than by one of its own."""


def to_int(values: Float) -> Int:
    """Round to the nearest integer, ties to even."""
    return np.asarray(np.rint(np.clip(values, -INT_LIMIT, INT_LIMIT)).astype(np.int64))


def weight_steps(weights: Float, bits: int) -> Float:
    """Return the step of each output channel's symmetric ``bits``-bit weights, [out]; 0 for channels without weights.

    Weights that lie on a grid stay there: if all channels do with their largest weights at the top code, on these grids; else
    on one for the whole layer; else each channel on its coarsest. The largest of other weights sets the step from 6 bits up.
    Below, clipping the few largest weights can cost less than it gains, so the step with the least squared error is taken.
    """
    flat = weights.reshape(len(weights), -1)
    most = (1 << (bits - 1)) - 1
    peak = np.abs(flat).max(1)
    at_top = peak / most
    fits = held(flat, at_top, bits)
    if fits.all():
        return np.asarray(at_top)
    (common,) = grid_codes(flat.reshape(1, -1), bits)
    if common:
        return np.full(len(flat), peak.max() / common)
    steps = at_top if bits >= 6 else _nearest_steps(np.abs(flat), most)
    codes = np.zeros(len(flat), np.int64)
    codes[~fits] = grid_codes(flat[~fits], bits)
    return np.where(fits, at_top, np.where(codes > 0, peak / np.maximum(codes, 1), steps))


def _nearest_steps(flat: Float, most: int) -> Float:
    """Return the step of each row of ``flat``, magnitudes, that has the least squared error with codes up to ``most``."""
    # Powers of two round nothing, and squares of what is near 1 stay within float64.
    exponent = np.frexp(flat.max(1))[1]
    flat = np.ldexp(flat, -exponent[:, None])
    peak = flat.max(1) / most
    best, least = peak, np.full(len(flat), np.inf)
    for part in np.linspace(1.0, 0.3, 15):
        step = np.where(peak > 0, peak * part, 1.0)[:, None]
        error = ((np.minimum(np.rint(flat / step), most) * step - flat) ** 2).sum(1)
        # A margin, so that rounding noise does not choose.
        better = error < least * (1 - 1e-9) - 1e-18 * (flat**2).sum(1)
        best, least = np.where(better, peak * part, best), np.where(better, error, least)
    return np.asarray(np.ldexp(best, exponent))


def integer_weights(weights: Float, steps: Float, bits: int) -> npt.NDArray[np.int8]:
    """Return the weights in counts of their channel's step: symmetric in ``bits`` bits, but for a grid that has the lowest code."""
    low, high = signed_range(bits)
    column = (-1, *(1,) * (weights.ndim - 1))
    least = np.where(held(weights, steps.ravel(), bits), low, -high).reshape(column)
    return np.clip(np.rint(weights / steps.reshape(column)), least, high).astype(np.int8)


def weight_error(weights: Float, counts: npt.NDArray[np.int8], steps: Float) -> float:
    """Return the rounding of the weights to ``counts`` of ``steps`` [out], as a fraction of their root mean square."""
    peak = np.abs(weights).max()
    if peak == 0:
        return 0.0
    # Powers of two round nothing, and squares of what is near 1 stay within float64.
    exponent = -int(np.frexp(peak)[1])
    exact = np.ldexp(weights, exponent)
    restored = np.ldexp(counts * steps.reshape(-1, *(1,) * (weights.ndim - 1)), exponent)
    return float(np.sqrt(((restored - exact) ** 2).mean())) / float(np.sqrt((exact**2).mean()))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LeakCode:
    """How a leak is executed, by ``leak`` [C or 1]; ``stuck`` is about how many counts of a potential its rounding can keep from leaking."""

    kind: Literal["none", "shift", "multiply"]
    leak: Int = field(default_factory=lambda: np.zeros(1, np.int64))
    frac_bits: int = 0
    shift: int = 0
    error: float = 0.0
    stuck: float = 0.0


def integer_leak(leak: Float, timesteps: int) -> LeakCode:
    """Return the code of a leak [C or 1]: none for 1, a shift for exactly 1 - 2**-k, else a multiplication by rounded fractions."""
    if (leak == 1).all():
        return LeakCode(kind="none")
    with np.errstate(divide="ignore"):
        horizon = float(np.minimum(1 / (1 - leak), timesteps).max())
    mantissa, exponent = np.frexp(1 - float(leak[0]))
    if (leak == leak[0]).all() and mantissa == 0.5 and 0 <= 1 - exponent <= 31:
        return LeakCode(kind="shift", shift=int(1 - exponent), stuck=horizon)
    frac_bits = next((k for k in range(1, LEAK_FRAC_BITS) if (leak * (1 << k) == np.floor(leak * (1 << k))).all()), LEAK_FRAC_BITS)
    counts = to_int(leak * (1 << frac_bits))
    error = float(np.abs(counts / (1 << frac_bits) - leak).max())
    return LeakCode(kind="multiply", leak=counts, frac_bits=frac_bits, error=error, stuck=horizon / 2)


def integer_gain(gain: Float, bits: int, terms: int = 0) -> tuple[Int, Int, float]:
    """Return (gain, shift, error): ``gain / 2**shift`` with the largest one using ``bits`` signed bits.

    ``shift`` is [1, 1] if it serves all channels. If one would take bits from channels with small gains, it is [1, C], and
    each channel's largest gain uses the ``bits``. With ``terms`` each gain is a sum of at most so many signed powers of two.
    The error is the largest over the timesteps of the largest difference, relative to that timestep's largest gain.
    """
    counts, shift = one_shift(gain, bits, terms)
    if (_channel_errors(gain, counts, shift) > GAIN_LOST).any():
        own = one_shift(gain, bits, terms, axis=0)
        if (_channel_errors(gain, counts, shift) > _channel_errors(gain, *own) + GAIN_LOST).any():
            counts, shift = own
    worst, most_at = np.abs(counts / 2.0**shift - gain).max(1), np.abs(gain).max(1)
    return counts, shift, float((worst[most_at > 0] / most_at[most_at > 0]).max(initial=0.0))


def one_shift(gain: Float, bits: int, terms: int, axis: Literal[0] | None = None) -> tuple[Int, Int]:
    """Return (gain, shift), with one shift [1, 1] for all by the largest gain; with ``axis`` 0, [1, C], by each channel's own."""
    most = (1 << (bits - 1)) - 1
    largest = np.abs(gain).max(axis, keepdims=True)
    with np.errstate(divide="ignore", over="ignore"):
        shift = np.where(largest > 0, np.clip(np.floor(np.log2(most / largest)), 0, SHIFT_MAX), 0).astype(np.int64)
    if terms:
        counts = nearest_terms(gain * 2.0**shift, terms, bits)
        wide = (shift > 0) & (np.abs(counts).max(axis, keepdims=True) > most)
        shift = shift - wide
        counts = np.where(wide, nearest_terms(gain * 2.0**shift, terms, bits - 1), counts)
    else:
        counts = np.clip(to_int(gain * 2.0**shift), -most, most)
    # Fraction bits that no gain has are dropped: the same drive from fewer bits, and a gain of 1 that is seen to be one.
    while (even := (shift > 0) & ~(counts & 1).any(axis, keepdims=True)).any():
        counts, shift = np.where(even, counts >> 1, counts), shift - even
    return counts, shift


def _channel_errors(gain: Float, counts: Int, shift: Int) -> Float:
    """Return of each channel [C] the largest rounding of its gain, as a fraction of its largest gain."""
    largest = np.abs(gain).max(0)
    return np.asarray(np.abs(counts / 2.0**shift - gain).max(0) / np.where(largest > 0, largest, 1.0))


def integer_threshold(threshold: Float, fires_at_threshold: bool) -> Int:
    """Return the least integer that fires: ``ceil`` for >=, ``floor + 1`` for a strict >.

    A quotient that is an integer but for float64's rounding counts as that integer.
    """
    values = np.clip(threshold, -INT_LIMIT, INT_LIMIT)
    nearest = np.rint(values)
    values = np.where(np.abs(values - nearest) <= 1e-9 * np.maximum(1, np.abs(values)), nearest, values)
    return np.asarray((np.ceil(values) if fires_at_threshold else np.floor(values) + 1).astype(np.int64))
