"""The beats of a run: what the host sends, and what a stream of inferences with gaps means in global steps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spikefold.hw.gateware.interface import EVENT, IDLE, TICK, Interface

__all__ = ["Stimulus", "stimulus"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stimulus:
    """Beats as integers with TLAST above the data; ``starts`` is the global step of each sample's first timestep."""

    beats: list[int]
    starts: npt.NDArray[np.int64]
    steps: int


def stimulus(interface: Interface, events: npt.NDArray[np.int8], gaps: Sequence[int]) -> Stimulus:
    """Return the beats of inferences ``events`` [N, T, C, H, W] with ``gaps`` [N] idle steps behind each, and the drain.

    Events go in the order (y, x, channel), as cores send theirs.
    """
    layout, width = interface.beat, interface.input_width
    beats: list[int] = []
    starts = []
    step = 0
    for n, sample in enumerate(events):
        starts.append(step)
        for t, timestep in enumerate(sample):
            for y, x, c in np.argwhere(np.moveaxis(timestep, 0, 2)):
                event = {"channel": int(c), "y": int(y), "x": int(x), "payload": int(timestep[c, y, x])}
                beats.append(layout.const({"kind": EVENT, "event": event}).as_bits())
            beats.append(TICK | int(t == len(sample) - 1) << width)
        idle = gaps[n] if n < len(events) - 1 else interface.depth
        beats += [IDLE] * idle
        step += len(sample) + idle
    return Stimulus(beats=beats, starts=np.array(starts, np.int64), steps=step)
