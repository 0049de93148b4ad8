"""Two runs side by side: which settings differ, what each is worth, and what it costs."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from spikefold.data.files import EVALUATION, FINAL_EVALUATION, MODEL, RECIPE, SUMMARY, WEIGHTS
from spikefold.train.errors import RecipeError, TrainError
from spikefold.train.recipes.notation import print_architecture
from spikefold.train.recipes.recipe import Recipe, load_recipe
from spikefold.train.runs.evaluation import evaluate

__all__ = ["compare"]

Document = dict[str, Any]
UNCOMPARED = ("name", "architecture", "classes", "layers")


def compare(
    a: Path, b: Path, *, samples: int | None = None, data_dir: Path | None = None, progress: Callable[[str, int, int], None] | None = None
) -> Document:
    """Return the settings that differ between two finished runs and the figures of both, as ``[a, b]``.

    The figures come from the runs' ``evaluation.json``. A run without one is evaluated here, and so are both with ``samples``, on the first
    held-back ones. Nothing is written. The test accuracy is None if the test split was not read, the early exit if there is no BNTT.
    """
    for folder in (a, b):
        # Of both, before the first is evaluated.
        if not (folder / SUMMARY).is_file() or not (folder / RECIPE).is_file():
            raise TrainError(f"{folder}: it is not the folder of a finished training run (it needs {RECIPE} and {SUMMARY})")
    runs = [_Run(folder, samples, data_dir, progress) for folder in (a, b)]
    settings = [run.settings for run in runs]
    keys = [key for key in (settings[0] | settings[1]) if settings[0].get(key) != settings[1].get(key)]
    figures = [run.figures for run in runs]
    return {
        "runs": [str(a), str(b)],
        "settings_that_differ": {key: [one.get(key) for one in settings] for key in keys},
        "figures": {key: [one[key] for one in figures] for key in figures[0]},
        "firing_rates": [run.rates for run in runs],
    }


class _Run:
    """What is known of one run."""

    def __init__(self, folder: Path, samples: int | None, data_dir: Path | None, progress: Callable[[str, int, int], None] | None) -> None:
        summary = _read(folder / SUMMARY, "training_seconds")
        if samples is None and (folder / EVALUATION).is_file():
            found = _read(folder / EVALUATION, "samples", "accuracy", "early_exit", "measures")
        else:
            found = evaluate(folder, samples=samples, data_dir=data_dir, progress=progress).to_dict()
        final = _read(folder / FINAL_EVALUATION, "accuracy") if (folder / FINAL_EVALUATION).is_file() else None
        model = folder / (MODEL if (folder / MODEL).is_file() else WEIGHTS)
        measures, leaving = found["measures"], found["early_exit"]
        self.settings = _settings(load_recipe(folder / RECIPE))
        self.rates = [{"layer": n["name"], "run": n["run"], "rate": n["firing_rate"]} for n in measures["neurons"]]
        rates = [n["firing_rate"] for n in measures["neurons"]]
        self.figures: Document = {
            "validation_samples": found["samples"],
            "validation_accuracy": found["accuracy"],
            "test_accuracy": None if final is None else final["accuracy"],
            "early_exit": None if leaving is None else leaving["timesteps"],
            "early_exit_accuracy": None if leaving is None else leaving["accuracy"],
            "timesteps": measures["timesteps"],
            "firing_rate": sum(rates) / len(rates) if rates else None,
            "spikes": measures["spikes"],
            "parameters": measures["parameters"]["unique"],
            "compression": measures["parameters"]["compression"],
            "model_bytes": model.stat().st_size,
            "seconds": summary["training_seconds"],
        }
        for estimate in measures["energy"]:
            name = estimate["table"]["name"]
            self.figures |= {f"energy_{name}_pj": estimate["estimated_snn_pj"], f"efficiency_{name}": estimate["efficiency"]}


def _read(path: Path, *keys: str) -> Document:
    """Return the object in a file of the run, which must have the ``keys``."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise TrainError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict):
        raise TrainError(f"{path}: it must hold an object")
    for key in keys:
        if key not in content:
            raise TrainError(f"{path}: it has no {key!r}, which compare needs")
    return content


def _settings(recipe: Recipe) -> Document:
    """Return every setting by its dotted key, the layers as one notation where it has a way to say them."""
    content = {key: value for key, value in asdict(recipe).items() if key not in UNCOMPARED}
    try:
        content["layers"] = print_architecture(recipe.layers, side=recipe.norm.side or "after")
    except RecipeError:
        content["layers"] = [asdict(layer) for layer in recipe.layers]
    return _flat("", content)


def _flat(place: str, value: Any) -> Document:
    if isinstance(value, dict):
        pairs = [(f"{place}.{key}" if place else key, part) for key, part in value.items()]
    elif isinstance(value, (list, tuple)) and value and isinstance(value[0], dict):
        pairs = [(f"{place}[{i}]", part) for i, part in enumerate(value)]
    else:
        return {place: list(value) if isinstance(value, tuple) else value}
    return {key: found for name, part in pairs for key, found in _flat(name, part).items()}
