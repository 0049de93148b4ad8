"""What the verbs take: the options that several of them share, and their types."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from spikefold.data.info import DATASETS

__all__ = [
    "PATH",
    "Simulator",
    "as_json",
    "chip_option",
    "data_dir_option",
    "data_options",
    "examples",
    "force_file_option",
    "simulator_option",
]


class PathName(click.Path):
    """A path that is not empty: pathlib would take that for the current folder, as an unset variable in a script gives it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if value == "":
            self.fail("it is empty; a path is needed", param, ctx)
        return super().convert(value, param, ctx)


F = TypeVar("F", bound=Callable[..., Any])
PATH = PathName(path_type=Path)
Simulator = Literal["icarus", "verilator"]
DATA = f"{', '.join([*DATASETS][:-1])} or {[*DATASETS][-1]}"

as_json = click.option("--json", "json_only", is_flag=True, help="Print JSON instead of a table.")
chip_option = click.option("--chip", "chip_path", type=PATH, metavar="CHIP.toml", help="The chip's limits; by default 16 cores of 8 lanes.")
force_file_option = click.option("--force", is_flag=True, help="Replace the file that is there.")
data_dir_option = click.option(
    "--data-dir", type=PATH, metavar="DIR", help="The folder of the data set's files, where they are not in their usual place."
)
simulator_option = click.option(
    "--simulator", type=click.Choice(["icarus", "verilator"]), default="icarus", show_default=True, help="What runs the Verilog."
)


def examples(*lines: str) -> str:
    """Return the end of a help page that shows how a verb is called."""
    return "\b\nExamples:\n" + "\n".join(f"  spikefold {line}" for line in lines)


def data_options(samples_help: str) -> Callable[[F], F]:
    """Add the options that choose samples of a data set."""
    options = (
        click.option("--data", "data_name", metavar="NAME", help=f"{DATA}; by default what the network was trained on."),
        click.option("--split", default="test", show_default=True, metavar="SPLIT", help="train or test."),
        data_dir_option,
        click.option("--samples", type=click.IntRange(min=1), metavar="N", help=samples_help),
    )

    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add
