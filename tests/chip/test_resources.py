"""What a network takes of a device: the digits model that comes with the project fits a UP5K, and a smaller device is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spikefold.chip.architecture import Architecture
from spikefold.chip.config import load_chip
from spikefold.chip.core import plan_connection
from spikefold.chip.placement import place
from spikefold.chip.resources import Memory, block_rams, multipliers
from spikefold.data.errors import ChipError
from spikefold.quantize.float_file import load_float
from spikefold.quantize.fold import fold
from tests.chips import changed_chip
from tests.quantize.networks import integer_network

EXAMPLES = Path(__file__).parents[2] / "examples"
UP5K = load_chip(EXAMPLES / "chips" / "up5k.toml")


def test_the_digits_model_fits_a_up5k():
    network = fold(load_float(EXAMPLES / "models" / "digits" / "model.safetensors")).network
    assert (UP5K.device.block_rams, UP5K.device.multipliers) == (30, 8)
    place(network, UP5K)
    # What Yosys and nextpnr place too: see benchmarks/fit.py.
    place(network, changed_chip(UP5K, block_rams=25, multipliers=3))
    with pytest.raises(ChipError, match=r"^layer 'readout' block_rams: 25 needed up to here \(estimated\); chip 'up5k' has 24$"):
        place(network, changed_chip(UP5K, block_rams=24))
    with pytest.raises(ChipError, match=r"^layer 'hidden' multipliers: 3 needed up to here \(estimated\); chip 'up5k' has 2$"):
        place(network, changed_chip(UP5K, multipliers=2))


@pytest.mark.parametrize(
    ("words", "bits", "writable", "expected"),
    [
        (256, 16, True, 1),
        (257, 16, True, 2),
        (512, 8, True, 1),
        (4096, 1, True, 1),
        (4096, 8, False, 8),
        (1, 1, True, 1),
        (16, 16, False, 0),
        (17, 16, False, 1),
    ],
)
def test_block_rams_of_a_memory_on_a_up5k(words: int, bits: int, writable: bool, expected: int):
    assert block_rams(Memory(name="m", words=words, bits=bits, writable=writable), UP5K.device) == expected


@pytest.mark.parametrize(
    ("gain", "leak", "expected"),
    [
        # A multiplier's port has 16 bits, signed: an unsigned factor needs one bit more than its value. Currents have 12 bits, potentials 24.
        ((1 << 15) - 1, (1 << 15) - 1, 1 + 2),
        (1 << 15, (1 << 15) - 1, 2 + 2),
        ((1 << 15) - 1, 1 << 15, 1 + 4),
        (1 << 15, 1 << 15, 2 + 4),
        (-(1 << 15), (1 << 15) - 1, 1 + 2),
        (-(1 << 15) - 1, (1 << 15) - 1, 2 + 2),
        (1, (1 << 15) - 1, 0 + 2),
    ],
)
def test_multipliers_of_a_lane_are_as_wide_as_its_signed_factors(gain: int, leak: int, expected: int):
    network = integer_network()
    connection = replace(network.connections[0], gain=np.full((1, 1), gain), gain_shift=np.zeros((1, 1), np.int64))
    population = replace(network.populations[0], leak=np.full((1, 1), leak), leak_frac_bits=16)
    network = replace(network, connections=(connection, network.connections[1]), populations=(population, network.populations[1]))
    assert multipliers(network, plan_connection(network, connection, 1), Architecture(lanes=1)) == expected
