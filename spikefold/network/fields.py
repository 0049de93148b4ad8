"""The limits of the contract's fields, and how a field is held against them."""

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import NetworkError

__all__ = [
    "CURRENT_BITS_MAX", "DECAY_BITS", "FLOOR_MAX", "GAIN_BITS_MAX", "GRADED_BITS_MAX", "POTENTIAL_BITS_MAX",
    "PSP_BITS_MAX", "SHIFT_MAX", "SPIKE_PAYLOAD_BITS", "TIMESTEPS_MAX", "Int",
    "address_bits", "bits_for", "frozen", "in_range", "one_of", "only", "signed_range", "within",
]  # fmt: skip

SPIKE_PAYLOAD_BITS = 2
"""A spike is the payload 1, which takes two signed bits."""
GRADED_BITS_MAX = 16
POTENTIAL_BITS_MAX = 32
CURRENT_BITS_MAX = 32
GAIN_BITS_MAX = 24
SHIFT_MAX = 31
TIMESTEPS_MAX = 4096
DECAY_BITS = 16
"""The decay of a state is in units of 2**-16."""
PSP_BITS_MAX = 24
"""What PSP-LN squares takes at most so many bits without its sign, so that 2**14 of the squares, at least, add up within 62 bits."""
FLOOR_MAX = 1 << (2 * PSP_BITS_MAX)
"""What is added to their mean is at most the square of the largest."""

Int = npt.NDArray[np.int64]


def signed_range(bits: int) -> tuple[int, int]:
    """Return the least and greatest value of ``bits`` two's-complement bits."""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def frozen(array: npt.ArrayLike, place: str, shape_ndim: int) -> Int:
    """Return ``array`` as a read-only int64 array of ``shape_ndim`` axes, or say what is wrong with it."""
    given = np.asarray(array)
    if given.dtype.kind not in "iu":
        raise NetworkError(f"{place}: dtype {given.dtype}; it must be an integer type")
    if given.ndim != shape_ndim:
        raise NetworkError(f"{place}: {given.ndim} axes; it must have {shape_ndim}")
    if given.dtype.kind == "u" and given.size and int(given.max()) >= 1 << 63:
        raise NetworkError(f"{place}: value {int(given.max())}; it must fit 64 signed bits")
    result = np.array(given, dtype=np.int64, order="C")
    result.setflags(write=False)
    return result


def in_range(array: Int, low: int, high: int, place: str) -> None:
    """Check that every element lies in low..high."""
    outside = (array < low) | (array > high)
    if outside.any():
        index = tuple(int(i) for i in np.argwhere(outside)[0])
        raise NetworkError(f"{place}{list(index)}: value {int(array[index])}; it must be in {low}..{high}")


def one_of(value: object, allowed: tuple[object, ...], place: str) -> None:
    """Check that ``value`` is one of the words of the format."""
    if value not in allowed:
        raise NetworkError(f"{place}: value {value!r}; it must be one of {', '.join(map(str, allowed))}")


def within(value: int, low: int, high: int, place: str) -> None:
    """Check one integer field."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise NetworkError(f"{place}: value {value!r}; it must be an integer in {low}..{high}")


def only(value: object, supported: object, place: str) -> None:
    """Refuse, by name, what the format can say but this version does not execute."""
    if value != supported:
        raise NetworkError(f"{place}: {value!r} is not supported by this version; it must be {supported!r}")


def bits_for(low: int, high: int) -> int:
    """Return the least two's-complement width that holds low..high."""
    return max(int(low if low >= 0 else ~low).bit_length(), int(high if high >= 0 else ~high).bit_length()) + 1


def address_bits(depth: int) -> int:
    """Return the address width of ``depth`` words, at least 1."""
    return max(1, (depth - 1).bit_length())
