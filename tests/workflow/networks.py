"""Networks that no core runs, and why."""

import numpy as np

from spikefold.network.network import Network
from spikefold.quantize.fold import fold
from tests.float_networks import CELLS, random_float_network

BEYOND_CORES = {
    "residual": r"layer 'layer2' connections: conv2d from 'layer1', identity from 'layer0'; a core has one",
    "hybrid": r"layer 'layer0' neuron: 'linear'; cores run",
}
"""Topologies, and patterns of the reasons."""


def beyond_cores(topology: str) -> Network:
    """Return a random network of that topology."""
    cell = next(cell for cell in CELLS if (cell.norm, cell.neuron, cell.coding, cell.topology) == ("bntt", "lif", "poisson", topology))
    return fold(random_float_network(np.random.default_rng(4), cell)).network
