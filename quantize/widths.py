"""Proofs that the declared widths hold, whatever the input: interval arithmetic over the exact recursion.

Each element of a connection's source sends at most one event in a timestep; a pooled element therefore carries at most
``pool**2`` spikes. Every partial sum of a current lies between the sum of its negative and of its positive terms, so
the bound also holds for every order of arrival.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import NetworkError

if TYPE_CHECKING:
    from spikefold.quantize.network import Connection, Int, Network, Population

__all__ = ["address_bits", "bits_for", "check_widths", "current_bounds", "potential_bounds", "score_bits", "weighted_bounds"]


PROVEN_MAX = 1 << 46
"""Beyond every width of the contract, so that a proof that passes it has failed."""


def bits_for(low: int, high: int) -> int:
    """Return the least two's-complement width that holds low..high."""
    return max(int(low if low >= 0 else ~low).bit_length(), int(high if high >= 0 else ~high).bit_length()) + 1


def address_bits(depth: int) -> int:
    """Return the address width of ``depth`` words, at least 1."""
    return max(1, (depth - 1).bit_length())


def score_bits(network: "Network") -> int:
    """Return the width of a class's score: the potential or the spike count, plus its offset."""
    low, high = min(0, int(network.readout.offset.min())), max(0, int(network.readout.offset.max()))
    if network.readout.decode == "potential":
        reach = 1 << (network.populations[-1].potential_bits - 1)
        return bits_for(low - reach, high + reach - 1)
    return bits_for(low, high + network.timesteps)


def current_bounds(network: "Network", index: int) -> tuple["Int", "Int"]:
    """Return the least and greatest current of each channel of layer ``index``, int64 [C] each."""
    connection = network.connections[index]
    least, most = (network.input.payload_min, network.input.payload_max) if index == 0 else (0, 1)
    return weighted_bounds(network.weights_of(connection).tensor, connection.pool, least, most)


def weighted_bounds(tensor: npt.NDArray[np.int8], pool: int, least: int, most: int) -> tuple["Int", "Int"]:
    """Return the bounds of each output's weighted sum, int64 [out] each, of payloads in ``least``..``most`` (which hold 0)."""
    weights = tensor.astype(np.int64).reshape(len(tensor), -1)
    positive, negative = np.maximum(weights, 0).sum(1) * pool**2, np.minimum(weights, 0).sum(1) * pool**2
    return negative * most + positive * least, positive * most + negative * least


def drive_bounds(connection: "Connection", t: int, low: "Int", high: "Int") -> tuple["Int", "Int"]:
    """Return the bounds of the drive in timestep ``t`` from those of the current."""
    gain, shift = (a[min(t, a.shape[0] - 1)] for a in (connection.gain, connection.gain_shift))
    half = (1 << shift) >> 1
    ends = ((low * gain + half) >> shift, (high * gain + half) >> shift)
    return np.minimum(*ends), np.maximum(*ends)


def potential_bounds(connection: "Connection", population: "Population", timesteps: int, low: "Int", high: "Int") -> tuple[int, int]:
    """Return the least and greatest value that ``summed`` or the potential can take in any neuron and timestep.

    ``low`` and ``high`` bound the current of each channel, within 32 bits. Python integers are not needed: the recursion stops once 2**46 is
    passed, so a potential times a leak of 17 bits stays below 2**63. The bounds are then short of the truth, but past every width of the
    contract.
    """

    def at(schedule: "Int", t: int) -> "Int":
        return np.asarray(schedule[min(t, schedule.shape[0] - 1)])

    v_low = v_high = np.broadcast_to(population.initial, low.shape)
    least, most = int(v_low.min()), int(v_high.max())
    for t in range(timesteps):
        d_low, d_high = drive_bounds(connection, t, low, high)
        s_low, s_high = leak_bound(population, t, v_low) + d_low, leak_bound(population, t, v_high) + d_high
        threshold = at(population.threshold, t)
        v_low, v_high = s_low, s_high
        if population.reset != "none":
            may_fire, must_fire = s_high >= threshold, s_low >= threshold
            if population.reset == "soft":
                f_low = np.maximum(s_low, threshold) - at(population.decrement, t)
                f_high = s_high - at(population.decrement, t)
            else:
                f_low = f_high = np.broadcast_to(at(population.load, t), low.shape)
            # What did not fire stays below the threshold.
            q_high = np.minimum(s_high, threshold - 1)
            v_low = np.where(must_fire, f_low, np.where(may_fire, np.minimum(s_low, f_low), s_low))
            v_high = np.where(must_fire, f_high, np.where(may_fire, np.maximum(q_high, f_high), s_high))
        least, most = min(least, int(s_low.min()), int(v_low.min())), max(most, int(s_high.max()), int(v_high.max()))
        if max(-least, most) > PROVEN_MAX:
            break
    return least, most


def leak_bound(population: "Population", t: int, potential: "Int") -> "Int":
    """Return the leaked end of an interval; every leak kind grows with the potential, so ends map to ends."""
    if population.leak_kind == "none":
        return potential
    if population.leak_kind == "shift":
        return potential - (potential >> population.leak_shift)
    leak = population.leak[min(t, population.leak.shape[0] - 1)]
    return np.asarray((potential * leak + ((1 << population.leak_frac_bits) >> 1)) >> population.leak_frac_bits)


def check_widths(network: "Network") -> None:
    """Raise a NetworkError where a current or an unsaturated potential could leave its declared width."""
    for index, (connection, population) in enumerate(zip(network.connections, network.populations, strict=True)):
        low, high = current_bounds(network, index)
        needed = bits_for(int(low.min()), int(high.max()))
        if needed > connection.current_bits:
            raise NetworkError(
                f"layer {population.name!r} current_bits: {connection.current_bits}; its weights can reach "
                f"{int(low.min())}..{int(high.max())}, which takes {needed}"
            )
        if not population.saturate:
            least, most = potential_bounds(connection, population, network.timesteps, low, high)
            needed = bits_for(least, most)
            if needed > population.potential_bits:
                raise NetworkError(
                    f"layer {population.name!r} potential_bits: {population.potential_bits}; the potential can reach "
                    f"{least}..{most}, which takes {needed} (or set saturate)"
                )
