"""The per-timestep and per-channel parameters of a layer as memories hold them."""

from dataclasses import dataclass

from spikefold.network.fields import Int, collapse
from spikefold.network.network import Network
from spikefold.network.power_terms import TermCode
from spikefold.network.widths import bits_for

__all__ = ["NEURON_PARAMETERS", "Parameter", "layer_parameters"]

NEURON_PARAMETERS = ("gain", "gain_shift", "leak", "threshold", "decrement", "load")
"""What the neuron step takes; ``initial`` and ``offset`` come before and after it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parameter:
    """A schedule without the axes along which nothing changes: ``values`` is [T or 1, C or 1]."""

    values: Int
    bits: int
    signed: bool

    @classmethod
    def of(cls, schedule: Int) -> "Parameter":
        """Drop the constant axes of ``schedule`` and find the least width that holds it."""
        schedule = collapse(schedule)
        low, high = int(schedule.min()), int(schedule.max())
        if low < 0:
            return cls(values=schedule, bits=bits_for(low, high), signed=True)
        return cls(values=schedule, bits=max(1, high.bit_length()), signed=False)

    @property
    def axes(self) -> str:
        """The axes along which it changes: "", "t", "c" or "tc"."""
        return ("t" if self.values.shape[0] > 1 else "") + ("c" if self.values.shape[1] > 1 else "")

    @property
    def constant(self) -> int | None:
        """Its value where it never changes."""
        return None if self.axes else int(self.values[0, 0])


def layer_parameters(network: Network, index: int, gain_terms: int) -> dict[str, Parameter]:
    """Return the parameters that layer ``index`` uses, by name; with ``gain_terms`` its gain as a :class:`TermCode`."""
    connection, population = network.connections[index], network.populations[index]
    schedules = {"threshold": population.threshold, "initial": population.initial[None]}
    if not connection.unit_gain:
        gain = TermCode.of(connection.gain, gain_terms).encode(connection.gain) if gain_terms else connection.gain
        schedules |= {"gain": gain, "gain_shift": connection.gain_shift}
    if population.leak_kind == "multiply":
        schedules["leak"] = population.leak
    if population.reset == "soft":
        schedules["decrement"] = population.decrement
    if population.reset == "hard":
        schedules["load"] = population.load
    if index == len(network.populations) - 1:
        schedules["offset"] = network.readout.offset[None]
    return {name: Parameter.of(schedule) for name, schedule in schedules.items()}
