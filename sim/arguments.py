"""The arguments of kernels: arrays in one form, so that each kernel is compiled once, in named tuples."""

from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

__all__ = [
    "I8", "I32", "I64", "Done", "FanOut", "Gain", "Kicks", "LinkTiming", "Neuron", "Scale", "Schedules", "Scratch", "Sender", "for_kernel",
]  # fmt: skip

I8 = npt.NDArray[np.int8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

Scalar = TypeVar("Scalar", bound=np.generic)


def for_kernel(array: npt.NDArray[Any], dtype: type[Scalar]) -> npt.NDArray[Scalar]:
    """Return ``array`` as ``dtype``, contiguous and writable: itself if it is all that, a copy if not.

    Numba compiles a kernel anew for arrays that are read-only or strided, which takes seconds. A kernel writes only what its docstring names.
    """
    return np.require(array, dtype, ["C", "W"])


class FanOut(NamedTuple):
    """The neurons that an event reaches, as a CorePlan has them, in elements: ``run`` is the padded channels of a pixel.

    ``steps`` is (row, column, row weight, column weight, channel).
    """

    width: int
    rows: I64
    columns: I64
    steps: I64
    weights: I8
    run: int


class Gain(NamedTuple):
    """A connection's gain and its shift, [timesteps, channels]."""

    gain: I64
    shift: I64


class Neuron(NamedTuple):
    """The kind of a neuron: without a state or not, its leak and reset, and its clamp, if it saturates.

    ``leak_kind`` is 0 none, 1 shift, 2 multiply, with ``leak_bits`` its shift or fraction bits; ``reset`` is 0 none, 1 soft,
    2 hard.
    """

    stateless: int
    leak_kind: int
    leak_bits: int
    reset: int
    saturate: int
    low: int
    high: int


class Schedules(NamedTuple):
    """A layer's parameters, [timesteps, channels]."""

    leak: I64
    threshold: I64
    decrement: I64
    load: I64


class Kicks(NamedTuple):
    """Thresholds and decrements of spike response neurons in one timestep, [channels]."""

    threshold: I64
    decrement: I64


class Scale(NamedTuple):
    """The integers of PSP-LN's root, as PspScale has them."""

    payload_shift: int
    decay: int
    about_mean: int
    floor: int


class Scratch(NamedTuple):
    """A core's memories: ``current`` [pixels * run] and ``potential`` [pixels, channels]."""

    current: I32
    potential: I64


class Done(NamedTuple):
    """The results of a layer: spikes [samples, timesteps, pixels, channels], potentials like them or empty, walked runs [samples]."""

    spikes: I8
    kept: I64
    walked: I64


class Sender(NamedTuple):
    """The source of a link: a core by its lanes and the words of its pixels, or, of 0 lanes, a host that always has its next beat."""

    lanes: int
    groups: int


class LinkTiming(NamedTuple):
    """The latencies of a link, in cycles, as :mod:`spikefold.chip.cycles` has them.

    ``first`` is the cycle of the host's first beat, and ``fetchable`` that from which a core's first word can be fetched.
    """

    first: int
    queued: int
    fetchable: int
    fetch: int
    setup: int
    write_back: int
