"""About how much memory the work on one sample takes, by which batches are made to fit."""

import math
from typing import Literal

from spikefold.network.network import Network
from spikefold.quantize.float_network import FloatNetwork

__all__ = ["sample_bytes"]

WINDOW_BYTES = 24
"""Of every synapse in a timestep: a window is there as payload, event and copy, 8 bytes each, in int64 or float64."""
NEURON_BYTES = {"run": 0, "count": 17, "drift": 25}
"""Of every neuron in a timestep: count keeps a spike, a potential and a payload; drift a float spike, a potential and two payloads."""
LARGEST_BYTES = {"run": 0, "count": 48, "drift": 96}
"""Of every neuron of the largest layer in a timestep, while the work is at that layer."""


def sample_bytes(network: Network | FloatNetwork, work: Literal["run", "count", "drift"]) -> int:
    """Return about how many bytes one sample takes: the largest layer's windows, and what is kept of every layer.

    ``work`` is ``run`` for the reference or the float network alone, ``count`` for :func:`spikefold.analysis.counts.count`, and ``drift`` for
    :func:`spikefold.analysis.drift.drift`.
    """
    if isinstance(network, Network):
        shapes = tuple(p.shape for p in network.populations)
        weighted = [(p.shape, network.weights_of(c).tensor.shape) for i, p in enumerate(network.populations) for c in network.into(i) if c.weights]
    else:
        shapes = network.shapes()
        weighted = [(shape, layer.weights.shape) for layer, shape in zip(network.layers, shapes, strict=True)]
    windows = max((shape[1] * shape[2] * math.prod(weights[1:]) for shape, weights in weighted), default=0)
    sizes = [math.prod(shape) for shape in (network.input.shape, *shapes)]
    return network.timesteps * (WINDOW_BYTES * windows + NEURON_BYTES[work] * sum(sizes) + LARGEST_BYTES[work] * max(sizes))
