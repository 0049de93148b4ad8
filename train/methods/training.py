"""The training loop: any module that takes [T, N, C, H, W], any data set, repeatable to the last bit.

Nothing here depends on what was drawn before: the order of the samples comes from (seed, epoch), the events from the
coding's seed and a sample number that no two epochs share, and torch's generator is seeded anew in each epoch. So a run
that is resumed from its checkpoint ends exactly as one that was never interrupted.
"""

import io
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from spikefold.data.augment import augment
from spikefold.data.coding import InputCoding, encode
from spikefold.data.datasets import Dataset
from spikefold.data.errors import FoldError, NetworkError
from spikefold.data.files import write_bytes
from spikefold.train.errors import DivergenceError, ExportError, TrainError
from spikefold.train.methods import losses
from spikefold.train.methods.optimizers import make_optimizer
from spikefold.train.methods.quantized import QuantizedNetwork
from spikefold.train.modules.network import SpikingNetwork, events_to_input
from spikefold.train.processes import ALONE, Processes
from spikefold.train.recipes.recipe import TrainSettings

__all__ = ["Epoch", "FitResult", "Progress", "fit", "inputs", "learning_rate", "predict", "repeatable", "sample_order", "split"]

Int = npt.NDArray[np.int64]
Progress = Callable[[str, int, int], None]
"""Called with (what is being done, done, in all)."""
STEP_TENTHS = (5, 7, 9)
PREDICT_BATCH = 256
CHECKPOINT_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """What one epoch did; losses are means over the samples, accuracies shares of 1."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """Every epoch, and the one that the module was left at: the best on the validation samples, of two the later."""

    epochs: tuple[Epoch, ...]
    best: Epoch


def learning_rate(settings: TrainSettings, epoch: int) -> float:
    """Return the learning rate of an epoch, counted from 1."""
    done = epoch - 1
    if settings.schedule == "cosine":
        return settings.learning_rate * (1 + math.cos(math.pi * done / settings.epochs)) / 2
    if settings.schedule == "step":
        return settings.learning_rate * 0.1 ** sum(10 * done >= tenths * settings.epochs for tenths in STEP_TENTHS)
    return settings.learning_rate


def sample_order(seed: int, epoch: int, count: int) -> Int:
    """Return a permutation of 0..count-1 that depends on (seed, epoch) alone."""
    words = np.random.Philox(key=np.array([seed, epoch], dtype=np.uint64)).random_raw(count)
    return np.argsort(words, kind="stable").astype(np.int64)


def split(count: int, share: float, seed: int, subset: int = 0) -> tuple[Int, Int]:
    """Return the indices to train on and those held back to choose the epoch, both in ascending order.

    With ``subset``, so many samples are taken for both together; 0 takes all.
    """
    if subset > count:
        raise TrainError(f"subset: {subset} samples; there are {count}")
    order = sample_order(seed, 0, count)[: subset or count]
    held = round(len(order) * share)
    if not 1 <= held < len(order):
        raise TrainError(f"validation: a share of {share} of {len(order)} samples holds back {held}; at least 1 must be on each side")
    return np.sort(order[held:]), np.sort(order[:held])


@contextmanager
def repeatable(seed: int, threads: int) -> Iterator[None]:
    """Run a block with torch's generator seeded, ``threads`` threads and deterministic algorithms, and put all three back."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    # What CUDA's matrix products need to give the same result every time; read when they are first used.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.set_num_threads(before[0])
            torch.use_deterministic_algorithms(before[1])


def inputs(module: nn.Module, images: npt.NDArray[Any], coding: InputCoding, timesteps: int, samples: Int) -> torch.Tensor:
    """Return the input [T, N, C, H, W] of images, their randomness keyed by ``samples``, where and as the module wants it.

    What is the same in every timestep goes into one of this package's networks once, as [1, N, C, H, W].
    """
    device, dtype = _placement(module)
    held = coding.coding == "direct" and isinstance(module, SpikingNetwork | QuantizedNetwork)
    events = encode(images, coding, 1 if held else timesteps, samples)
    return events_to_input(events, coding.scale, dtype).to(device)


def predict(
    module: nn.Module, dataset: Dataset, coding: InputCoding, timesteps: int, samples: Int, processes: Processes = ALONE
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scores [N, classes] and labels [N] of the given samples of a split, in evaluation mode.

    The events are keyed by the sample's index in its split: those that float network, reference, simulator and hardware see.
    """
    module.eval()
    found = []
    with torch.no_grad():
        for batch in _batches(processes.share(samples), PREDICT_BATCH):
            found.append(losses.scores(module(inputs(module, dataset.images[batch], coding, timesteps, batch))).cpu())
    return processes.gather(torch.cat(found), len(samples)), torch.from_numpy(dataset.labels[samples])


def fit(
    module: nn.Module, dataset: Dataset, coding: InputCoding, settings: TrainSettings, *, timesteps: int, seed: int,
    checkpoint: Path | None = None, resume: bool = False, start_sha256: str = "", progress: Callable[[Epoch], None] | None = None,
    batch_progress: Progress | None = None,
) -> FitResult:  # fmt: skip
    """Train ``module`` on ``dataset`` (a training split) and leave it, in evaluation mode, as it was after its best epoch.

    Epoch e draws the events of sample i with the number ``i + e * len(dataset)``, e from 1. With ``checkpoint``, that file is
    replaced after each epoch, before ``progress`` is called; ``resume`` continues from it where it exists. ``batch_progress`` is called
    after each batch. ``start_sha256`` is the hash of what ``module`` was given its values from, if anything. A checkpoint of another run or
    start, losses that are no longer numbers, and a network that the steps have made one that no longer folds, are TrainErrors.

    Under ``torchrun``, every batch is shared out among the processes and the gradients are averaged, so that the result is that of
    one process but for the order of sums, and for what the network itself draws at random; only the first process writes and reports,
    and all must see its folder.
    """
    processes = Processes.here()
    train, held = _enough(len(dataset), settings, seed, processes)
    optimizer = make_optimizer(module, settings)
    shapes = [(key, list(value.shape)) for key, value in module.state_dict().items()]
    signature = repr((settings, coding, timesteps, seed, dataset.name, dataset.images.shape, shapes))
    goes_on = resume and checkpoint is not None and checkpoint.exists()
    state = _begin(module, optimizer, signature, start_sha256, checkpoint if goes_on else None)
    with repeatable(seed, settings.threads):
        replica = processes.replica(module)
        for epoch in range(len(state["log"]) + 1, settings.epochs + 1):
            start = time.perf_counter()
            # What is drawn within the network (dropout, stochmax) differs between processes, as between the samples of a batch.
            words = [seed, epoch] if processes.first else [seed, epoch, processes.rank]
            torch.manual_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))
            order = train[sample_order(seed, epoch, len(train))][: settings.samples_per_epoch or None]
            loss, accuracy = _train_epoch(
                replica, dataset, coding, settings, optimizer, timesteps, order, epoch, seed, processes, batch_progress
            )  # fmt: skip
            with _folding(module, settings, epoch):
                scores, labels = predict(module, dataset, coding, timesteps, held, processes)
            entry = Epoch(
                epoch=epoch, learning_rate=learning_rate(settings, epoch), train_loss=loss, train_accuracy=accuracy,
                validation_loss=float(functional.cross_entropy(scores, labels)), validation_accuracy=_accuracy(scores, labels),
                seconds=time.perf_counter() - start,
            )  # fmt: skip
            if not math.isfinite(entry.validation_loss):
                raise DivergenceError(f"epoch {epoch}: the validation loss is {entry.validation_loss}; a lower learning_rate may help")
            state["log"].append(asdict(entry))
            if state["best"] == 0 or _better(entry, state["log"][state["best"] - 1], settings):
                state["best"] = epoch
                state["best_module"] = {key: value.detach().cpu().clone() for key, value in module.state_dict().items()}
            if checkpoint is not None and processes.first:
                _save(checkpoint, state | {"module": module.state_dict(), "optimizer": optimizer.state_dict()})
            if progress is not None and processes.first:
                progress(entry)
    module.load_state_dict(state["best_module"])
    module.eval()
    epochs = tuple(Epoch(**entry) for entry in state["log"])
    return FitResult(epochs=epochs, best=epochs[state["best"] - 1])


def _enough(count: int, settings: TrainSettings, seed: int, processes: Processes) -> tuple[Int, Int]:
    """Return the samples to train on and those held back, of ``count``.

    Too few of either, or a batch that cannot be shared out among all processes, is a TrainError.
    """
    if settings.batch_size % processes.count:
        raise TrainError(f"batch_size: {settings.batch_size}; it must be a multiple of the {processes.count} processes")
    train, held = split(count, settings.validation, seed, settings.subset)
    if len(held) < processes.count or (len(train) < settings.batch_size and processes.count > 1):
        raise TrainError(
            f"{len(train)} samples to train on and {len(held)} held back; {processes.count} processes need more of both"
        )  # fmt: skip
    return train, held


def _begin(
    module: nn.Module, optimizer: torch.optim.Optimizer, signature: str, start_sha256: str, checkpoint: Path | None
) -> dict[str, Any]:  # fmt: skip
    """Return the state before the first epoch or, with a ``checkpoint``, the one in it.

    Module and optimizer get their values from the checkpoint then.
    """
    if checkpoint is None:
        return {
            "format": CHECKPOINT_FORMAT,
            "signature": signature,
            "log": [],
            "best": 0,
            "best_module": {},
            "start_sha256": start_sha256,
        }
    state = _load(checkpoint, signature, start_sha256)
    module.load_state_dict(state["module"])
    optimizer.load_state_dict(state["optimizer"])
    return state


def _better(entry: Epoch, best: dict[str, Any], settings: TrainSettings) -> bool:
    """Return whether an epoch is at least as good as the best one before it.

    By loss, not accuracy: of a small validation set, many epochs classify all but the same few samples rightly. Spike counts
    are no logits, so their cross-entropy says little.
    """
    if settings.loss == "spike_count":
        return entry.validation_accuracy >= float(best["validation_accuracy"])
    return entry.validation_loss <= float(best["validation_loss"])


def _train_epoch(
    module: nn.Module, dataset: Dataset, coding: InputCoding, settings: TrainSettings, optimizer: torch.optim.Optimizer, timesteps: int,
    order: Int, epoch: int, seed: int, processes: Processes, progress: Progress | None,
) -> tuple[float, float]:  # fmt: skip
    """Make one pass over ``order``, less a last batch that is not full; return mean loss and accuracy."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(settings, epoch)
    module.train()
    network = processes.inside(module)
    device, _ = _placement(network)
    total, right, seen = 0.0, 0, 0
    full = max(1, len(order) // settings.batch_size) * settings.batch_size
    for whole in _batches(order[:full], settings.batch_size):
        batch = processes.share(whole)
        numbers, images = batch + epoch * len(dataset), dataset.images[batch]
        if settings.augment_crop or settings.augment_flip:
            images = augment(images, crop=settings.augment_crop, flip=settings.augment_flip, seed=seed, samples=numbers)
        x, labels = inputs(network, images, coding, timesteps, numbers), torch.from_numpy(dataset.labels[batch]).to(device)
        folding = _folding(network, settings, epoch) if epoch > 1 or seen else nullcontext()
        with folding, torch.autocast(device.type, torch.bfloat16, enabled=settings.amp):
            output = module(x)
            loss = losses.loss(output, labels, settings, timesteps)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += float(loss.detach()) * len(batch)
        right += int((losses.scores(output).detach().argmax(1) == labels).sum())
        seen += len(batch)
        if progress is not None:
            progress(f"epoch {epoch} of {settings.epochs}", seen * processes.count, full)
    total, right, seen = processes.totals(total, right, seen)
    if not math.isfinite(total) or not all(bool(torch.isfinite(value).all()) for value in network.state_dict().values()):
        found = f"the loss is {total / seen}" if not math.isfinite(total) else "what was learned is not finite"
        raise DivergenceError(f"epoch {epoch}: {found}; a lower learning_rate than {settings.learning_rate} may help")
    return total / seen, right / seen


@contextmanager
def _folding(module: nn.Module, settings: TrainSettings, epoch: int) -> Iterator[None]:
    """Tell that it was the steps, where a network that did fold before the first of them no longer does."""
    try:
        yield
    except (FoldError, NetworkError, ExportError) as error:
        if not isinstance(module, QuantizedNetwork):
            raise
        raise DivergenceError(
            f"train method 'quantize', epoch {epoch}: the network has drifted so far that it cannot be folded; "
            f"a lower learning_rate than {settings.learning_rate} may help ({error})"
        ) from error


def _placement(module: nn.Module) -> tuple[torch.device, torch.dtype]:
    first = next(module.parameters(), None)
    if first is None:
        raise TrainError(f"network: {type(module).__name__} has no parameters to train")
    return first.device, first.dtype


def _batches(samples: Int, size: int) -> Iterator[Int]:
    for start in range(0, len(samples), size):
        yield samples[start : start + size]


def _accuracy(scores: torch.Tensor, labels: torch.Tensor) -> float:
    return float((scores.argmax(1) == labels).double().mean())


def _save(path: Path, state: dict[str, Any]) -> None:
    content = io.BytesIO()
    torch.save(state, content)
    write_bytes(path, content.getvalue())


def _load(path: Path, signature: str, start_sha256: str) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # Whatever bytes are there, torch's reader may raise whatever it likes.
        raise TrainError(f"{path}: not a checkpoint ({type(error).__name__} while reading it)") from error
    if not isinstance(state, dict) or state.get("format") != CHECKPOINT_FORMAT:
        raise TrainError(f"{path}: not a checkpoint of format {CHECKPOINT_FORMAT}")
    if state.get("signature") != signature:
        raise TrainError(f"{path}: it belongs to another run (its settings, coding, data or layers differ); it cannot be resumed")
    # Where there is no start, checkpoints have not always said so.
    began = str(state.get("start_sha256", ""))
    if began != start_sha256:
        found, here = (f"sha256 {one[:12]}…" if one else "none is noted" for one in (began, start_sha256))
        raise TrainError(f"{path}: it began with another train start than there is now ({found}; here {here}); it cannot be resumed")
    return state
