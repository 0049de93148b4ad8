"""What a build says about itself: the page for whoever receives it, and the description that FuseSoC reads."""

from collections.abc import Iterable

import spikefold
from spikefold.hw.interface import EVENT, IDLE, TICK, Interface

__all__ = ["fusesoc_core", "readme"]

PORTS = {
    "s_axis_tdata": "the host's beat, below",
    "s_axis_tlast": "1 on the tick of an inference's last timestep",
    "s_axis_tvalid": "the host offers a beat",
    "s_axis_tready": "the chip takes it on this edge, if it is offered",
    "m_axis_tdata": "a class's score, signed; the classes follow each other in order",
    "m_axis_tuser": "with TLAST: the predicted class (the lowest of the greatest scores)",
    "m_axis_tlast": "1 on the last class",
    "m_axis_tvalid": "the chip offers a score",
    "m_axis_tready": "the host takes it on this edge, if it is offered",
}


def readme(interface: Interface) -> str:
    """Return the build's README.md: its files, ports, beats, and how each bench is run."""
    network, layers = interface.network, interface.layers
    channels, height, width = network.input.shape
    ports = "".join(f"| `{p.name}` | {'in' if p.is_input else 'out'} | {p.width} | {PORTS[p.name]} |\n" for p in interface.streams)
    chain = "".join(
        f"| {d} | {layer.population.name} | {' x '.join(map(str, layer.plan.shape))} | {layer.lanes} | {layer.population.potential_bits} |\n"
        for d, layer in enumerate(layers)
    )
    return f"""# Spikefold chip

A spiking network of {len(layers)} layers, {network.timesteps} timesteps and {len(network.class_names)} classes as Verilog-2005. The top module is
`spikefold`; it has one clock domain and no vendor primitives. `manifest.json` has all figures, and the SHA-256 of every file.

| core | layer | channels x height x width | lanes | potential, bits |
|---|---|---|---|---|
{chain}
## Files

| file | what it is |
|---|---|
| `rtl/spikefold.v` | the chip; its cores are submodules |
| `rtl/spikefold_ram.v`, `rtl/spikefold_rom.v` | the two kinds of memory, each with a registered read |
| `mem/*.hex` | the images of the read-only memories. `$readmemh` finds them where the tool runs, so run it here |
| `spikefold.f`, `spikefold.core` | the sources as a file list, and as a FuseSoC core |
| `tb/selfcheck.v`, `vectors/*.hex` | a bench that checks itself against the simulated chip: spikes, potentials, scores, cycles and arrivals |
| `tb/harness.v`, `tb/test_spikefold.py` | the cocotb bench that `spikefold verify` runs and compares |
| `tb/lint.vlt` | what a Verilator lint may pass over, with reasons |
| `network.safetensors` | the integer network that all of this was generated from |

## Ports

Two AXI4-Stream ports; everything happens on the rising edge of `clk`. `rst` is synchronous and active high.

| port | direction | bits | what |
|---|---|---|---|
| `clk`, `rst` | in | 1 | clock and reset |
{ports}
### A beat of the host: `s_axis_tdata`

| bits | field | values |
|---|---|---|
{beat_rows(interface)}
A timestep is its events in any order, each address at most once and none for a payload of 0, and then a tick. An inference is
{network.timesteps} ticks, TLAST on the last. Addresses lie in {channels} x {height} x {width} (channels, y, x).

### Draining

The cores work in a chain, a timestep apart. The result of an inference leaves after {interface.depth} further steps: the next inference may
follow at once and pushes it out, and a host that has none sends {interface.depth} idle beats, a step each.

## Checks, in this folder

```sh
iverilog -g2005 -Wall -s selfcheck -o selfcheck.vvp -f spikefold.f tb/selfcheck.v && vvp -N selfcheck.vvp   # PASS and 0, or FAIL and not 0
verilator-cli --lint-only -Wall --top-module spikefold tb/lint.vlt -f spikefold.f
spikefold verify .
```
"""


def beat_rows(interface: Interface) -> str:
    """Return the fields of the host's beat with their bits, as rows of a table."""
    network, kind = interface.network, interface.beat["kind"]
    sizes = dict(zip(("channel", "y", "x"), network.input.shape, strict=True))
    rows = [(kind.offset, kind.width, "kind", f"{EVENT}: event, {TICK}: tick (end of a timestep), {IDLE}: idle (a step without one)")]
    event = interface.beat["event"]
    for name, field in event.shape:
        values = f"0..{sizes[name] - 1}" if name in sizes else f"signed, {network.input.payload_min}..{network.input.payload_max}, not 0"
        rows.append((event.offset + field.offset, field.width, name, values))
    used = interface.beat.size
    if used < interface.input_width:
        rows.append((used, interface.input_width - used, "-", "any"))
    return "".join(f"| {bits(offset, width)} | {name} | {values} |\n" for offset, width, name, values in rows)


def bits(offset: int, width: int) -> str:
    """Return a field's place as data sheets have it."""
    return f"{offset + width - 1}:{offset}" if width > 1 else f"{offset}"


def fusesoc_core(files: Iterable[str]) -> str:
    """Return the FuseSoC description (CAPI2) of the build's ``files``."""
    names = sorted(files)

    def sources(prefix: str) -> str:
        return "".join(f"      - {name}: {{file_type: verilogSource-2005}}\n" for name in names if name.startswith(prefix))

    def images(prefix: str) -> str:
        return "".join(f"      - {name}: {{file_type: user, copyto: {name}}}\n" for name in names if name.startswith(prefix))

    return f"""CAPI=2:
name: ::spikefold:{spikefold.__version__}
description: A spiking network folded to integers, generated by Spikefold.
filesets:
  rtl:
    files:
{sources("rtl/")}{images("mem/")}  bench:
    files:
{sources("tb/selfcheck.v")}{images("vectors/")}targets:
  default: &default
    filesets: [rtl]
    toplevel: spikefold
  sim:
    <<: *default
    filesets: [rtl, bench]
    toplevel: selfcheck
    default_tool: icarus
    tools:
      icarus:
        iverilog_options: [-g2005]
"""
