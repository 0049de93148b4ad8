"""Flip single bits of a build's memories, and count how many of them its self-checking bench notices.

``python -m benchmarks.flips [NETWORK.safetensors] [--chip CHIP.toml] [--flips N] [--samples N] [--seed N] [--simulator verilator|icarus]``
prints a line a memory file; ``--out RESULT.json`` writes the figures too.
Every memory file gets N flips, each of one bit of one word. Bits of lanes that hold no neuron are not flipped: nothing depends on them.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spikefold.chip.config import ChipConfig, load_chip
from spikefold.chip.placement import place
from spikefold.hw.bench.cosim import simulator_environment
from spikefold.hw.gateware.interface import Interface
from spikefold.hw.gateware.layer import LayerConfig
from spikefold.network.files import network_file
from spikefold.quantize.float_file import load_float
from spikefold.quantize.fold import fold
from spikefold.workflow.build import generate
from spikefold.workflow.samples import data_for

__all__ = ["main", "used_bits"]

MODEL = Path(__file__).parents[1] / "examples" / "models" / "digits" / "model.safetensors"


def used_bits(layer: LayerConfig, file: str, word: int) -> list[int]:
    """Return the bits of a word of the memory ``file`` that belong to a neuron of the layer, or to all of them."""
    plan, schedule = layer.plan, layer.schedule
    lanes = min(plan.lanes, plan.shape[0] - word % plan.groups * plan.lanes)
    if file.endswith("_weights.hex"):
        return list(range(lanes * layer.weight_bits))
    axes = next((axes for axes, rom in schedule.roms.items() if rom.file == file), None)
    if axes is None:
        return []
    bits: list[int] = []
    offset = 0
    for parameter in schedule.parameters.values():
        if parameter.axes == axes:
            served, stored = (lanes, plan.lanes) if "c" in axes else (1, 1)
            bits += range(offset, offset + served * parameter.bits)
            offset += stored * parameter.bits
    return bits


def flip(path: Path, word: int, bit: int) -> None:
    """Flip one bit of a memory file."""
    lines = path.read_text().splitlines()
    lines[word] = f"{int(lines[word], 16) ^ 1 << bit:0{len(lines[word])}x}"
    path.write_text("\n".join(lines) + "\n")


def compiled(build: Path, simulator: str) -> list[str]:
    """Compile the build's self-checking bench and return the command that runs it; the memory files are read when it starts."""
    if simulator == "icarus":
        bench = ["iverilog", "-g2005", "-s", "selfcheck", "-o", "selfcheck.vvp", "-f", "spikefold.f", "tb/selfcheck.v"]
        subprocess.run(bench, cwd=build, capture_output=True, text=True, check=True)
        return ["vvp", "-N", "selfcheck.vvp"]
    sources = ["-F", str(build / "spikefold.f"), str(build / "tb" / "selfcheck.v")]
    command = [
        "verilator",
        "--binary",
        "-Wno-fatal",
        "-Wno-lint",
        "--top-module",
        "selfcheck",
        "-CFLAGS",
        "-std=gnu++20",
        "--Mdir",
        str(build / "sim"),
        "-j",
        "2",
        *sources,
    ]
    with simulator_environment("verilator", build):
        subprocess.run(command, capture_output=True, text=True, check=True)
    return [str(build / "sim" / "Vselfcheck")]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flips", description="Count the flipped bits that a build's own bench notices.")
    parser.add_argument("network", nargs="?", type=Path, help="an integer network; by default the digits model that comes with the project, folded")
    parser.add_argument("--chip", type=Path, help="by default the chip of generate")
    parser.add_argument("--flips", type=int, default=40, help="flips of each memory file")
    parser.add_argument("--samples", type=int, help="play the first samples, not chosen ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--simulator", choices=("verilator", "icarus"), default="verilator", help="Verilator runs faster, and compiles for longer")
    parser.add_argument("--out", type=Path, help="write the figures as JSON too")
    options = parser.parse_args(arguments)
    network = fold(load_float(MODEL)).network if options.network is None else network_file.load(options.network)
    chip = ChipConfig() if options.chip is None else load_chip(options.chip)
    rng = np.random.default_rng(options.seed)
    figures = {}
    with tempfile.TemporaryDirectory(prefix="spikefold-") as name:
        build = Path(name)
        manifest = generate(place(network, chip), data_for(network, None, "test", None), build, samples=options.samples)
        vectors: Any = manifest["vectors"]
        layers: Any = manifest["layers"]
        print(f"vectors: {json.dumps({key: vectors[key] for key in ('samples', 'steps')})}")
        program = compiled(build, options.simulator)
        passed = subprocess.run(program, cwd=build, capture_output=True, text=True, check=False)
        assert passed.returncode == 0, passed.stdout
        for layer, described in zip(Interface(place(network, chip)).layers, layers, strict=True):
            for file, memory in described["memories"].items():
                path = build / file
                original, noticed = path.read_bytes(), 0
                for _ in range(options.flips):
                    word = int(rng.integers(memory["words"]))
                    bit = int(rng.choice(used_bits(layer, file, word) or range(memory["bits"])))
                    flip(path, word, bit)
                    ran = subprocess.run(program, cwd=build, capture_output=True, text=True, check=False)
                    noticed += ran.returncode != 0
                    path.write_bytes(original)
                figures[file] = {"flips": options.flips, "noticed": noticed}
                print(f"{file:28} {noticed:4} of {options.flips:4} flips noticed", flush=True)
    if options.out is not None:
        options.out.write_text(json.dumps({"vectors": vectors, "flips": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
