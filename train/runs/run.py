"""A training run by its recipe: one folder that holds the recipe, the model, the log and what came out."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

import torch

from spikefold.data.datasets import DATASETS, Dataset, load_dataset
from spikefold.data.errors import SpikefoldError
from spikefold.data.files import MODEL, RECIPE, SUMMARY, WEIGHTS, check_replaceable, write_text
from spikefold.data.provenance import versions
from spikefold.data.toml import read_toml_text
from spikefold.train.errors import RecipeError, TrainError
from spikefold.train.methods.methods import Start, check_start, device_of, learn
from spikefold.train.methods.training import Epoch, FitResult, Progress, repeatable
from spikefold.train.modules.layers import Synapses
from spikefold.train.modules.network import SpikingNetwork, build_network
from spikefold.train.processes import Processes, process_group
from spikefold.train.recipes.recipe import Recipe, load_recipe
from spikefold.train.runs.store import load_run, save_network

__all__ = ["CHECKPOINT", "LOG", "TrainResult", "load_data", "train"]

CHECKPOINT, LOG = "checkpoint.pt", "log.jsonl"
SET_ASIDE = "set-aside"
"""What tells a run that ``force`` has put aside from one that a user has named like that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """A finished run: its folder, the file with the network, and why that is no float network ("" where it is one).

    ``first`` is whether this process is the one that reports.
    """

    folder: Path
    model: Path
    not_exported: str
    best: Epoch
    seconds: float
    model_sha256: str
    first: bool


def train(
    recipe: Path, out: Path, *, resume: bool = False, force: bool = False, data_dir: Path | None = None, tensorboard: Path | None = None,
    progress: Callable[[Epoch], None] | None = None, batch_progress: Progress | None = None,
) -> TrainResult:  # fmt: skip
    """Train what the file ``recipe`` says and fill the folder ``out``.

    ``recipe.toml`` comes first, ``checkpoint.pt`` and ``log.jsonl`` (a line an epoch) with every epoch, the network and
    ``summary.json`` at the end: ``model.safetensors``, a float network, or where none can express it ``weights.safetensors``. The
    training split's held-back samples choose the epoch; the test split is not read. ``out`` may not exist already, but for two cases:
    ``resume`` continues a run of the same recipe, and ends as if it had never been interrupted; ``force`` starts anew, keeping the
    old folder as ``<out>.previous`` until the new run is finished. Other folders than runs are never replaced. With ``tensorboard``, a
    folder, the figures of every epoch go there as scalars too. Bad input is a SpikefoldError.

    The network is trained on a GPU where there is one. Under ``torchrun`` every process calls this alike; the first one writes.
    """
    began = time.perf_counter()
    plan = load_recipe(recipe)
    data = load_data(plan, "train", data_dir)
    _check_data(str(recipe), plan, data)
    start = _start(recipe, plan)
    origin = {} if start is None else {"start": plan.train.start, "start_sha256": start.sha256}
    _check_board(tensorboard)
    text = read_toml_text(recipe)
    with process_group() as device:
        processes = Processes.here()
        with enough_memory(str(recipe)), repeatable(plan.seed, plan.train.threads):
            # Before anything is written: a network that cannot be built leaves no folder.
            build_network(plan)
        if processes.first:
            _open_folder(out, text, resume=resume, force=force)
        processes.wait()
        with enough_memory(str(recipe)), scalars(tensorboard if processes.first else None) as write_scalars:
            module, fitted = _learn(plan, data, device, start, out, resume=resume, progress=(write_scalars, progress), batch_progress=batch_progress)
        seconds = time.perf_counter() - began
        provenance = {"recipe": plan.name, "recipe_sha256": _sha256(text.encode()), "data": plan.data.name, "seed": str(plan.seed)} | origin
        if processes.first:
            with enough_memory(str(recipe)):
                model, reason = save_network(module.cpu(), plan, out, data.class_names, provenance)
            summary = _summary(plan, module, fitted, processes.count, device_of(plan, device).type) | {
                "model": model.name, "model_sha256": _sha256(model.read_bytes()), "not_exported": reason, "seconds": round(seconds, 1), **origin,
            }  # fmt: skip
            write_text(out / SUMMARY, json.dumps(summary, indent=2) + "\n")
            if (_previous(out) / SET_ASIDE).is_file():
                shutil.rmtree(_previous(out))
        processes.wait()
    found = json.loads((out / SUMMARY).read_text(encoding="utf-8"))
    return TrainResult(
        folder=out, model=out / found["model"], not_exported=found["not_exported"], best=fitted.best, seconds=seconds,
        model_sha256=found["model_sha256"], first=processes.first,
    )  # fmt: skip


def load_data(plan: Recipe, split: str, data_dir: Path | None) -> Dataset:
    """Return a split of the data set that a recipe names, as the recipe wants it."""
    info = DATASETS.get(plan.data.name)
    timesteps = plan.timesteps if info is not None and info.events else None
    return load_dataset(plan.data.name, split, data_dir, timesteps=timesteps, size=plan.data.size or None)


@contextmanager
def scalars(folder: Path | None) -> Iterator[Callable[[Epoch], None]]:
    """Yield a function that writes an epoch's figures to TensorBoard's files in ``folder``, or does nothing without one."""
    if folder is None:
        yield lambda epoch: None
        return
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))

    def write(epoch: Epoch) -> None:
        for name, value in asdict(epoch).items():
            if name != "epoch":
                writer.add_scalar(name, value, epoch.epoch)

    try:
        yield write
    finally:
        writer.close()


@contextmanager
def enough_memory(place: str) -> Iterator[None]:
    """Turn torch's way to say that memory is short into a TrainError."""
    try:
        yield
    except RuntimeError as error:
        # On the CPU it is a plain RuntimeError, told by its words alone; a GPU's says "tried to allocate" too.
        if "allocat" not in str(error):
            raise
        raise TrainError(f"{place}: out of memory; smaller layers, a smaller batch_size or fewer timesteps take less") from error


def _check_data(place: str, plan: Recipe, dataset: Dataset) -> None:
    if not plan.input.fits(dataset.shape, plan.timesteps):
        raise RecipeError(f"{place}: input.shape: {list(plan.input.shape)}; images of {dataset.name!r} are {list(dataset.shape)}")
    outputs, classes = plan.layers[-1].out, len(dataset.class_names)
    if outputs != classes:
        raise RecipeError(f"{place}: layers[{len(plan.layers) - 1}].out: {outputs}; {dataset.name!r} has {classes} classes")


def _start(recipe: Path, plan: Recipe) -> Start | None:
    """Return the finished run that a run goes on from, if any; one that cannot be read, or has another network, is a TrainError."""
    if not plan.train.start:
        return None
    place, folder = f"{recipe}: train start {plan.train.start!r}", recipe.parent / plan.train.start
    try:
        theirs, network = load_run(folder)
    except SpikefoldError as error:
        raise TrainError(f"{place}: {error}") from error
    model = folder / (WEIGHTS if (folder / WEIGHTS).is_file() else MODEL)
    start = Start(recipe=theirs, network=network.float(), sha256=_sha256(model.read_bytes()))
    check_start(place, plan, start)
    return start


def _check_board(folder: Path | None) -> None:
    """Refuse, before anything is written, a folder for TensorBoard that cannot be made, and a missing package."""
    if folder is None:
        return
    import_module("torch.utils.tensorboard")
    for path in (folder, *folder.parents):
        if path.exists() and not path.is_dir():
            raise TrainError(f"{path}: it is a file; TensorBoard's figures need a folder")


def _previous(out: Path) -> Path:
    # Resolved, since a path such as .. has no name.
    resolved = out.resolve()
    return resolved.with_name(f"{resolved.name}.previous")


def _open_folder(out: Path, recipe: str, *, resume: bool, force: bool) -> None:
    """Make ``out`` the folder of a run of ``recipe``: a new one, or the one to resume."""
    if out.exists() and not out.is_dir():
        raise TrainError(f"{out}: it is a file; a folder's name is needed")
    if out.is_dir() and any(out.iterdir()):
        if not (out / RECIPE).is_file():
            raise TrainError(f"{out}: it is not the folder of a training run (it has no {RECIPE}), so it is left alone; choose another name")
        if resume:
            if (out / RECIPE).read_text(encoding="utf-8") != recipe:
                raise TrainError(f"{out / RECIPE}: it differs from the recipe given; only a run of the same recipe can be resumed")
            return
        if not force:
            raise TrainError(f"{out}: it exists already; resume it with --resume, replace it with --force, or choose another name")
        _set_aside(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainError(f"{out}: {error.strerror}") from error
    write_text(out / RECIPE, recipe)


def _set_aside(out: Path) -> None:
    """Free the name ``out``; the last finished run stays on the disk."""
    check_replaceable(out)
    previous = _previous(out)
    if previous.exists():
        if not (previous / SET_ASIDE).is_file():
            raise TrainError(f"{previous}: it is no run that an earlier --force put aside, so it is left alone; move it to replace {out}")
        shutil.rmtree(previous if (out / SUMMARY).is_file() else out)
    if out.exists():
        out.rename(previous)
        write_text(previous / SET_ASIDE, f"replaced by {out.name}\n")


def _learn(
    plan: Recipe, data: Dataset, device: torch.device, start: Start | None, out: Path, *, resume: bool,
    progress: tuple[Callable[[Epoch], None] | None, ...], batch_progress: Progress | None,
) -> tuple[SpikingNetwork, FitResult]:  # fmt: skip
    def note(epoch: Epoch) -> None:
        with (out / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(epoch)) + "\n")
        for report in progress:
            if report is not None:
                report(epoch)

    module, fitted = learn(plan, data, device, start, checkpoint=out / CHECKPOINT, resume=resume, progress=note, batch_progress=batch_progress)
    # The checkpoint knows every epoch; an interrupt may have come between it and the log's line.
    if Processes.here().first:
        write_text(out / LOG, "".join(json.dumps(asdict(epoch)) + "\n" for epoch in fitted.epochs))
    return module, fitted


def _summary(plan: Recipe, module: SpikingNetwork, fitted: FitResult, processes: int, device: str) -> dict[str, object]:
    weights = {id(part): part.weight.numel() for part in module.modules() if isinstance(part, Synapses)}
    return {
        "name": plan.name,
        "data": plan.data.name,
        "seed": plan.seed,
        "timesteps": plan.timesteps,
        "weights": sum(weights.values()),
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "validation_accuracy": fitted.best.validation_accuracy,
        "validated": {"conversion": "its ANN", "quantize": "its integer network"}.get(plan.train.method, "the network"),
        "best_epoch": fitted.best.epoch,
        "epochs": len(fitted.epochs),
        "training_seconds": round(sum(epoch.seconds for epoch in fitted.epochs), 1),
        "device": device,
        "processes": processes,
        "threads": plan.train.threads,
        # Torch says itself whether it was built for a GPU, which the metadata of PyPI's packages leaves out.
        "versions": versions("spikefold", "python", "numpy") | {"torch": str(torch.__version__)},
    }


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
