"""When things happen on the chip: every event's arrival and every step's length, in clock cycles since the step began.

The latencies are those of :mod:`spikefold.chip.cycles`. A step ends when the host's tick was taken and every core is quiet.
"""

import numpy as np
import numpy.typing as npt

from spikefold.chip import cycles
from spikefold.chip.core import CorePlan
from spikefold.chip.placement import Placement
from spikefold.network.trace import Timing
from spikefold.sim import kernels
from spikefold.sim.arguments import LinkTiming, Sender, for_kernel

__all__ = ["time_stream"]

Payloads = npt.NDArray[np.int8]
Int = npt.NDArray[np.int64]
LINK = LinkTiming(
    first=cycles.FIRST, queued=cycles.QUEUED, fetchable=cycles.leaves(0) + cycles.QUEUED, fetch=cycles.FETCH, setup=cycles.SETUP,
    write_back=cycles.WRITE_BACK,
)  # fmt: skip


def time_stream(placement: Placement, sources: list[Payloads], gaps: list[int]) -> Timing:
    """Time a stream of inferences with ``gaps`` idle steps behind each (the last one drains), on a host that is always ready.

    ``sources`` are the payloads into each core, channel-last [N, T, pixels, channels]. A host sends a timestep a step,
    and core ``d`` works ``d + 1`` steps behind the host.
    """
    cores, queue_depth = placement.cores, placement.chip.architecture.event_queue_depth
    samples, timesteps = sources[0].shape[:2]
    begins = np.concatenate([[0], np.cumsum(timesteps + np.array(gaps[:-1], np.int64))])[:samples]
    starts = begins[:, None] + np.arange(timesteps)
    steps = int(starts[-1, -1]) + 1 + len(cores)
    ticked = np.full(steps, cycles.FIRST + 1, np.int64)
    quiet = np.zeros((steps, len(cores)), np.int64)
    arrivals = []
    for link, source in zip(placement.links, sources, strict=True):
        d, plan = link.target, cores[link.target]
        sender = None if link.source is None else cores[link.source]
        events, source_end, core_end = time_source(plan, sender, source, queue_depth)
        events[:, 0] = (starts + d).reshape(-1)[events[:, 0]]
        arrivals.append(events)
        np.maximum.at(ticked if d == 0 else quiet[:, d - 1], starts + d, source_end)
        np.maximum.at(quiet[:, d], starts + d, core_end)
        np.maximum.at(quiet[:, d], starts + d + 1, cycles.leaves(plan.words))
    scored = score_cycles(cores[-1])
    np.maximum.at(quiet[:, -1], starts[:, -1] + len(cores), scored[-1] + 1)
    results = np.stack(np.broadcast_arrays(starts[:, -1:] + len(cores), scored), axis=-1).reshape(-1, 2)
    lengths = np.maximum(ticked, quiet.max(1) + cycles.QUIET_SEEN) + cycles.START
    return Timing(cycles=lengths, arrivals=tuple(arrivals), results=results, core_cycles=quiet)


def time_source(plan: CorePlan, source: CorePlan | None, payloads: Payloads, queue_depth: int) -> tuple[Int, Int, Int]:
    """Time all events into one core from another, or from the host (None).

    Returns the arrivals [events, 6], with the row of (sample, timestep) in the place of the step, and for each [N, T] the first cycle in which
    the source has nothing left to send and the first in which the core has nothing left to add.
    """
    samples, timesteps, pixels, channels = payloads.shape
    rows = payloads.reshape(samples * timesteps, pixels, channels)
    counts = np.count_nonzero(rows, axis=(1, 2))
    offsets = np.concatenate([[0], np.cumsum(counts)])
    found = np.empty((int(offsets[-1]), 2), np.int32)
    ends = np.zeros((2, len(rows)), np.int64)
    fan_out = np.ascontiguousarray(plan.fan_out().reshape(-1))
    pops = np.zeros(queue_depth, np.int64)
    sender = Sender(lanes=source.lanes, groups=source.groups) if source else Sender(lanes=0, groups=0)
    kernels.time_rows(for_kernel(rows, np.int8), fan_out, sender, queue_depth, LINK, pops, offsets, found, ends)
    pixel, channel = np.divmod(found[:, 0].astype(np.int64), channels)
    row_of = np.repeat(np.arange(len(rows)), counts)
    y, x = np.divmod(pixel, plan.source_shape[2])
    payload = rows[row_of, pixel, channel].astype(np.int64)
    events = np.stack([row_of, found[:, 1].astype(np.int64), channel, y, x, payload], axis=1)
    return events, ends[0].reshape(samples, timesteps), ends[1].reshape(samples, timesteps)


def score_cycles(plan: CorePlan) -> Int:
    """Return the cycle in which a readout sends each class's score to a host that is always ready, [classes]."""
    sent: list[int] = []
    for word in range(plan.words):
        classes = plan.neurons(word)[0]
        fetched = max(cycles.leaves(word) + cycles.QUEUED, sent[-1] + 1 if sent else 0)
        first = fetched + cycles.FETCH
        sent += range(first, first + classes.stop - classes.start)
    return np.array(sent, np.int64)
