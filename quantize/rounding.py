"""From real numbers to the integers of a layer: steps of weights and potentials, leaks, gains and thresholds.

A *step* is what one count means in the float network: ``weight = count * step``. Steps are chosen per output channel.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from spikefold.quantize.fields import Int
from spikefold.quantize.power_terms import nearest_terms

__all__ = ["LeakCode", "collapse", "integer_gain", "integer_leak", "integer_threshold", "integer_weights", "to_int", "weight_error", "weight_steps"]

Float = npt.NDArray[np.float64]
LEAK_FRAC_BITS = 15
"""With the sign an unsigned leak of 15 fraction bits fits an 18-bit multiplier input."""
INT_LIMIT = 1 << 40
"""Far beyond every width of the contract: clipping there keeps a meaning of "never" and fits int64."""


def to_int(values: Float) -> Int:
    """Round to the nearest integer, ties to even."""
    return np.asarray(np.rint(np.clip(values, -INT_LIMIT, INT_LIMIT)).astype(np.int64))


def weight_steps(weights: Float, bits: int) -> Float:
    """Return the step of each output channel's symmetric ``bits``-bit weights, [out]; 0 where all weights are 0.

    From 6 bits up the largest weight sets the step. Below, clipping the few largest weights can cost less than it gains, so
    the step with the least squared error is taken, the largest weight's own included: weights that already lie on a grid stay there.
    """
    flat = np.abs(weights.reshape(len(weights), -1))
    most = (1 << (bits - 1)) - 1
    if bits >= 6:
        return np.asarray(flat.max(1) / most)
    # Powers of two round nothing, and squares of what is near 1 stay within float64.
    exponent = np.frexp(flat.max(1))[1]
    flat = np.ldexp(flat, -exponent[:, None])
    peak = flat.max(1) / most
    best, least = peak, np.full(len(flat), np.inf)
    for part in np.linspace(1.0, 0.3, 15):
        step = np.where(peak > 0, peak * part, 1.0)[:, None]
        error = ((np.minimum(np.rint(flat / step), most) * step - flat) ** 2).sum(1)
        # A margin, so that rounding noise cannot move weights off a grid that they fit.
        better = error < least * (1 - 1e-9) - 1e-18 * (flat**2).sum(1)
        best, least = np.where(better, peak * part, best), np.where(better, error, least)
    return np.asarray(np.ldexp(best, exponent))


def integer_weights(weights: Float, steps: Float, bits: int) -> npt.NDArray[np.int8]:
    """Return the weights in counts of their channel's step, symmetric in ``bits`` bits."""
    most = (1 << (bits - 1)) - 1
    counts = weights / steps.reshape(-1, *(1,) * (weights.ndim - 1))
    return np.clip(np.rint(counts), -most, most).astype(np.int8)


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


def integer_gain(gain: Float, bits: int, terms: int = 0) -> tuple[Int, int, float]:
    """Return (gain, shift, error): ``gain / 2**shift`` with the largest one using ``bits`` signed bits.

    With ``terms`` each gain is a sum of at most so many signed powers of two. The error is the largest over the timesteps of the
    largest difference, relative to that timestep's largest gain.
    """
    most = (1 << (bits - 1)) - 1
    largest = float(np.abs(gain).max())
    if largest == 0:
        return np.zeros(gain.shape, np.int64), 0, 0.0
    shift = int(np.clip(np.floor(np.log2(most / largest)), 0, 31))
    if terms:
        counts = nearest_terms(gain * 2.0**shift, terms, bits)
        if shift and np.abs(counts).max() > most:
            shift -= 1
            counts = nearest_terms(gain * 2.0**shift, terms, bits - 1)
    else:
        counts = np.clip(to_int(gain * 2.0**shift), -most, most)
    # Fraction bits that no gain has are dropped: the same drive from fewer bits, and a gain of 1 that is seen to be one.
    while shift and not (counts & 1).any():
        counts, shift = counts >> 1, shift - 1
    worst, most_at = np.abs(counts / 2.0**shift - gain).max(1), np.abs(gain).max(1)
    return counts, shift, float((worst[most_at > 0] / most_at[most_at > 0]).max())


def integer_threshold(threshold: Float, fires_at_threshold: bool) -> Int:
    """Return the least integer that fires: ``ceil`` for >=, ``floor + 1`` for a strict >.

    A quotient that is an integer but for float64's rounding counts as that integer.
    """
    values = np.clip(threshold, -INT_LIMIT, INT_LIMIT)
    nearest = np.rint(values)
    values = np.where(np.abs(values - nearest) <= 1e-9 * np.maximum(1, np.abs(values)), nearest, values)
    return np.asarray((np.ceil(values) if fires_at_threshold else np.floor(values) + 1).astype(np.int64))


def collapse(schedule: Int) -> Int:
    """Return a [T, C] schedule with each axis along which it is constant cut to 1."""
    for axis in range(schedule.ndim):
        first = schedule.take([0], axis)
        if (schedule == first).all():
            schedule = first
    return schedule
