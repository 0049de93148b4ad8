"""A build works wherever it lies, under whatever name, and beside another one."""

import shutil
from pathlib import Path

import pytest

from spikefold.chip.placement import place
from spikefold.data.errors import ChipError
from spikefold.hw.bench.cosim import run_rtl, simulator_environment
from spikefold.hw.emit.generate import chip_verilog
from spikefold.hw.gateware.chip import SpikingChip
from spikefold.hw.gateware.interface import Interface
from spikefold.network.trace import compare
from tests.hw.builds import build, run
from tests.random_networks import Case, random_case
from tests.virtual import virtual

BENCH = 'iverilog -g2005 -Wall -s selfcheck -Pselfcheck.BUILD="a/" -o bench.vvp a/rtl/alpha.v a/rtl/alpha_ram.v a/rtl/alpha_rom.v a/tb/selfcheck.v'
SOURCES = "a/rtl/alpha.v a/rtl/alpha_ram.v a/rtl/alpha_rom.v b/rtl/beta.v b/rtl/beta_ram.v b/rtl/beta_rom.v"
WEIGHTS = "traced.core_0.accumulate.weights.memory.words[0]"


@pytest.fixture(scope="module")
def cases() -> dict[str, Case]:
    return {"alpha": random_case(35, small=True), "beta": random_case(36, small=True)}


@pytest.fixture(scope="module")
def design(cases: dict[str, Case], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds two builds, moved there and renamed."""
    folder = tmp_path_factory.mktemp("design")
    for name, case in cases.items():
        build(case, folder / "new", name).rename(folder / name[0])
    return folder


def test_the_bench_runs_in_another_folder(design: Path) -> None:
    assert run(design, BENCH).stderr == ""
    ran = run(design, "vvp bench.vvp")
    assert (ran.returncode, ran.stdout[:5]) == (0, "PASS:")


@pytest.mark.parametrize("missing", ["mem/layer1_weights.hex", "vectors/results.hex", "vectors/stimulus.hex"])
def test_a_bench_without_one_of_its_files_fails_at_once(design: Path, tmp_path: Path, missing: str) -> None:
    shutil.copytree(design / "a", tmp_path / "a")
    (tmp_path / "a" / missing).unlink()
    assert run(tmp_path, BENCH).returncode == 0
    ran = run(tmp_path, "vvp bench.vvp")
    assert ran.returncode == 1
    assert f"FAIL: a/{missing}: it cannot be read" in ran.stdout
    assert "PASS" not in ran.stdout


def test_verify_runs_a_chip_of_another_name(cases: dict[str, Case], design: Path) -> None:
    case = cases["alpha"]
    expected = virtual(case.network, case.chip).run(case.events, potentials=True)
    assert compare(expected, run_rtl(design / "a", place(case.network, case.chip), case.events, top="alpha")).equal


def test_two_builds_stand_in_one_design(cases: dict[str, Case], design: Path) -> None:
    chips = ""
    for name, case in cases.items():
        ports = ", ".join(f".{port.name}()" for port in Interface(place(case.network, case.chip)).streams)
        chips += f'    {name} #(.MEM("{name[0]}/mem/")) {name}_chip ({ports});\n'
    shown = "".join(f'        $display("%h", {name}_chip.{WEIGHTS});\n' for name in cases)
    (design / "two.v").write_text(f"module two;\n{chips}    initial begin\n        #1;\n{shown}    end\nendmodule\n")
    assert run(design, f"iverilog -g2005 -s two -o two.vvp two.v {SOURCES}").returncode == 0
    images = [design / name[0] / "mem" / "layer0_weights.hex" for name in cases]
    assert run(design, "vvp two.vvp").stdout.splitlines() == [image.read_text().split()[0] for image in images]
    with simulator_environment("verilator", design):
        linted = run(
            design, "verilator --lint-only --timing -Wno-PINMISSING --top-module two two.v -F a/alpha.f -F b/beta.f a/tb/lint.vlt b/tb/lint.vlt"
        )
    assert linted.returncode == 0, linted.stderr


@pytest.mark.parametrize("top", ["", "2nd", "a-b", "a b", "a__b", "a_", "_a", "chip_rom", "chip_ram", "selfcheck", "harness", "ä", "a" * 65, "a\n"])
def test_what_no_module_can_be_called_is_refused(cases: dict[str, Case], top: str) -> None:
    with pytest.raises(ChipError, match=r"^top module .*: it must be at most 64 letters, digits and single underscores"):
        Interface(place(cases["alpha"].network, cases["alpha"].chip), top)


def test_a_keyword_is_refused_as_a_name(cases: dict[str, Case]) -> None:
    with pytest.raises(ChipError, match=r"^top module 'logic': it is a keyword of Verilog; choose another name$"):
        chip_verilog(SpikingChip(Interface(place(cases["alpha"].network, cases["alpha"].chip), "logic")))
