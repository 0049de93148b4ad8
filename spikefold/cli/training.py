"""The verbs that learn and say what was learned: train, evaluate."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spikefold.cli.output import PATH, Report, Share, as_json, examples, force_file_option, progress_bar, show, show_and_write
from spikefold.data.files import EVALUATION, FINAL_EVALUATION, MODEL, RECIPE, SUMMARY, WEIGHTS, check_output
from spikefold.data.shown import percent

if TYPE_CHECKING:
    from spikefold.train.methods.training import Epoch

__all__ = ["evaluate", "train"]

CLASSES_SHOWN = 20
"""A confusion matrix of more classes than these is in the JSON alone."""

data_dir_option = click.option(
    "--data-dir", type=PATH, metavar="DIR", help="The folder of the data set's files, where they are not in their usual place."
)


@click.command(
    epilog=examples(
        "train examples/recipes/digits.toml --out runs/digits",
        "train examples/recipes/digits.toml --out runs/digits --resume",
        "train bntt_cifar10_vgg9 --data-dir cifar-10-batches-bin --out runs/vgg9 --tensorboard runs/vgg9/board",
    )
    + "\n\n\b\nOn several GPUs or machines:\n  torchrun --nproc-per-node 4 -m spikefold train RECIPE --out RUN"
)
@click.argument("recipe")
@click.option("--out", type=PATH, required=True, metavar="RUN", help="The folder of the run; it must not exist yet.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted run of the same recipe; it ends as if it had not been interrupted.")
@click.option("--force", is_flag=True, help="Replace the run in the folder.")
@data_dir_option
@click.option("--tensorboard", type=PATH, metavar="DIR", help="Write the figures of every epoch there for TensorBoard, too.")
@as_json
def train(recipe: str, out: Path, resume: bool, force: bool, data_dir: Path | None, tensorboard: Path | None, json_only: bool) -> None:
    """Train the network that RECIPE describes: a TOML file, or the name of one that comes with Spikefold.

    The run's folder gets a copy of the recipe, a checkpoint and a line of log.jsonl for every epoch, and at the end the trained network
    (model.safetensors, or weights.safetensors where quantisation does not know its kind) and summary.json. Part of the training split is
    held back and chooses the epoch; the test split is not read. Needs the extra 'train'.
    """
    if resume and force:
        raise click.UsageError("--resume and --force exclude each other")
    from spikefold.train.recipes.recipe import find_recipe, load_recipe
    from spikefold.train.runs.run import train as run

    path = find_recipe(recipe)
    epochs = load_recipe(path).train.epochs
    with progress_bar() as advance:

        def progress(epoch: "Epoch") -> None:
            advance(f"train, validation accuracy {percent(epoch.validation_accuracy)}", epoch.epoch, epochs)

        result = run(
            path, out, resume=resume, force=force, data_dir=data_dir, tensorboard=tensorboard, progress=progress, batch_progress=advance
        )  # fmt: skip
    if not result.first:
        return
    report = Report(json.loads((out / SUMMARY).read_text(encoding="utf-8")))
    rows: list[tuple[str, object]] = [
        (f"validation accuracy of {report.document['validated']}", Share(result.best.validation_accuracy)),
        ("best epoch", result.best.epoch),
        ("network", result.model.name),
        ("seconds", f"{result.seconds:.1f}"),
    ]
    if result.not_exported:
        rows.append(("no float network", result.not_exported))
    report.table(str(out), ("figure", "value"), rows)
    show(report, json_only)


@click.command(
    epilog=examples(
        "evaluate runs/digits", "evaluate runs/digits --final --json", "evaluate runs/vgg9 --samples 1000 --data-dir cifar-10-batches-bin"
    )
)
@click.argument("run", type=PATH)
@click.option("--final", is_flag=True, help="On the test split, which is to be read once, when all choices are made.")
@click.option("--samples", type=click.IntRange(min=1), metavar="N", help="The first N samples alone.")
@data_dir_option
@click.option("--plot", type=PATH, metavar="FILE.svg", help="Draw the figures, too.")
@force_file_option
@as_json
def evaluate(run: Path, final: bool, samples: int | None, data_dir: Path | None, plot: Path | None, force: bool, json_only: bool) -> None:
    """Say what the trained network in the folder RUN is worth, in float64.

    On the samples that training held back, or with --final on the test split: accuracy after every timestep, early exit by the gammas
    of BNTT, the confusion matrix, firing rates, operations and estimated energy. All of it is kept in RUN as evaluation.json or
    evaluation_final.json, unless --samples takes only some. Needs the extra 'train'.
    """
    from spikefold.report.figures import evaluation_svg
    from spikefold.train.runs.evaluation import evaluate as run_evaluation
    from spikefold.train.runs.evaluation import keep_evaluation
    from spikefold.train.runs.run import CHECKPOINT, LOG

    if plot is not None:
        own = (RECIPE, MODEL, WEIGHTS, SUMMARY, EVALUATION, FINAL_EVALUATION, CHECKPOINT, LOG)
        check_output(plot, force=force, inputs=[run / name for name in own])
    with progress_bar() as progress:
        evaluation = run_evaluation(run, final=final, samples=samples, data_dir=data_dir, progress=progress)
    found = evaluation.to_dict()
    drawing = "" if plot is None else evaluation_svg(found)
    try:
        show_and_write(_evaluation_report(str(run), found), json_only, plot, drawing, force=force)
    finally:
        if samples is None:
            keep_evaluation(evaluation, run)


def _evaluation_report(title: str, found: dict[str, Any]) -> Report:
    """Return the tables of an evaluation."""
    report = Report(found)
    rows: list[tuple[str, object]] = [
        ("data", f"{found['data']}, {found['samples']:,} samples of the {found['split']} split"),
        ("accuracy", Share(found["accuracy"])),
    ]
    leaving = found["early_exit"]
    if leaving is not None:
        steps = found["timesteps"][-1]
        rows.append(
            ("early exit", f"after {leaving['timesteps']} of {steps} timesteps, gammas below {leaving['threshold']}: {percent(leaving['accuracy'])}")
        )
    report.table(title, ("figure", "value"), rows)
    report.table(
        "accuracy after timesteps",
        ("timesteps", "accuracy"),
        [(t, Share(a)) for t, a in zip(found["timesteps"], found["accuracy_after_timesteps"], strict=True)],
    )
    measures = found["measures"]
    report.table(
        f"layers, measured on {measures['samples']:,} samples",
        ("layer", "weights", "synapses of a dense pass", "input", "input activity", "operations per inference"),
        [
            (
                layer["name"], layer["weights"], layer["positions"], "spikes" if layer["spiking_input"] else "values", layer["input_activity"],
                layer["operations"],
            )
            for layer in measures["layers"]
        ],
    )  # fmt: skip
    rates = [(layer["name"], layer["kind"], layer["neurons"], layer["firing_rate"], layer["spikes"]) for layer in measures["neurons"]]
    report.table("neurons", ("layer", "kind", "neurons", "spikes per neuron and timestep", "spikes per inference"), rates)
    report.table(
        "estimated energy of an inference, 45 nm",
        ("arithmetic", "as an ANN, nJ", "as it is, nJ", "efficiency", "of the spiking part"),
        [
            (
                energy["table"]["name"], energy["estimated_ann_pj"] / 1000, energy["estimated_snn_pj"] / 1000,
                *("-" if energy[key] is None else f"{energy[key]:.2f}" for key in ("efficiency", "spiking_efficiency")),
            )
            for energy in measures["energy"]
        ],
    )  # fmt: skip
    names = found["class_names"]
    if len(names) <= CLASSES_SHOWN:
        report.table("taken for (columns)", ("class", *names), [(name, *row) for name, row in zip(names, found["confusion"], strict=True)])
    return report
