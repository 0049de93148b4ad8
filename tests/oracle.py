"""A scalar oracle: what an integer network means, one neuron at a time in plain Python integers.

Written from the definition of the contract and from docs/folding.md alone.
It shares no line with the reference, and no array with more than storage to do.
"""

import math
from itertools import product

import numpy as np

from spikefold.network.connection import INPUT, Connection
from spikefold.network.network import Network
from spikefold.network.population import Population, PspScale
from spikefold.network.schedule import Schedule
from spikefold.network.trace import Trace

__all__ = ["run"]


def at(schedule: Schedule, t: int, c: int) -> int:
    """Look a parameter up whose axes may be cut to 1."""
    values = schedule.values
    return int(values[t if values.shape[0] > 1 else 0, c if values.shape[1] > 1 else 0])


class Neuron:
    """An integrate-and-fire neuron."""

    def __init__(self, p: Population, channel: int, root: int | None) -> None:
        self.population, self.channel, self.root = p, channel, root
        self.potential = int(p.initial[channel if len(p.initial) > 1 else 0])
        self.clamps = 0

    def clamp(self, value: int) -> int:
        if not self.population.saturate:
            return value
        top: int = 2 ** (self.population.potential_bits - 1)
        if value > top - 1:
            self.clamps += 1
            return top - 1
        if value < -top:
            self.clamps += 1
            return -top
        return value

    def step(self, t: int, drive: int) -> int:
        """Take the drive of timestep ``t`` and return the payload that is sent, 0 for none."""
        p, c, v = self.population, self.channel, self.potential
        if p.leak_kind == "shift":
            v -= v // 2**p.leak_shift
        elif p.leak_kind == "multiply":
            one = 2**p.leak_frac_bits
            v = (v * at(p.leak, t, c) + one // 2) // one
        v = self.clamp(v + drive)
        fired = v >= at(p.threshold, t, c)
        if fired and p.reset == "soft":
            v = self.clamp(v - at(p.decrement, t, c))
        elif fired and p.reset == "hard":
            v = at(p.load, t, c)
        self.potential = v
        return int(fired)


class Linear(Neuron):
    """A neuron that keeps nothing and sends its sum, from docs/folding.md."""

    def step(self, t: int, drive: int) -> int:
        self.potential = self.clamp(at(self.population.load, t, self.channel) + drive)
        return self.potential if self.potential >= at(self.population.threshold, t, self.channel) else 0


class Srm(Neuron):
    """A spike response neuron, from docs/folding.md."""

    def __init__(self, p: Population, channel: int, root: int | None) -> None:
        super().__init__(p, channel, root)
        self.states = {state.name: 0 for state in p.states}
        self.decays = {state.name: state.decay for state in p.states}

    def decayed(self, name: str, value: int) -> int:
        return decayed(value, self.decays[name])

    def threshold_and_decrement(self, t: int) -> tuple[int, int]:
        values = at(self.population.threshold, t, self.channel), at(self.population.decrement, t, self.channel)
        scale = self.population.scale
        if self.root is None or scale is None:
            return values
        one = 2**scale.shift
        threshold, decrement = ((value * self.root + one // 2) // one for value in values)
        return threshold, decrement

    def step(self, t: int, drive: int) -> int:
        threshold, decrement = self.threshold_and_decrement(t)
        s = self.states
        s["psp"] = self.decayed("psp", s["psp"] + s["rise"])
        self.potential = self.clamp(s["psp"] + s["refractory"])
        fired = self.potential >= threshold
        s["rise"] = self.decayed("rise", s["rise"]) + drive
        kick = decrement if fired else 0
        if "refractory_rise" in s:
            s["refractory_rise"] = self.decayed("refractory_rise", s["refractory_rise"]) - kick
            s["refractory"] = self.decayed("refractory", s["refractory"] + s["refractory_rise"])
        else:
            s["refractory"] = self.decayed("refractory", s["refractory"] - kick)
        return int(fired)


NEURONS = {"lif": Neuron, "linear": Linear, "srm": Srm}


def decayed(value: int, decay: int) -> int:
    return (value * decay + 2**15) // 2**16


def drive_of(k: Connection, t: int, c: int, current: int) -> int:
    """Divide by a power of two, rounding down, with half of it added first: round half up."""
    divisor: int = 2 ** at(k.gain_shift, t, c)
    return (current * at(k.gain, t, c) + divisor // 2) // divisor


Events = list[tuple[int, int, int, int]]
"""The events of a timestep: (channel, y, x, payload)."""


def fan_out(network: Network, index: int, event: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    """Return (channel, y, x, weight) for every neuron that an event of connection ``index`` reaches."""
    k = network.connections[index]
    channel, y, x = event[:3]
    if k.kind == "identity":
        return [(channel, y, x, 1)]
    tensor = network.weights_of(k).tensor
    _, out_height, out_width = next(p.shape for p in network.populations if p.name == k.target)
    _, height, width = network.source(k).shape
    row, column = y // k.pool, x // k.pool
    if row >= height // k.pool or column >= width // k.pool:
        return []
    reached = []
    if k.kind == "dense":
        place = (channel * (height // k.pool) + row) * (width // k.pool) + column
        return [(o, 0, 0, int(tensor[o, place])) for o in range(len(tensor))]
    for oy in range(out_height):
        for ox in range(out_width):
            ky, kx = row + k.padding - oy * k.stride, column + k.padding - ox * k.stride
            if 0 <= ky < tensor.shape[2] and 0 <= kx < tensor.shape[3]:
                reached += [(o, oy, ox, int(tensor[o, channel, ky, kx])) for o in range(len(tensor))]
    return reached


def root_of(scale: PspScale, k: Connection, shape: tuple[int, int, int], stream: list[Events]) -> int:
    """Return PSP-LN's root for a sample, by docs/folding.md."""
    channels, height, width = shape[0], shape[1] // k.pool, shape[2] // k.pool
    total = squares = 0
    for c, y, x in product(range(channels), range(height), range(width)):
        rise = psp = 0
        for events in stream:
            pooled = sum(payload for channel, row, column, payload in events if (channel, row // k.pool, column // k.pool) == (c, y, x))
            psp = decayed(psp + rise, scale.decay)
            rise = decayed(rise, scale.decay) + pooled * 2**scale.payload_shift
            total += psp
            squares += psp * psp
    count = len(stream) * channels * height * width
    moment = squares // count
    if scale.about == "mean":
        moment = max(moment - (total // count) ** 2, 0)
    return math.isqrt(moment + scale.floor)


Layer = tuple[list[Events], np.ndarray, int, list[int]]


def run_layer(network: Network, index: int, streams: dict[str, list[Events]]) -> Layer:
    """Run one layer over one sample; return what it sends, potentials [T, C, H, W], clamps, and each connection's operations."""
    p, timesteps = network.populations[index], network.timesteps
    incoming = [(i, k) for i, k in enumerate(network.connections) if k.target == p.name]
    first = incoming[0][1]
    root = root_of(p.scale, first, network.source(first).shape, streams[first.source]) if p.scale is not None else None
    channels, height, width = p.shape
    places = [(c, y, x) for c in range(channels) for y in range(height) for x in range(width)]
    neurons = {place: NEURONS[p.neuron](p, place[0], root) for place in places}
    sent: list[Events] = []
    kept, operations = np.empty((timesteps, *p.shape), np.int64), [0] * len(incoming)
    for t in range(timesteps):
        drives = dict.fromkeys(places, 0)
        for number, (i, k) in enumerate(incoming):
            currents = dict.fromkeys(places, 0)
            for event in streams[k.source][t]:
                for c, y, x, weight in fan_out(network, i, event):
                    currents[c, y, x] += weight * event[3]
                    operations[number] += 1
            for place in places:
                drives[place] += drive_of(k, t, place[0], currents[place])
        payloads = [(*place, neurons[place].step(t, drives[place])) for place in places]
        sent.append([event for event in payloads if event[3]])
        for place in places:
            kept[(t, *place)] = neurons[place].potential
    return sent, kept, sum(n.clamps for n in neurons.values()), operations


def run(network: Network, events: np.ndarray) -> Trace:
    """Execute ``network`` on payloads [N, T, C, H, W]."""
    samples, timesteps = events.shape[:2]
    spikes = [np.zeros((samples, timesteps, *p.shape), np.bool_) for p in network.populations]
    potentials = [np.zeros((samples, timesteps, *p.shape), np.int64) for p in network.populations]
    clamps = [0] * len(network.populations)
    operations: list[list[int]] = [[] for _ in range(samples)]
    scores = np.zeros((samples, len(network.class_names)), np.int64)
    for n in range(samples):
        streams: dict[str, list[Events]] = {
            INPUT: [[(int(c), int(y), int(x), int(events[n, t, c, y, x])) for c, y, x in np.argwhere(events[n, t])] for t in range(timesteps)]
        }
        for i, p in enumerate(network.populations):
            stream, potentials[i][n], clamped, done = run_layer(network, i, streams)
            streams[p.name] = stream
            clamps[i] += clamped
            operations[n] += done
            for t, fired in enumerate(stream):
                for c, y, x, _ in fired:
                    spikes[i][n, t, c, y, x] = True
        for c in range(len(network.class_names)):
            counted = sum(payload for fired in stream for channel, _, _, payload in fired if channel == c)
            final = int(potentials[-1][n, -1, c, 0, 0])
            scores[n, c] = (final if network.readout.decode == "potential" else counted) + int(network.readout.offset[c])
    return Trace(
        populations=tuple(p.name for p in network.populations),
        spikes=tuple(spikes),
        potentials=tuple(potentials),
        scores=scores,
        clamps=tuple(clamps),
        sops=np.array(operations, np.int64),
    )
