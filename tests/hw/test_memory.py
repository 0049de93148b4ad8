import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, signed, unsigned
from amaranth.lib import data

from spikefold.chip.cycles import QUEUED
from spikefold.hw.gateware.memory import Queue, Ram, Rom
from tests.hw.builds import run
from tests.hw.simulated import simulate

BENCH = """
module bench;
    reg clk = 0, write = 0;
    reg [1:0] read_address = 0, write_address = 0;
    reg [4:0] write_data = 0;
    wire [4:0] ram_data, rom_data;
    spikefold_ram #(.WIDTH(5), .DEPTH(3), .ADDRESS(2)) ram (.clk(clk), .read_address(read_address), .read_data(ram_data),
        .write(write), .write_address(write_address), .write_data(write_data));
    spikefold_rom #(.WIDTH(5), .DEPTH(3), .ADDRESS(2), .MEM("mem/"), .INIT("some.hex")) rom (.clk(clk), .address(read_address), .data(rom_data));
    always #1 clk = !clk;
    initial begin
        @(negedge clk) {write, write_address, write_data} = {1'b1, 2'd0, 5'd21};
        @(negedge clk) {write, write_address, write_data} = {1'b1, 2'd2, 5'd10};
        @(negedge clk) {write, write_data} = {1'b0, 5'd31};
        @(negedge clk) $display("%0d %0d", ram_data, rom_data);
        read_address = 2;
        #0 $display("%0d %0d", ram_data, rom_data);
        @(negedge clk) $display("%0d %0d", ram_data, rom_data);
        $finish;
    end
endmodule
"""


@pytest.mark.parametrize(
    ("shape", "words", "image"),
    [
        (signed(3), [-4, 3, -1], "4\n3\n7\n"),
        (signed(5), [-1, 0, 15], "1f\n00\n0f\n"),
        (unsigned(1), [1], "1\n"),
        (data.ArrayLayout(signed(6), 2), [0xABC], "abc\n"),
        (unsigned(9), [1 << 8, 5], "100\n005\n"),
    ],
)
def test_an_image_is_a_line_a_word_of_the_width(shape: data.Layout, words: list[int], image: str) -> None:
    rom = Rom("some", shape, words)
    assert (rom.image, rom.file) == (image, "mem/some.hex")


def test_memories_follow_their_address_by_a_cycle_and_keep_other_words(tmp_path: Path) -> None:
    for kind in ("ram", "rom"):
        template = resources.files("spikefold.hw.emit") / "templates" / f"spikefold_{kind}.v"
        (tmp_path / f"spikefold_{kind}.v").write_text(template.read_text())
    (tmp_path / "mem").mkdir()
    (tmp_path / "mem" / "some.hex").write_text(Rom("some", signed(5), [1, 2, -3]).image)
    (tmp_path / "bench.v").write_text(BENCH)
    compiled = run(tmp_path, "iverilog -g2005 -Wall -s bench -o bench.vvp bench.v spikefold_ram.v spikefold_rom.v")
    assert (compiled.returncode, [line for line in compiled.stderr.splitlines() if "timescale" not in line]) == (0, [])
    assert run(tmp_path, "vvp -N bench.vvp").stdout.splitlines() == ["21 1", "21 1", "10 29"]


@pytest.mark.parametrize(("depth", "bits"), [(1, 1), (2, 1), (3, 2), (16, 4), (17, 5)])
def test_storage_has_room_for_its_depth(depth: int, bits: int) -> None:
    assert len(Ram(unsigned(4), depth).read_address) == bits
    queue = Queue(data.StructLayout({"a": unsigned(2), "b": signed(3)}), depth)
    assert (queue.depth, len(queue.push.payload.as_value()), len(queue.data.as_value())) == (depth, 5, 5)


def rom_alone(folder: Path, parameters: str) -> subprocess.CompletedProcess[str]:
    (folder / "rom.v").write_text((resources.files("spikefold.hw.emit") / "templates" / "spikefold_rom.v").read_text())
    (folder / "bench.v").write_text(f"module bench; spikefold_rom {parameters} rom (.clk(1'b0), .address(1'b0), .data()); endmodule\n")
    assert run(folder, "iverilog -g2005 -s bench -o bench.vvp bench.v rom.v").returncode == 0
    return run(folder, "vvp bench.vvp")


def test_a_memory_without_a_file_loads_nothing_and_one_whose_file_is_missing_ends_the_simulation(tmp_path: Path) -> None:
    # As tools see it that read the file alone.
    ran = rom_alone(tmp_path, "")
    assert (ran.returncode, ran.stdout) == (0, "")
    ran = rom_alone(tmp_path, '#(.MEM("mem/"), .INIT("some.hex"))')
    assert ran.returncode == 1
    assert "FAIL: mem/some.hex: it cannot be read" in ran.stdout


PLAYED = """
module bench;
    reg clk = 0;
    reg [{width}:0] line [0:{last}];
    reg write;
    reg [{address}:0] read_address, write_address;
    reg [{bits}:0] write_data;
    wire [{bits}:0] ram_data, rom_data;
    integer n;
    spikefold_ram #(.WIDTH({bits} + 1), .DEPTH({depth}), .ADDRESS({address} + 1)) ram (.clk(clk), .read_address(read_address),
        .read_data(ram_data), .write(write), .write_address(write_address), .write_data(write_data));
    spikefold_rom #(.WIDTH({bits} + 1), .DEPTH({depth}), .ADDRESS({address} + 1), .MEM("mem/"), .INIT("some.hex"))
        rom (.clk(clk), .address(read_address), .data(rom_data));
    initial begin
        $readmemh("played.hex", line);
        for (n = 0; n <= {last}; n = n + 1) begin
            {{write, write_address, read_address, write_data}} = line[n];
            #1 clk = 1;
            #1 $display("%h %h", ram_data, rom_data);
            clk = 0;
        end
    end
endmodule
"""


def test_the_simulated_form_is_that_of_the_verilog(tmp_path: Path) -> None:
    """A word that is read in the cycle of its write has its old value in both, though nothing relies on it."""
    bits, depth, cycles = 5, 6, 80
    rng = np.random.default_rng(1)
    image = [int(word) for word in rng.integers(-16, 16, depth)]
    written, read = rng.integers(0, depth, (2, cycles))
    writes, values = rng.integers(0, 2, cycles), rng.integers(0, 1 << bits, cycles)
    # Every word is written before it may be read.
    written[:depth], writes[:depth], read[:depth] = range(depth), 1, 0
    for kind in ("ram", "rom"):
        template = resources.files("spikefold.hw.emit") / "templates" / f"spikefold_{kind}.v"
        (tmp_path / f"spikefold_{kind}.v").write_text(template.read_text())
    (tmp_path / "mem").mkdir()
    rom, ram = Rom("some", signed(bits), image), Ram(signed(bits), depth)
    (tmp_path / "mem" / "some.hex").write_text(rom.image)
    lines = [int(w) << 11 | int(at) << 8 | int(look) << 5 | int(v) for w, at, look, v in zip(writes, written, read, values, strict=True)]
    (tmp_path / "played.hex").write_text("".join(f"{line:x}\n" for line in lines))
    (tmp_path / "bench.v").write_text(PLAYED.format(width=11, last=cycles - 1, address=2, bits=bits - 1, depth=depth))
    assert run(tmp_path, "iverilog -g2005 -s bench -o bench.vvp bench.v spikefold_ram.v spikefold_rom.v").returncode == 0
    expected = [
        tuple(int(word, 16) if "x" not in word else None for word in line.split()) for line in run(tmp_path, "vvp -n bench.vvp").stdout.splitlines()
    ]
    both = Module()
    both.submodules.rom, both.submodules.ram = rom, ram
    found = []

    async def bench(ctx: Any) -> None:
        for w, at, look, v in zip(writes, written, read, values, strict=True):
            for signal, value in ((ram.write, w), (ram.write_address, at), (ram.read_address, look), (rom.address, look), (ram.write_data, v)):
                ctx.set(signal, int(value))
            await ctx.tick()
            found.append((ctx.get(ram.read_data) & 31, ctx.get(rom.data) & 31))

    simulate(both, bench)
    assert found[1:] == expected[1:]
    assert len(set(found)) > depth


@pytest.mark.parametrize(("valid", "taken"), [(1.0, 1.0), (0.4, 1.0), (1.0, 0.3), (0.6, 0.6)])
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_a_queue_keeps_order_and_loses_nothing(depth: int, valid: float, taken: float) -> None:
    queue, rng = Queue(unsigned(8), depth), np.random.default_rng(depth)
    sent = [int(value) for value in rng.integers(0, 256, 40)]
    pushed: list[int] = []
    popped: list[int] = []
    got: list[int] = []

    async def bench(ctx: Any) -> None:
        level, cycle, due = 0, 0, False
        while len(got) < len(sent):
            if due:
                got.append(ctx.get(queue.data))
            offers = len(pushed) < len(sent) and rng.random() < valid
            ctx.set(queue.push.valid, int(offers))
            ctx.set(queue.push.payload, sent[min(len(pushed), len(sent) - 1)])
            # Ready and available are levels of the cycle's start: what is offered or taken in it changes neither.
            assert (ctx.get(queue.push.ready), ctx.get(queue.available)) == (int(level < depth), int(level > 0))
            takes = level > 0 and rng.random() < taken
            ctx.set(queue.take, int(takes))
            accepted = offers and level < depth
            if accepted:
                pushed.append(cycle)
            if takes:
                popped.append(cycle)
            level, cycle, due = level + accepted - takes, cycle + 1, takes
            await ctx.tick()
        assert ctx.get(queue.available) == 0

    simulate(queue, bench)
    assert got == sent
    assert all(out >= into + QUEUED for into, out in zip(pushed, popped, strict=True))
    if valid == taken == 1:
        assert popped[0] == pushed[0] + QUEUED
