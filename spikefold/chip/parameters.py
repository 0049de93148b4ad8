"""The per-timestep and per-channel parameters of a layer as memories hold them."""

from spikefold.network.network import Network
from spikefold.network.power_terms import TermCode
from spikefold.network.schedule import Schedule

__all__ = ["NEURON_PARAMETERS", "layer_parameters"]

NEURON_PARAMETERS = ("gain", "gain_shift", "leak", "threshold", "decrement", "load")
"""What the neuron step takes; ``initial`` and ``offset`` come before and after it."""


def layer_parameters(network: Network, index: int, gain_terms: int) -> dict[str, Schedule]:
    """Return the parameters that layer ``index`` uses, by name, without the axes along which nothing changes.

    With ``gain_terms``, the gain is that of a :class:`TermCode`.
    """
    connection, population = network.connections[index], network.populations[index]
    schedules = {"threshold": population.threshold, "initial": Schedule.of(population.initial[None])}
    if not connection.unit_gain:
        gain = connection.gain
        if gain_terms:
            gain = Schedule.of(TermCode.of(gain.values, gain_terms).encode(gain.values))
        schedules |= {"gain": gain, "gain_shift": connection.gain_shift}
    if population.leak_kind == "multiply":
        schedules["leak"] = population.leak
    if population.reset == "soft":
        schedules["decrement"] = population.decrement
    if population.reset == "hard":
        schedules["load"] = population.load
    if index == len(network.populations) - 1:
        schedules["offset"] = Schedule.of(network.readout.offset[None])
    return {name: schedule.collapsed() for name, schedule in schedules.items()}
