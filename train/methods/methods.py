"""How a recipe's network comes to its weights: surrogate gradients, also through the fold, conversion of an ANN, or STDP and a classifier."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from spikefold.data.datasets import Dataset
from spikefold.train.errors import TrainError
from spikefold.train.methods.conversion import EventBatches, ann_of, balance, convert
from spikefold.train.methods.quantized import QuantizedNetwork
from spikefold.train.methods.stdp import StdpProgress, stdp_dataset, train_stdp
from spikefold.train.methods.training import Epoch, FitResult, Progress, fit, inputs, repeatable, split
from spikefold.train.modules.network import SpikingNetwork, build_network
from spikefold.train.modules.neurons import LIF
from spikefold.train.modules.srm import SRM
from spikefold.train.modules.stdp_features import StdpFeatures
from spikefold.train.processes import Processes
from spikefold.train.recipes.recipe import Recipe, default_name

__all__ = ["Start", "check_start", "device_of", "learn"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Start:
    """A finished run that another one goes on from: its recipe, its network, and the hash of the file that holds it."""

    recipe: Recipe
    network: SpikingNetwork
    sha256: str


def device_of(plan: Recipe, device: torch.device) -> torch.device:
    """Return where a recipe is trained if there is ``device``: through the fold, on the CPU."""
    return device if plan.quantize is None else torch.device("cpu")


def learn(
    plan: Recipe,
    data: Dataset,
    device: torch.device,
    start: Start | None,
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

    (Panda, Aketi and Roy 2020, section 3.2.) With ``start``, which :func:`check_start` has seen, the first two go on from its values.

    The checkpoint holds the part that gradients train; balancing and STDP are done again by a run that is resumed, with the same result.
    """

    def train(module: nn.Module, recipe: Recipe, dataset: Dataset) -> FitResult:
        return fit(
            module, dataset, recipe.input, recipe.train, timesteps=recipe.timesteps, seed=plan.seed, checkpoint=checkpoint, resume=resume,
            start_sha256="" if start is None else start.sha256, progress=progress, batch_progress=batch_progress,
        )  # fmt: skip

    def untrained(recipe: Recipe) -> SpikingNetwork:
        with repeatable(plan.seed, plan.train.threads):
            return build_network(recipe).to(device_of(plan, device))

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
        network.load_state_dict(start.network.state_dict())
    if plan.quantize is None:
        return network, train(network, plan, data)
    module = QuantizedNetwork(network, plan.input, plan.quantize)
    _calibrate(module, plan, data)
    return network, train(module, plan, data)


def check_start(place: str, plan: Recipe, start: Start) -> None:
    """Raise a TrainError, which begins with ``place``, at the first thing in which a start is another network than the recipe's.

    All that a network computes must be the same, but for the tensors that are taken over. The input's coding, the data, the names of
    layers, the surrogate and all that only says how to train may differ.
    """
    # Conversion found thresholds that are not in its recipe.
    found = [float(part.threshold) for part in start.network.chain if isinstance(part, LIF | SRM)]
    names = [layer.name or default_name(layer.kind, i + 1) for i, layer in enumerate(plan.layers)]
    for (layer, key, theirs), (_, _, ours) in zip(_facts(start.recipe, found), _facts(plan, None), strict=True):
        if theirs != ours:
            where = f"layer {layer + 1} ({names[layer]!r}) " if layer >= 0 else ""
            raise TrainError(f"{place}: {where}{key}: {_told(theirs)}; here {_told(ours)}")


def _facts(recipe: Recipe, thresholds: list[float] | None) -> Iterator[tuple[int, str, object]]:
    """Yield what a network computes besides its tensors: the number of the layer (-1: all), what it is, and the value, None where it has no effect.

    ``thresholds`` are those of the layers that fire; None takes the recipe's.
    """
    neuron, norm, layers = recipe.neuron, recipe.norm, recipe.layers
    ends = [recipe.readout == "potential" and i == len(layers) - 1 for i in range(len(layers))]
    # Stochmax is a layer by itself; a norm before the weights acts on other readouts too.
    normed = [layer.norm and (recipe.train.classifier == "softmax" if norm.before else not end) for layer, end in zip(layers, ends, strict=True)]
    kinds = ["integrating" if end else layer.neuron for layer, end in zip(layers, ends, strict=True)]
    yield from ((-1, key, value) for key, value in (
        ("timesteps", recipe.timesteps), ("readout", recipe.readout), ("input shape", list(recipe.input.shape)),
        ("stdp features", recipe.stdp is not None), ("classifier", recipe.train.classifier), ("layers", len(layers)),
        ("norm kind", norm.kind if any(normed) else "none"),
    ))  # fmt: skip
    acts = {"beta": norm.side == "after", "eps": norm.side == "after", "lam": norm.before}
    yield from ((-1, f"norm {key}", getattr(norm, key) if any(normed) and act else None) for key, act in acts.items())
    srm = neuron.kind == "srm"
    lif = not srm and "spiking" in kinds
    # An "if" neuron is a LIF one that does not leak; a leak that is learned is a tensor.
    yield -1, "neuron kind", "srm" if srm else "lif" if lif else None
    acts = {"learn_leak": lif, "leak": lif and not neuron.learn_leak, "reset": lif, "tau_s": srm, "tau_r": srm, "refractory": srm}
    yield from ((-1, f"neuron {key}", getattr(neuron, key) if act else None) for key, act in acts.items())
    numbers = {layer.name or default_name(layer.kind, i + 1): i + 1 for i, layer in enumerate(layers)}
    given = [neuron.threshold if layer.threshold is None else layer.threshold for layer, kind in zip(layers, kinds, strict=True) if kind == "spiking"]
    left = iter(given if thresholds is None else thresholds)
    for i, layer in enumerate(layers):
        yield from ((i, key, getattr(layer, key)) for key in ("kind", "out", "kernel", "stride", "padding", "pool", "bias"))
        yield i, "norm", normed[i] and norm.kind != "none"
        yield i, "neuron", kinds[i]
        yield i, "threshold", next(left) if kinds[i] == "spiking" else None
        # By the number: names may differ.
        yield from ((i, key, f"layer {numbers[getattr(layer, key)]}" if getattr(layer, key) else None) for key in ("weights", "add"))
        yield i, "add_from", layer.add_from


def _told(value: object) -> str:
    """Return a value as a recipe has it."""
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)


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
