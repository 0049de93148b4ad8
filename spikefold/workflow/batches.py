"""The batch budget: how many samples fit in memory at once, and the loop through a data set in batches of so many.

``progress`` is called with (what is being done, done, in all).
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from spikefold.data.datasets import Dataset
from spikefold.network.network import Network
from spikefold.quantize.float_network import FloatNetwork
from spikefold.workflow.samples import events_of

__all__ = ["BATCH_BYTES", "Progress", "batch_size", "batches", "event_batches"]

Progress = Callable[[str, int, int], None]
BATCH_BYTES = 64 << 20


def batch_size(bytes_per_sample: int) -> int:
    """Return how many samples fit in ``BATCH_BYTES``. It is at least 1, however much a sample takes."""
    return max(1, BATCH_BYTES // max(1, bytes_per_sample))


def batches(samples: int, size: int, what: str, progress: Progress | None = None) -> Iterator[range]:
    """Yield the samples 0..``samples`` in ranges of ``size``, and report each as soon as the next one is asked for."""
    for start in range(0, samples, size):
        batch = range(start, min(samples, start + size))
        yield batch
        if progress is not None:
            progress(what, batch.stop, samples)


def event_batches(
    network: Network | FloatNetwork, data: Dataset, samples: int, size: int, what: str, progress: Progress | None = None
) -> Iterator[npt.NDArray[np.int8]]:
    """Yield the events of the first ``samples`` of a split, int8 [N, T, C, H, W], in batches of ``size``."""
    for batch in batches(samples, size, what, progress):
        yield events_of(network, data, batch)
