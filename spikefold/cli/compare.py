"""The verb compare: two runs side by side."""

from pathlib import Path

import click

from spikefold.cli.options import PATH, as_json, data_dir_option, examples
from spikefold.cli.progress import progress_bar
from spikefold.cli.tables import Report, show

__all__ = ["compare"]


@click.command(epilog=examples("compare runs/digits examples/models/digits", "compare runs/digits examples/models/digits --samples 100 --json"))
@click.argument("a", type=PATH)
@click.argument("b", type=PATH)
@click.option("--samples", type=click.IntRange(min=1), metavar="N", help="Evaluate both anew, on the first N samples that training held back.")
@data_dir_option
@as_json
def compare(a: Path, b: Path, samples: int | None, data_dir: Path | None, json_only: bool) -> None:
    """Set two finished runs, A and B, side by side: the settings that differ, accuracies, firing rates, estimated energy, size.

    A run without an evaluation of its own is evaluated here. Nothing is written. The test accuracy is there if evaluate --final was run.
    Needs the extra 'train'.
    """
    from spikefold.train.papers.results import shown
    from spikefold.train.runs.compare import compare as run

    with progress_bar() as progress:
        document = run(a, b, samples=samples, data_dir=data_dir, progress=progress)
    report = Report(document)
    names = ("A", "B")
    report.table("runs", names, [(str(a), str(b))])
    report.table("settings that differ", ("setting", *names), [(key, *map(str, values)) for key, values in document["settings_that_differ"].items()])
    report.table(
        "figures (energies are rough estimates)", ("figure", *names),
        [(key.replace("_", " "), *(shown(key, value) for value in values)) for key, values in document["figures"].items()],
    )  # fmt: skip
    rates = document["firing_rates"]
    report.table(
        "firing rates (spikes of a neuron in a timestep) by spiking layer", ("layer", *names),
        [
            (str(i + 1), *(f"{one[i]['layer']}: {one[i]['rate']:.4f}" if i < len(one) else "" for one in rates))
            for i in range(max(map(len, rates)))
        ],
    )  # fmt: skip
    show(report, json_only)
