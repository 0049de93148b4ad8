"""Synaptic operations per second on one thread: the simulator, next to NumPy, torch and a roofline, in one run on the same events.

``python -m benchmarks.throughput [--out result.json] [--repeats N]`` prints a Markdown table. An operation is one weight added to one neuron for
one event; every execution of a network is credited with the same count, whatever it computes to get there. Times are the process's CPU time,
which other work on the machine disturbs less than the clock on the wall. No time is taken before all executions have given the same spikes.
"""

import argparse
import datetime
import json
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import threadpool_limits

from benchmarks.kernels import add_rows, walk_layer
from benchmarks.networks import LAYERS, build
from benchmarks.peers import NumpyLoop, Result, TorchFolded
from spikefold.chip.architecture import Architecture
from spikefold.chip.config import ChipConfig
from spikefold.chip.core import CorePlan
from spikefold.chip.placement import place
from spikefold.data.files import write_text
from spikefold.data.provenance import versions
from spikefold.data.shown import percent
from spikefold.network.trace import Trace
from spikefold.sim.engine import Chip
from spikefold.sim.layers import channels_last, fan_out_of

SEED = 0
TIMESTEPS = 16
RATES = (0.02, 0.1, 0.3)
CHIP = ChipConfig(name="benchmark", architecture=Architecture(weight_bits_per_core=1 << 24))
ROOFLINE_ROWS, ROOFLINE_NEURONS = 8, 1024
"""8 KiB of weights and 4 KiB of currents lie in the first-level cache."""
CACHE_LINE_BYTES = 64

Row = dict[str, Any]


def measure(executions: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Return the CPU seconds of each of ``repeats`` runs; the executions take turns, so that a noisy moment meets all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in executions}
    for _ in range(repeats):
        for name, run in executions.items():
            start = time.process_time()
            run()
            seconds[name].append(time.process_time() - start)
    return seconds


def roofline(operations: int) -> Callable[[], None]:
    """Return a run of about ``operations`` additions of an int8 weight to an int32 current, in the first-level cache and on whole cache lines."""
    rng = np.random.default_rng(SEED)
    weights, current = aligned((ROOFLINE_ROWS, ROOFLINE_NEURONS), np.int8), aligned((ROOFLINE_NEURONS,), np.int32)
    weights[:] = rng.integers(-128, 128, weights.shape)
    add_rows(weights, current, 1)
    if not np.array_equal(current, weights.sum(0, dtype=np.int32)):
        raise SystemExit("error: the roofline's sums are wrong")
    return partial(add_rows, weights, current, round(operations / weights.size))


def aligned(shape: tuple[int, ...], dtype: type[np.generic]) -> npt.NDArray[Any]:
    """Return zeros that begin on a cache line."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.zeros(size + CACHE_LINE_BYTES, np.uint8)
    start = -room.ctypes.data % CACHE_LINE_BYTES
    return room[start : start + size].view(dtype).reshape(shape)


def fan_out(plan: CorePlan, source: npt.NDArray[Any]) -> Callable[[], int]:
    """Return a run of the simulator's ``accumulate`` alone, over one layer's events [N, T, C, H, W]: what the roofline bounds."""
    payloads, walked = channels_last(source.astype(np.int8)), fan_out_of(plan)
    current = np.zeros(plan.shape[1] * plan.shape[2] * walked.run, np.int32)
    return partial(walk_layer, payloads.reshape(-1, *payloads.shape[2:]), walked, current)


def check(name: str, trace: Trace, result: Result) -> None:
    """End the program unless ``result`` has the spikes and final potentials of ``trace``."""
    for layer, expected, got in zip(trace.populations, trace.spikes, result.spikes, strict=True):
        if not np.array_equal(expected, got):
            wrong = np.count_nonzero(expected != got)
            raise SystemExit(f"error: {name}, layer {layer!r}: {wrong} of {expected.size} spikes differ from the simulator's")
    if not np.array_equal(trace.scores, result.potentials):
        raise SystemExit(f"error: {name}: the final potentials differ from the simulator's")


def compare(name: str, rate: float, repeats: int) -> list[Row]:
    """Measure one network at one rate: a row for each execution."""
    benchmark = build(name, rate, TIMESTEPS, SEED)
    network, events = benchmark.network, benchmark.events
    chip = Chip(place(network, CHIP))
    peers: dict[str, NumpyLoop | TorchFolded] = {
        "NumPy int32, step by step": NumpyLoop(network, np.int32),
        "NumPy float32, step by step": NumpyLoop(network, np.float32),
        "torch float32, timesteps folded": TorchFolded(network),
    }
    trace = chip.run(events)
    if trace.sops is None:
        raise SystemExit("error: the simulator counted no operations")
    for peer, other in peers.items():
        check(f"{name} at {percent(rate, 0)}, {peer}", trace, other.run(events))
    of_layer = trace.sops.sum(0)
    operations, busiest = int(of_layer.sum()), int(of_layer.argmax())
    plan = chip.placement.cores[busiest]
    walk = fan_out(plan, (events, *trace.spikes)[busiest])
    if walk() * plan.shape[0] != of_layer[busiest]:
        raise SystemExit(f"error: {name} at {percent(rate, 0)}: the fan-out alone walks another number of operations than {of_layer[busiest]}")
    alone = f"fan-out alone, busiest layer, runs of {plan.groups * plan.lanes}"
    executions: dict[str, Callable[[], object]] = {
        "simulator": lambda: chip.run(events, timing=False),
        "simulator, exact timing": lambda: chip.run(events),
        alone: walk,
        **{peer: partial(other.run, events) for peer, other in peers.items()},
        "additions alone (the roofline)": roofline(operations),
    }
    seconds = measure(executions, repeats)
    simulator, fastest = (statistics.median(seconds[e]) for e in ("simulator", "additions alone (the roofline)"))
    rows = []
    for execution, times in seconds.items():
        median, done = statistics.median(times), int(of_layer[busiest]) if execution == alone else operations
        rows.append({
            "network": name, "rate": rate, "rates": benchmark.rates, "samples": len(events), "timesteps": TIMESTEPS, "operations": done,
            "execution": execution, "seconds": times, "median_s": median, "min_s": min(times), "max_s": max(times),
            "operations_per_second": done / median, "times_simulator": median / simulator,
            "share_of_roofline": done / median / (operations / fastest),
        })  # fmt: skip
    return rows


def machine() -> dict[str, str]:
    """Return the processor and the versions that the figures belong to."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {"cpu": names[0] if names else platform.machine(), **versions("python", "spikefold", "numpy", "numba", "torch")}


def main() -> None:
    """Measure, print the table, and write it as JSON where ``--out`` asks for it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description="Synaptic operations per second on one thread.")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write every time as JSON too")
    parser.add_argument("--repeats", type=int, default=15, metavar="N", help="runs of each execution (15)")
    parser.add_argument("--network", nargs="+", choices=LAYERS, default=list(LAYERS), help="these networks alone")
    parser.add_argument("--rate", nargs="+", type=float, default=list(RATES), metavar="SHARE", help="these rates alone (0.02 0.1 0.3)")
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error(f"--repeats {options.repeats}: it must be at least 1")
    if not all(0 < rate <= 1 for rate in options.rate):
        parser.error(f"--rate {options.rate}: each must be above 0 and at most 1")
    if options.out is not None and not options.out.parent.is_dir():
        parser.error(f"--out {options.out}: the folder {options.out.parent} does not exist")
    torch.set_num_threads(1)
    with threadpool_limits(limits=1):
        report = {"date": datetime.date.today().isoformat(), "seed": SEED, "repeats": options.repeats, **machine()}
        print(", ".join(f"{key} {value}" for key, value in report.items()) + "\n")
        print("| network | rate | M operations | execution | median ms (min to max) | G operations/s | time / simulator's | of roofline |")
        print("|---|---|---|---|---|---|---|---|")
        rows: list[Row] = []
        for name in options.network:
            for rate in options.rate:
                for row in compare(name, rate, options.repeats):
                    rows.append(row)
                    times = f"{row['median_s'] * 1e3:.1f} ({row['min_s'] * 1e3:.1f} to {row['max_s'] * 1e3:.1f})"
                    print(
                        f"| {name} | {percent(rate, 0)} | {row['operations'] / 1e6:.1f} | {row['execution']} | {times} | "
                        f"{row['operations_per_second'] / 1e9:.2f} | {row['times_simulator']:.2f} | {percent(row['share_of_roofline'], 0)} |",
                        flush=True,
                    )
    if options.out is not None:
        write_text(options.out, json.dumps({**report, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
