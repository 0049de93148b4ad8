"""A chain of LIF layers as typed layers."""

import pytest
from torch import nn

from spikefold.train.errors import TrainError
from spikefold.train.modules.layers import AveragePool, Conv2d, Dense, Integrate, SpikeCount
from spikefold.train.modules.lif_chain import is_lif_chain, lif_layers
from spikefold.train.modules.network import SpikingNetwork
from spikefold.train.modules.neurons import LIF
from spikefold.train.modules.norm import BNTT


def test_a_layer_has_its_own_modules_alone() -> None:
    pool, conv, norm, lif = AveragePool(2), Conv2d(1, 3, 3), BNTT(3, 4), LIF(0.9)
    dense = Dense(12, 10)
    network = SpikingNetwork(AveragePool(3), pool, conv, norm, lif, dense, Integrate(), timesteps=4)
    assert is_lif_chain(network)
    first, last = lif_layers(network, "this test")
    assert (first.pool, first.synapses, first.norm, first.neurons) == (6, conv, norm, lif)
    assert (last.pool, last.synapses, last.norm, last.neurons) == (1, dense, None, None)
    assert (first.place, last.place) == ("network chain.4 (LIF)", "network chain.6 (Integrate)")


def test_counted_spikes_end_with_neurons() -> None:
    lif = LIF(0.9)
    network = SpikingNetwork(Dense(4, 2), lif, SpikeCount(), timesteps=1)
    assert is_lif_chain(network)
    assert [layer.neurons for layer in lif_layers(network, "this test")] == [lif]


def test_another_part_is_refused_behind_the_layers_before_it() -> None:
    network = SpikingNetwork(Dense(4, 4), LIF(0.9), Dense(4, 2), nn.ReLU(), Integrate(), timesteps=1)
    assert not is_lif_chain(network)
    layers = lif_layers(network, "this test")
    assert next(layers).synapses is network.chain[0]
    with pytest.raises(TrainError, match=r"^network chain\.3 \(ReLU\): this test takes pooling, weights, a norm"):
        next(layers)


def test_what_is_added_or_shared_is_no_chain() -> None:
    dense = Dense(4, 4)
    added = SpikingNetwork(Dense(4, 4), LIF(0.9), dense, LIF(0.9), Dense(4, 2), Integrate(), timesteps=1, adds={2: 1})
    assert not is_lif_chain(added)
    with pytest.raises(TrainError, match=r"^network: a layer is added to another one; this test takes"):
        next(lif_layers(added, "this test"))
    assert not is_lif_chain(SpikingNetwork(dense, LIF(0.9), dense, LIF(0.9), Integrate(), timesteps=1))
