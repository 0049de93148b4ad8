"""The simulated chip held against the reference on a data set."""

from dataclasses import dataclass

import numpy as np

from spikefold.analysis.sample_bytes import sample_bytes
from spikefold.chip.placement import Placement
from spikefold.data.datasets import Dataset
from spikefold.network import reference
from spikefold.network.trace import Comparison, compare
from spikefold.sim.engine import Chip
from spikefold.workflow.accuracy import share_right
from spikefold.workflow.batches import Progress, batch_size, batches
from spikefold.workflow.comparison import merge, shifted
from spikefold.workflow.samples import events_of, sample_count

__all__ = ["ReferenceCheck", "compare_with_reference"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReferenceCheck:
    """The simulator held against the reference on samples 0..N of a split, potentials included; predictions int64 [N] of the reference."""

    samples: int
    comparison: Comparison
    accuracy: float


def compare_with_reference(placement: Placement, data: Dataset, *, samples: int | None = None, progress: Progress | None = None) -> ReferenceCheck:
    """Run reference and simulated chip on the first ``samples`` of a split (None: all) and compare every spike, potential and score."""
    network, virtual = placement.network, Chip(placement)
    count = sample_count(network, data, samples)
    size = batch_size(max(virtual.estimate_bytes(1, potentials=True), sample_bytes(network, "run")))
    comparisons, predictions = [], np.empty(count, np.int64)
    for batch in batches(count, size, "compare with reference", progress):
        events = events_of(network, data, batch)
        expected = reference.run(network, events, potentials=True)
        comparisons.append(shifted(compare(expected, virtual.run(events, potentials=True, timing=False)), batch.start))
        predictions[batch.start : batch.stop] = expected.predictions
    return ReferenceCheck(samples=count, comparison=merge(comparisons), accuracy=share_right(predictions, data))
