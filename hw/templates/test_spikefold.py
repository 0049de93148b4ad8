"""cocotb bench: plays beats into the chip and drains its results, with idle inputs and blocked outputs on request.

The harness logs all that happens to trace.log; whoever started the simulation compares. Settings come from run.json in the working folder:
the beats (TLAST above the data), the results expected, the probabilities of an idle input and a blocked output, a seed, and the watchdog.
"""

import json
import random
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge, SimTimeoutError, ValueChange, with_timeout

PERIOD_NS = 10


class Bench:
    """The chip's two streams, driven on falling edges so that every simulator samples the same values on rising ones."""

    def __init__(self, dut: Any, settings: dict[str, Any]) -> None:
        self.dut, self.settings = dut, settings
        self.random = random.Random(settings["seed"])

    async def reset(self) -> None:
        """Hold reset for four cycles with quiet inputs."""
        dut = self.dut
        dut.rst.value, dut.s_axis_tvalid.value, dut.m_axis_tready.value = 1, 0, 1
        dut.s_axis_tdata.value, dut.s_axis_tlast.value = 0, 0
        cocotb.start_soon(Clock(dut.clk, PERIOD_NS, unit="ns").start())
        await ClockCycles(dut.clk, 4)
        await FallingEdge(dut.clk)
        dut.rst.value = 0

    async def source(self) -> None:
        """Offer every beat until it is taken."""
        dut, width = self.dut, len(self.dut.s_axis_tdata)
        mask = (1 << width) - 1
        for beat in self.settings["beats"]:
            while self.random.random() < self.settings["idle"]:
                dut.s_axis_tvalid.value = 0
                await FallingEdge(dut.clk)
            dut.s_axis_tdata.value, dut.s_axis_tlast.value, dut.s_axis_tvalid.value = beat & mask, beat >> width, 1
            if not dut.s_axis_tready.value:
                await RisingEdge(dut.s_axis_tready)
                # It rose behind a clock edge; the beat is taken at the next one.
            await RisingEdge(dut.clk)
            await FallingEdge(dut.clk)
        dut.s_axis_tvalid.value = 0

    async def sink(self) -> None:
        """Block the output at random."""
        while self.settings["blocked"]:
            await FallingEdge(self.dut.clk)
            self.dut.m_axis_tready.value = int(self.random.random() >= self.settings["blocked"])


@cocotb.test()
async def play(dut: Any) -> None:
    """Play all beats; end when every step has begun and every result was taken, or when the watchdog bites."""
    settings = json.loads(Path("run.json").read_text())
    bench = Bench(dut, settings)
    await bench.reset()
    sending = cocotb.start_soon(bench.source())
    cocotb.start_soon(bench.sink())
    watchdog = settings["watchdog_cycles"] * PERIOD_NS
    for _ in range(settings["steps"] + 1):
        try:
            await with_timeout(ValueChange(dut.steps), watchdog, "ns")
        except SimTimeoutError:
            raise AssertionError(f"watchdog: step {int(dut.steps.value)} of {settings['steps']} did not end") from None
    assert sending.done(), "the chip began more steps than it was sent"
    assert int(dut.results.value) == settings["results"], f"{int(dut.results.value)} results; {settings['results']} expected"
    await ClockCycles(dut.clk, 2)
