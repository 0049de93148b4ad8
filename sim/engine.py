"""The virtual chip: an integer network on cores, executed event by event and timed to the cycle.

Function and timing are separate. What a neuron computes does not depend on when its events arrive, and no timing state survives a
step, so each link between two cores is timed on its own in each step: a few max-plus recursions over its events.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from spikefold.chip.placement import Placement
from spikefold.data.errors import ChipError
from spikefold.network.connection import INPUT
from spikefold.network.reference import check_events
from spikefold.network.trace import Trace, idle_steps
from spikefold.sim.layers import LayerRun, Payloads, Progress, channels_first, channels_last, run_driven, run_on_core
from spikefold.sim.timing import time_stream

__all__ = ["Chip"]


class Chip:
    """The chip of a placement, ready to run.

    A network that no core of this version runs, as its placement's ``untimed`` says, is executed all the same, event by
    event: no limit is checked, and nothing is timed.
    """

    def __init__(self, placement: Placement) -> None:
        self.placement = placement
        self.network = placement.network

    @property
    def depth(self) -> int:
        """Steps from an input timestep to the last core's update of it: one a core."""
        return len(self.network.populations)

    def estimate_bytes(self, samples: int, *, potentials: bool = False, timing: bool = True) -> int:
        """Return about how much memory a run's trace takes, counting one arrival for every four source elements."""
        network = self.network
        neurons = sum(p.size * (5 if p.output == "graded" else 1) for p in network.populations)
        sources = sum(int(np.prod(plan.source_shape)) for plan in self.placement.cores)
        kept = 8 * sum(p.size for p in network.populations) if potentials else 0
        per_timestep = neurons + kept + int(np.prod(network.input.shape)) + (sources * 48 // 4 if timing else 0)
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
        They change the cycles of steps that several inferences share, and nothing else. With ``strict`` a potential that clamps is a ChipError,
        and so is ``timing`` of a network that is on no chip; events of another shape or range are a DataError.
        """
        network, samples = self.network, len(events)
        check_events(network, events)
        if timing and self.placement.untimed:
            raise ChipError(f"{self.placement.untimed} in this version, so that nothing can be timed; run it without timing")
        between = idle_steps(gaps, samples, self.depth)
        sent: dict[str, Payloads] = {INPUT: channels_last(events)}
        layers: list[LayerRun] = []
        for index, population in enumerate(network.populations):
            keep = potentials or (index == self.depth - 1 and network.readout.decode == "potential")
            done = None if progress is None else partial(_report, progress, index * samples, self.depth * samples)
            if self.placement.untimed:
                layer = run_driven(network, index, sent, keep, done)
            else:
                layer = run_on_core(network, self.placement.cores[index], sent, keep, done)
            layers.append(layer)
            sent[population.name] = layer.payloads
            if strict and layer.clamps:
                bits = population.potential_bits
                raise ChipError(f"layer {population.name!r}: {layer.clamps} values were clamped to {bits} bits; a strict run allows none")
        last, shapes = layers[-1], [p.shape for p in network.populations]
        decoded = last.potentials[:, -1] if network.readout.decode == "potential" else last.payloads.sum(1, dtype=np.int64)
        # On a chip there are spikes and the input's payloads alone.
        sources = [sent[c.source].astype(np.int8, copy=False) for c in network.connections] if timing else []
        return Trace(
            populations=tuple(p.name for p in network.populations),
            spikes=tuple(channels_first(o.fired, shape).view(np.bool_) for o, shape in zip(layers, shapes, strict=True)),
            potentials=tuple(channels_first(o.potentials, shape) for o, shape in zip(layers, shapes, strict=True)) if potentials else None,
            scores=decoded.reshape(samples, -1) + network.readout.offset,
            clamps=tuple(o.clamps for o in layers),
            sops=np.concatenate([o.sops for o in layers], axis=1),
            timing=time_stream(self.placement, sources, between) if timing else None,
        )


def _report(progress: Progress, before: int, total: int, done: int) -> None:
    progress(before + done, total)
