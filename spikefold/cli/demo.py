"""The verb demo: the whole way, and one table."""

from pathlib import Path
from typing import Any

import click

from spikefold.cli.comparisons import DIFFERENT, compared_values
from spikefold.cli.inputs import read_chip
from spikefold.cli.options import PATH, Simulator, as_json, chip_option, data_dir_option, examples, simulator_option
from spikefold.cli.progress import progress_bar
from spikefold.cli.tables import Report, Share, show
from spikefold.data.files import new_folder

__all__ = ["demo"]


@click.command(
    epilog=examples(
        "demo --out demo-out",
        "demo --run examples/models/fashion_mnist --out demo-fashion",
        "demo --data fashion-mnist --samples 100 --out demo-out --force",
    )
)
@click.option("--out", type=PATH, required=True, metavar="DIR", help="A new folder for everything that the demo makes.")
@click.option("--run", type=PATH, metavar="RUN", help="A finished training run, to start from there.")
@click.option("--data", "data_name", metavar="NAME", help="digits (the default) or fashion-mnist; with --run what it was trained on.")
@data_dir_option
@chip_option
@click.option("--samples", type=click.IntRange(min=1), metavar="N", help="Samples of the test split to run and compare; by default all.")
@click.option(
    "--rtl-samples", type=click.IntRange(min=1), metavar="N", help="Samples to run in Verilog; by default 20 digits, or 3 of another data set."
)
@simulator_option
@click.option("--force", is_flag=True, help="Replace the folder.")
@as_json
def demo(
    out: Path, run: Path | None, data_name: str | None, data_dir: Path | None, chip_path: Path | None, samples: int | None, rtl_samples: int | None,
    simulator: Simulator, force: bool, json_only: bool,
) -> None:  # fmt: skip
    """Train, quantise, simulate, generate Verilog, and compare all of it.

    Everything stays in DIR: the run, the network, the build, summary.json. Status 1 where anything differs. Needs all extras.
    """
    from spikefold.workflow.demo import demo as go

    with new_folder(out, force=force) as folder, progress_bar() as progress:
        summary = go(
            folder, run=run, data_name=data_name, data_dir=data_dir, chip=read_chip(chip_path), samples=samples, rtl_samples=rtl_samples,
            simulator=simulator, progress=progress,
        )  # fmt: skip
    show(demo_report(summary, out), json_only)
    if not summary["equal"]:
        raise SystemExit(DIFFERENT)


def demo_report(summary: dict[str, Any], out: Path) -> Report:
    """Return the demo's tables."""
    report = Report(summary)
    simulation = summary["simulation"]
    rows: list[tuple[str, object]] = [
        ("data", f"{summary['data']}, {summary['samples']:,} test samples"),
        ("accuracy of the float network", Share(summary["float_accuracy"])),
        ("accuracy of the integer network", Share(summary["integer_accuracy"])),
        ("clock cycles per inference, mean", f"{simulation['cycles_per_inference']['mean']:,.0f}"),
        ("synaptic operations per inference, mean", f"{simulation['sops_per_inference']:,.0f}"),
    ]
    for title, key in (
        ("reference = simulator", "reference_vs_simulator"),
        ("reference = Verilog", "reference_vs_rtl"),
        ("simulator = Verilog", "simulator_vs_rtl"),
    ):
        found = summary[key]
        compared = ", ".join(
            f"{count:,} {compared_values(name.removesuffix('_compared'))}" for name, count in found.items() if name.endswith("_compared")
        )
        outcome = "no difference" if not found["differences"] else f"{found['differences']:,} DIFFERENCES, the first: {found['first_difference']}"
        rows.append((title, f"{outcome} in {found['samples']:,} samples; compared: {compared}"))
    right = ", ".join(f"{name} {x['correct']}/{x['samples']}" for name, x in simulation["classes"].items())
    rows.append(("right in each class", right))
    rows.append(("seconds", ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in summary["seconds"].items())))
    report.table(str(out), ("what", "result"), rows)
    return report
