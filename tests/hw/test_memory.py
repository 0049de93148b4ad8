import subprocess
from importlib import resources
from pathlib import Path

import pytest
from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from spikefold.hw.gateware.memory import Queue, Ram, Rom
from tests.hw.builds import run

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
