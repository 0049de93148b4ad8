"""Rounding of schedules: ties go to the even neighbour, so that no schedule drifts."""

from dataclasses import replace

import numpy as np

from spikefold.data.coding import InputCoding
from spikefold.quantize.float_network import FloatLayer, FloatNetwork, Norm
from spikefold.quantize.fold import fold
from spikefold.quantize.rounding import to_int

TIES = [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5]
EVEN = [-2, -2, 0, 0, 2, 2, 4]


def test_ties_round_to_even() -> None:
    assert to_int(np.array(TIES)).tolist() == EVEN
    assert to_int(np.array(TIES) * 2).tolist() == [-5, -3, -1, 1, 3, 5, 7]
    assert to_int(np.nextafter(np.array(TIES), np.inf)).tolist() == [-2, -1, 0, 1, 2, 3, 4]


def test_decrements_and_loads_of_a_folded_layer_round_to_even() -> None:
    """Weights of 127 beside others, on no grid, make the step 1, so that a decrement or a load of 2.5 is 2.5 counts."""
    coding = InputCoding(shape=(2, 1, 1), coding="poisson", mean=0.0, std=1.0, scale=1.0, payload_bits=2, seed=0)
    layer = FloatLayer(
        name="only",
        kind="dense",
        weights=np.tile([127.0, 60.3], (7, 1)),
        norm=Norm.none(7),
        leak=1.0,
        threshold=9.0,
        reset="soft",
        decrement=np.array(TIES),
    )
    network = FloatNetwork(timesteps=2, input=coding, layers=(layer,), readout="spike_count", class_names=tuple("abcdefg"))
    soft = fold(network).network.populations[0]
    hard = fold(replace(network, layers=(replace(layer, decrement=None, reset="hard", load=np.array(TIES)),))).network.populations[0]
    assert soft.decrement.over(2, 7).tolist() == [EVEN] * 2
    assert hard.load.over(2, 7).tolist() == [EVEN] * 2
