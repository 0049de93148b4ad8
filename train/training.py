"""The training loop: any module that takes [T, N, C, H, W], any data set, repeatable to the last bit.

Nothing here depends on what was drawn before: the order of the samples comes from (seed, epoch), the events from the
coding's seed and a sample number that no two epochs share, and torch's generator is seeded anew in each epoch. So a run
that is resumed from its checkpoint ends exactly as one that was never interrupted.
"""

import io
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from spikefold.data.coding import InputCoding, encode
from spikefold.data.datasets import Dataset
from spikefold.data.files import write_bytes
from spikefold.train.errors import TrainError
from spikefold.train.network import events_to_input
from spikefold.train.recipe import TrainSettings

__all__ = ["Epoch", "FitResult", "fit", "learning_rate", "predict", "repeatable", "sample_order", "split"]

Int = npt.NDArray[np.int64]
STEP_TENTHS = (5, 7, 9)
PREDICT_BATCH = 256
CHECKPOINT_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """What one epoch did; losses are means of the cross-entropy, accuracies shares of 1."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """Every epoch, and the one that the module was left at: the one with the least loss on the validation samples (of two, the later)."""

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


def split(count: int, share: float, seed: int) -> tuple[Int, Int]:
    """Return the indices to train on and those held back to choose the epoch, both in ascending order."""
    held = round(count * share)
    if not 1 <= held < count:
        raise TrainError(f"validation: a share of {share} of {count} samples holds back {held}; at least 1 must be on each side")
    order = sample_order(seed, 0, count)
    return np.sort(order[held:]), np.sort(order[:held])


@contextmanager
def repeatable(seed: int, threads: int) -> Iterator[None]:
    """Run a block with torch's generator seeded, ``threads`` threads and deterministic algorithms, and put all three back."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.set_num_threads(before[0])
            torch.use_deterministic_algorithms(before[1])


def predict(module: nn.Module, dataset: Dataset, coding: InputCoding, timesteps: int, samples: Int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scores [N, classes] and labels [N] of the given samples of a split, in evaluation mode.

    The events are keyed by the sample's index in its split: those that float network, reference, simulator and hardware see.
    """
    device, dtype = _placement(module)
    module.eval()
    scores = []
    with torch.no_grad():
        for batch in _batches(samples, PREDICT_BATCH):
            events = encode(dataset.images[batch], coding, timesteps, batch)
            scores.append(module(events_to_input(events, coding.scale, dtype).to(device)).cpu())
    return torch.cat(scores), torch.from_numpy(dataset.labels[samples])


def fit(
    module: nn.Module, dataset: Dataset, coding: InputCoding, settings: TrainSettings, *, timesteps: int, seed: int,
    checkpoint: Path | None = None, resume: bool = False, progress: Callable[[Epoch], None] | None = None,
) -> FitResult:  # fmt: skip
    """Train ``module`` on ``dataset`` (a training split) and leave it, in evaluation mode, as it was after its best epoch.

    The loss is the cross-entropy of the scores (Kim and Panda 2021). Epoch e draws the events of sample i with the number
    ``i + e * len(dataset)``, e from 1. With ``checkpoint``, that file is replaced after each epoch, before ``progress`` is called;
    ``resume`` continues from it where it exists. A checkpoint of another run, and losses that are no longer numbers, are TrainErrors.
    """
    train, held = split(len(dataset), settings.validation, seed)
    optimizer = _optimizer(module, settings)
    shapes = [(key, list(value.shape)) for key, value in module.state_dict().items()]
    signature = repr((settings, coding, timesteps, seed, dataset.name, dataset.images.shape, shapes))
    state: dict[str, Any] = {"format": CHECKPOINT_FORMAT, "signature": signature, "log": [], "best": 0, "best_module": {}}
    if resume and checkpoint is not None and checkpoint.exists():
        state = _load(checkpoint, signature)
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
    with repeatable(seed, settings.threads):
        for epoch in range(len(state["log"]) + 1, settings.epochs + 1):
            start = time.perf_counter()
            torch.manual_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0]))
            order = train[sample_order(seed, epoch, len(train))]
            loss, accuracy = _train_epoch(module, dataset, coding, settings, optimizer, timesteps, order, epoch)
            scores, labels = predict(module, dataset, coding, timesteps, held)
            entry = Epoch(
                epoch=epoch, learning_rate=learning_rate(settings, epoch), train_loss=loss, train_accuracy=accuracy,
                validation_loss=float(functional.cross_entropy(scores, labels)), validation_accuracy=_accuracy(scores, labels),
                seconds=time.perf_counter() - start,
            )  # fmt: skip
            state["log"].append(asdict(entry))
            # By loss, not accuracy: of a small validation set, many epochs classify all but the same few samples rightly.
            if state["best"] == 0 or entry.validation_loss <= state["log"][state["best"] - 1]["validation_loss"]:
                state["best"] = epoch
                state["best_module"] = {key: value.detach().cpu().clone() for key, value in module.state_dict().items()}
            if checkpoint is not None:
                _save(checkpoint, state | {"module": module.state_dict(), "optimizer": optimizer.state_dict()})
            if progress is not None:
                progress(entry)
    module.load_state_dict(state["best_module"])
    module.eval()
    epochs = tuple(Epoch(**entry) for entry in state["log"])
    return FitResult(epochs=epochs, best=epochs[state["best"] - 1])


def _train_epoch(
    module: nn.Module, dataset: Dataset, coding: InputCoding, settings: TrainSettings, optimizer: torch.optim.Optimizer, timesteps: int,
    order: Int, epoch: int,
) -> tuple[float, float]:  # fmt: skip
    """Make one pass over ``order``, less a last batch that is not full; return mean loss and accuracy."""
    device, dtype = _placement(module)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(settings, epoch)
    module.train()
    total, right, seen = 0.0, 0, 0
    full = max(1, len(order) // settings.batch_size) * settings.batch_size
    for batch in _batches(order[:full], settings.batch_size):
        events = encode(dataset.images[batch], coding, timesteps, batch + epoch * len(dataset))
        labels = torch.from_numpy(dataset.labels[batch]).to(device)
        scores = module(events_to_input(events, coding.scale, dtype).to(device))
        loss = functional.cross_entropy(scores, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += float(loss.detach()) * len(batch)
        right += int((scores.detach().argmax(1) == labels).sum())
        seen += len(batch)
    if not math.isfinite(total):
        raise TrainError(f"epoch {epoch}: the loss is {total / seen}; a lower learning_rate than {settings.learning_rate} may help")
    return total / seen, right / seen


def _optimizer(module: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    if settings.optimizer == "adam":
        return torch.optim.Adam(module.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    return torch.optim.SGD(module.parameters(), lr=settings.learning_rate, momentum=settings.momentum, weight_decay=settings.weight_decay)


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


def _load(path: Path, signature: str) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # Whatever bytes are there, torch's reader may raise whatever it likes.
        raise TrainError(f"{path}: not a checkpoint ({type(error).__name__} while reading it)") from error
    if not isinstance(state, dict) or state.get("format") != CHECKPOINT_FORMAT:
        raise TrainError(f"{path}: not a checkpoint of format {CHECKPOINT_FORMAT}")
    if state.get("signature") != signature:
        raise TrainError(f"{path}: it belongs to another run (its settings, coding, data or layers differ); it cannot be resumed")
    return state
