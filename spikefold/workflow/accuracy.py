"""The share of samples that are put in their class: of given predictions, and of a float network."""

from functools import partial

from spikefold.analysis.sample_bytes import sample_bytes
from spikefold.data.datasets import Dataset
from spikefold.network.fields import Int
from spikefold.quantize import float_evaluation
from spikefold.quantize.float_network import FloatNetwork
from spikefold.workflow.batches import Progress, batch_size
from spikefold.workflow.samples import sample_count

__all__ = ["float_accuracy", "share_right"]


def share_right(predictions: Int, data: Dataset) -> float:
    """Return the share of right ``predictions``, int64 [N], for the first N samples of a split."""
    return float((predictions == data.labels[: len(predictions)]).mean())


def float_accuracy(network: FloatNetwork, data: Dataset, *, samples: int | None = None, progress: Progress | None = None) -> float:
    """Return the share of samples that the float network puts in their class, on the events that the integer network sees."""
    return float_evaluation.float_accuracy(
        network,
        data,
        samples=sample_count(network, data, samples),
        batch=batch_size(sample_bytes(network, "run")),
        progress=None if progress is None else partial(progress, "evaluate float network"),
    )
