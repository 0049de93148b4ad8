"""What the verbs share: their options, tables and JSON on stdout, progress on stderr."""

import errno
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from spikefold.data.files import check_output, write_text
from spikefold.data.info import DATASETS
from spikefold.data.shown import percent

if TYPE_CHECKING:
    from spikefold.network.trace import Comparison

__all__ = [
    "COMPARISON_COLUMNS",
    "DIFFERENT",
    "PATH",
    "Report",
    "Share",
    "Simulator",
    "as_json",
    "chip_option",
    "compared_values",
    "comparison_rows",
    "data_options",
    "examples",
    "force_file_option",
    "note",
    "progress_bar",
    "read_chip",
    "show",
    "show_and_write",
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
Rows = Sequence[Sequence[object]]
PATH = PathName(path_type=Path)
Simulator = Literal["icarus", "verilator"]
DIFFERENT = 1
"""The exit status where a comparison found a difference."""
DATA = f"{', '.join([*DATASETS][:-1])} or {[*DATASETS][-1]}"
COMPARISON_COLUMNS = ("compared with", "what", "values compared", "differing", "first difference")
COMPARED_VALUES = {"clamps": "counts of clamps", "sops": "counts of synaptic operations", "cycles": "steps to the cycle"}
"""The kinds of compared values whose own names would be taken for what they count."""

as_json = click.option("--json", "json_only", is_flag=True, help="Print JSON instead of a table.")
chip_option = click.option("--chip", "chip_path", type=PATH, metavar="CHIP.toml", help="The chip's limits; by default 16 cores of 8 lanes.")
force_file_option = click.option("--force", is_flag=True, help="Replace the file that is there.")

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
        click.option("--data-dir", type=PATH, metavar="DIR", help="The folder of the data set's files, where they are not in their usual place."),
        click.option("--samples", type=click.IntRange(min=1), metavar="N", help=samples_help),
    )

    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


class Share(float):
    """A share, printed as ``96.94 %``."""


class Report:
    """Tables of a verb's result, and the same as one JSON document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.tables: list[tuple[str, Sequence[str], Rows]] = []

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Add a table; numbers are set to the right."""
        self.tables.append((title, columns, [list(row) for row in rows]))


def show(report: Report, json_only: bool) -> None:
    """Print ``report`` on stdout."""
    if json_only:
        click.echo(json.dumps(report.document, indent=2))
        return
    # Imported here so that --help and --json stay quick.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Without a terminal there is no width to keep to, and a cut figure would be useless in a log.
    class Plain(Console):
        def on_broken_pipe(self) -> None:
            # Rich would end with status 1, which says that something differs.
            raise BrokenPipeError(errno.EPIPE, "the output was closed")

    console = Plain(width=None if sys.stdout.isatty() else 160)
    for title, columns, rows in report.tables:
        table = Table(title=Text(title), title_justify="left")
        for i, column in enumerate(columns):
            numbers = bool(rows) and all(isinstance(row[i], (int, float)) for row in rows)
            table.add_column(Text(column), justify="right" if numbers else "left")
        for row in rows:
            # Text, so that a bracket in a name is not markup.
            table.add_row(*(Text(_cell(value)) for value in row))
        console.print(table)


def show_and_write(report: Report, json_only: bool, path: Path | None, content: str, *, force: bool) -> None:
    """Print ``report``, and write ``content`` to ``path`` if there is one; where one of the two fails, the other is not lost."""
    try:
        show(report, json_only)
    finally:
        if path is not None:
            # Again: the name may have been taken during the run.
            check_output(path, force=force)
            write_text(path, content)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Share):
        return percent(value)
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)


def note(message: str) -> None:
    """Print a remark on stderr."""
    click.echo(message, err=True)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function of (what, done, in all) that draws a bar a stage on stderr; nothing is drawn where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:

        def advance(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield advance


def read_chip(path: Path | None) -> Any:
    """Return the :class:`ChipConfig` of a TOML file, or the default one."""
    from spikefold.chip.config import ChipConfig, load_chip

    return ChipConfig() if path is None else load_chip(path)


def comparison_rows(name: str, comparison: "Comparison") -> list[tuple[object, ...]]:
    """Return a row a kind of value that was compared."""
    first = comparison.first
    # Of events, the kind of a difference says which field and number too.
    kind_of_first = None if first is None else first.kind.partition(",")[0]
    return [
        (name, compared_values(kind), count, comparison.differing[kind], str(first) if kind_of_first == kind else "")
        for kind, count in comparison.compared.items()
    ]


def compared_values(kind: str) -> str:
    """Return the name of values of ``kind`` in a table. Clamps and operations are compared as counts."""
    return COMPARED_VALUES.get(kind, kind)
