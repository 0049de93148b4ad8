import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikefold.chip.placement import place
from spikefold.data.coding import InputCoding
from spikefold.hw.emit.documents import coding_text, readme
from spikefold.hw.emit.generate import chip_verilog
from spikefold.hw.emit.stimulus import stimulus
from spikefold.hw.gateware.chip import SpikingChip
from spikefold.hw.gateware.interface import EVENT, IDLE, TICK, Interface, whole_bytes
from spikefold.network.fields import signed_range
from spikefold.quantize.float_file import load_float
from spikefold.quantize.fold import fold
from tests.cases import CASES
from tests.chips import chip_of
from tests.hw.builds import build, run
from tests.random_networks import random_case
from tests.virtual import virtual

GRADED = next(case for case in CASES if case.name == "pooled payloads that cancel, and graded ones")


def test_a_beat_is_its_kind_and_the_event_above() -> None:
    interface = Interface(place(GRADED.network, GRADED.chip))
    assert {name: (field.offset, field.width) for name, field in interface.beat} == {"kind": (0, 2), "event": (2, 1 + 2 + 2 + 4)}
    assert interface.input_width == 16
    beat = interface.beat.const({"kind": EVENT, "event": {"channel": 0, "y": 2, "x": 3, "payload": -7}}).as_bits()
    assert beat == 0b1001_11_10_0_00


@pytest.mark.parametrize(("bits", "width"), [(1, 8), (8, 8), (9, 16), (17, 24)])
def test_streams_have_whole_bytes(bits: int, width: int) -> None:
    assert whole_bytes(bits) == width


def test_beats_are_events_then_a_tick_in_every_timestep() -> None:
    interface = Interface(place(GRADED.network, GRADED.chip))
    events = np.repeat(GRADED.events, 2, 0)
    events[1, 1] = 0
    played = stimulus(interface, events, [1, 0])
    width = interface.input_width
    kinds = [beat & 3 for beat in played.beats]
    assert kinds == [EVENT, EVENT, TICK, EVENT, EVENT, TICK, IDLE, EVENT, EVENT, TICK, TICK, IDLE, IDLE]
    assert [i for i, beat in enumerate(played.beats) if beat >> width] == [5, 10]
    assert (played.starts.tolist(), played.steps) == ([0, 3], 2 + 1 + 2 + interface.depth)
    first = interface.beat.from_bits(played.beats[0]).event
    assert (first.channel, first.y, first.x, first.payload) == (0, 0, 0, 1)


@pytest.mark.parametrize("seed", [19, 35])
def test_the_verilog_has_the_declared_ports(seed: int) -> None:
    case = random_case(seed, small=True)
    chip = SpikingChip(Interface(place(case.network, case.chip)))
    interface = chip.traced.interface
    verilog = chip_verilog(chip)

    def ports(module: str) -> dict[str, tuple[str, int]]:
        body = re.search(rf"^module {module} (?:#\(.*?\) )?\(.*?^endmodule", verilog, re.S | re.M)
        assert body is not None
        found = re.findall(r"^  (input|output|wire|reg) (?:\[(\d+):0\] )?(\w+)(?: = .*)?;$", body[0], re.M)
        return {f"{kind if kind in ('input', 'output') else 'net'} {name}": (name, int(top or 0) + 1) for kind, top, name in found}

    top, traced = ports("spikefold"), ports("spikefold__traced")
    expected = {f"{'input' if p.is_input else 'output'} {p.name}": (p.name, p.width) for p in interface.streams}
    assert {key: value for key, value in top.items() if key.split()[0] != "net"} == expected | {"input clk": ("clk", 1), "input rst": ("rst", 1)}
    for port in interface.traces:
        assert traced[f"net {port.name}"] == (port.name, port.width)


def test_the_page_gives_every_port_and_every_bit_of_a_beat() -> None:
    interface = Interface(place(GRADED.network, GRADED.chip))
    text = readme(interface, [1234, 5678], {"mem/a.hex": 5})
    for port in interface.streams:
        assert f"| `{port.name}` | {'in' if port.is_input else 'out'} | {port.width} |" in text
    for row in (
        "| 1:0 | kind |",
        "| 2 | channel | 0..0 |",
        "| 4:3 | y | 0..3 |",
        "| 6:5 | x | 0..3 |",
        "| 10:7 | payload | signed, -7..7",
        "| 15:11 | - |",
    ):
        assert row in text
    assert f"sends {interface.depth} idle beats" in text
    assert "takes 1,234 to 5,678 cycles" in text
    assert "touched by none of them: 5 of `mem/a.hex`" in text


def test_the_commands_of_the_page_are_the_ones_that_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = build(GRADED, tmp_path / "build")
    (block,) = re.findall(r"^```sh\n(.*?)^```", (folder / "README.md").read_text(), re.M | re.S)
    *commands, last = block.splitlines()
    # What runs it needs a data set, and has tests of its own.
    assert last == "spikefold verify ."
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    ran = [run(folder, command) for command in commands]
    assert [(done.returncode, done.stdout[:5]) for done in ran] == [(0, ""), (0, "PASS:"), (0, "- V e")]


@pytest.mark.parametrize(
    ("coding", "words"),
    [
        ({"coding": "direct"}, ["round((p - 0.25) / 0.5 * 2.0), at least -7 and at most 7", "The same events are sent in each of the 9 timesteps."]),
        (
            {"coding": "ternary", "scale": 1.0},
            ["payload = sign(x) if 2 r <= |x|, else 0", "x = (p - 0.25) / 0.5", "the key (3, number of the sample)"],
        ),
        ({"coding": "poisson", "scale": 1.0}, ["payload = 1 if r < x, else 0", "Each of the 9 timesteps sends events of its own."]),
        ({"coding": "frames", "scale": 1.0, "mean": 0.0, "std": 1.0}, ["payload = min(count, 7)", "frame t of the recording"]),
        (
            {"coding": "sequence", "shape": (2, 1, 5)},
            ["/ 0.5 * 2.0), at least -7", "Timestep t sends the 5 elements from number 5 t on of every channel"],
        ),
    ],
)
def test_the_page_says_in_words_and_a_formula_how_a_sample_becomes_events(coding: dict[str, Any], words: list[str]) -> None:
    given = {"shape": (1, 4, 4), "mean": 0.25, "std": 0.5, "scale": 2.0, "payload_bits": 4, "seed": 3}
    text = coding_text(InputCoding(**{**given, **coding}), 9)
    assert all(part in text for part in words), text


def test_no_step_takes_as_long_as_the_watchdog_waits() -> None:
    assert Interface(place(GRADED.network, GRADED.chip)).watchdog_cycles == 200_000
    folder = Path(__file__).parents[2] / "examples" / "models" / "fashion_mnist_bntt"
    network, chip = fold(load_float(folder / "model.safetensors")).network, chip_of(name="narrow", lanes=1)
    # Thresholds that every neuron reaches in every timestep: all events that there can be.
    populations = tuple(
        replace(p, threshold=np.full((1, 1), signed_range(p.potential_bits)[0]), decrement=np.zeros((1, 1), np.int64)) if not p.never_fires else p
        for p in network.populations
    )
    busy = replace(network, populations=populations)
    events = np.full((1, network.timesteps, *network.input.shape), network.input.payload_max, np.int8)
    timing = virtual(busy, chip).run(events).timing
    assert timing is not None
    waits = Interface(place(busy, chip)).watchdog_cycles
    assert 200_000 < timing.cycles.max() < waits < 3 * timing.cycles.max()
