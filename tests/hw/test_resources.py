"""The memories that the estimate counts are the memories of the Verilog."""

import re

import pytest

from spikefold.chip.placement import place
from spikefold.chip.resources import core_memories
from spikefold.hw.emit.generate import chip_verilog
from spikefold.hw.gateware.chip import SpikingChip
from spikefold.hw.gateware.interface import Interface
from tests.random_networks import random_case

MEMORY = re.compile(r"spikefold_(ram|rom) #\((.*?)\)\s+memory", re.DOTALL)


@pytest.mark.parametrize("seed", range(4))
def test_core_memories_are_those_of_the_verilog(seed):
    case = random_case(seed, small=True)
    found = []
    for kind, parameters in MEMORY.findall(chip_verilog(SpikingChip(Interface(place(case.network, case.chip))))):
        depth, width = (int(re.search(rf"\.{name}\(32'd(\d+)\)", parameters)[1]) for name in ("DEPTH", "WIDTH"))
        found.append((depth, width, kind == "ram"))
    plans = place(case.network, case.chip).cores
    expected = [(m.words, m.bits, m.writable) for plan in plans for m in core_memories(case.network, plan, case.chip.architecture)]
    assert sorted(found) == sorted(expected)
