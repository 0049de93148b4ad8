"""The memory that a sample takes."""

from typing import Literal, get_args

import numpy as np
import pytest

from spikefold.analysis.sample_bytes import sample_bytes
from spikefold.quantize.fold import fold
from tests.quantize.networks import float_network, integer_network

Work = Literal["run", "count", "drift"]


@pytest.mark.parametrize("work", get_args(Work))
def test_memory_grows_with_timesteps(work: Work) -> None:
    assert 0 < sample_bytes(integer_network(), work) < sample_bytes(integer_network(timesteps=9), work)


def test_a_float_network_takes_what_its_integers_take_and_more_where_more_is_kept() -> None:
    floats = float_network()
    integers = fold(floats).network
    assert [sample_bytes(floats, "run"), sample_bytes(floats, "drift")] == [sample_bytes(integers, "run"), sample_bytes(integers, "drift")]
    assert sample_bytes(integers, "run") < sample_bytes(integers, "count") < sample_bytes(integers, "drift")


def test_the_largest_layer_counts_in_windows_and_every_layer_in_neurons() -> None:
    network = float_network()
    shapes = network.shapes()
    windows = max(h * w * layer.weights[0].size for layer, (_, h, w) in zip(network.layers, shapes, strict=True))
    sizes = [int(np.prod(shape)) for shape in (network.input.shape, *shapes)]
    assert sample_bytes(network, "run") == network.timesteps * 24 * windows
    assert sample_bytes(network, "count") == network.timesteps * (24 * windows + 17 * sum(sizes) + 48 * max(sizes))
    assert sample_bytes(network, "drift") == network.timesteps * (24 * windows + 25 * sum(sizes) + 96 * max(sizes))
