"""The verb info: the description of a file or folder."""

from pathlib import Path
from typing import Any

import click

from spikefold.cli.descriptions import describe
from spikefold.cli.inputs import read_chip
from spikefold.cli.options import PATH, as_json, examples
from spikefold.cli.tables import Report, show
from spikefold.data.errors import DataError

__all__ = ["info"]


@click.command(epilog=examples("info net.safetensors --chip examples/chips/up5k.toml", "info examples/chips/up5k.toml", "info runs/digits --json"))
@click.argument("file", type=PATH)
@click.option("--chip", "chip_path", type=PATH, metavar="CHIP.toml", help="For an integer network: estimate what each layer takes of this chip.")
@as_json
def info(file: Path, chip_path: Path | None, json_only: bool) -> None:
    """Describe FILE: an integer or float network, a chip, a recipe, or the folder of a run or a build."""
    report = describe(file)
    if chip_path is not None:
        if report.document["kind"] != "network":
            raise DataError(f"{file}: --chip is for an integer network; this is of the kind {report.document['kind']!r}")
        add_cores(report, file, chip_path)
    show(report, json_only)


def add_cores(report: Report, path: Path, chip_path: Path) -> None:
    """Add the memories and multipliers of each layer of the network in ``path``.

    A ChipError names the layer that does not fit.
    """
    from spikefold.chip.placement import place
    from spikefold.chip.resources import block_rams, core_memories, multipliers
    from spikefold.network.files import network_file

    network, chip = network_file.load(path), read_chip(chip_path)
    cores: list[dict[str, Any]] = []
    for plan in place(network, chip).cores:
        memories = core_memories(network, plan, chip.architecture)
        cores.append(
            {
                "layer": plan.name,
                "neuron_words": plan.words,
                "memory_bits": sum(m.words * m.bits for m in memories),
                "block_rams": sum(block_rams(memory, chip.device) for memory in memories),
                "multipliers": multipliers(network, plan, chip.architecture),
            }
        )
    report.document["cores"] = cores
    total = ("all", *(sum(core[key] for core in cores) for key in ("neuron_words", "memory_bits", "block_rams", "multipliers")))
    columns = ("layer", "neuron words", "memory bits", "block RAMs, if each memory takes its own", "multipliers, if none becomes logic")
    report.table(f"on chip {chip.name!r}, estimated before synthesis", columns, [*(tuple(core.values()) for core in cores), total])
