"""A data set on the simulated chip: accuracy, firing rates, cycles and operations of every sample, and the trace of the first."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from spikefold.chip.placement import Placement
from spikefold.data.datasets import Dataset
from spikefold.data.errors import DataError
from spikefold.network.fields import Int
from spikefold.network.trace import Trace
from spikefold.sim.engine import Chip
from spikefold.workflow.accuracy import share_right
from spikefold.workflow.batches import Progress, batch_size, batches
from spikefold.workflow.samples import events_of, sample_count

__all__ = ["Simulation", "inference_cycles", "peak_bytes", "simulate"]

WORKING_COPIES = 3
"""Copies of a batch's trace in memory at the peak: the trace itself, and the arrays that it is made from."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Simulation:
    """What the simulated chip did with samples 0..N of a split, each inference on its own.

    ``predictions`` int64 [N]; ``spikes`` int64 [T] a layer, summed over samples and neurons; ``cycles`` int64 [N] an inference; ``sops``
    int64 [N, connections]; ``clamps`` a count a layer. ``trace`` holds everything about the first samples.
    """

    placement: Placement
    data: Dataset
    predictions: Int
    spikes: tuple[Int, ...]
    cycles: Int | None
    sops: Int
    clamps: tuple[int, ...]
    trace: Trace

    @property
    def accuracy(self) -> float:
        """The share of samples that were put in their class."""
        return share_right(self.predictions, self.data)

    def _population_sops(self) -> Iterator[int]:
        """Yield the synaptic operations into each population."""
        sums = iter(self.sops.sum(0).tolist())
        for index in range(len(self.placement.network.populations)):
            yield sum(next(sums) for _ in self.placement.network.into(index))

    def firing_rates(self) -> tuple[float, ...]:
        """Return the spikes per neuron and timestep of each layer."""
        each = len(self.predictions) * self.placement.network.timesteps
        return tuple(float(s.sum()) / (each * p.size) for s, p in zip(self.spikes, self.placement.network.populations, strict=True))

    def summary(self) -> dict[str, Any]:
        """Return the figures as JSON has them."""
        labels = self.data.labels[: len(self.predictions)]
        classes = {
            name: {"samples": int((labels == i).sum()), "correct": int(((labels == i) & (self.predictions == i)).sum())}
            for i, name in enumerate(self.data.class_names)
        }
        layers = [
            {"name": p.name, "neurons": p.size, "spikes": int(s.sum()), "firing_rate": rate, "sops": int(sops), "clamps": clamps}
            for p, s, rate, sops, clamps in zip(
                self.placement.network.populations, self.spikes, self.firing_rates(), self._population_sops(), self.clamps, strict=True
            )
        ]  # fmt: skip
        return {
            "data": self.data.name,
            "samples": len(self.predictions),
            "accuracy": self.accuracy,
            "classes": classes,
            "layers": layers,
            "cycles_per_inference": None
            if self.cycles is None
            else {"least": int(self.cycles.min()), "mean": float(self.cycles.mean()), "most": int(self.cycles.max())},
            "untimed": self.placement.untimed,
            "sops_per_inference": float(self.sops.sum(1).mean()),
            "clamps": sum(self.clamps),
            "chip": self.placement.chip.to_dict(),
        }


def simulate(
    placement: Placement,
    data: Dataset,
    *,
    samples: int | None = None,
    trace_samples: int = 10,
    potentials: bool = False,
    strict: bool = False,
    progress: Progress | None = None,
) -> Simulation:
    """Run the first ``samples`` of a split (None: all) on the simulated chip, and keep the trace of the first ``trace_samples``.

    Nothing is timed if no core runs the network. Raises a ChipError if, with ``strict``, a potential is
    clamped, and a DataError if the data does not fit the network.
    """
    network, virtual = placement.network, Chip(placement)
    count, timing = sample_count(network, data, samples), not placement.untimed
    if trace_samples < 1:
        raise DataError(f"trace samples: {trace_samples}; it must be at least 1")
    first = virtual.run(events_of(network, data, range(min(count, trace_samples))), potentials=potentials, timing=timing)
    predictions, cycles, sops = np.empty(count, np.int64), np.empty(count, np.int64), np.empty((count, len(network.connections)), np.int64)
    spikes = [np.zeros(network.timesteps, np.int64) for _ in network.populations]
    clamps = np.zeros(len(network.populations), np.int64)
    for batch in batches(count, batch_size(virtual.estimate_bytes(1)), "simulate", progress):
        trace = virtual.run(events_of(network, data, batch), timing=timing, strict=strict)
        part = slice(batch.start, batch.stop)
        predictions[part], sops[part] = trace.predictions, _sops(trace)
        if timing:
            cycles[part] = inference_cycles(trace, len(batch))
        clamps += np.array(trace.clamps)
        for total, layer in zip(spikes, trace.spikes, strict=True):
            total += layer.sum((0, 2, 3, 4))
    return Simulation(
        placement=placement, data=data, predictions=predictions, spikes=tuple(spikes), cycles=cycles if timing else None, sops=sops,
        clamps=tuple(map(int, clamps)), trace=first,
    )  # fmt: skip


def inference_cycles(trace: Trace, samples: int) -> Int:
    """Return the clock cycles of each inference of a run with isolated inferences, int64 [N]."""
    if trace.timing is None:
        raise DataError("trace: it was recorded without timing")
    return np.asarray(trace.timing.cycles.reshape(samples, -1).sum(1))


def peak_bytes(placement: Placement, *, samples: int, trace_samples: int, potentials: bool) -> int:
    """Return about how much memory :func:`simulate` takes at its peak: the kept trace, and the batch at work."""
    virtual = Chip(placement)
    batch = min(samples, batch_size(virtual.estimate_bytes(1)))
    return virtual.estimate_bytes(min(samples, trace_samples), potentials=potentials) + WORKING_COPIES * virtual.estimate_bytes(batch)


def _sops(trace: Trace) -> Int:
    if trace.sops is None:
        raise DataError("trace: it was recorded without synaptic operations")
    return trace.sops
