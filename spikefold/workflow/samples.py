"""Samples of a data set as a network sees them: which split, how many, and their events."""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spikefold.data.coding import encode
from spikefold.data.datasets import DATASETS, Dataset, load_dataset
from spikefold.data.errors import DataError
from spikefold.data.resize import SIZE_MAX
from spikefold.network.network import Network
from spikefold.quantize.float_network import FloatNetwork

__all__ = ["data_for", "events_of", "sample_count"]


def events_of(network: Network | FloatNetwork, data: Dataset, samples: range) -> npt.NDArray[np.int8]:
    """Return the events of some samples of a split, int8 [N, T, C, H, W], keyed by their index in the split as everywhere.

    Those that training made: a network that ends after fewer timesteps gets the first of them.
    """
    sample_count(network, data, samples.stop)
    events = encode(data.images[samples.start : samples.stop], network.input, _timesteps_trained(network), samples)
    return np.ascontiguousarray(events[:, : network.timesteps])


def sample_count(network: Network | FloatNetwork, data: Dataset, samples: int | None) -> int:
    """Return ``samples`` (None: all of the split), or raise a DataError if the data does not fit the network or has fewer."""
    coding, timesteps = network.input, _timesteps_trained(network)
    shape = data.images.shape[1:]
    if coding.coding == "frames":
        fits, expected = shape == (timesteps, *coding.shape), str([timesteps, *coding.shape])
    else:
        fits, expected = len(shape) == 3 and coding.fits(data.shape, timesteps), coding.expected(timesteps)
    if not fits:
        raise DataError(f"data set {data.name!r}: images of {list(shape)}; the network takes {expected}")
    if len(data.class_names) != len(network.class_names):
        raise DataError(f"data set {data.name!r}: {len(data.class_names)} classes; the network has {len(network.class_names)}")
    count = len(data) if samples is None else samples
    if not 1 <= count <= len(data):
        raise DataError(f"data set {data.name!r}: {count} samples are asked for; it has {len(data)}, and at least 1 is needed")
    return count


def data_for(network: Network | FloatNetwork, name: str | None, split: str, data_dir: Path | None = None) -> Dataset:
    """Return a split of the data set ``name`` (None: the one that the network was trained on, by its provenance).

    It is as training had it: events in as many frames, and images resized where those that the network was trained on were.
    """
    trained_on = network.provenance.get("data")
    chosen = trained_on if name is None else name
    if chosen is None:
        raise DataError("data set: the network's provenance names none, so it must be given")
    # What the network was not trained on is not made to fit: that it does not is worth knowing.
    size = _size_trained(network, chosen) if chosen == trained_on else None
    return load_dataset(chosen, split, data_dir, size=size, timesteps=_timesteps_trained(network))


def _timesteps_trained(network: Network | FloatNetwork) -> int:
    """Return how many timesteps a sample had in training; after an early exit, the network itself has fewer."""
    return max(network.timesteps, network.timesteps_trained) if isinstance(network, Network) else network.timesteps


def _size_trained(network: Network | FloatNetwork, name: str) -> int | None:
    """Return the size that training gave to the images of the data set ``name``; None if it left them as they are, or cannot have resized them."""
    info, coding, timesteps = DATASETS.get(name), network.input, _timesteps_trained(network)
    if info is None or info.events or coding.fits(info.shape, timesteps):
        return None
    side = math.isqrt(timesteps * coding.shape[2]) if coding.coding == "sequence" else coding.shape[2]
    return side if side <= SIZE_MAX and coding.fits(info.shape_at(side), timesteps) else None
