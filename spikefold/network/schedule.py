"""A layer's parameter over time: one way to look it up, spread it, bound it and store it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import NetworkError
from spikefold.network.fields import Int, bits_for, frozen, in_range

__all__ = ["Schedule"]


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """A parameter of every timestep and channel: ``values`` int64 [T or 1, C or 1], read-only.

    An axis of length 1 means one value for all timesteps, or for all channels.
    """

    values: Int

    @classmethod
    def of(cls, values: "Schedule | npt.ArrayLike", place: str = "schedule") -> "Schedule":
        """Return the schedule of integers with two axes, or raise a NetworkError that begins with ``place``."""
        return values if isinstance(values, Schedule) else cls(frozen(values, place, 2))

    @classmethod
    def constant(cls, value: int) -> "Schedule":
        """Return the schedule of one value."""
        return cls(frozen([[value]], "schedule", 2))

    def at(self, t: int) -> Int:
        """Return the values of timestep ``t``, [C or 1]."""
        return np.asarray(self.values[t if len(self.values) > 1 else 0])

    def over(self, timesteps: int, channels: int) -> Int:
        """Return a view with both axes spread, [timesteps, channels]."""
        return np.broadcast_to(self.values, (timesteps, channels))

    def collapsed(self) -> "Schedule":
        """Return the same schedule with each axis along which nothing changes cut to 1."""
        values = self.values
        for axis in range(values.ndim):
            first = values.take([0], axis)
            if (values == first).all():
                values = first
        return Schedule.of(values)

    @property
    def axes(self) -> str:
        """The axes that are longer than 1: "", "t", "c" or "tc"."""
        return ("t" if self.values.shape[0] > 1 else "") + ("c" if self.values.shape[1] > 1 else "")

    @property
    def value(self) -> int | None:
        """The one value of a schedule without axes, else None."""
        return None if self.axes else int(self.values[0, 0])

    @property
    def least(self) -> int:
        """The least value."""
        return int(self.values.min())

    @property
    def most(self) -> int:
        """The greatest value."""
        return int(self.values.max())

    @property
    def signed(self) -> bool:
        """Whether a value is negative, so that a memory holds a sign bit."""
        return self.least < 0

    @property
    def bits(self) -> int:
        """The least width that holds every value, its sign bit included if it is signed."""
        return bits_for(self.least, self.most) if self.signed else max(1, self.most.bit_length())

    def check_range(self, low: int, high: int, place: str) -> None:
        """Raise a NetworkError unless every value lies in ``low``..``high``."""
        in_range(self.values, low, high, place)

    def check_axes(self, timesteps: int, channels: int, place: str) -> None:
        """Raise a NetworkError unless the axes are those of ``timesteps`` and ``channels``, or 1."""
        shape = self.values.shape
        if shape[0] not in (1, timesteps) or shape[1] not in (1, channels):
            raise NetworkError(f"{place}: shape {list(shape)}; it must be [{timesteps} or 1, {channels} or 1]")
