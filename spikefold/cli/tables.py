"""What the verbs print on stdout: tables, or the same as JSON."""

import errno
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from spikefold.data.files import check_output, write_text
from spikefold.data.shown import percent

__all__ = ["Report", "Share", "show", "show_and_write"]

Rows = Sequence[Sequence[object]]


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
