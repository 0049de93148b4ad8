"""The verbs about the chip: simulate, generate, verify."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spikefold.cli.model import describe_build
from spikefold.cli.output import (
    COMPARISON_COLUMNS,
    DIFFERENT,
    PATH,
    Report,
    Share,
    Simulator,
    as_json,
    chip_option,
    comparison_rows,
    data_options,
    examples,
    force_file_option,
    note,
    progress_bar,
    read_chip,
    show,
    show_and_write,
    simulator_option,
)
from spikefold.data.files import SUMMARY, check_output, new_folder, write_text

if TYPE_CHECKING:
    from spikefold.workflow.flow import Simulation

__all__ = ["generate", "simulate", "verify"]


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
    from spikefold.network.files import network_file
    from spikefold.report.figures import firing_svg
    from spikefold.workflow import flow

    network, chip = network_file.load(net), read_chip(chip_path)
    data = flow.data_for(network, data_name, split, data_dir)
    count = flow.sample_count(network, data, samples)
    needed = flow.estimate_bytes(network, chip, samples=count, trace_samples=trace_samples, potentials=potentials)
    note(f"{count} samples; about {max(1, needed >> 20):,} MB of memory")
    with new_folder(out, force=force) as folder:
        with progress_bar() as progress:
            result = flow.simulate(
                network, chip, data, samples=samples, trace_samples=trace_samples, potentials=potentials, strict=strict, progress=progress
            )
        write_text(folder / SUMMARY, json.dumps(result.summary(), indent=2) + "\n")
        write_text(folder / "firing.svg", firing_svg(network, result.spikes, len(result.predictions)))
        flow.write_trace(result.trace, folder / "trace.npz")
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


@click.command(
    epilog=examples("generate net.safetensors --out build", "generate net.safetensors --chip examples/chips/ecp5.toml --out build --force")
)
@click.argument("net", type=PATH)
@chip_option
@data_options("Samples, from the first, that become the vectors of the bench that checks itself; by default those that touch most of the memories.")
@click.option("--top", metavar="NAME", help="Name of the top module, with which the names of all modules begin; by default spikefold.")
@click.option("--out", type=PATH, required=True, metavar="BUILD", help="A new folder for the Verilog, its memory files and the manifest.")
@click.option("--force", is_flag=True, help="Replace the folder.")
@as_json
def generate(
    net: Path, chip_path: Path | None, data_name: str | None, split: str, data_dir: Path | None, samples: int | None, top: str | None, out: Path,
    force: bool, json_only: bool,
) -> None:  # fmt: skip
    """Write the chip for the integer network NET as Verilog.

    BUILD gets the Verilog with its memory files, a bench that checks itself in any Verilog simulator, and a manifest with
    the hash of every file. The same input gives the same bytes. Needs the extras 'sim' and 'hw', and no torch.
    """
    from spikefold.network.files import network_file
    from spikefold.workflow import flow
    from spikefold.workflow import verification as rtl

    network, chip = network_file.load(net), read_chip(chip_path)
    data = flow.data_for(network, data_name, split, data_dir)
    with new_folder(out, force=force) as folder:
        rtl.generate(network, chip, data, folder, samples=samples, top=top)
    show(describe_build(out), json_only)


@click.command(epilog=examples("verify build --samples 20 --out result.json", "verify build --samples 200 --simulator verilator"))
@click.argument("build", type=PATH)
@data_options("How many samples, from the first; by default 20.")
@simulator_option
@click.option("--strict", is_flag=True, help="Status 1 too if a file of the build is not as it was generated.")
@click.option("--out", type=PATH, metavar="RESULT.json", help="Write the result there too.")
@force_file_option
@as_json
def verify(
    build: Path,
    data_name: str | None,
    split: str,
    data_dir: Path | None,
    samples: int | None,
    simulator: Simulator,
    strict: bool,
    out: Path | None,
    force: bool,
    json_only: bool,
) -> None:
    """Run the Verilog in BUILD and compare all that it does with the reference and the simulated chip.

    Every spike, potential and score, every event's arrival and every step's cycles. Status 1 if anything differs. Files that
    are not as they were generated are named in a warning; with --strict that is status 1 too.
    Needs the extras 'sim' and 'hw' and the simulator, and no torch.
    """
    from spikefold.workflow import flow
    from spikefold.workflow import verification as rtl

    if out is not None:
        check_output(out, force=force, inputs=[build])
    network = rtl.read_build(build).network
    data = flow.data_for(network, data_name, split, data_dir)
    with progress_bar() as progress:
        result = rtl.verify(build, data, samples=samples or 20, simulator=simulator, progress=progress)
    report = Report(result.summary())
    report.table(str(build), COMPARISON_COLUMNS, [*comparison_rows("reference", result.reference), *comparison_rows("simulator", result.simulated)])
    if result.changed:
        report.table("warning", ("file that is not as it was generated, and was run as it is",), [(name,) for name in result.changed])
        note(f"warning: {build}: not as it was generated: {', '.join(result.changed)}; the samples that were run need not reach what was changed")
    show_and_write(report, json_only, out, json.dumps(report.document, indent=2) + "\n", force=force)
    if not result.equal or (strict and result.changed):
        raise SystemExit(DIFFERENT)
