"""How a recipe's network comes to its weights: surrogate gradients, also through the fold, conversion of an ANN, or STDP and a classifier."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from spikefold.data.datasets import Dataset
from spikefold.train.conversion import EventBatches, ann_of, balance, convert
from spikefold.train.errors import TrainError
from spikefold.train.network import SpikingNetwork, build_network
from spikefold.train.neurons import LIF
from spikefold.train.processes import Processes
from spikefold.train.quantized import QuantizedNetwork
from spikefold.train.recipe import Recipe
from spikefold.train.stdp import StdpProgress, stdp_dataset, train_stdp
from spikefold.train.stdp_features import StdpFeatures
from spikefold.train.training import Epoch, FitResult, Progress, fit, inputs, repeatable, split

__all__ = ["learn"]


def learn(
    plan: Recipe,
    data: Dataset,
    device: torch.device,
    start: SpikingNetwork | None,
    *,
    checkpoint: Path,
    resume: bool,
    progress: Callable[[Epoch], None],
    batch_progress: Progress | None,
) -> tuple[SpikingNetwork, FitResult]:
    """Return the trained network of ``plan``, and the epochs of what gradients trained.

    - ``bptt``: the network itself, by surrogate gradients through time.
    - ``quantize``: the integer network that it folds into, by gradients straight through the roundings; on the CPU.
    - ``conversion``: an ANN of its layers, whose weights are taken over, and thresholds balanced on training samples.
    - ``stdp``: convolutions learn without labels, layer by layer; then the layers of the recipe, a classifier on their activity.

    (Panda, Aketi and Roy 2020, section 3.2.) With ``start``, the first two go on from the values of that network.

    The checkpoint holds the part that gradients train; balancing and STDP are done again by a run that is resumed, with the same result.
    """

    def train(module: nn.Module, recipe: Recipe, dataset: Dataset) -> FitResult:
        return fit(
            module, dataset, recipe.input, recipe.train, timesteps=recipe.timesteps, seed=plan.seed, checkpoint=checkpoint, resume=resume,
            progress=progress, batch_progress=batch_progress,
        )  # fmt: skip

    def untrained(recipe: Recipe) -> SpikingNetwork:
        with repeatable(plan.seed, plan.train.threads):
            return build_network(recipe).to(device)

    if plan.conversion is not None:
        recipe = ann_of(plan)
        ann = untrained(recipe)
        fitted = train(ann, recipe, data)
        network = convert(ann.cpu(), plan)
        _balance(network, plan, data, batch_progress)
        return network, fitted
    if plan.stdp is not None:
        return _stdp(plan, data, untrained(plan), train, batch_progress)
    network = untrained(plan)
    if start is not None:
        _take_over(network, start, plan)
    if plan.quantize is None:
        return network, train(network, plan, data)
    module = QuantizedNetwork(network.cpu(), plan.input, plan.quantize)
    _calibrate(module, plan, data)
    return network, train(module, plan, data)


def _take_over(network: SpikingNetwork, start: SpikingNetwork, plan: Recipe) -> None:
    """Give a network the values of another one with the same layers."""
    place = f"train start: {plan.train.start!r}"
    try:
        network.load_state_dict(start.state_dict())
    except RuntimeError as error:
        # Missing and additional tensors and other shapes are all told in words.
        raise TrainError(f"{place}; its layers are not those of the recipe {plan.name!r}: {' '.join(str(error).split())}") from error
    for ours, theirs in zip(network.modules(), start.modules(), strict=True):
        if (
            isinstance(ours, LIF)
            and isinstance(theirs, LIF)
            and (ours.leak, ours.threshold, ours.reset) != (theirs.leak, theirs.threshold, theirs.reset)
        ):
            raise TrainError(f"{place}; its neurons are {theirs.extra_repr()}; those of the recipe {plan.name!r} are {ours.extra_repr()}")


def _calibrate(module: QuantizedNetwork, plan: Recipe, data: Dataset) -> None:
    """Take the statistics of a network's normalisations from the first of the samples that it is to be trained on."""
    chosen, _ = split(len(data), plan.train.validation, plan.seed, plan.train.subset)
    samples = chosen[: module.settings.calibrate]
    if len(samples):
        with repeatable(plan.seed, plan.train.threads):
            module.calibrate(inputs(module, data.images[samples], plan.input, plan.timesteps, samples))


def _balance(network: SpikingNetwork, plan: Recipe, data: Dataset, progress: Progress | None) -> None:
    """Give a converted network its thresholds, from the first of the samples that it was trained on."""
    settings = plan.conversion
    if settings is None:
        raise TrainError(f"recipe {plan.name!r}: it has no [conversion]")
    chosen, _ = split(len(data), plan.train.validation, plan.seed, plan.train.subset)
    samples = tuple(int(i) for i in chosen[: settings.balance_samples])
    batches = EventBatches(dataset=data, coding=plan.input, timesteps=plan.timesteps, samples=samples)

    def report(layer: int, layers: int, threshold: float) -> None:
        if progress is not None:
            progress("balance thresholds", layer, layers)

    with repeatable(plan.seed, plan.train.threads):
        balance(network, batches, settings.percentile, report)


def _stdp(
    plan: Recipe, data: Dataset, network: SpikingNetwork, train: Callable[[SpikingNetwork, Recipe, Dataset], FitResult], progress: Progress | None
) -> tuple[SpikingNetwork, FitResult]:
    settings, features = plan.stdp, network.chain[0]
    if settings is None or not isinstance(features, StdpFeatures):
        raise TrainError(f"recipe {plan.name!r}: it has no [stdp]")
    if Processes.here().count > 1:
        raise TrainError("train method: 'stdp'; it runs in one process")
    chosen, _ = split(len(data), plan.train.validation, plan.seed, plan.train.subset)
    count = settings.samples or len(chosen)
    batches = -(-count // settings.batch_size) * settings.epochs

    def report(done: StdpProgress) -> None:
        if progress is not None:
            progress(f"STDP, stage {done.stage + 1} of {len(settings.stages)}", done.batch, batches)

    steps, threads = plan.timesteps, plan.train.threads
    layers = train_stdp(data, plan.input, settings, timesteps=steps, seed=plan.seed, threads=threads, among=chosen, progress=report)
    learned, coding = stdp_dataset(layers, data, plan.input, settings, timesteps=steps, threads=threads, among=chosen)
    features.fill(layers, coding.std)
    # The same modules without the layers in front, which are done learning: their activity is the classifier's data set.
    classifier = SpikingNetwork(*list(network.chain)[1:], timesteps=1)
    fitted = train(classifier, replace(plan, input=coding, timesteps=1, stdp=None, train=replace(plan.train, method="bptt")), learned)
    return network.cpu().eval(), fitted
