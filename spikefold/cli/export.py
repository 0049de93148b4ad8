"""The verb export: a float network as a NIR graph."""

from pathlib import Path

import click

from spikefold.cli.inputs import read_run
from spikefold.cli.options import PATH, as_json, examples
from spikefold.cli.tables import Report, show
from spikefold.data.files import MODEL, check_output

__all__ = ["export"]


@click.command(epilog=examples("export hard.safetensors --out hard.nir", "export hard.safetensors --out slow.nir --dt 1e-3"))
@click.argument("run", type=PATH)
@click.option("--out", type=PATH, required=True, metavar="NET.nir", help="The NIR graph, an HDF5 file.")
@click.option("--dt", type=float, default=1e-4, show_default=True, help="The length of a timestep; what snnTorch and SpikingJelly take for granted.")
@click.option("--force", is_flag=True, help="Replace the file that is there.")
@as_json
def export(run: Path, out: Path, dt: float, force: bool, json_only: bool) -> None:
    """Write the float network of RUN (a run's folder, or its file) as a NIR graph that 'spikefold import' reads back as the same network.

    NIR carries a hard reset and nothing that changes from timestep to timestep; soft resets, BNTT, residual connections and other neurons are
    refused by name, and a static normalisation goes into the weights. What other readers of the file will not know is said.
    Needs the extra 'nir'.
    """
    from spikefold.train.importers.nir_export import export_nir

    check_output(out, force=force, inputs=[run / MODEL if run.is_dir() else run])
    exported = export_nir(read_run(run), out, dt)
    document = {"graph": out.name, "source": str(run), "dt": dt, "folded": list(exported.folded), "unsaid": list(exported.unsaid)}
    report = Report(document | {"layers": [layer.name for layer in exported.network.layers]})
    rows = [("source", str(run)), ("dt", f"{dt:g}"), ("normalisation now in the weights", ", ".join(exported.folded) or "none")]
    report.table(str(out), ("field", "value"), [*rows, *(("what other readers will not know", text) for text in exported.unsaid)])
    show(report, json_only)
