"""The long comparison of imports: random networks of every kind of module, the framework's own run against the float network, in float64.

``python -m tests.train.importers.deep [--networks 1000] [--kind WORDS] [--seed S] [--out FILE]`` needs the extras ``peers`` and ``nir``. It prints
how many spikes were compared, and exits with 1 on any difference, or where too few layers fire.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from spikefold.quantize.float_evaluation import evaluate
from spikefold.quantize.fold import fold
from spikefold.train.importers import hdf5_child
from spikefold.train.importers.errors import SourceError
from spikefold.train.importers.hdf5_file import decoded
from spikefold.train.importers.modules import import_module, random_events
from spikefold.train.importers.nir_graph import chain_of
from spikefold.train.importers.nir_import import network_of
from tests.grids import SCALES, moved_weights
from tests.train.importers.networks import KINDS, Kind, random_source
from tests.train.importers.nir_sources import CODING, NIR_KINDS, Write

__all__ = ["Tally", "main"]

FIRING = (0.01, 0.99)
LIVELY_LEAST = 0.8
ON_GRIDS = ("snntorch Leaky subtract", "snntorch BatchNormTT1d and 2d", "spikingjelly LIFNode", "spikingjelly BatchNorm1d and 2d")
COLUMNS = ("module kind", "networks", "spikes compared", "networks differing", "layers firing", "float32 flips", "|u - θ| up to", "seconds")


@dataclass(kw_only=True)
class Tally:
    """What the comparison of one kind has done so far; ``margin`` is the largest ``|u - threshold|`` of a neuron that float32 flipped first."""

    name: str
    networks: int = 0
    spikes: int = 0
    differing: int = 0
    first: str | None = None
    layers: int = 0
    lively: int = 0
    flipped: int = 0
    margin: float = 0.0
    seconds: float = 0.0

    def add(self, compare: "Compare", seed: int) -> None:
        """Import a random network; one that is refused counts as one that differs."""
        began = time.perf_counter()
        try:
            found = compare(seed)
        except SourceError as error:
            self.differing += 1
            self.first = self.first or f"network {seed}: {error}"
        else:
            self.spikes += found.spikes
            self.layers += len(found.rates)
            self.lively += sum(FIRING[0] <= rate <= FIRING[1] for rate in found.rates)
            self.flipped += found.flipped
            self.margin = max(self.margin, found.margin)
        self.networks += 1
        self.seconds += time.perf_counter() - began


@dataclass(frozen=True, kw_only=True)
class Equal:
    """What was compared and found equal: spikes, the share of them that fired by layer; and what float32 flips in the source."""

    spikes: int
    rates: tuple[float, ...]
    flipped: int = 0
    margin: float = 0.0


Compare = Callable[[int], Equal]


def compare_live(kind: Kind, seed: int) -> Equal:
    """Hold a live module against its import."""
    source = random_source(kind, seed)
    found = import_module(source.module, coding=source.coding, timesteps=source.timesteps)
    return Equal(
        spikes=sum(found.compared), rates=found.rates, flipped=sum(flips.flipped for flips in found.flips),
        margin=max(flips.margin for flips in found.flips),
    )  # fmt: skip


def compare_grid(kind: Kind, seed: int) -> Equal:
    """Hold a live module whose weights lie on grids against its import, and them against the integers that it folds into."""
    source = random_source(kind, seed, SCALES[1 + seed % (len(SCALES) - 1)])
    found = import_module(source.module, coding=source.coding, timesteps=source.timesteps)
    stored = fold(found.network, weight_bits="keep").network.weights
    for layer, weights in zip(found.network.layers, stored, strict=True):
        if moved := moved_weights(layer, weights.tensor):
            raise SourceError(f"{moved} of {layer.weights.size} weights of {layer.name!r} left their grid")
    return Equal(spikes=sum(found.compared), rates=found.rates)


def compare_nir(write: Write, seed: int) -> Equal:
    """Hold the last spikes of a framework against those of the graph that it wrote."""
    rng = np.random.default_rng(seed)
    timesteps = int(rng.integers(2, 10))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.nir"
        source = write(rng, path)
        # In this process: thousands of others would take hours.
        chain = chain_of(decoded(b"".join(hdf5_child.written(hdf5_child.read(path.read_bytes()))), path.name), path.name)
    network = network_of(chain, CODING, timesteps, source.rules, None, {})
    events = random_events(rng, CODING, timesteps, 8)
    with torch.no_grad():
        sent = source.run(torch.from_numpy(np.moveaxis(events, 0, 1).astype(np.float64))).numpy() > 0.5
    spikes = evaluate(network, events).spikes
    differing = int((np.moveaxis(spikes[-1][..., 0, 0], 1, 0) != sent).sum())
    if differing:
        raise SourceError(f"{differing} of {sent.size} spikes of the last layer differ")
    return Equal(spikes=sent.size, rates=tuple(float(layer.mean()) for layer in spikes))


COMPARISONS: dict[str, Compare] = {
    **{kind.name: partial(compare_live, kind) for kind in KINDS},
    **{f"{kind.name}, on grids": partial(compare_grid, kind) for kind in KINDS if kind.name in ON_GRIDS},
    **{name: partial(compare_nir, write) for name, write in NIR_KINDS.items()},
}


def summary(tallies: Sequence[Tally]) -> Table:
    table = Table(title="Imports against their source framework, float64")
    for column in COLUMNS:
        table.add_column(column, no_wrap=column == COLUMNS[0], justify="left" if column == COLUMNS[0] else "right")
    for t in tallies:
        lively = f"{t.lively / max(1, t.layers):.0%}"
        table.add_row(t.name, f"{t.networks:,}", f"{t.spikes:,}", str(t.differing), lively, str(t.flipped), f"{t.margin:.1e}", f"{t.seconds:.0f}")
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.train.importers.deep", description="Compare imports with their source at length.")
    parser.add_argument("--networks", type=int, default=1000, help="random networks of every kind")
    parser.add_argument("--kind", default="", help="only the kinds whose names have these words")
    parser.add_argument("--seed", type=int, default=0, help="the first network's seed")
    parser.add_argument("--out", type=Path, help="a JSON file for the result")
    options = parser.parse_args(arguments)
    kinds = {name: compare for name, compare in COMPARISONS.items() if options.kind in name}
    if options.networks < 1 or options.seed < 0 or not kinds:
        parser.error("--networks must be at least 1, --seed at least 0, and --kind the words of some kind")
    # A log has no width of its own; the table needs this much.
    console = Console(width=None if sys.stdout.isatty() else 150)
    tallies = []
    for name, compare in kinds.items():
        tally = Tally(name=name)
        for seed in track(range(options.seed, options.seed + options.networks), description=name, console=console, transient=True):
            tally.add(compare, seed)
        tallies.append(tally)
    console.print(summary(tallies))
    lively = sum(t.lively for t in tallies) / max(1, sum(t.layers for t in tallies))
    console.print(f"{lively:.1%} of the layers have {FIRING[0]:.0%}–{FIRING[1]:.0%} of their neurons firing")
    failures = [f"{t.name}: {t.differing} networks differ; {t.first}" for t in tallies if t.differing]
    failures += [f"only {lively:.1%} of the layers fire; at least {LIVELY_LEAST:.0%} are needed"] if lively < LIVELY_LEAST else []
    for failure in failures:
        console.print(f"FAILED: {failure}", style="red", markup=False)
    if options.out is not None:
        found = {"kinds": [asdict(tally) for tally in tallies], "lively": lively, "seed": options.seed, "failures": failures}
        options.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
