"""The fold's matrix: every kind of network, folded in float64 and in integers, and held against what it was made of.

``python -m tests.equivalence.matrix [--networks 1000] [--integer 100] [--rtl 0] [--grids 20] [--only WORDS] [--out FILE]
[--markdown FILE]``. For each
cell (normalisation, neuron, reset, coding, topology) it evaluates ``--networks`` random float networks directly and folded (both forms),
and counts spikes that differ; ``--integer`` of them are also folded to integers and run in reference and simulator, every spike and
potential compared; and ``--rtl`` of those whose cells are run by the cores also as emitted Verilog. A network in which a potential comes
within 1e-9 of its threshold is left out and counted: there float64's own rounding decides. Then come ``--grids`` networks whose weights lie on
grids, with sparse, constant and dead channels: they too are run in reference and simulator, and their weights, which the fold must keep, are
compared with the integers. It exits with 1 on any difference.
"""

import argparse
import itertools
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from spikefold.chip.placement import beyond_cores
from spikefold.data.errors import FoldError
from spikefold.network import reference
from spikefold.network.network import Network
from spikefold.network.trace import compare
from spikefold.quantize.float_evaluation import FloatTrace, evaluate
from spikefold.quantize.float_network import FloatNetwork
from spikefold.quantize.fold import fold
from spikefold.quantize.folded import evaluate_folded
from spikefold.quantize.grids import held_bits
from tests.chips import chip_of
from tests.float_networks import CELLS, TOPOLOGIES, Cell, random_events, random_float_network
from tests.grids import SCALES, moved_weights
from tests.virtual import virtual

__all__ = ["Result", "check_cell", "main"]

TIE = 1e-9
CHIP = chip_of(name="matrix", cores=8, lanes=4)


@dataclass(kw_only=True)
class Result:
    """What came out of one cell: networks, spikes compared and differing in float64, those of the integers, and what was refused."""

    cell: Cell
    networks: int = 0
    folded: int = 0
    ties: int = 0
    spikes: int = 0
    mismatches: int = 0
    fired: int = 0
    integer: int = 0
    values: int = 0
    differences: int = 0
    rtl: int = 0
    rtl_differences: int = 0
    flips: int = 0
    grids: int = 0
    grid_weights: int = 0
    moved_weights: int = 0
    refused: set[str] = field(default_factory=set)
    first: str = ""

    @property
    def equal(self) -> bool:
        """Whether nothing differed."""
        return self.mismatches == self.differences == self.rtl_differences == self.moved_weights == 0

    def to_dict(self) -> dict[str, object]:
        """Return the figures as JSON has them."""
        figures = {name: value for name, value in vars(self).items() if name != "cell"}
        return vars(self.cell) | figures | {"refused": sorted(self.refused)}


def check_cell(cell: Cell, networks: int, *, integer: int, rtl: int, first: int = 0, grids: int = 0) -> Result:
    """Check networks of ``cell``, from the seed ``first`` on: all in float64, the first ones also in integers and as Verilog.

    The place of one with a tie is taken by the next. Then ``grids`` networks are checked whose weights the fold must keep.
    """
    result = Result(cell=cell)
    for seed in itertools.count(first):
        if result.networks == networks:
            break
        rng = np.random.default_rng([*str(cell).encode(), seed])
        network = random_float_network(rng, cell)
        events = random_events(rng, network)
        direct = evaluate(network, events)
        if near_a_tie(network, direct):
            result.ties += 1
            continue
        result.networks += 1
        try:
            all_folded = [evaluate_folded(network, events, form) for form in ("B", "C")]
        except FoldError as error:
            result.refused.add(str(error).partition(": ")[2])
            continue
        result.folded += 1
        result.fired += sum(int(spikes.sum()) for spikes in direct.spikes)
        for form, folded in zip(("B", "C"), all_folded, strict=True):
            result.spikes += sum(spikes.size for spikes in direct.spikes)
            differ = sum(int((a != b).sum()) for a, b in zip(direct.spikes, folded.spikes, strict=True))
            result.mismatches += differ
            if differ and not result.first:
                result.first = f"{cell}, seed {seed}: form {form} gives {differ} other spikes"
        if result.networks <= integer:
            check_integers(result, network, events, direct, f"{cell}, seed {seed}", rtl=result.networks <= rtl)
    for seed in range(first, first + grids):
        check_grids(result, cell, seed)
    return result


def check_grids(result: Result, cell: Cell, seed: int) -> None:
    """Fold a network whose weights lie on grids, or on none in one of four; compare its weights, and reference and simulator."""
    rng = np.random.default_rng([*str(cell).encode(), seed])
    scale = SCALES[seed % len(SCALES)]
    network = random_float_network(rng, cell, scale=scale)
    events, name = random_events(rng, network), f"{cell}, seed {seed}, {scale}"
    # The factors of a norm on the source's channels take a grid away.
    held = {layer.name: bits for layer in network.layers if (bits := held_bits(layer.source_weights)) is not None}
    try:
        integer = fold(network, weight_bits=held).network
    except FoldError as error:
        result.refused.add(str(error).partition(": ")[2])
        return
    result.grids += 1
    stored = {c.target.removesuffix(".drive"): integer.weights_of(c).tensor for c in integer.connections if c.kind != "identity"}
    for layer in network.layers:
        if layer.name in held:
            moved = moved_weights(layer, stored[layer.name])
            result.grid_weights += layer.weights.size
            result.moved_weights += moved
            result.first = result.first or (f"{name}: {moved} weights of {layer.name} left their grid" if moved else "")
    comparison = compare(reference.run(integer, events, potentials=True), virtual(integer, CHIP).run(events, potentials=True, timing=False))
    result.values += sum(comparison.compared.values())
    result.differences += sum(comparison.differing.values())
    result.first = result.first or (f"{name}: {comparison.first}" if comparison.first else "")


def near_a_tie(network: FloatNetwork, trace: FloatTrace) -> bool:
    """Return whether a potential comes so near its threshold that float64's own rounding decides."""
    return any(
        layer.reset != "none" and (np.abs(u - layer.threshold[:, None, None]) < TIE).any()
        for layer, u in zip(network.layers, trace.potentials, strict=True)
    )


def check_integers(result: Result, network: FloatNetwork, events: np.ndarray, direct: FloatTrace, name: str, *, rtl: bool) -> None:
    """Fold to integers, and compare reference, simulator and, where ``rtl`` and the cores can, the emitted Verilog."""
    try:
        integer = fold(network).network
    except FoldError as error:
        result.refused.add(str(error).partition(": ")[2])
        return
    expected = reference.run(integer, events, potentials=True)
    comparison = compare(expected, virtual(integer, CHIP).run(events, potentials=True, timing=False))
    result.integer += 1
    result.values += sum(comparison.compared.values())
    result.differences += sum(comparison.differing.values())
    result.first = result.first or (f"{name}: {comparison.first}" if comparison.first else "")
    spikes = dict(zip(expected.populations, expected.spikes, strict=True))
    result.flips += sum(int((spikes[layer.name] != s).sum()) for layer, s in zip(network.layers, direct.spikes, strict=True))
    if rtl and not beyond_cores(integer):
        result.rtl += 1
        result.rtl_differences += verilog_differences(integer, events)


def verilog_differences(network: Network, events: np.ndarray) -> int:
    """Return how many values and cycles of the emitted Verilog, in Icarus, differ from the simulator's."""
    from spikefold.hw.bench.cosim import run_rtl
    from spikefold.hw.emit.generate import generate

    chip = virtual(network, CHIP)
    expected = chip.run(events, potentials=True)
    with tempfile.TemporaryDirectory(prefix="spikefold-") as name:
        build = Path(name)
        generate(chip.placement, build, events[:1], chip.run(events[:1], potentials=True))
        return sum(compare(expected, run_rtl(build, chip.placement, events)).differing.values())


def rows(results: Sequence[Result]) -> list[tuple[str, ...]]:
    """Return a row for each normalisation, neuron and reset: what its topologies came to, all codings together."""
    groups: dict[tuple[str, str, str], dict[str, list[Result]]] = {}
    for result in results:
        cell = result.cell
        groups.setdefault((cell.norm, cell.neuron, cell.reset), {}).setdefault(cell.topology, []).append(result)
    return [(*key, *(summary(cells.get(topology, [])) for topology in TOPOLOGIES)) for key, cells in groups.items()]


def summary(results: Sequence[Result]) -> str:
    """Say in a few words what came out of some cells."""
    if not results:
        return ""
    total = totals(results)
    if not total["folded"]:
        return "refused"
    words = [f"exact, {total['folded']:,}" if not total["mismatches"] else f"{total['mismatches']:,} SPIKES DIFFER"]
    if any(r.refused for r in results):
        words.append("integers refused" if not total["integer"] else "some integers refused")
    for count, differences, where in (("integer", "differences", "simulator"), ("rtl", "rtl_differences", "Verilog")):
        if total[count]:
            words.append(f"{where} {total[count]:,}" if not total[differences] else f"{total[differences]:,} VALUES DIFFER IN THE {where.upper()}")
    return "; ".join(words)


def totals(results: Sequence[Result]) -> dict[str, int]:
    """Return the sums of all counts."""
    return {name: sum(getattr(r, name) for r in results) for name in COUNTS}


COUNTS = (
    "networks", "folded", "ties", "spikes", "mismatches", "fired", "integer", "values", "differences", "rtl", "rtl_differences", "flips",
    "grids", "grid_weights", "moved_weights",
)  # fmt: skip
HEAD = ("normalisation", "neuron", "reset or refractory response", *TOPOLOGIES)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.equivalence.matrix", description="Fold every kind of network, and compare.")
    parser.add_argument("--networks", type=int, default=1000, help="random networks of each cell, in float64")
    parser.add_argument("--integer", type=int, default=100, help="how many of them also in integers, in reference and simulator")
    parser.add_argument("--rtl", type=int, default=0, help="how many of them also as Verilog, where the cores run them")
    parser.add_argument("--grids", type=int, default=20, help="how many more networks have weights on grids, which the fold must keep")
    parser.add_argument("--only", default="", help="cells whose name has these words, as in 'bntt, lif, soft'")
    parser.add_argument("--seed", type=int, default=0, help="the first network's seed")
    parser.add_argument("--out", type=Path, help="a JSON file for all cells")
    parser.add_argument("--markdown", type=Path, help="a file for the table")
    options = parser.parse_args(arguments)
    if min(options.integer, options.rtl, options.grids, options.seed) < 0 or options.networks < 1:
        parser.error("--networks must be at least 1, the other numbers at least 0")
    cells = [cell for cell in CELLS if options.only in str(cell)]
    if not cells:
        parser.error(f"--only {options.only!r}: no cell has these words; one is {str(CELLS[0])!r}")
    console = Console(width=None if sys.stdout.isatty() else 200)
    results = [
        check_cell(cell, options.networks, integer=options.integer, rtl=options.rtl, first=options.seed, grids=options.grids)
        for cell in track(cells, description="cells", console=console, transient=True)
    ]
    table = Table(title=f"{len(cells)} cells; networks compared, over {len({cell.coding for cell in cells})} codings")
    for column in HEAD:
        table.add_column(column)
    for row in rows(results):
        table.add_row(*row)
    console.print(table)
    for reason in sorted({reason for result in results for reason in result.refused}):
        console.print(f"refused: {reason}", markup=False)
    found = totals(results)
    console.print(", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in found.items()))
    if options.out is not None:
        options.out.write_text(json.dumps({"totals": found, "cells": [r.to_dict() for r in results]}, indent=2) + "\n", encoding="utf-8")
    if options.markdown is not None:
        lines = ["|" + "|".join(row) + "|" for row in (HEAD, ("-",) * len(HEAD), *rows(results))]
        options.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for result in results:
        if result.first:
            console.print(f"FAILED: {result.first}", style="red", markup=False)
    return 0 if all(result.equal for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
