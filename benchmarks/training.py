"""Training speed and memory: one forward and backward pass of a BNTT network, against snnTorch, SpikingJelly and norse in the same run.

``python -m benchmarks.training [--threads 1 2] [--rounds N] [--json FILE]`` needs the ``train`` and ``peers`` extras and Linux. It exits with 0
where every target is met, 1 where one is missed, and 2 where it could not measure: a missing peer, or a contestant that computes something else.
"""

import argparse
import contextlib
import datetime
import itertools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.throughput import machine
from benchmarks.training_networks import CASES, CONTESTANTS
from spikefold.data.files import write_text
from spikefold.data.provenance import versions
from spikefold.data.shown import percent

OURS, BARE = "spikefold", "layers-bntt"
PEERS = [name for name, contestant in CONTESTANTS.items() if contestant.package]
TIMED_CASE = "conv"
SPEEDUPS = {"snntorch": 3.0, "spikingjelly": 2.5, "norse": 2.0}
NEURON_COST = 1.25
"""Targets on the convolutional network: times as long as ours each peer is to take, or ours at most this often the layers without neurons."""
LIMITS = {"float64": {"spikes": 0.0, "scores": 1e-9, "gradient": 1e-9}, "float32": {"spikes": 1e-3, "scores": 1e-2, "gradient": 1e-2}}
"""Differences from the equations that still count as the same network. One spike that rounding flips in float32 moves all that follows."""
MIN_ROUNDS = 7
LAYOUTS = ("contiguous", "channels-last")
"""As torch builds a convolution, and as it is faster on a CPU; every contestant is given the same."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")

Row = dict[str, Any]


def fail(message: str) -> NoReturn:
    """End the program: nothing was measured."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)


class Process:
    """A contestant's process, ready once it has answered."""

    def __init__(self, case: str, name: str, threads: int, layout: str) -> None:
        self.what = f"{CONTESTANTS[name].name}, {case}, threads {threads}, {layout}"
        environment = {**os.environ, **{variable: str(threads) for variable in THREAD_VARIABLES}}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.training_child", case, name, str(threads), layout],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
        )  # fmt: skip

    def ask(self, command: str) -> dict[str, Any]:
        """Return the answer to ``command``."""
        process = self.process
        if process.stdin is None or process.stdout is None:
            fail(f"{self.what}: its process has no pipes")
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(command) + "\n")
            process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            fail(f"{self.what}: its process ended, status {process.wait()}")
        found: dict[str, Any] = json.loads(answer)
        if "error" in found:
            fail(f"{self.what}: {found['error']}")
        return found

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def processes(case: str, names: Sequence[str], threads: int, layout: str) -> Iterator[dict[str, Process]]:
    """Yield a fresh process a contestant, and end them."""
    started = {name: Process(case, name, threads, layout) for name in names}
    try:
        yield started
    finally:
        for process in started.values():
            process.close()


def check(case: str, names: Sequence[str]) -> dict[str, dict[str, dict[str, float]]]:
    """Hold every contestant with neurons against the equations; end the program where one differs, and print how far it is from ours."""
    found = {}
    for name in names:
        if CONTESTANTS[name].decrement is None:
            continue
        with processes(case, [name], 1, LAYOUTS[0]) as started:
            found[name] = started[name].ask("check")
        for dtype, limits in LIMITS.items():
            for what, limit in limits.items():
                difference = found[name][f"own {dtype}"][what]
                if not difference <= limit:
                    fail(f"{CONTESTANTS[name].name}, {case}, {dtype}, {what}: {difference:.3g} from the equations' (limit {limit:.3g})")
        own, ours = found[name]["own float32"], found[name]["ours float32"]
        print(
            f"| {case} | {CONTESTANTS[name].name} | {percent(own['rate'], 1)} | {percent(own['spikes'])} | "
            f"{own['scores']:.1e} | {own['gradient']:.1e} | "
            f"{percent(ours['spikes'])} |",
            flush=True,
        )
    return found


def measure(case: str, names: Sequence[str], threads: int, layout: str, rounds: int) -> list[Row]:
    """Return a row a contestant; they take turns, so that a noisy moment meets all of them."""
    with processes(case, names, threads, layout) as started:
        # One after the other: the peak belongs to a pass that no other one disturbs.
        memory = {name: process.ask("memory")["bytes"] for name, process in started.items()}
        times: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        for _ in range(rounds):
            for name, process in started.items():
                times[name].append(process.ask("time"))
    rows = []
    for name in names:
        # Of one thread CPU time, which other work on the machine disturbs less; of more, only the clock on the wall shows that they share the work.
        seconds = [taken["cpu_s" if threads == 1 else "wall_s"] for taken in times[name]]
        low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
        rows.append({
            "network": case, "threads": threads, "layout": layout, "contestant": name, "passes": times[name],
            "median_s": median, "quartiles_s": [low, high], "memory_bytes": memory[name],
        })  # fmt: skip
    return rows


def show(rows: Sequence[Row]) -> None:
    """Print a table's rows, each with its ratio to ours."""
    ours = next((row for row in rows if row["contestant"] == OURS), None)
    for row in rows:
        low, median, high = (seconds * 1e3 for seconds in (row["quartiles_s"][0], row["median_s"], row["quartiles_s"][1]))
        time_ratio, memory_ratio = ("–" if ours is None else f"{row[key] / ours[key]:.2f}" for key in ("median_s", "memory_bytes"))
        print(
            f"| {row['network']} | {row['threads']} | {row['layout']} | {CONTESTANTS[row['contestant']].name} | "
            f"{median:.0f} ({low:.0f} to {high:.0f}) | {time_ratio} | {row['memory_bytes'] / 2**20:.0f} | {memory_ratio} |",
            flush=True,
        )


def judge(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the targets of rows that all contestants share: what was found, and whether each is met."""
    of = {row["contestant"]: row for row in rows}
    place = f"{of[OURS]['network']}, threads {of[OURS]['threads']}, {of[OURS]['layout']}"
    leanest = min(PEERS, key=lambda name: of[name]["memory_bytes"])
    used, least = (of[name]["memory_bytes"] for name in (OURS, leanest))
    text = f"{used / 2**20:.0f} MiB; the leanest peer, {CONTESTANTS[leanest].name}, {least / 2**20:.0f} MiB"
    verdicts = [{"target": f"{place}, memory", "text": text, "met": used <= least}]
    if of[OURS]["network"] == TIMED_CASE:
        speedups = {name: of[name]["median_s"] / of[OURS]["median_s"] for name in SPEEDUPS}
        cost = of[OURS]["median_s"] / of[BARE]["median_s"]
        slower = ", ".join(f"{CONTESTANTS[name].name} {speedups[name]:.2f} (at least {wanted})" for name, wanted in SPEEDUPS.items())
        text = f"times as long as ours: {slower}; or ours {cost:.2f} times as long as its layers without neurons (at most {NEURON_COST})"
        met = all(speedups[name] >= wanted for name, wanted in SPEEDUPS.items()) or cost <= NEURON_COST
        verdicts.append({"target": f"{place}, time", "text": text, "met": met})
    return verdicts


def peer_versions(names: Sequence[str]) -> dict[str, str]:
    """Return the peers' versions, or end the program where one is not installed."""
    try:
        return versions(*(package for name in names if (package := CONTESTANTS[name].package) is not None))
    except metadata.PackageNotFoundError as error:
        fail(f"{error.name} is not installed; pip install -c constraints.txt -e '.[peers]'")


def parse() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description="Training speed and memory against the peers.")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], metavar="N", help="numbers of threads (1 2)")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="passes of each contestant (15)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every time as JSON too")
    parser.add_argument("--layout", nargs="+", choices=LAYOUTS, default=list(LAYOUTS), help="memory layouts of the convolutions (both)")
    parser.add_argument("--network", nargs="+", choices=CASES, default=list(CASES), help="these networks alone")
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), help="a quick look at these alone, judged by no target")
    options = parser.parse_args()
    if min(options.threads) < 1:
        parser.error(f"--threads {min(options.threads)}: it must be at least 1")
    if options.rounds < MIN_ROUNDS and set(options.only) == set(CONTESTANTS):
        parser.error(f"--rounds {options.rounds}: it must be at least {MIN_ROUNDS}")
    if options.rounds < 2:
        parser.error(f"--rounds {options.rounds}: it must be at least 2")
    if options.json is not None and not options.json.parent.is_dir():
        parser.error(f"--json {options.json}: the folder {options.json.parent} does not exist")
    return options


def main() -> None:
    """Check, measure, print the tables and the verdicts, and write them as JSON where ``--json`` asks for it."""
    options = parse()
    names = [name for name in CONTESTANTS if name in options.only]
    report: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "rounds": options.rounds,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        **machine(),
    }
    report.update(peer_versions(names))
    print(", ".join(f"{key} {value}" for key, value in report.items()) + "\n")
    print("| network | contestant | rate | spikes from the equations | scores | gradient | spikes from ours |")
    print("|---|---|---|---|---|---|---|")
    checks = {case: check(case, names) for case in options.network}
    print("\n| network | threads | layout | contestant | median ms (quartiles) | time / ours | MiB | MiB / ours |")
    print("|---|---|---|---|---|---|---|---|")
    rows: list[Row] = []
    verdicts: list[dict[str, Any]] = []
    for case in options.network:
        # A dense network has no layout to choose.
        layouts = options.layout if CASES[case].convolutional else LAYOUTS[:1]
        for threads, layout in itertools.product(options.threads, layouts):
            measured = measure(case, names, threads, layout, options.rounds)
            show(measured)
            rows += measured
            verdicts += judge(measured) if len(names) == len(CONTESTANTS) else []
    print("\nnot judged: contestants were left out" if len(names) < len(CONTESTANTS) else "")
    for verdict in verdicts:
        print(f"{verdict['target']}: {'met' if verdict['met'] else 'MISSED'}: {verdict['text']}")
    if options.json is not None:
        write_text(options.json, json.dumps({**report, "checks": checks, "rows": rows, "verdicts": verdicts}, indent=1) + "\n")
    raise SystemExit(0 if all(verdict["met"] for verdict in verdicts) else 1)


if __name__ == "__main__":
    main()
