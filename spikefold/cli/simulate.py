"""The verb simulate: a data set on the simulated chip."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spikefold.cli.inputs import read_chip
from spikefold.cli.options import PATH, as_json, chip_option, data_options, examples
from spikefold.cli.progress import note, progress_bar
from spikefold.cli.tables import Report, Share, show
from spikefold.data.files import SUMMARY, new_folder, write_text

if TYPE_CHECKING:
    from spikefold.workflow.simulation import Simulation

__all__ = ["simulate"]


@click.command(
    epilog=examples(
        "simulate net.safetensors --out digits-sim",
        "simulate net.safetensors --chip examples/chips/ecp5.toml --data digits --samples 100 --potentials --out digits-ecp5",
    )
)
@click.argument("net", type=PATH)
@chip_option
@data_options("How many samples, from the first; by default all.")
@click.option("--out", type=PATH, required=True, metavar="DIR", help="A new folder for summary.json, trace.npz and firing.svg.")
@click.option("--trace-samples", type=click.IntRange(min=1), default=10, show_default=True, metavar="N", help="Samples whose whole trace is kept.")
@click.option("--potentials", is_flag=True, help="Keep the membrane potentials in the trace too.")
@click.option("--strict", is_flag=True, help="End with an error where a potential is clamped to its width.")
@click.option("--force", is_flag=True, help="Replace the folder.")
@as_json
def simulate(
    net: Path, chip_path: Path | None, data_name: str | None, split: str, data_dir: Path | None, samples: int | None, out: Path, trace_samples: int,
    potentials: bool, strict: bool, force: bool, json_only: bool,
) -> None:  # fmt: skip
    """Run the integer network NET on the simulated chip, to the clock cycle.

    Needs the extra 'sim', and no torch.
    """
    from spikefold.chip.placement import place
    from spikefold.network.files import network_file
    from spikefold.report.figures import firing_svg
    from spikefold.workflow.samples import data_for, sample_count
    from spikefold.workflow.simulation import peak_bytes
    from spikefold.workflow.simulation import simulate as run
    from spikefold.workflow.trace_file import write_trace

    placement = place(network_file.load(net), read_chip(chip_path), untimed=True)
    network = placement.network
    data = data_for(network, data_name, split, data_dir)
    count = sample_count(network, data, samples)
    needed = peak_bytes(placement, samples=count, trace_samples=trace_samples, potentials=potentials)
    note(f"{count} samples; about {max(1, needed >> 20):,} MB of memory")
    with new_folder(out, force=force) as folder:
        with progress_bar() as progress:
            result = run(placement, data, samples=samples, trace_samples=trace_samples, potentials=potentials, strict=strict, progress=progress)
        write_text(folder / SUMMARY, json.dumps(result.summary(), indent=2) + "\n")
        write_text(folder / "firing.svg", firing_svg(network, result.spikes, len(result.predictions)))
        write_trace(result.trace, folder / "trace.npz")
    show(simulation_report(result, out), json_only)


def simulation_report(result: "Simulation", out: Path) -> Report:
    """Return the tables of a simulation."""
    summary = result.summary()
    cycles = summary["cycles_per_inference"]
    report = Report(summary)
    if cycles is None:
        times = [("cycles per inference", f"not timed: {summary['untimed']}")]
    else:
        least_and_most = f"{cycles['least']:,} and {cycles['most']:,}"
        times = [("cycles per inference, mean", cycles["mean"]), ("cycles per inference, least and most", least_and_most)]
    rows = [
        ("samples", summary["samples"]),
        ("accuracy", Share(summary["accuracy"])),
        *times,
        ("synaptic operations per inference", summary["sops_per_inference"]),
        ("clamped values", summary["clamps"]),
    ]
    report.table(str(out), ("figure", "value"), rows)
    layers = [(x["name"], x["neurons"], x["spikes"], x["firing_rate"], x["sops"], x["clamps"]) for x in summary["layers"]]
    report.table("layers", ("layer", "neurons", "spikes", "spikes per neuron and timestep", "synaptic operations", "clamped values"), layers)
    classes = [(name, x["samples"], x["correct"]) for name, x in summary["classes"].items()]
    report.table("classes", ("class", "samples", "right"), classes)
    return report
