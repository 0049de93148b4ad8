"""Blocks of the chip in Amaranth's own simulator."""

from collections.abc import Awaitable, Callable
from typing import Any

from amaranth.hdl import Fragment
from amaranth.sim import Simulator

from spikefold.hw.gateware.memory import SIMULATED

__all__ = ["simulate"]


def simulate(block: Any, *benches: Callable[[Any], Awaitable[None]]) -> None:
    """Run a block with its memories until every bench has ended."""
    simulator = Simulator(Fragment.get(block, SIMULATED))
    simulator.add_clock(1e-6)
    for bench in benches:
        simulator.add_testbench(bench)
    simulator.run()
