"""The verb train: a network by its recipe."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spikefold.cli.options import PATH, as_json, data_dir_option, examples
from spikefold.cli.progress import progress_bar
from spikefold.cli.tables import Report, Share, show
from spikefold.data.files import SUMMARY
from spikefold.data.shown import percent

if TYPE_CHECKING:
    from spikefold.train.methods.training import Epoch

__all__ = ["train"]


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
