"""The synapses of the contract: weights, what they connect, and the source of their events."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import NetworkError
from spikefold.network.fields import (
    CURRENT_BITS_MAX,
    GAIN_BITS_MAX,
    GRADED_BITS_MAX,
    SHIFT_MAX,
    SPIKE_PAYLOAD_BITS,
    in_range,
    one_of,
    only,
    signed_range,
    within,
)
from spikefold.network.schedule import Schedule
from spikefold.network.windows import PADDING_MAX, POOL_MAX, STRIDE_MAX

__all__ = ["INPUT", "Connection", "Source", "Weights"]

INPUT = "input"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weights:
    """Synaptic weights: int8 [out, in] (dense, inputs in (channel, y, x) order) or [out, in, kernel_y, kernel_x]."""

    id: str
    tensor: npt.NDArray[np.int8]
    bits: int

    def __post_init__(self) -> None:
        place = f"weights {self.id!r}"
        within(self.bits, 2, 8, f"{place} bits")
        if self.tensor.dtype != np.int8 or self.tensor.ndim not in (2, 4) or self.tensor.size == 0:
            raise NetworkError(f"{place}: {self.tensor.dtype} {list(self.tensor.shape)}; it must be int8 [O, I] or [O, I, KY, KX]")
        in_range(self.tensor.astype(np.int64), *signed_range(self.bits), f"{place} tensor")
        tensor = np.array(self.tensor, order="C")
        tensor.setflags(write=False)
        object.__setattr__(self, "tensor", tensor)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Connection:
    """The synapses from a source (``"input"`` or a population) into a population, and the gain on their current.

    ``pool`` is the side of the square, non-overlapping windows whose spikes are summed before the weights apply: the
    payload of a pooled element is a count, and average pooling's division lives in the gain. An ``identity`` has no weights, the id
    being empty: each neuron receives the payload of the one in its place. A current times ``gain`` is shifted right by ``gain_shift``.
    """

    source: str
    target: str
    kind: Literal["dense", "conv2d", "identity"]
    weights: str
    pool: int = 1
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    delay: int = 0
    payload_bits: int = SPIKE_PAYLOAD_BITS
    current_bits: int
    gain: Schedule
    gain_shift: Schedule
    hold: bool = False

    def __post_init__(self) -> None:
        place = f"connection {self.source!r} to {self.target!r}"
        one_of(self.kind, ("dense", "conv2d", "identity"), f"{place} kind")
        within(self.pool, 1, POOL_MAX, f"{place} pool")
        within(self.stride, 1, STRIDE_MAX, f"{place} stride")
        within(self.padding, 0, PADDING_MAX, f"{place} padding")
        only(self.dilation, 1, f"{place} dilation")
        only(self.groups, 1, f"{place} groups")
        only(self.delay, 0, f"{place} delay")
        only(self.hold, False, f"{place} hold")
        if self.kind != "conv2d" and (self.stride, self.padding) != (1, 0):
            raise NetworkError(f"{place}: stride {self.stride}, padding {self.padding}; {self.kind} has 1 and 0")
        if self.kind == "identity" and (self.pool, self.weights) != (1, ""):
            raise NetworkError(f"{place}: pool {self.pool}, weights {self.weights!r}; an identity has 1 and none")
        within(self.payload_bits, 2, GRADED_BITS_MAX, f"{place} payload_bits")
        within(self.current_bits, 1, CURRENT_BITS_MAX, f"{place} current_bits")
        for name, low, high in (("gain", *signed_range(GAIN_BITS_MAX)), ("gain_shift", 0, SHIFT_MAX)):
            schedule = Schedule.of(getattr(self, name), f"{place} {name}")
            schedule.check_range(low, high, f"{place} {name}")
            object.__setattr__(self, name, schedule)

    @property
    def unit_gain(self) -> bool:
        """Whether the drive is the current itself, so that hardware needs no multiplier."""
        return bool((self.gain.values == 1).all() and (self.gain_shift.values == 0).all())


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What feeds a connection: the input or a population, its shape, and the payloads that it sends."""

    name: str
    shape: tuple[int, int, int]
    least: int
    most: int
    payload_bits: int
