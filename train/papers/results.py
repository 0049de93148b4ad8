"""How the results of a reproduced table are shown: as tables of texts, and these as Markdown. No torch here."""

from collections.abc import Iterable, Sequence
from typing import Any

from spikefold.data.shown import percent

__all__ = ["TITLES", "about", "labelled", "markdown", "result_tables", "shown"]

Document = dict[str, Any]
Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]
"""A title, the columns' titles, and the rows."""

TITLES = {
    "test_accuracy": "test accuracy",
    "validation_accuracy": "validation accuracy",
    "firing_rate": "firing rate, mean of layers",
    "efficiency_int32": "EE (int32, estimated)",
    "efficiency_float32": "EE (float32, estimated)",
    "spiking_efficiency_int32": "EE of spiking layers (int32, estimated)",
    "parameters": "parameters",
    "compression": "compression",
    "early_exit": "early exit after T",
    "early_exit_accuracy": "accuracy there",
    "seconds": "training, s",
}
"""What the columns of a table of results are called."""
SETTINGS = {
    "data": "data set",
    "subset": "training samples with validation (0: all)",
    "samples_per_epoch": "samples an epoch (0: all)",
    "test_samples": "test samples, the first ones (0: all)",
    "epochs": "epochs",
    "timesteps": "T",
    "learning_rate": "learning rate",
    "seed": "seed",
}


def shown(column: str, value: float | int | None) -> str:
    """Return a figure as a table has it; empty where there is none."""
    if value is None:
        return ""
    if column.endswith("accuracy"):
        return percent(value)
    if column == "firing_rate":
        return f"{value:.4f}"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def labelled(row: Document) -> str:
    """Return what a row is called."""
    return ", ".join(row["labels"])


def about(document: Document) -> list[tuple[str, str]]:
    """Return what must be known to read the figures, as (what, text): the scale, the settings that all rows share, the hardware."""
    scaled = document["scale"] == "small"
    lines = [
        ("source", document["source"]),
        ("scale", f"{'SCALED DOWN, so not comparable with the paper in its numbers: ' if scaled else ''}{document['says']}"),
        *(("not in the paper", text) for text in document["not_given"]),
        ("settings of all rows", "; ".join(f"{SETTINGS[key]}: {_settings(document, key)[0]}" for key in _shared(document))),
        ("accuracy", "on the test split, at the epoch with the best validation; EE: energy of an ANN of the same layers over that of this network"),
    ]
    machines: dict[str, list[str]] = {}
    for row in document["rows"]:
        if "hardware" in row:
            machines.setdefault(f"{row['hardware']['device']}, torch {row['hardware']['torch']}, {row['date']}", []).append(labelled(row))
    lines += [("hardware", text if len(machines) == 1 else f"{text}: {'; '.join(rows)}") for text, rows in machines.items()]
    return lines


def result_tables(document: Document) -> list[Table]:
    """Return the rows beside the paper's figures, the best of them where an axis asks for it, and the details."""
    found = [_main(document)]
    if document["best"]:
        found.append(_best(document))
    finished = [row for row in document["rows"] if row["state"] == "finished"]
    if finished and "accuracy_after_timesteps" in document["details"]:
        found.append(_accuracies(finished))
    if finished and "firing_rates" in document["details"]:
        found += [_rates(finished)]
    return found


def markdown(document: Document) -> str:
    """Return the document as Markdown."""
    lines = [f"# {document['title']}", "", *(f"- {what}: {text}" for what, text in about(document))]
    for title, columns, rows in result_tables(document):
        lines += ["", f"## {title}", "", _line(columns), "|" + "-|" * len(columns), *map(_line, rows)]
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"|{'|'.join(cell.replace('|', ' ') for cell in cells)}|"


def _settings(document: Document, key: str) -> list[str]:
    return [str(row["settings"][key]) for row in document["rows"]]


def _shared(document: Document) -> list[str]:
    return [key for key in SETTINGS if len(set(_settings(document, key))) == 1]


def _papers_columns(rows: Sequence[Document], columns: Sequence[str]) -> list[tuple[str, bool]]:
    """Return every column, those that the paper has figures of a second time (True) right before."""
    return [(column, own) for column in columns for own in (True, False) if not own or any(column in row["paper"] for row in rows)]


def _cells(row: Document, columns: Sequence[tuple[str, bool]]) -> list[str]:
    return [row["paper"].get(column, "") if paper else shown(column, row["figures"].get(column)) for column, paper in columns]


def _titles(columns: Sequence[tuple[str, bool]]) -> list[str]:
    return [f"paper: {TITLES[column]}" if paper else TITLES[column] for column, paper in columns]


def _main(document: Document) -> Table:
    rows = document["rows"]
    columns = _papers_columns(rows, document["columns"])
    own = [key for key in SETTINGS if key not in _shared(document)]
    unfinished = any(row["state"] != "finished" for row in rows)
    titles = (*document["axes"], *_titles(columns), *(SETTINGS[key] for key in own), *(["state"] if unfinished else []))
    return (
        "results",
        titles,
        [
            (*row["labels"], *_cells(row, columns), *(str(row["settings"][key]) for key in own), *([row["state"]] if unfinished else []))
            for row in rows
        ],
    )


def _best(document: Document) -> Table:
    groups = document["best"]
    columns = _papers_columns(groups, document["columns"])
    deciding = ", ".join(document["best_axes"])
    return (
        f"the best {deciding} by validation accuracy",
        (*(axis for axis in document["axes"] if axis not in document["best_axes"]), f"best {deciding}", *_titles(columns)),
        [(*group["labels"], group["best"] or "none", *_cells(group, columns)) for group in groups],
    )


def _accuracies(rows: Sequence[Document]) -> Table:
    last = max(len(row["accuracy_after_timesteps"]) for row in rows)
    steps = sorted({2**i for i in range(last.bit_length())} | {len(row["accuracy_after_timesteps"]) for row in rows})
    return (
        "test accuracy after T timesteps",
        ("T", *map(labelled, rows)),
        [
            (
                str(t),
                *(shown("accuracy", row["accuracy_after_timesteps"][t - 1]) if t <= len(row["accuracy_after_timesteps"]) else "" for row in rows),
            )
            for t in steps
        ],
    )


def _rates(rows: Sequence[Document]) -> Table:
    most = max(len(row["firing_rates"]) for row in rows)
    lines = [
        (str(i + 1), *(shown("firing_rate", row["firing_rates"][i]["rate"]) if i < len(row["firing_rates"]) else "" for row in rows))
        for i in range(most)
    ]
    return "firing rates (spikes of a neuron in a timestep) by spiking layer", ("layer", *map(labelled, rows)), lines
