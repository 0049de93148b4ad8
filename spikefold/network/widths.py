"""Proofs that the declared widths hold, whatever the input: interval arithmetic over the exact recursion.

Each element of a connection's source sends at most one event in a timestep; a pooled element therefore carries at most
``pool**2`` spikes. Every partial sum of a current lies between the sum of its negative and of its positive terms, so
the bound also holds for every order of arrival.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import NetworkError
from spikefold.network.connection import Connection, Source, Weights
from spikefold.network.fields import DECAY_BITS, PSP_BITS_MAX, Int, bits_for
from spikefold.network.population import Population, PspScale

__all__ = [
    "Fed", "check_widths", "current_bounds", "decayed", "drive_bounds", "potential_bounds", "psp_bound", "scaled", "state_bounds", "weighted_bounds",
]  # fmt: skip

SQUARES_BITS_MAX = 62
PROVEN_MAX = 1 << 46
"""Beyond every width of the contract, so that a proof that passes it has failed."""


def decayed(state: Int, decay: int) -> Int:
    """Return a state times ``decay / 2**16``, rounded half up."""
    return (state * decay + ((1 << DECAY_BITS) >> 1)) >> DECAY_BITS


class Fed(NamedTuple):
    """A connection with its weights (None for an identity) and its source."""

    connection: Connection
    weights: Weights | None
    source: Source


def current_bounds(fed: Fed) -> tuple[Int, Int]:
    """Return the least and greatest current of each channel, int64 [C or 1] each."""
    source = fed.source
    if fed.weights is None:
        return np.array([source.least]), np.array([source.most])
    return weighted_bounds(fed.weights.tensor, fed.connection.pool, source.least, source.most)


def weighted_bounds(tensor: npt.NDArray[np.int8], pool: int, least: int, most: int) -> tuple[Int, Int]:
    """Return the bounds of each output's weighted sum, int64 [out] each, of payloads in ``least``..``most`` (which hold 0)."""
    weights = tensor.astype(np.int64).reshape(len(tensor), -1)
    positive, negative = np.maximum(weights, 0).sum(1) * pool**2, np.minimum(weights, 0).sum(1) * pool**2
    return negative * most + positive * least, positive * most + negative * least


Incoming = Sequence[tuple[Connection, Int, Int]]
"""Connections, each with the least and greatest current of every channel, [C or 1] and within 32 bits."""


def drive_bounds(incoming: Incoming, t: int) -> tuple[Int, Int]:
    """Return the bounds of the drive in timestep ``t`` from those of the currents."""
    least, most = np.zeros(1, np.int64), np.zeros(1, np.int64)
    for connection, low, high in incoming:
        gain, shift = connection.gain.at(t), connection.gain_shift.at(t)
        half = (1 << shift) >> 1
        ends = ((low * gain + half) >> shift, (high * gain + half) >> shift)
        least, most = least + np.minimum(*ends), most + np.maximum(*ends)
    return least, most


def potential_bounds(incoming: Incoming, population: Population, timesteps: int) -> tuple[int, int]:
    """Return the least and greatest value that ``summed`` or the potential can take in any neuron and timestep.

    Python integers are not needed: the recursion stops once 2**46 is passed, so a potential times a leak of 17 bits stays below
    2**63. The bounds are then short of the truth, but past every width of the contract.
    """
    if population.neuron == "srm":
        return state_bounds(incoming, population, timesteps)["potential"]
    v_low = v_high = np.broadcast_to(population.initial, population.shape[:1])
    least, most = int(v_low.min()), int(v_high.max())
    for t in range(timesteps):
        d_low, d_high = drive_bounds(incoming, t)
        s_low, s_high = leak_bound(population, t, v_low) + d_low, leak_bound(population, t, v_high) + d_high
        threshold = population.threshold.at(t)
        v_low, v_high = s_low, s_high
        if population.reset != "none":
            may_fire, must_fire = s_high >= threshold, s_low >= threshold
            if population.reset == "soft":
                f_low = np.maximum(s_low, threshold) - population.decrement.at(t)
                f_high = s_high - population.decrement.at(t)
            else:
                f_low = f_high = np.broadcast_to(population.load.at(t), s_low.shape)
            # What did not fire stays below the threshold.
            q_high = np.minimum(s_high, threshold - 1)
            v_low = np.where(must_fire, f_low, np.where(may_fire, np.minimum(s_low, f_low), s_low))
            v_high = np.where(must_fire, f_high, np.where(may_fire, np.maximum(q_high, f_high), s_high))
        least, most = min(least, int(s_low.min()), int(v_low.min())), max(most, int(s_high.max()), int(v_high.max()))
        if max(-least, most) > PROVEN_MAX:
            break
    return least, most


def leak_bound(population: Population, t: int, potential: Int) -> Int:
    """Return the leaked end of an interval; every leak kind grows with the potential, so ends map to ends."""
    if population.neuron == "linear":
        return population.load.at(t)
    if population.leak_kind == "none":
        return potential
    if population.leak_kind == "shift":
        return potential - (potential >> population.leak_shift)
    leak = population.leak.at(t)
    return np.asarray((potential * leak + ((1 << population.leak_frac_bits) >> 1)) >> population.leak_frac_bits)


def state_bounds(incoming: Incoming, population: Population, timesteps: int) -> dict[str, tuple[int, int]]:
    """Return the least and greatest value that each state of srm neurons can take, and their ``potential``, the sum of two of them.

    A spike is taken to be possible in every timestep. The recursion stops as that of :func:`potential_bounds` does.
    """
    ends = {state.name: (np.zeros(1, np.int64), np.zeros(1, np.int64)) for state in population.states} | {"potential": (np.zeros(1, np.int64),) * 2}
    found = dict.fromkeys(ends, (0, 0))
    decays = {state.name: state.decay for state in population.states}
    scale = population.scale
    root = 0 if scale is None else root_bound(incoming[0][0], scale, timesteps)
    for t in range(timesteps):
        drive, kick = drive_bounds(incoming, t), population.decrement.at(t)
        kick = kick if scale is None else scaled(kick, root, scale)
        if (reach := int(np.abs(kick).max())) > PROVEN_MAX:
            # It passes every width by itself, and its decay would leave 64 bits.
            return dict.fromkeys(found, (-reach, reach))
        kicks = -np.maximum(kick, 0), -np.minimum(kick, 0)
        for end in (0, 1):
            now = {name: pair[end] for name, pair in ends.items()}
            now["psp"] = decayed(now["psp"] + now["rise"], decays["psp"])
            now["potential"] = now["psp"] + now["refractory"]
            now["rise"] = decayed(now["rise"], decays["rise"]) + drive[end]
            kicked = kicks[end]
            if "refractory_rise" in now:
                kicked = now["refractory_rise"] = decayed(now["refractory_rise"], decays["refractory_rise"]) + kicked
            now["refractory"] = decayed(now["refractory"] + kicked, decays["refractory"])
            for name, value in now.items():
                pair = ends[name]
                ends[name] = (value, pair[1]) if end == 0 else (pair[0], value)
        found = {name: (min(low, int(ends[name][0].min())), max(high, int(ends[name][1].max()))) for name, (low, high) in found.items()}
        if max(max(-low, high) for low, high in found.values()) > PROVEN_MAX:
            break
    return found


def scaled(values: Int, root: Int | int, scale: PspScale) -> Int:
    """Return thresholds or decrements times a sample's root, rounded half up."""
    return np.asarray((values * root + ((1 << scale.shift) >> 1)) >> scale.shift)


def root_bound(connection: Connection, scale: PspScale, timesteps: int) -> int:
    """Return the largest root that a sample can have: that of payloads that are the largest everywhere."""
    largest = psp_bound(connection, scale, timesteps)
    return math.isqrt(largest**2 + scale.floor)


def psp_bound(connection: Connection, scale: PspScale, timesteps: int) -> int:
    """Return the largest potential that PSP-LN squares; beyond ``PSP_BITS_MAX`` bits it is only some number as large."""
    payload = connection.pool**2 << (connection.payload_bits - 1 + scale.payload_shift)
    rise = psp = largest = 0
    for _ in range(timesteps):
        psp = int(decayed(psp + rise, scale.decay))  # type: ignore[arg-type]
        rise = int(decayed(rise, scale.decay)) + payload  # type: ignore[arg-type]
        largest = max(largest, psp)
        if largest >> PSP_BITS_MAX:
            break
    return largest


def check_scale(population: Population, scale: PspScale, incoming: Sequence[Fed], timesteps: int) -> None:
    """Raise a NetworkError where what PSP-LN squares, or the sum of the squares, could leave 64 bits."""
    place = f"layer {population.name!r} scale"
    connection, weights, source = incoming[0]
    if len(incoming) != 1 or weights is None:
        raise NetworkError(f"{place}: its neurons need one connection, with weights, whose payloads it is taken of")
    largest = psp_bound(connection, scale, timesteps)
    channels, height, width = source.shape
    count = channels * (height // connection.pool) * (width // connection.pool) * timesteps
    if largest >> PSP_BITS_MAX or (largest**2 * count).bit_length() > SQUARES_BITS_MAX:
        raise NetworkError(
            f"{place} payload_shift: {scale.payload_shift}; a postsynaptic potential can reach {largest} or more, and {count} squares of it "
            f"more than {SQUARES_BITS_MAX} bits; at most {PSP_BITS_MAX} and {SQUARES_BITS_MAX} bits can be taken"
        )


def check_widths(population: Population, feeding: Sequence[Fed], timesteps: int) -> None:
    """Raise a NetworkError where a current, a state or an unsaturated potential could leave its declared width."""
    place = f"layer {population.name!r}"
    incoming = []
    for fed in feeding:
        low, high = current_bounds(fed)
        needed, bits = bits_for(int(low.min()), int(high.max())), fed.connection.current_bits
        if needed > bits:
            raise NetworkError(f"{place} current_bits: {bits}; its weights can reach {low.min()}..{high.max()}, which takes {needed}")
        incoming.append((fed.connection, low, high))
    if population.scale is not None:
        check_scale(population, population.scale, feeding, timesteps)
    widths = {} if population.saturate else {"potential": population.potential_bits}
    reached = {"potential": potential_bounds(incoming, population, timesteps)} if widths and not population.states else {}
    if population.states:
        widths |= {state.name: state.bits for state in population.states}
        reached = state_bounds(incoming, population, timesteps)
    for name, bits in widths.items():
        least, most = reached[name]
        if bits_for(least, most) > bits:
            field, remedy = ("potential_bits", " (or set saturate)") if name == "potential" else (f"state {name!r} bits", "")
            what = "potential" if name == "potential" else "state"
            raise NetworkError(f"{place} {field}: {bits}; the {what} can reach {least}..{most}, which takes {bits_for(least, most)}{remedy}")
