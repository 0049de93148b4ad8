"""What a trained network is worth: accuracy against timesteps, early exit, and which classes it takes for which."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from spikefold.data.coding import InputCoding
from spikefold.data.datasets import Dataset
from spikefold.data.files import EVALUATION, FINAL_EVALUATION, write_text
from spikefold.train.errors import TrainError
from spikefold.train.methods import losses
from spikefold.train.methods.training import inputs, repeatable, split
from spikefold.train.modules.early_exit import EXIT_THRESHOLD, exit_step, mean_gammas
from spikefold.train.modules.layers import Conv2d, Synapses
from spikefold.train.modules.network import SpikingNetwork
from spikefold.train.modules.neurons import hold
from spikefold.train.modules.norm import BNTT
from spikefold.train.runs.measures import Measures, measure
from spikefold.train.runs.run import enough_memory, load_data
from spikefold.train.runs.store import load_run

__all__ = ["EarlyExit", "Evaluation", "evaluate", "evaluate_network", "keep_evaluation"]

Int = npt.NDArray[np.int64]
BATCH = 100
BATCH_ELEMENTS = 1 << 27
MEASURED_SAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyExit:
    """When the gammas of BNTT say to stop (Kim and Panda 2021): after ``timesteps``; ``gammas`` is [layers][T], means over the channels."""

    threshold: float
    timesteps: int
    accuracy: float
    gammas: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """A network on N samples of a split, in evaluation mode.

    ``accuracies``: of the scores after so many ``timesteps``, which are all of 1..T, or, where what happens in a timestep depends on later
    ones (PSP-LN, STDP's features) and each number needs a run of its own, powers of two and T. ``confusion`` int64 [classes, classes]:
    samples of a class (row) that were taken for a class (column) after all T. ``measures`` are over the first samples (at most 1,000).
    """

    data: str
    split: str
    samples: int
    timesteps: tuple[int, ...]
    accuracies: tuple[float, ...]
    confusion: Int
    class_names: tuple[str, ...]
    early_exit: EarlyExit | None
    measures: Measures

    @property
    def accuracy(self) -> float:
        """After all timesteps."""
        return self.accuracies[-1]

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON has them."""
        leaving = self.early_exit
        return {
            "data": self.data,
            "split": self.split,
            "samples": self.samples,
            "accuracy": self.accuracy,
            "timesteps": list(self.timesteps),
            "accuracy_after_timesteps": list(self.accuracies),
            "early_exit": None if leaving is None else {
                "threshold": leaving.threshold, "timesteps": leaving.timesteps, "accuracy": leaving.accuracy,
                "mean_gammas": [list(layer) for layer in leaving.gammas],
            },
            "class_names": list(self.class_names),
            "confusion": self.confusion.tolist(),
            "measures": self.measures.to_dict(),
        }  # fmt: skip


def evaluate(
    folder: Path, *, final: bool = False, samples: int | None = None, data_dir: Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Evaluation:  # fmt: skip
    """Evaluate the network of a finished run, in float64.

    On the samples of the training split that its training held back, or, with ``final``, on the test split, which nothing else in
    training reads; the first ``samples`` of either (None: all). Nothing is written: see :func:`keep_evaluation`.
    """
    recipe, module = load_run(folder)
    if recipe.quantize is not None:
        raise TrainError(f"{folder}: it was trained through the fold, for its integer network alone; quantize it, and simulate that")
    data = load_data(recipe, "test" if final else "train", data_dir)
    chosen = np.arange(len(data)) if final else split(len(data), recipe.train.validation, recipe.seed, recipe.train.subset)[1]
    if samples is not None and not 1 <= samples <= len(chosen):
        raise TrainError(f"samples: {samples}; there are {len(chosen)}, and at least 1 is needed")
    with enough_memory(str(folder)), repeatable(recipe.seed, recipe.train.threads):
        return evaluate_network(module, data, recipe.input, chosen[:samples], split="test" if final else "validation", progress=progress)


def keep_evaluation(found: Evaluation, folder: Path) -> None:
    """Write an evaluation into its run's folder, as ``evaluation.json`` or, of the test split, ``evaluation_final.json``."""
    write_text(folder / (FINAL_EVALUATION if found.split == "test" else EVALUATION), json.dumps(found.to_dict(), indent=2) + "\n")


def evaluate_network(
    module: SpikingNetwork, data: Dataset, coding: InputCoding, samples: Int, *, split: str, progress: Callable[[str, int, int], None] | None = None
) -> Evaluation:
    """Evaluate a network on some samples of a split, whose name is only noted."""
    steps, classes = _counted_steps(module), len(data.class_names)
    size = _batch_size(module, coding)
    right, confusion = np.zeros(len(steps), np.int64), np.zeros((classes, classes), np.int64)
    module.eval()
    for start in range(0, len(samples), size):
        batch = samples[start : start + size]
        x, labels = inputs(module, data.images[batch], coding, module.timesteps, batch), data.labels[batch]
        predicted = _predictions(module, x, steps)
        right += (predicted == labels).sum(1)
        np.add.at(confusion, (labels, predicted[-1]), 1)
        if progress is not None:
            progress("evaluate", start + len(batch), len(samples))
    accuracies = tuple((right / len(samples)).tolist())
    first = samples[:MEASURED_SAMPLES]
    batches = (first[i : i + size] for i in range(0, len(first), size))
    measures = measure(module, (inputs(module, data.images[batch], coding, module.timesteps, batch) for batch in batches))
    return Evaluation(
        data=data.name, split=split, samples=len(samples), timesteps=steps, accuracies=accuracies, confusion=confusion,
        class_names=data.class_names, early_exit=_early_exit(module, accuracies), measures=measures,
    )  # fmt: skip


def _over_all_timesteps(module: SpikingNetwork) -> bool:
    return any(getattr(part, "over_all_timesteps", False) for part in module.modules())


def _counted_steps(module: SpikingNetwork) -> tuple[int, ...]:
    """Return the numbers of timesteps that scores are read after."""
    if not _over_all_timesteps(module):
        return tuple(range(1, module.timesteps + 1))
    return (*(2**k for k in range((module.timesteps - 1).bit_length())), module.timesteps)


def _batch_size(module: SpikingNetwork, coding: InputCoding) -> int:
    """Return how many samples to run at once: 100, or fewer where a layer's spikes of all timesteps are many."""
    _, height, width = coding.shape
    widest = max(
        part.weight.shape[0] * (height * width if isinstance(part, Conv2d) else 1) for part in module.modules() if isinstance(part, Synapses)
    )
    return max(1, min(BATCH, BATCH_ELEMENTS // (module.timesteps * widest)))


def _predictions(module: SpikingNetwork, x: torch.Tensor, steps: tuple[int, ...]) -> Int:
    """Return the classes [steps, N] that the scores say after so many timesteps."""
    with torch.no_grad():
        if _over_all_timesteps(module):
            whole = hold(x, module.timesteps)
            found = [module.readout(module.outputs(whole[:t], t)) for t in steps]
        else:
            outputs = module.outputs(x)
            found = [module.readout(outputs[:t]) for t in steps]
        return torch.stack([losses.scores(output).argmax(1) for output in found]).cpu().numpy()


def _early_exit(module: SpikingNetwork, accuracies: tuple[float, ...]) -> EarlyExit | None:
    if not any(isinstance(part, BNTT) for part in module.modules()):
        return None
    gammas = mean_gammas(module)
    timesteps = exit_step(gammas)
    return EarlyExit(
        threshold=EXIT_THRESHOLD, timesteps=timesteps, accuracy=accuracies[timesteps - 1], gammas=tuple(tuple(g.tolist()) for g in gammas)
    )
