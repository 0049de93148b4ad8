import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from amaranth.back import verilog

from spikefold.chip.placement import place
from spikefold.hw.emit.testbench import self_checking_bench
from spikefold.hw.gateware.interface import Interface
from spikefold.hw.gateware.layer import LayerConfig
from spikefold.hw.gateware.neuron import NeuronStep
from tests.chips import changed_chip
from tests.hw.builds import build, self_check
from tests.random_networks import random_case

SEED = 35


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(random_case(SEED, small=True), tmp_path_factory.mktemp("selfcheck") / "build")


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "build"))


def flip(path: Path, line: int, mask: int = 1) -> None:
    """Change bits of one word."""
    lines = path.read_text().splitlines()
    lines[line] = f"{int(lines[line], 16) ^ mask:0{len(lines[line])}x}"
    path.write_text("\n".join(lines) + "\n")


def test_a_build_passes_its_own_bench(folder: Path) -> None:
    ran = self_check(folder)
    assert (ran.returncode, ran.stderr) == (0, "")
    values = sum(len(path.read_text().splitlines()) for path in (folder / "vectors").glob("*.hex") if path.name != "stimulus.hex")
    steps = len((folder / "vectors" / "cycles.hex").read_text().splitlines())
    assert ran.stdout == f"PASS: {values} values compared in {steps} steps\n"


@pytest.mark.parametrize(("seed", "gain_terms"), [(0, 1), (4, 2)])
def test_shifts_in_the_place_of_multipliers_give_the_same_bits(tmp_path: Path, seed: int, gain_terms: int) -> None:
    case = random_case(seed, small=True, gain_terms=gain_terms)
    assert not all(connection.unit_gain for connection in case.network.connections)
    folder = build(case, tmp_path / "build")
    ran = self_check(folder)
    assert (ran.returncode, ran.stdout[:5]) == (0, "PASS:")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {layer["gain"] for layer in manifest["layers"]} <= {"unit", "shifts"}


def test_a_neuron_that_shifts_has_no_multiplier() -> None:
    case = random_case(0, small=True, gain_terms=2)
    network, populations = case.network, case.network.populations
    network = replace(
        network, populations=tuple(replace(p, leak_kind="none", leak=np.zeros((1, 1), np.int64), leak_frac_bits=0) for p in populations)
    )
    found = {}
    for chip in (case.chip, changed_chip(case.chip, gain_terms=0)):
        steps = [NeuronStep(LayerConfig(network=network, plan=plan, architecture=chip.architecture)) for plan in place(network, chip).cores]
        found[chip.architecture.gain_terms] = sum(" * " in verilog.convert(step) for step in steps)
    assert found == {2: 0, 0: sum(not connection.unit_gain for connection in network.connections)}


@pytest.mark.parametrize("name", ["cycles", "events_0", "events_1", "updates_0", "updates_1", "results"])
@pytest.mark.parametrize("line", [0, -1])
def test_one_wrong_bit_in_the_expected_values_fails(folder: Path, name: str, line: int) -> None:
    flip(folder / "vectors" / f"{name}.hex", line)
    ran = self_check(folder)
    assert ran.returncode != 0
    assert f"{name} " in ran.stdout
    assert "\nFAIL: 1 differences" in ran.stdout
    assert "PASS" not in ran.stdout


@pytest.mark.parametrize("image", ["layer0_weights", "layer1_weights", "layer0_rows", "layer0_columns"])
def test_a_corrupted_image_fails(folder: Path, image: str) -> None:
    path = folder / "mem" / f"{image}.hex"
    for line in range(len(path.read_text().splitlines())):
        flip(path, line)
    ran = self_check(folder)
    assert ran.returncode != 0
    assert "FAIL" in ran.stdout
    assert "PASS" not in ran.stdout


@pytest.mark.parametrize("name", ["events_0", "events_1", "updates_0", "updates_1", "results"])
def test_what_was_expected_last_and_never_came_fails(folder: Path, name: str) -> None:
    case = random_case(SEED, small=True)
    interface = Interface(place(case.network, case.chip))
    counts = {path.stem: len(path.read_text().splitlines()) for path in (folder / "vectors").iterdir()}
    counts[name] += 1
    (folder / "tb" / "selfcheck.v").write_text(self_checking_bench(interface, counts, interface.watchdog_cycles))
    vectors = folder / "vectors" / f"{name}.hex"
    vectors.write_text(vectors.read_text() + vectors.read_text().splitlines()[-1] + "\n")
    ran = self_check(folder)
    assert ran.returncode == 1
    assert ran.stdout.startswith("FAIL: 0 differences")
    assert "PASS" not in ran.stdout


def hurry(folder: Path, watchdog_cycles: int) -> None:
    """Shorten the bench's watchdog."""
    bench = (folder / "tb" / "selfcheck.v").read_text()
    assert bench.count("200000") == 2
    (folder / "tb" / "selfcheck.v").write_text(bench.replace("200000", str(watchdog_cycles)))


def test_a_tick_that_never_comes_ends_by_the_watchdog(folder: Path) -> None:
    # The last beat is an idle one; as an event it ends no step.
    flip(folder / "vectors" / "stimulus.hex", -1, 2)
    hurry(folder, 5000)
    ran = self_check(folder)
    assert ran.returncode != 0
    assert "FAIL: no step began in 5000 cycles" in ran.stdout
    assert "PASS" not in ran.stdout


def test_a_chip_that_hears_nothing_ends_by_the_watchdog(folder: Path) -> None:
    rtl = folder / "rtl" / "spikefold.v"
    verilog = rtl.read_text()
    assert verilog.count(".s_axis_tvalid(s_axis_tvalid)") == 1
    rtl.write_text(verilog.replace(".s_axis_tvalid(s_axis_tvalid)", ".s_axis_tvalid(1'b0)"))
    hurry(folder, 5000)
    ran = self_check(folder)
    assert ran.returncode != 0
    assert ran.stdout.splitlines()[0] == "FAIL: no step began in 5000 cycles"
