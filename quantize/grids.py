"""Weights that lie on a grid: whole numbers, which few bits hold, of a step.

Quantisation-aware training leaves such weights, rounded to float32: ``weight = float32(code * step)``.
"""

import numpy as np
import numpy.typing as npt

from spikefold.network.fields import Int, signed_range

__all__ = ["grid_codes", "held", "held_bits", "whole"]

Float = npt.NDArray[np.float64]
GRID_ROUNDING = 2.0**-22
"""How far from its grid a weight may lie, as a fraction of itself.

It is two units in the last place of float32: the weight and its channel's largest one, each rounded once by the quantisation and once by a norm
that was multiplied into them. Random weights come as near to every grid by chance in one channel in hundreds if it has two weights, and in one
in millions if it has three.
"""
GRID_ROWS, GRID_FIRST, GRID_PRODUCTS = 256, 8, 1 << 19
"""The search takes so many channels at a time, first so many weights of each, and later ones in so many products."""


def grid_codes(flat: Float, bits: int) -> Int:
    """Return for each row of ``flat`` the largest code, by magnitude, on the coarsest grid that holds it; 0 if none of ``bits`` bits does.

    The largest weight of a row is tried at every code. A few weights show that a code is wrong, unless most of them are 0.
    """
    if len(flat) > GRID_ROWS:
        return np.concatenate([grid_codes(flat[first : first + GRID_ROWS], bits) for first in range(0, len(flat), GRID_ROWS)])
    low, high = signed_range(bits)
    peak, found = np.abs(flat).max(1, initial=0.0), np.zeros(len(flat), np.int64)
    rows, codes = (pairs.ravel() for pairs in np.meshgrid(np.flatnonzero(peak), np.arange(1, 1 - low), indexing="ij"))
    begin, end = 0, GRID_FIRST
    while begin < flat.shape[1] and rows.size:
        counts = flat[rows, begin:end] / peak[rows, None] * codes[:, None]
        fits = (whole(counts) & (counts < high + 0.5)).all(1)
        rows, codes = rows[fits], codes[fits]
        begin, end = end, end + GRID_FIRST + GRID_PRODUCTS // max(1, rows.size)
    # From the finest grid to the coarsest, so that the coarsest stays.
    found[rows[::-1]] = codes[::-1]
    return found


def whole(counts: Float) -> npt.NDArray[np.bool_]:
    """Return which ``counts`` are whole numbers but for the rounding of float32; what is not 0 is no count of 0."""
    nearest = np.rint(counts)
    return np.asarray(np.abs(counts - nearest) <= GRID_ROUNDING * np.abs(nearest))


def held(weights: Float, steps: Float, bits: int) -> npt.NDArray[np.bool_]:
    """Return for each channel [out] whether its weights are :func:`whole` numbers of its step that ``bits`` bits hold."""
    low, high = signed_range(bits)
    counts = weights.reshape(len(weights), -1) / np.where(steps > 0, steps, 1.0)[:, None]
    return np.asarray((whole(counts) & (counts > low - 0.5) & (counts < high + 0.5)).all(1))


def held_bits(weights: Float) -> int | None:
    """Return the fewest bits, 2 to 8, that hold every channel's weights on a grid of its own; None if 8 do not."""
    flat = weights.reshape(len(weights), -1)
    used = flat[flat.any(1)]
    return next((bits for bits in range(2, 9) if (grid_codes(used, bits) > 0).all()), None)
