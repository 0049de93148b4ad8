"""Running one layer over all samples: on a core, or driven by several connections, which no core of this version is.

Arrays are channel-last: what a layer sends is [samples, timesteps, pixels, channels].
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spikefold.chip.core import CorePlan, plan_connection
from spikefold.network.connection import Connection
from spikefold.network.fields import Int, signed_range
from spikefold.network.network import Network
from spikefold.network.population import Population, PspScale
from spikefold.network.schedule import Schedule
from spikefold.sim import kernels
from spikefold.sim.arguments import Done, FanOut, Gain, Kicks, Neuron, Scale, Schedules, Scratch, for_kernel

__all__ = ["LayerRun", "Payloads", "Progress", "channels_first", "channels_last", "run_driven", "run_on_core"]

LEAK_KINDS = {"none": 0, "shift": 1, "multiply": 2}
RESETS = {"none": 0, "soft": 1, "hard": 2}
Payloads = npt.NDArray[np.int8] | npt.NDArray[np.int32]
Progress = Callable[[int, int], None]
"""Called with (layer runs of a sample done, layer runs in all)."""
BATCH = 64
FAN_OUT_LANES = 8
"""Words of so many channels, where no chip says how many lanes a core has."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerRun:
    """What one layer did: who fired (int8), what it sent, potentials (empty where they were not kept), clamps, sops [N, connections]."""

    fired: npt.NDArray[np.int8]
    payloads: Payloads
    potentials: Int
    clamps: int
    sops: Int


def spread(schedule: Schedule, timesteps: int, channels: int) -> Int:
    """Return a schedule with both axes, as kernels take it."""
    return for_kernel(schedule.over(timesteps, channels), np.int64)


def fan_out_of(plan: CorePlan) -> FanOut:
    """Return a core's fan-out in elements."""
    lanes = plan.lanes
    steps = np.array([plan.row_step, plan.column_step, plan.row_weight_step, plan.column_weight_step, plan.channel_step]) * lanes
    return FanOut(
        width=plan.source_shape[2], rows=plan.rows * (lanes, lanes, 1), columns=plan.columns * (lanes, lanes, 1), steps=steps,
        weights=for_kernel(plan.weights.reshape(-1), np.int8), run=plan.groups * lanes,
    )  # fmt: skip


def gain_of(connection: Connection, timesteps: int, channels: int) -> Gain:
    """Return a connection's gains, [timesteps, channels]."""
    return Gain(gain=spread(connection.gain, timesteps, channels), shift=spread(connection.gain_shift, timesteps, channels))


def neuron_of(population: Population) -> Neuron:
    """Return the kind, leak, reset and clamp of a population's neurons."""
    low, high = signed_range(population.potential_bits)
    return Neuron(
        stateless=int(population.neuron == "linear"), leak_kind=LEAK_KINDS[population.leak_kind],
        leak_bits=population.leak_shift if population.leak_kind == "shift" else population.leak_frac_bits, reset=RESETS[population.reset],
        saturate=int(population.saturate), low=low, high=high,
    )  # fmt: skip


def schedules_of(population: Population, timesteps: int) -> Schedules:
    """Return a population's parameters, [timesteps, channels]."""
    values = (population.leak, population.threshold, population.decrement, population.load)
    return Schedules(*(spread(schedule, timesteps, population.shape[0]) for schedule in values))


def run_on_core(
    network: Network, plan: CorePlan, sent: Mapping[str, Payloads], keep: bool, progress: Callable[[int], None] | None
) -> LayerRun:  # fmt: skip
    """Run one layer on its core, a batch of samples at a time so that progress shows."""
    connection, population = network.connections[plan.index], network.populations[plan.index]
    payloads = for_kernel(sent[connection.source], np.int8)
    samples, timesteps = payloads.shape[:2]
    channels, pixels = population.shape[0], population.shape[1] * population.shape[2]
    spikes = np.empty((samples, timesteps, pixels, channels), np.int8)
    kept = np.empty(spikes.shape if keep else (0, 0, 0, 0), np.int64)
    walked, clamps = np.empty(samples, np.int64), 0
    fan_out, gain = fan_out_of(plan), gain_of(connection, timesteps, channels)
    neuron, schedules = neuron_of(population), schedules_of(population, timesteps)
    initial = for_kernel(np.broadcast_to(population.initial, channels), np.int64)
    scratch = Scratch(current=np.zeros(pixels * fan_out.run, np.int32), potential=np.empty((pixels, channels), np.int64))
    for start in range(0, samples, BATCH):
        part = slice(start, min(samples, start + BATCH))
        done = Done(spikes=spikes[part], kept=kept[part] if keep else kept, walked=walked[part])
        clamps += int(kernels.run_layer(payloads[part], fan_out, gain, neuron, schedules, initial, scratch, done))
        if progress is not None:
            progress(part.stop)
    return LayerRun(fired=spikes, payloads=spikes, potentials=kept, clamps=clamps, sops=(walked * channels)[:, None])


class Driver:
    """One connection of a driven population, with the current that its events add up to."""

    def __init__(self, network: Network, connection: Connection, payloads: Payloads, channels: int, pixels: int) -> None:
        self.channels = channels
        self.gain = gain_of(connection, payloads.shape[1], channels)
        self.fan_out: FanOut | None = None
        # Graded payloads have 32 bits. Others are few bits wide and many: they stay as they are, but for an identity connection.
        self.payloads = for_kernel(payloads, np.int32 if connection.kind == "identity" else payloads.dtype.type)
        if connection.kind != "identity":
            self.fan_out = fan_out_of(plan_connection(network, connection, FAN_OUT_LANES))
            self.current = np.zeros(pixels * self.fan_out.run, np.int32)

    def add(self, n: int, t: int, drive: Int) -> int:
        """Add what the events of a timestep drive to ``drive`` [pixels, channels]; return the synaptic operations."""
        if self.fan_out is None:
            return int(kernels.add_payloads(self.payloads[n, t], self.gain, t, drive))
        walked = int(kernels.accumulate(self.payloads[n, t], self.fan_out, self.current))
        kernels.add_drive(self.current, self.fan_out.run, self.gain, t, drive)
        return walked * self.channels

    def root(self, network: Network, connection: Connection, scale: PspScale, n: int) -> int:
        """Return what PSP-LN multiplies the thresholds of sample ``n`` by."""
        channels, height, width = network.source(connection).shape
        states = np.empty((2, height // connection.pool, width // connection.pool, channels), np.int64)
        taken = Scale(
            payload_shift=scale.payload_shift, decay=scale.decay, about_mean=int(scale.about == "mean"), floor=scale.floor
        )  # fmt: skip
        return int(kernels.psp_root(for_kernel(self.payloads[n], np.int32), width, connection.pool, taken, states))


def run_driven(network: Network, index: int, sent: Mapping[str, Payloads], keep: bool, progress: Callable[[int], None] | None) -> LayerRun:
    """Run a population that several connections may drive, or whose neurons are linear or spike response neurons."""
    population, connections = network.populations[index], network.into(index)
    channels, pixels = population.shape[0], population.shape[1] * population.shape[2]
    drivers = [Driver(network, connection, sent[connection.source], channels, pixels) for connection in connections]
    samples, timesteps = drivers[0].payloads.shape[:2]
    sent_here = np.empty((samples, timesteps, pixels, channels), np.int32)
    kept = np.empty(sent_here.shape if keep else (0, 0, 0, 0), np.int64)
    sops, clamps = np.zeros((samples, len(drivers)), np.int64), 0
    drive, potential = np.zeros((pixels, channels), np.int64), np.empty((pixels, channels), np.int64)
    states, decays = np.empty((len(population.states), pixels, channels), np.int64), np.array([state.decay for state in population.states], np.int64)
    neuron, schedules = neuron_of(population), schedules_of(population, timesteps)
    scaled, scale = np.empty((2, channels), np.int64), population.scale
    for n in range(samples):
        potential[:], states[:] = population.initial, 0
        root = 0 if scale is None else drivers[0].root(network, connections[0], scale, n)
        for t in range(timesteps):
            for i, driver in enumerate(drivers):
                sops[n, i] += driver.add(n, t, drive)
            if population.states:
                kicks = Kicks(threshold=schedules.threshold[t], decrement=schedules.decrement[t])
                if scale is not None:
                    for values, out in zip(kicks, scaled, strict=True):
                        kernels.scale_row(values, root, scale.shift, out)
                    kicks = Kicks(threshold=scaled[0], decrement=scaled[1])
                clamps += int(kernels.update_srm(drive, neuron, kicks, decays, states, potential, sent_here[n, t]))
            else:
                clamps += int(kernels.update_driven(drive, neuron, schedules, t, potential, sent_here[n, t]))
            if keep:
                kept[n, t] = potential
        if progress is not None:
            progress(n + 1)
    fired = (sent_here != 0).astype(np.int8)
    payloads: Payloads = sent_here if population.output == "graded" else fired
    return LayerRun(fired=fired, payloads=payloads, potentials=kept, clamps=clamps, sops=sops)


def channels_first(array: npt.NDArray[Any], shape: tuple[int, int, int]) -> npt.NDArray[Any]:
    """Return [N, T, pixels, channels] as a view [N, T, C, H, W]."""
    return np.moveaxis(array, 3, 2).reshape(*array.shape[:2], *shape)


def channels_last(events: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Return [N, T, C, H, W] as [N, T, H * W, C], for kernels."""
    moved = np.moveaxis(events, 2, 4)
    return for_kernel(moved.reshape(*moved.shape[:2], -1, moved.shape[4]), np.int8)
