"""The long comparison: random networks through reference, simulator and emitted Verilog.

``python -m tests.equivalence.deep [--networks 1000] [--rtl 100] [--verilator 30] [--seed S] [--out FILE]``. Of the networks, every tenth is
large; the Verilog runs small ones, their inferences back-to-back, with gaps and isolated: once with the host always ready, where every cycle and
arrival is compared, and once with idle inputs and blocked outputs. It prints what was compared, and exits with 1 on any difference, on
a boundary that was never met, or where too few networks fire.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.cases import CASES
from tests.equivalence.check import Check, check_reference, check_rtl, check_simulator
from tests.random_networks import BOUNDARIES, Case, boundary_statistics, firing_rates, random_case

__all__ = ["Tally", "main"]

KINDS = ("spikes", "potentials", "scores", "cycles", "arrivals")
FIRING = (0.02, 0.60)
LIVELY_LEAST = 0.8


@dataclass(kw_only=True)
class Tally:
    """What one comparison has done so far."""

    name: str
    networks: int = 0
    compared: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    differing: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    networks_differing: int = 0
    first: str | None = None
    seconds: float = 0.0

    def add(self, case: Case, check: Check) -> None:
        """Run ``check`` on a case and count."""
        began = time.perf_counter()
        comparison, _, _ = check(case)
        self.seconds += time.perf_counter() - began
        self.networks += 1
        for kind, count in comparison.compared.items():
            self.compared[kind] = self.compared.get(kind, 0) + count
            self.differing[kind] = self.differing.get(kind, 0) + comparison.differing[kind]
        if comparison.first is not None:
            self.networks_differing += 1
            self.first = self.first or f"{case.name}: {comparison.first}"


def run_all(tally: Tally, cases: Iterable[Case], check: Check, total: int, console: Console) -> Tally:
    """Run one comparison over its cases."""
    for case in track(cases, description=tally.name, total=total, console=console, transient=True):
        tally.add(case, check)
    return tally


def summary(tallies: Sequence[Tally]) -> Table:
    table = Table(title="Equivalence")
    for column in ("comparison", "networks", *KINDS, "differences", "seconds"):
        table.add_column(column, justify="left" if column == "comparison" else "right")
    for tally in tallies:
        counts = [f"{tally.compared[kind]:,}" if tally.compared[kind] else "" for kind in KINDS]
        table.add_row(tally.name, str(tally.networks), *counts, f"{sum(tally.differing.values()):,}", f"{tally.seconds:.0f}")
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.equivalence.deep", description="Compare reference, simulator and Verilog at length.")
    parser.add_argument("--networks", type=int, default=1000, help="random networks through reference and simulator")
    parser.add_argument("--rtl", type=int, default=100, help="random networks through the Verilog, in Icarus")
    parser.add_argument("--verilator", type=int, default=30, help="random networks through the Verilog, in Verilator")
    parser.add_argument("--seed", type=int, default=0, help="the first network's seed")
    parser.add_argument("--out", type=Path, help="a JSON file for the result")
    options = parser.parse_args(arguments)
    if min(options.networks, options.rtl, options.verilator, options.seed) < 0 or options.networks < 1:
        parser.error("--networks must be at least 1, the other numbers at least 0")
    # A log has no width of its own; the table needs this much.
    console = Console(width=None if sys.stdout.isatty() else 140)
    seeds = range(options.seed, options.seed + options.networks)
    boundaries, lively = dict.fromkeys(BOUNDARIES, 0), 0

    def networks() -> Iterable[Case]:
        nonlocal lively
        for seed in seeds:
            case = random_case(seed, small=seed % 10 != 0)
            lively += all(FIRING[0] <= rate <= FIRING[1] for rate in firing_rates(case))
            for name, count in boundary_statistics(case).items():
                boundaries[name] += count
            yield case

    def hardware(count: int, skip: int) -> Iterable[Case]:
        return (random_case(options.seed + skip + n, small=True) for n in range(count))

    tallies = [
        run_all(Tally(name="oracle and reference"), CASES, check_reference, len(CASES), console),
        run_all(Tally(name="reference and simulator"), networks(), check_simulator, options.networks, console),
    ]
    simulator: Any
    for simulator, count, skip in (("icarus", options.rtl, 0), ("verilator", options.verilator, options.rtl)):
        if count:
            check = partial(check_rtl, simulator=simulator, stalled=True)
            tallies.append(run_all(Tally(name=f"simulator and Verilog, {simulator}"), hardware(count, skip), check, count, console))
    return conclude(options, tallies, boundaries, lively / options.networks, console)


def conclude(options: argparse.Namespace, tallies: Sequence[Tally], boundaries: dict[str, int], lively: float, console: Console) -> int:
    """Print and write the result; return the exit status."""
    console.print(summary(tallies))
    statistics = Table(title=f"Boundaries met by {options.networks} networks")
    statistics.add_column("boundary")
    statistics.add_column("times", justify="right")
    for name, count in boundaries.items():
        statistics.add_row(name, f"{count:,}")
    console.print(statistics)
    console.print(f"{lively:.1%} of the networks have {FIRING[0]:.0%}–{FIRING[1]:.0%} of their neurons firing in every layer")
    failures = [f"{tally.name}: {tally.networks_differing} networks differ; {tally.first}" for tally in tallies if tally.first is not None]
    failures += [f"no network met: {name}" for name, count in boundaries.items() if count == 0]
    failures += [f"only {lively:.1%} of the networks are lively; at least {LIVELY_LEAST:.0%} are needed"] if lively < LIVELY_LEAST else []
    for failure in failures:
        console.print(f"FAILED: {failure}", style="red", markup=False)
    if options.out is not None:
        found = {
            "comparisons": [
                {"name": t.name, "networks": t.networks, "compared": t.compared, "differing": t.differing, "first": t.first} for t in tallies
            ],
            "boundaries": boundaries,
            "lively": lively,
            "seed": options.seed,
            "failures": failures,
        }  # fmt: skip
        options.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
