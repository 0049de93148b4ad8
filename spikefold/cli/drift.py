"""The verb drift: what rounding costs."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from spikefold.cli.inputs import read_run
from spikefold.cli.options import PATH, as_json, data_options, examples
from spikefold.cli.progress import progress_bar
from spikefold.cli.tables import Report, Share, show
from spikefold.data.errors import DataError
from spikefold.data.files import new_folder, write_text
from spikefold.data.shown import percent

__all__ = ["drift"]

SAMPLES = 100
COLUMNS = 10
"""Timesteps of a table that has a column for each; of more, several share one."""


@click.command(
    epilog=examples(
        "drift runs/digits net.safetensors",
        "drift runs/digits net.safetensors --samples 360 --out drift-360",
        "drift runs/digits/model.safetensors net.safetensors --json",
    )
)
@click.argument("run", type=PATH)
@click.argument("net", type=PATH)
@data_options(f"How many samples, from the first; by default {SAMPLES}, or all where there are fewer.")
@click.option("--out", type=PATH, metavar="DIR", help="A new folder for drift.json and drift.svg.")
@as_json
def drift(
    run: Path, net: Path, data_name: str | None, split: str, data_dir: Path | None, samples: int | None, out: Path | None, json_only: bool
) -> None:
    """Say what rounding costs: the integer network NET against RUN (a run's folder, or a float network's file), from which it was folded.

    For every layer: spike flips in each timestep, those of the layer alone, potential error, dead and saturated neurons, clamps, the bits
    used of each width, and memory. Needs no extra.
    """
    from spikefold.analysis.drift import drift as find
    from spikefold.analysis.sample_bytes import sample_bytes
    from spikefold.network.files import network_file
    from spikefold.report.figures import drift_svg
    from spikefold.workflow.batches import batch_size, event_batches
    from spikefold.workflow.samples import data_for, sample_count

    if out is not None and out.exists():
        # Said before the long run, not after it.
        raise DataError(f"{out}: it exists already; choose another name")
    network, integer = read_run(run), network_file.load(net)
    data = data_for(network, data_name, split, data_dir)
    count = sample_count(network, data, min(SAMPLES, len(data)) if samples is None else samples)
    size = batch_size(sample_bytes(network, "drift"))
    with nullcontext() if out is None else new_folder(out) as folder:
        with progress_bar() as progress:
            result = find(network, integer, event_batches(network, data, count, size, "compare with the float network", progress))
        float_accuracy, integer_accuracy = result.accuracies(data.labels[:count])
        accuracy = {"float_accuracy": float_accuracy, "integer_accuracy": integer_accuracy}
        document = {"data": data.name, "split": split, **accuracy, **result.to_dict()}
        if folder is not None:
            write_text(folder / "drift.json", json.dumps(document, indent=2, allow_nan=False) + "\n")
            write_text(folder / "drift.svg", drift_svg(result))
    show(drift_tables(document, str(net)), json_only)


def drift_tables(document: dict[str, Any], title: str) -> Report:
    """Return the tables of a drift report as JSON has it."""
    import numpy as np

    report, layers = Report(document), document["layers"]
    first = document["first_divergence"]
    rows: list[tuple[str, object]] = [
        ("data", f"{document['data']}, {document['samples']:,} samples of the {document['split']} split"),
        ("accuracy, float", Share(document["float_accuracy"])),
        ("accuracy, integer", Share(document["integer_accuracy"])),
        ("samples put in the same class by both", Share(document["agreement"])),
        ("first flip", "none" if first is None else f"timestep {first['timestep']}, layer {first['layer']}"),
    ]
    report.table(title, ("figure", "value"), rows)
    columns = ("layer", "spikes", "in integers", "flips", "of neurons x time", "of spikes", "own flips", "of neurons x time", "first in t", "median")
    spiking = [layer for layer in layers if "flips" in layer]
    rows_of = [
        (
            layer["name"], layer["spikes"]["float"], layer["spikes"]["integer"], layer["flips"], _share(layer["flip_share"]),
            _share(layer["flips_per_spike"]), layer["own_flips"], _share(layer["own_flip_share"]), _or_none(layer["first_flip"]),
            _or_none(layer["median_first_flip"]),
        )
        for layer in spiking
    ]  # fmt: skip
    report.table("spikes that flip; own: of the layer fed as the float one", columns, rows_of)
    parts = np.array_split(np.arange(document["timesteps"]), min(COLUMNS, document["timesteps"]))
    times = [f"t = {p[0]}" if len(p) == 1 else f"t = {p[0]}..{p[-1]}" for p in parts]
    # The timesteps of a column have the same neurons, so their mean share is that of all.
    shares = [np.array(layer["timesteps"]["flip_share"]) for layer in spiking]
    report.table(
        "share of neurons that flip in each timestep", ("layer", *times),
        [(layer["name"], *(_share(float(share[p].mean())) for p in parts)) for layer, share in zip(spiking, shares, strict=True)],
    )  # fmt: skip
    report.table(
        "potentials, up to a neuron's first flip; neurons (float / integer)",
        ("layer", "neurons", "error", "own error", "of the", "dead", "saturated", "clamps"),
        [
            (
                layer["name"], layer["neurons"], layer["potential_error"], layer["own_potential_error"], layer["error_unit"],
                *(f"{layer[k]['float']:,} / {layer[k]['integer']:,}" if k in layer else "-" for k in ("dead", "saturated")), layer["clamps"],
            )
            for layer in layers
        ],
    )  # fmt: skip
    report.table(
        "values that were reached, and the bits that hold them", ("layer", "part", "least", "greatest", "bits used", "bits there"),
        [(layer["name"], r["part"], r["least"], r["greatest"], r["used_bits"], r["bits"]) for layer in layers for r in layer["ranges"]],
    )  # fmt: skip
    kinds = [kind for kind in dict.fromkeys(kind for layer in layers for kind in layer["memory_bits"]) if kind != "all"]
    kinds = [kind for kind in kinds if any(layer["memory_bits"].get(kind) for layer in layers)]
    memory = [(layer["name"], *(layer["memory_bits"].get(kind, 0) for kind in (*kinds, "all"))) for layer in layers]
    report.table("memory in bits", ("layer", *(kind.replace("_", " ") for kind in kinds), "all"), memory)
    return report


def _share(value: float | None) -> str:
    return "-" if value is None else percent(value, 3)


def _or_none(value: int | None) -> object:
    return "none" if value is None else value
