"""The verb evaluate: accuracy, firing rates and estimated energy of a trained network."""

from pathlib import Path
from typing import Any

import click

from spikefold.cli.options import PATH, as_json, data_dir_option, examples, force_file_option
from spikefold.cli.progress import progress_bar
from spikefold.cli.tables import Report, Share, show_and_write
from spikefold.data.files import EVALUATION, FINAL_EVALUATION, MODEL, RECIPE, SUMMARY, WEIGHTS, check_output
from spikefold.data.shown import percent

__all__ = ["evaluate"]

CLASSES_SHOWN = 20
"""A confusion matrix of more classes than these is in the JSON alone."""


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
