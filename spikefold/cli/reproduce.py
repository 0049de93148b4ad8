"""The verb reproduce: a paper's table, trained and set beside its figures."""

from pathlib import Path
from typing import Any

import click

from spikefold.cli.options import PATH, as_json, data_dir_option, examples
from spikefold.cli.progress import note, progress_bar
from spikefold.cli.tables import Report, show

__all__ = ["reproduce"]


@click.command(epilog=examples("reproduce", "reproduce stochmax", "reproduce psp-table-2 --scale full --out runs/table-2"))
@click.argument("table", required=False)
@click.option("--list", "list_only", is_flag=True, help="Say which tables there are, and their rows; so it is without TABLE, too.")
@click.option("--out", type=PATH, metavar="DIR", help="The folder of the table's runs; by default runs/<table>.")
@click.option(
    "--scale", type=click.Choice(["small", "full"]), default="small", show_default=True, help="small: minutes of a CPU. full: the paper's settings."
)
@data_dir_option
@as_json
def reproduce(table: str | None, list_only: bool, out: Path | None, scale: Any, data_dir: Path | None, json_only: bool) -> None:
    """Train and test every row of a table of a paper, and set the figures beside the paper's.

    TABLE is one that comes with Spikefold, or a file. Each row is a run in a folder of its own; what is finished is not run again, and
    what was interrupted goes on. After every row, DIR gets results.json and results.md. Losses that are no longer numbers are a
    result, too. Needs the extra 'train'.
    """
    from spikefold.train.papers.tables import find_table, load_table

    if list_only or table is None:
        show(_list_report(table), json_only)
        return
    plan = load_table(find_table(table))
    from spikefold.train.papers.reproduce import reproduce as run
    from spikefold.train.papers.results import about, labelled, result_tables, shown

    def finished(row: dict[str, Any]) -> None:
        accuracy = row["figures"].get("test_accuracy")
        result = row["state"] if accuracy is None else f"test accuracy {shown('accuracy', accuracy)}"
        note(f"{labelled(row)}: {result}")

    with progress_bar() as progress:
        document = run(
            plan, Path("runs") / plan.name if out is None else out, scale=scale, data_dir=data_dir, progress=progress, finished=finished
        )  # fmt: skip
    report = Report(document)
    report.table(document["title"], ("what", "how"), about(document))
    for title, columns, rows in result_tables(document):
        report.table(title, columns, rows)
    show(report, json_only)


def _list_report(table: str | None) -> Report:
    """Return the tables that there are, or one of them, with the rows of each."""
    from spikefold.train.papers.results import TITLES
    from spikefold.train.papers.tables import find_table, list_tables, load_table

    plans = [load_table(path) for path in (list_tables() if table is None else (find_table(table),))]
    found = [[(labels, {figure.column: figure.value for figure in plan.figures(labels)}) for labels in plan.labels()] for plan in plans]
    report = Report(
        {
            "tables": [
                {
                    "name": plan.name,
                    "title": plan.title,
                    "source": plan.source,
                    "rows": [{"labels": list(row), "paper": paper} for row, paper in rows],
                }
                for plan, rows in zip(plans, found, strict=True)
            ]
        }
    )
    report.table("tables", ("table", "title", "source", "rows"), [(plan.name, plan.title, plan.source, len(plan.labels())) for plan in plans])
    for plan, rows in zip(plans, found, strict=True):
        told = [(", ".join(row), "; ".join(f"{TITLES[column]}: {value}" for column, value in paper.items())) for row, paper in rows]
        report.table(plan.name, ("row", "the paper's figures"), told)
    return report
