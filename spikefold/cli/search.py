"""The verb search: the fewest weight bits within an accuracy budget."""

from pathlib import Path
from typing import Any

import click

from spikefold.cli.inputs import read_chip
from spikefold.cli.options import PATH, as_json, chip_option, data_dir_option, examples
from spikefold.cli.progress import progress_bar
from spikefold.cli.tables import Report, Share, show
from spikefold.data.files import write_text
from spikefold.data.shown import percent

__all__ = ["search"]

SHOWN = 10
"""Trials within the budget that are in the table; the JSON has all trials."""


@click.command(
    epilog=examples(
        "search runs/digits --out found-digits",
        "search examples/models/fashion_mnist --out found-fashion --budget 1 --trials 100 --samples 2000",
        "search examples/models/fashion_mnist --out found-fashion --budget 1 --trials 200 --samples 2000 --resume",
    )
)
@click.argument("run", type=PATH)
@click.option("--out", type=PATH, required=True, metavar="DIR", help="A new folder for network.safetensors, summary.json and trials.svg.")
@click.option(
    "--budget", type=click.FloatRange(0, 100), default=0.5, show_default=True, metavar="POINTS",
    help="How many percentage points of accuracy may be lost against 8 bits in all layers, on the same samples.",
)  # fmt: skip
@click.option("--trials", type=click.IntRange(1, 10**6), default=50, show_default=True, metavar="N", help="How many choices of bits to try at most.")
@click.option("--least", type=click.IntRange(2, 8), default=2, show_default=True, metavar="BITS", help="The fewest bits that a layer may get.")
@click.option(
    "--samples", type=click.IntRange(min=1), metavar="N",
    help="How many of the samples that training held back, from the first; by default 1000, or all where there are fewer.",
)  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=1, show_default=True, help="Of what is tried; the same seed gives the same result."
)
@click.option("--gain-bits", type=click.IntRange(2, 16), default=12, show_default=True, help="Width of the gains, as quantize has it.")
@click.option(
    "--gain-terms", type=click.IntRange(0, 2), default=0, show_default=True, help="Powers of two in a gain, as quantize has it; 0: any integer."
)
@chip_option
@data_dir_option
@click.option("--resume", is_flag=True, help="Go on with the search in DIR; what it has evaluated is not evaluated again.")
@as_json
def search(
    run: Path, out: Path, budget: float, trials: int, least: int, samples: int | None, seed: int, gain_bits: int, gain_terms: int,
    chip_path: Path | None, data_dir: Path | None, resume: bool, json_only: bool,
) -> None:  # fmt: skip
    """Choose the bits of each layer's weights for the finished training run in the folder RUN: the least memory within an accuracy budget.

    Optuna proposes bits, and each proposal is folded and run on samples that training held back; the test split is not read. Where the
    trials suffice for all choices, all are tried. A search that was interrupted goes on with --resume as if it had not been; one that is
    finished may go on with more --trials, another --budget, --least or --seed. Needs the extras 'train', 'sim' and 'search'.
    """
    from spikefold.report.figures import search_svg
    from spikefold.workflow.search import SearchSettings
    from spikefold.workflow.search import search as find

    settings = SearchSettings(
        budget_points=budget, trials=trials, least_bits=least, samples=samples, seed=seed, gain_bits=gain_bits, gain_terms=gain_terms
    )  # fmt: skip
    with progress_bar() as progress:
        summary = find(run, out, settings, chip=read_chip(chip_path), resume=resume, data_dir=data_dir, progress=progress)
    write_text(out / "trials.svg", search_svg(summary))
    show(search_report(summary, out), json_only)


def search_report(summary: dict[str, Any], out: Path) -> Report:
    """Return the tables of a search."""
    report, chosen, eight = Report(summary), summary["chosen"], summary["eight_bits"]
    tried = summary["tried"]
    impossible = f", {summary['impossible_trials']:,} of these impossible" if summary["impossible_trials"] else ""
    rows: list[tuple[str, object]] = [
        ("data", f"{summary['data']}, {summary['samples']:,} samples that training held back"),
        (
            "trials",
            f"{len(tried):,}, {summary['different_trials']:,} of them different{impossible}; "
            f"{'all that there are' if summary['sampler'] == 'grid' else 'TPE'}",
        ),
        ("budget", f"{summary['budget_points']:g} points"),
        ("accuracy, 8 bits", Share(eight["accuracy"])),
        ("accuracy, chosen", Share(chosen["accuracy"])),
        ("weight memory, 8 bits", f"{eight['memory_bits']:,} bits"),
        ("weight memory, chosen", f"{chosen['memory_bits']:,} bits, {percent(chosen['memory_bits'] / eight['memory_bits'])}"),
    ]
    report.table(str(out), ("figure", "value"), rows)
    layers = [(name, size, chosen["weight_bits"][name], size * chosen["weight_bits"][name]) for name, size in summary["weights"].items()]
    report.table("chosen", ("layer", "weights", "bits", "memory bits"), layers)
    different = sorted((t for t in tried if t["within_budget"] and t["repeats"] is None), key=lambda t: (t["memory_bits"], -t["correct"], t["trial"]))
    report.table(
        "trials within the budget, the least memory first", ("trial", *summary["weights"], "memory bits", "accuracy", "points lost"),
        [(t["trial"], *t["weight_bits"].values(), t["memory_bits"], Share(t["accuracy"]), t["lost_points"]) for t in different[:SHOWN]],
    )  # fmt: skip
    return report
