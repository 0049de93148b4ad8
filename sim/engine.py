"""The virtual chip: an integer network on cores, executed event by event and timed to the cycle.

Function and timing are separate. What a neuron computes does not depend on when its events arrive, and no timing state survives a
step, so each link between two cores is timed on its own in each step: a few max-plus recursions over its events.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import ChipError
from spikefold.quantize.chip import ChipConfig
from spikefold.quantize.network import Int, Network, signed_range
from spikefold.quantize.placement import CorePlan, place
from spikefold.quantize.reference import check_events
from spikefold.quantize.trace import Trace, idle_steps
from spikefold.sim import kernels
from spikefold.sim.timing import time_stream

__all__ = ["Chip"]

LEAK_KINDS = {"none": 0, "shift": 1, "multiply": 2}
RESETS = {"none": 0, "soft": 1, "hard": 2}
Progress = Callable[[int, int], None]
"""Called with (layer runs of a sample done, layer runs in all)."""
BATCH = 64


class Chip:
    """``network`` placed on a chip; construction raises a ChipError that names the layer and the limit."""

    def __init__(self, network: Network, chip: ChipConfig) -> None:
        self.network = network
        self.chip = chip
        self.plans = place(network, chip)

    @property
    def depth(self) -> int:
        """Steps from an input timestep to the last core's update of it: one a core."""
        return len(self.plans)

    def estimate_bytes(self, samples: int, *, potentials: bool = False, timing: bool = True) -> int:
        """Return about how much memory a run's trace takes, counting one arrival for every four source elements."""
        network = self.network
        neurons = sum(p.size for p in network.populations)
        sources = sum(int(np.prod(plan.source_shape)) for plan in self.plans)
        per_timestep = neurons * (9 if potentials else 1) + int(np.prod(network.input.shape)) + (sources * 48 // 4 if timing else 0)
        return samples * network.timesteps * per_timestep

    def run(
        self,
        events: npt.NDArray[np.int8],
        *,
        potentials: bool = False,
        timing: bool = True,
        gaps: Sequence[int] | int | None = None,
        strict: bool = False,
        progress: Progress | None = None,
    ) -> Trace:
        """Execute the network on payloads [N, T, C, H, W].

        ``gaps`` are the idle steps behind each inference, or one number for all: 0 is back-to-back, None drains the chip each time (isolated).
        They change the cycles of steps that several inferences share, and nothing else. With ``strict`` a potential that clamps is a ChipError;
        events of another shape or range are a DataError.
        """
        check_events(self.network, events)
        between = idle_steps(gaps, len(events), self.depth)
        sources, layers = [channels_last(events)], []
        for plan in self.plans:
            keep = potentials or (plan is self.plans[-1] and self.network.readout.decode == "potential")
            layers.append(self._run_layer(plan, sources[-1], keep, progress))
            sources.append(layers[-1].spikes)
            if strict and layers[-1].clamps:
                bits = self.network.populations[plan.index].potential_bits
                raise ChipError(f"layer {plan.name!r}: {layers[-1].clamps} values were clamped to {bits} bits; a strict run allows none")
        last = layers[-1]
        decoded = last.potentials[:, -1] if self.network.readout.decode == "potential" else last.spikes.sum(1, dtype=np.int64)
        return Trace(
            populations=tuple(p.name for p in self.network.populations),
            spikes=tuple(channels_first(o.spikes, p.shape).view(np.bool_) for o, p in zip(layers, self.plans, strict=True)),
            potentials=tuple(channels_first(o.potentials, p.shape) for o, p in zip(layers, self.plans, strict=True)) if potentials else None,
            scores=decoded.reshape(len(events), -1) + self.network.readout.offset,
            clamps=tuple(o.clamps for o in layers),
            sops=np.stack([o.sops for o in layers], axis=1),
            timing=time_stream(self.plans, sources[:-1], self.chip.event_queue_depth, between) if timing else None,
        )

    def _run_layer(self, plan: CorePlan, payloads: npt.NDArray[np.int8], keep: bool, progress: Progress | None) -> "LayerRun":
        """Run one layer over all samples, [N, T, pixels, channels], a batch at a time so that progress shows."""
        connection, population = self.network.connections[plan.index], self.network.populations[plan.index]
        samples, timesteps = payloads.shape[:2]
        channels, pixels, run = population.shape[0], population.shape[1] * population.shape[2], plan.groups * plan.lanes

        def full(schedule: Int) -> Int:
            return np.ascontiguousarray(np.broadcast_to(schedule, (timesteps, channels)))

        spikes = np.empty((samples, timesteps, pixels, channels), np.int8)
        kept = np.empty(spikes.shape if keep else (0, 0, 0, 0), np.int64)
        walked, clamps = np.empty(samples, np.int64), 0
        current, potential = np.zeros(pixels * run, np.int32), np.empty((pixels, channels), np.int64)
        lanes = plan.lanes
        steps = np.array([plan.row_step, plan.column_step, plan.row_weight_step, plan.column_weight_step, plan.channel_step]) * lanes
        fan_out = (plan.source_shape[2], plan.rows * (lanes, lanes, 1), plan.columns * (lanes, lanes, 1), steps, plan.weights.reshape(-1), run)
        leak_bits = population.leak_shift if population.leak_kind == "shift" else population.leak_frac_bits
        neuron = (
            *(full(connection.gain), full(connection.gain_shift)),
            *(LEAK_KINDS[population.leak_kind], full(population.leak), leak_bits),
            *(RESETS[population.reset], full(population.threshold), full(population.decrement), full(population.load)),
            full(population.initial[None])[0],
            *(int(population.saturate), *signed_range(population.potential_bits)),
        )
        for start in range(0, samples, BATCH):
            part = slice(start, min(samples, start + BATCH))
            batch = kept[part] if keep else kept
            arguments: list[Any] = [payloads[part], *fan_out, current, *neuron, potential, spikes[part], batch, walked[part]]
            clamps += int(kernels.run_layer(*arguments))
            if progress is not None:
                progress(plan.index * samples + part.stop, self.depth * samples)
        return LayerRun(spikes=spikes, potentials=kept, clamps=clamps, sops=walked * channels)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerRun:
    """What one layer did, channel-last; ``potentials`` is empty where they were not kept."""

    spikes: npt.NDArray[np.int8]
    potentials: Int
    clamps: int
    sops: Int


def channels_first(array: npt.NDArray[Any], shape: tuple[int, int, int]) -> npt.NDArray[Any]:
    """Return [N, T, pixels, channels] as a view [N, T, C, H, W]."""
    return np.moveaxis(array, 3, 2).reshape(*array.shape[:2], *shape)


def channels_last(events: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Return [N, T, C, H, W] as contiguous [N, T, H * W, C]."""
    moved = np.moveaxis(events, 2, 4)
    return np.ascontiguousarray(moved.reshape(*moved.shape[:2], -1, moved.shape[4]))
