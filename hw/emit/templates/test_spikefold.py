"""cocotb bench: plays streams of beats into the chip and drains its results, each stream from a reset on.

The harness logs all that happens to trace.log; whoever started the simulation compares. run.json in the working folder
holds the watchdog and the plays. Of each play it holds the beats (TLAST above the data), the steps and results expected,
how the host stalls, and where it is cut short.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, SimTimeoutError, Timer, ValueChange, with_timeout
from cocotbext.axi.stream import define_stream

PERIOD_NS = 10
# The harness's s_axis_next stands for tready: it rises with each edge on which the source may drive the next beat.
BeatBus, Beat, BeatSource, _, _ = define_stream("Beat", signals=["tdata", "tlast", "tvalid"])
ScoreBus, _, _, ScoreSink, _ = define_stream("Score", signals=["tdata", "tuser", "tlast", "tvalid", "tready"])


class Bench:
    """The host: a source of beats and a sink of scores."""

    def __init__(self, dut: Any, watchdog_cycles: int) -> None:
        self.dut, self.watchdog_cycles = dut, watchdog_cycles
        dut.rst.value = 1
        self.source = BeatSource(BeatBus.from_prefix(dut, "s_axis"), dut.s_axis_next, dut.rst)
        self.sink = ScoreSink(ScoreBus.from_prefix(dut, "m_axis"), dut.clk, dut.rst)
        cocotb.start_soon(Clock(dut.clk, PERIOD_NS, unit="ns").start())

    async def reset(self, play: dict[str, Any]) -> None:
        """Reset the chip for one cycle, with the beats of ``play`` and its stalls behind it."""
        dut, rng = self.dut, random.Random(play["seed"])
        await FallingEdge(dut.clk)
        dut.rst.value = 1
        self.source.clear()
        self.sink.clear()
        mask = (1 << len(dut.s_axis_tdata)) - 1
        for beat in play["beats"]:
            self.source.send_nowait(Beat(tdata=beat & mask, tlast=beat >> len(dut.s_axis_tdata)))
        for end, share in ((self.source, play["idle"]), (self.sink, play["blocked"])):
            end.clear_pause_generator()
            end.pause = False
            if share:
                end.set_pause_generator(rng.random() < share for _ in iter(int, 1))
        if play["patient"]:
            self.sink.set_pause_generator(self.until_offered())
        await FallingEdge(dut.clk)
        dut.rst.value = 0

    def until_offered(self) -> Iterator[bool]:
        """Pause the sink until the chip offers a score: valid must not wait for ready."""
        while True:
            yield not int(self.dut.m_axis_tvalid.value)

    async def probe(self) -> None:
        """Change the host's signals in the middle of each cycle: ready and valid must not follow."""
        dut = self.dut
        inputs = (dut.s_axis_tvalid, dut.s_axis_tdata, dut.s_axis_tlast, dut.m_axis_tready)
        while True:
            await FallingEdge(dut.clk)
            before, seen = [signal.value for signal in inputs], set()
            # No beat; an event; a tick.
            for values in ((0, 0, 0, 0), (1, 0, 0, 1), (1, 1, 1, 0)):
                for signal, value in zip(inputs, values, strict=True):
                    signal.value = value
                await Timer(1, "ns")
                seen.add((str(dut.s_axis_tready.value), str(dut.m_axis_tvalid.value)))
            for signal, value in zip(inputs, before, strict=True):
                signal.value = value
            assert len(seen) == 1, f"step {int(dut.steps.value)}: s_axis_tready or m_axis_tvalid follows the host's signals"

    async def next_step(self) -> None:
        """Wait until another step begins."""
        try:
            await with_timeout(ValueChange(self.dut.steps), self.watchdog_cycles * PERIOD_NS, "ns")
        except SimTimeoutError:
            raise AssertionError(f"watchdog: step {int(self.dut.steps.value)} did not end") from None

    async def play(self, play: dict[str, Any]) -> None:
        """Play all beats; end when all steps have begun and all results were taken, at the cut, or by the watchdog."""
        await self.reset(play)
        probing = cocotb.start_soon(self.probe()) if play["probed"] else None
        steps, cycles = play["cut"] or (play["steps"], 0)
        for _ in range(steps + 1):
            await self.next_step()
        if play["cut"]:
            await ClockCycles(self.dut.clk, max(1, cycles))
        else:
            results = int(self.dut.results.value)
            assert self.source.idle(), "the chip began more steps than it was sent"
            assert results == play["results"], f"{results} results; {play['results']} expected"
            await ClockCycles(self.dut.clk, 2)
        if probing is not None:
            probing.cancel()


@cocotb.test()
async def play(dut: Any) -> None:
    """Play each stream from a reset on; the file played holds how many have passed."""
    settings = json.loads(Path("run.json").read_text())
    bench = Bench(dut, settings["watchdog_cycles"])
    for number, each in enumerate(settings["plays"], 1):
        await bench.play(each)
        Path("played").write_text(str(number))
