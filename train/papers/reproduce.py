"""Running a table of a paper: every row a training run in a folder of its own, their figures beside the paper's.

What is finished is never run again: a row's ``outcome.json`` is written when its figures are known, or that its training failed.
"""

import json
import platform
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from spikefold.data.files import RECIPE, SUMMARY, write_text
from spikefold.train.errors import FailedTrainingError, TrainError
from spikefold.train.papers.results import markdown
from spikefold.train.papers.tables import Column, PaperTable, Row, Scale
from spikefold.train.recipes.recipe import parse_recipe
from spikefold.train.runs.energy import ENERGY_TABLES
from spikefold.train.runs.evaluation import evaluate, keep_evaluation
from spikefold.train.runs.run import LOG, train

__all__ = ["OUTCOME", "RESULTS_JSON", "RESULTS_MARKDOWN", "reproduce"]

OUTCOME, RESULTS_JSON, RESULTS_MARKDOWN = "outcome.json", "results.json", "results.md"
FORMAT = 1
CPU_INFO = Path("/proc/cpuinfo")

Document = dict[str, Any]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a row is run, and with which data."""

    row: Row
    out: Path
    data_dir: Path | None
    test_samples: int

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.out / self.row.name


def reproduce(
    table: PaperTable, out: Path, *, scale: Scale = "small", data_dir: Path | None = None, progress: Progress | None = None,
    finished: Callable[[Document], None] | None = None,
) -> Document:  # fmt: skip
    """Run what is not finished yet of ``table`` at ``scale`` in the folder ``out``, and return what is also in its ``results.json``.

    Every row has a recipe ``<row>.toml`` and a run's folder ``<row>`` there, and its figures are those of the first
    ``test_samples`` of the test split. An interrupted row is resumed from its last epoch. After every row ``results.json`` and
    ``results.md`` are replaced, and ``finished`` is called with the row's part of the document; ``progress`` with (what, done, in
    all). A training that left no network (losses no longer numbers, a silent layer) is a row's result; any other bad input is a
    SpikefoldError, and the rows before stand.
    """
    rows = table.rows(scale)
    _open(table, out, scale)
    places = [_Place(row=row, out=out, data_dir=data_dir, test_samples=table.scale(scale).test_samples) for row in rows]
    found = [_outcome(place) for place in places]
    document = _write(table, scale, places, found)
    for i, place in enumerate(places):
        if progress is not None:
            progress("rows", i, len(rows))
        if found[i] is None:
            found[i] = _run(place, progress)
            document = _write(table, scale, places, found)
            if finished is not None:
                finished(document["rows"][i])
    return document


def _open(table: PaperTable, out: Path, scale: Scale) -> None:
    """Make ``out`` the folder of the table at this scale, or see that it is."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / RESULTS_JSON).is_file())):
        raise TrainError(f"{out}: it is not the folder of a table (it has no {RESULTS_JSON}), so it is left alone; choose another name")
    if (out / RESULTS_JSON).is_file():
        there = _read(out / RESULTS_JSON)
        if (there.get("table"), there.get("scale")) != (table.name, scale):
            raise TrainError(
                f"{out}: it holds {there.get('table')!r} at scale {there.get('scale')}; choose another name for {table.name!r} at {scale}"
            )
    out.mkdir(parents=True, exist_ok=True)


def _outcome(place: _Place) -> Document | None:
    """Return what came out of a row, None where it is not finished; a folder of another recipe is a TrainError."""
    if not (place.folder / RECIPE).is_file():
        return None
    if (place.folder / RECIPE).read_text(encoding="utf-8") != place.row.recipe:
        raise TrainError(f"{place.folder / RECIPE}: it differs from what the table says; move the folder away to run the row anew")
    outcome = _read(place.folder / OUTCOME) if (place.folder / OUTCOME).is_file() else None
    return None if outcome is None or outcome["test_samples"] != place.test_samples else outcome


def _run(place: _Place, progress: Progress | None) -> Document:
    """Train and evaluate a row, and write down what came out."""
    folder, recipe = place.folder, place.out / f"{place.row.name}.toml"
    write_text(recipe, place.row.recipe)
    plan = parse_recipe(place.row.recipe, str(recipe))
    outcome: Document = {"format": FORMAT, "test_samples": place.test_samples, "failed": "", "summary": None, "evaluation": None}
    if not (folder / SUMMARY).is_file():
        try:
            train(
                recipe, folder, resume=folder.exists(), data_dir=place.data_dir,
                progress=None if progress is None else lambda epoch: progress("epochs of this row", epoch.epoch, plan.train.epochs),
            )  # fmt: skip
        except FailedTrainingError as error:
            outcome["failed"] = str(error).partition(";")[0]
    if not outcome["failed"]:
        evaluation = evaluate(folder, final=True, samples=place.test_samples or None, data_dir=place.data_dir, progress=progress)
        if not place.test_samples:
            keep_evaluation(evaluation, folder)
        outcome |= {"summary": _read(folder / SUMMARY), "evaluation": evaluation.to_dict()}
    outcome |= {"hardware": _hardware(), "date": datetime.now(UTC).date().isoformat()}
    write_text(folder / OUTCOME, json.dumps(outcome, indent=2) + "\n")
    return outcome


def _read(path: Path) -> Document:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise TrainError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict):
        raise TrainError(f"{path}: it must hold an object")
    return content


def _hardware() -> Document:
    """Return what the network is trained on (a GPU where there is one) and with which torch."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _cpu()
    return {"device": device, "torch": str(torch.__version__)}


def _cpu() -> str:
    models = re.findall(r"^model name\s*:\s*(.+)$", CPU_INFO.read_text(encoding="utf-8"), re.MULTILINE) if CPU_INFO.is_file() else []
    return models[0] if models else platform.processor() or platform.machine()


def _write(table: PaperTable, scale: Scale, places: Sequence[_Place], outcomes: Sequence[Document | None]) -> Document:
    """Replace the results in the folder by what is known now, and return them."""
    rows = [_row(place, outcome) for place, outcome in zip(places, outcomes, strict=True)]
    document: Document = {
        "format": FORMAT,
        "table": table.name,
        "title": table.title,
        "source": table.source,
        "not_given": list(table.not_given),
        "scale": scale,
        "says": table.scale(scale).says,
        "columns": list(table.columns),
        "details": list(table.details),
        "axes": [axis.name for axis in table.axes],
        "best_axes": [axis.name for axis in table.axes if axis.best],
        "rows": rows,
        "best": list(_best(table, rows)),
    }
    write_text(places[0].out / RESULTS_JSON, json.dumps(document, indent=2) + "\n")
    write_text(places[0].out / RESULTS_MARKDOWN, markdown(document))
    return document


def _row(place: _Place, outcome: Document | None) -> Document:
    """Return a row's part of the document; its figures are empty until it is finished."""
    plan = parse_recipe(place.row.recipe, place.row.name)
    row: Document = {
        "labels": list(place.row.labels),
        "run": place.row.name,
        "state": "waiting",
        "paper": dict(place.row.paper),
        "figures": {},
        "settings": {
            "data": plan.data.name, "subset": plan.train.subset, "samples_per_epoch": plan.train.samples_per_epoch,
            "test_samples": place.test_samples, "epochs": plan.train.epochs, "timesteps": plan.timesteps, "seed": plan.seed,
            "learning_rate": plan.train.learning_rate,
        },
    }  # fmt: skip
    if outcome is None:
        return row
    row |= {"hardware": outcome["hardware"], "date": outcome["date"], "log": f"{place.row.name}/{LOG}"}
    if outcome["evaluation"] is None:
        return row | {"state": outcome["failed"]}
    evaluation, summary = outcome["evaluation"], outcome["summary"]
    measures = evaluation["measures"]
    return row | {
        "state": "finished",
        "figures": _figures(summary, evaluation),
        "best_epoch": summary["best_epoch"],
        "samples_tested": evaluation["samples"],
        "accuracy_after_timesteps": evaluation["accuracy_after_timesteps"],
        "firing_rates": [{"layer": n["name"], "run": n["run"], "rate": n["firing_rate"]} for n in measures["neurons"]],
        "training_loss": [json.loads(line)["train_loss"] for line in (place.folder / LOG).read_text(encoding="utf-8").splitlines()],
    }


def _figures(summary: Document, evaluation: Document) -> dict[Column, float | int | None]:
    """Return every column of a finished row."""
    measures, leaving = evaluation["measures"], evaluation["early_exit"]
    rates = [neuron["firing_rate"] for neuron in measures["neurons"]]
    energy = {table.name: estimate for table, estimate in zip(ENERGY_TABLES, measures["energy"], strict=True)}
    return {
        "test_accuracy": evaluation["accuracy"],
        "validation_accuracy": summary["validation_accuracy"],
        "firing_rate": sum(rates) / len(rates) if rates else None,
        "efficiency_int32": energy["int32"]["efficiency"],
        "efficiency_float32": energy["float32"]["efficiency"],
        "spiking_efficiency_int32": energy["int32"]["spiking_efficiency"],
        "parameters": measures["parameters"]["unique"],
        "compression": measures["parameters"]["compression"],
        "early_exit": None if leaving is None else leaving["timesteps"],
        "early_exit_accuracy": None if leaving is None else leaving["accuracy"],
        "seconds": summary["training_seconds"],
    }


def _best(table: PaperTable, rows: Sequence[Document]) -> Iterator[Document]:
    """Yield, where an axis is to be decided by the best, each group of rows, and which of them has the best validation accuracy."""
    if not any(axis.best for axis in table.axes):
        return
    groups: dict[tuple[str, ...], list[Document]] = {}
    for row in rows:
        groups.setdefault(table.group(tuple(row["labels"])), []).append(row)
    for labels, members in groups.items():
        done = [row for row in members if row["state"] == "finished"]
        best = max(done, key=lambda row: row["figures"]["validation_accuracy"], default=None)
        yield {
            "labels": list(labels),
            "paper": members[0]["paper"],
            "best": None if best is None else ", ".join(label for label, axis in zip(best["labels"], table.axes, strict=True) if axis.best),
            "figures": {} if best is None else best["figures"],
            "of": {row["run"]: row["figures"].get("test_accuracy", row["state"]) for row in members},
        }
