"""The verb generate: the chip as Verilog."""

from pathlib import Path

import click

from spikefold.cli.descriptions import describe_build
from spikefold.cli.inputs import read_chip
from spikefold.cli.options import PATH, as_json, chip_option, data_options, examples
from spikefold.cli.tables import show
from spikefold.data.files import new_folder

__all__ = ["generate"]


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
    from spikefold.chip.placement import place
    from spikefold.network.files import network_file
    from spikefold.workflow.build import generate as write
    from spikefold.workflow.samples import data_for

    network = network_file.load(net)
    data = data_for(network, data_name, split, data_dir)
    placement = place(network, read_chip(chip_path))
    with new_folder(out, force=force) as folder:
        write(placement, data, folder, samples=samples, top=top)
    show(describe_build(out), json_only)
