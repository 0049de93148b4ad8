"""Gains as sums of few signed powers of two, which hardware multiplies by with shifts and additions alone."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from spikefold.network.fields import Int

__all__ = ["TERMS_MAX", "TermCode", "nearest_terms", "power_terms", "term_count"]

TERMS_MAX = 2


def power_terms(value: int) -> list[tuple[int, int]]:
    """Return the fewest (sign, exponent) with ``value == sum(sign << exponent)``, its non-adjacent form, the smallest exponent first."""
    terms = []
    exponent = 0
    while value:
        if value & 1:
            # 1 or -1, whichever leaves a multiple of 4.
            sign = 2 - (value & 3)
            terms.append((sign, exponent))
            value -= sign
        value >>= 1
        exponent += 1
    return terms


@dataclass(frozen=True, slots=True, kw_only=True)
class TermCode:
    """How hardware holds gains: ``terms`` powers of two, from the low bits.

    Each has its exponent, then a bit that says whether it is negative, then one that says whether it is there.
    """

    terms: int
    exponent_bits: int

    @classmethod
    def of(cls, gains: Int, terms: int) -> "TermCode":
        """Return the narrowest code that holds all of ``gains``; each must be a sum of so many powers of two."""
        largest = max((exponent for value in np.unique(gains) for _, exponent in power_terms(int(value))), default=0)
        return cls(terms=terms, exponent_bits=largest.bit_length())

    @property
    def term_bits(self) -> int:
        """Width of one term."""
        return self.exponent_bits + 2

    def encode(self, gains: Int) -> Int:
        """Return the codes of gains, of the same shape."""
        values, places = np.unique(gains, return_inverse=True)
        return np.array([self._code(int(value)) for value in values], np.int64)[places].reshape(gains.shape)

    def _code(self, value: int) -> int:
        code = 0
        for place, (sign, exponent) in enumerate(power_terms(value)):
            code |= (exponent | (sign < 0) << self.exponent_bits | 1 << (self.exponent_bits + 1)) << (place * self.term_bits)
        return code


def term_count(values: Int) -> int:
    """Return the most powers of two that any of the values takes."""
    return max((len(power_terms(int(value))) for value in np.unique(values)), default=0)


def nearest_terms(values: npt.NDArray[np.float64], terms: int, bits: int) -> Int:
    """Return the nearest integers that are sums of at most ``terms`` signed powers of two, each below ``2**bits``; of two, the smaller one."""
    grid = _magnitudes(terms, bits)
    size = np.abs(values)
    above = np.clip(np.searchsorted(grid, size), 1, len(grid) - 1)
    low, high = grid[above - 1], grid[above]
    return np.asarray(np.where(size - low <= high - size, low, high) * np.where(values < 0, -1, 1), np.int64)


@cache
def _magnitudes(terms: int, bits: int) -> Int:
    """Return every magnitude that so many terms can make, in ascending order."""
    powers = [0, *(1 << exponent for exponent in range(bits))]
    reached = {0}
    for _ in range(terms):
        reached = {abs(value + sign * power) for value in reached for power in powers for sign in (1, -1)}
    return np.array(sorted(reached), np.int64)
