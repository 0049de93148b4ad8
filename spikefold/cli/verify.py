"""The verb verify: a build's Verilog, run and compared."""

import json
from pathlib import Path

import click

from spikefold.cli.comparisons import COMPARISON_COLUMNS, DIFFERENT, comparison_rows
from spikefold.cli.options import PATH, Simulator, as_json, data_options, examples, force_file_option, simulator_option
from spikefold.cli.progress import note, progress_bar
from spikefold.cli.tables import Report, show_and_write
from spikefold.data.files import check_output

__all__ = ["verify"]


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
    from spikefold.workflow.build import read_build
    from spikefold.workflow.samples import data_for
    from spikefold.workflow.verification import verify as run

    if out is not None:
        check_output(out, force=force, inputs=[build])
    network = read_build(build).network
    data = data_for(network, data_name, split, data_dir)
    with progress_bar() as progress:
        result = run(build, data, samples=samples or 20, simulator=simulator, progress=progress)
    report = Report(result.summary())
    report.table(str(build), COMPARISON_COLUMNS, [*comparison_rows("reference", result.reference), *comparison_rows("simulator", result.simulated)])
    if result.changed:
        report.table("warning", ("file that is not as it was generated, and was run as it is",), [(name,) for name in result.changed])
        note(f"warning: {build}: not as it was generated: {', '.join(result.changed)}; the samples that were run need not reach the change")
    show_and_write(report, json_only, out, json.dumps(report.document, indent=2) + "\n", force=force)
    if not result.equal or (strict and result.changed):
        raise SystemExit(DIFFERENT)
