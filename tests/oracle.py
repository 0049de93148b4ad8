"""A scalar oracle: what an integer network means, one neuron at a time in plain Python integers.

Written from the definition of the contract alone; it shares no line with the reference, and no array with more than storage to do.
"""

from dataclasses import dataclass

import numpy as np

from spikefold.quantize.network import Connection, Network
from spikefold.quantize.population import Population
from spikefold.quantize.trace import Trace

__all__ = ["run"]


def at(schedule: np.ndarray, t: int, c: int) -> int:
    """Look a parameter up whose axes may be cut to 1."""
    return int(schedule[t if schedule.shape[0] > 1 else 0, c if schedule.shape[1] > 1 else 0])


@dataclass
class Neuron:
    potential: int
    clamps: int = 0

    def clamp(self, value: int, p: Population) -> int:
        if not p.saturate:
            return value
        top = 2 ** (p.potential_bits - 1)
        if value > top - 1:
            self.clamps += 1
            return top - 1
        if value < -top:
            self.clamps += 1
            return -top
        return value

    def step(self, k: Connection, p: Population, t: int, c: int, current: int) -> bool:
        shift = at(k.gain_shift, t, c)
        divisor = 2**shift
        # Floor division by a power of two, with half of it added first: round half up.
        drive = (current * at(k.gain, t, c) + divisor // 2) // divisor
        v = self.potential
        if p.leak_kind == "shift":
            v -= v // 2**p.leak_shift
        elif p.leak_kind == "multiply":
            one = 2**p.leak_frac_bits
            v = (v * at(p.leak, t, c) + one // 2) // one
        v = self.clamp(v + drive, p)
        fired = v >= at(p.threshold, t, c)
        if fired and p.reset == "soft":
            v = self.clamp(v - at(p.decrement, t, c), p)
        elif fired and p.reset == "hard":
            v = at(p.load, t, c)
        self.potential = v
        return fired


Events = list[tuple[int, int, int, int]]
"""The events of a timestep: (channel, y, x, payload)."""


def fan_out(network: Network, index: int, event: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    """Return (channel, y, x, weight) for every neuron of layer ``index`` that an event reaches."""
    k, p = network.connections[index], network.populations[index]
    tensor = network.weights_of(k).tensor
    channel, y, x = event[:3]
    _, height, width = network.source(k).shape
    row, column = y // k.pool, x // k.pool
    if row >= height // k.pool or column >= width // k.pool:
        return []
    reached = []
    if k.kind == "dense":
        place = (channel * (height // k.pool) + row) * (width // k.pool) + column
        return [(o, 0, 0, int(tensor[o, place])) for o in range(p.shape[0])]
    for oy in range(p.shape[1]):
        for ox in range(p.shape[2]):
            ky, kx = row + k.padding - oy * k.stride, column + k.padding - ox * k.stride
            if 0 <= ky < tensor.shape[2] and 0 <= kx < tensor.shape[3]:
                reached += [(o, oy, ox, int(tensor[o, channel, ky, kx])) for o in range(p.shape[0])]
    return reached


def run_layer(network: Network, index: int, stream: list[Events]) -> tuple[list[Events], np.ndarray, int, int]:
    """Run one layer over one sample; return its spikes, the potentials [T, C, H, W], clamps and synaptic operations."""
    k, p = network.connections[index], network.populations[index]
    channels, height, width = p.shape
    places = [(c, y, x) for c in range(channels) for y in range(height) for x in range(width)]
    neurons = {place: Neuron(int(p.initial[place[0] if len(p.initial) > 1 else 0])) for place in places}
    spikes, kept, operations = [], np.empty((len(stream), *p.shape), np.int64), 0
    for t, events in enumerate(stream):
        currents = dict.fromkeys(places, 0)
        for event in events:
            for c, y, x, weight in fan_out(network, index, event):
                currents[c, y, x] += weight * event[3]
                operations += 1
        fired = [place for place in places if neurons[place].step(k, p, t, place[0], currents[place])]
        for place in places:
            kept[(t, *place)] = neurons[place].potential
        spikes.append([(*place, 1) for place in fired])
    return spikes, kept, sum(n.clamps for n in neurons.values()), operations


def run(network: Network, events: np.ndarray) -> Trace:
    """Execute ``network`` on payloads [N, T, C, H, W]."""
    samples, timesteps = events.shape[:2]
    spikes = [np.zeros((samples, timesteps, *p.shape), np.bool_) for p in network.populations]
    potentials = [np.zeros((samples, timesteps, *p.shape), np.int64) for p in network.populations]
    clamps = [0] * len(network.populations)
    operations = np.zeros((samples, len(network.populations)), np.int64)
    scores = np.zeros((samples, len(network.class_names)), np.int64)
    for n in range(samples):
        stream: list[Events] = [
            [(int(c), int(y), int(x), int(events[n, t, c, y, x])) for c, y, x in np.argwhere(events[n, t])] for t in range(timesteps)
        ]
        for i in range(len(network.populations)):
            stream, potentials[i][n], clamped, operations[n, i] = run_layer(network, i, stream)
            clamps[i] += clamped
            for t, fired in enumerate(stream):
                for c, y, x, _ in fired:
                    spikes[i][n, t, c, y, x] = True
        for c in range(len(network.class_names)):
            counted = sum(1 for fired in stream for spike in fired if spike[0] == c)
            final = int(potentials[-1][n, -1, c, 0, 0])
            scores[n, c] = (final if network.readout.decode == "potential" else counted) + int(network.readout.offset[c])
    return Trace(
        populations=tuple(p.name for p in network.populations),
        spikes=tuple(spikes),
        potentials=tuple(potentials),
        scores=scores,
        clamps=tuple(clamps),
        sops=operations,
    )
