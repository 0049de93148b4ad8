"""A trained network of ReLU neurons as one of integrate-and-fire neurons: conversion with threshold balancing.

An integrate-and-fire neuron that subtracts its threshold fires at the rate current / threshold, between 0 and 1: a ReLU, in units of
the threshold. So the weights stay, and what has to be found is a threshold for every layer: the largest current that it
receives (Sengupta et al. 2019; Panda et al. 2020, section 3.2.1), and for a layer that runs several times one for each
(BackRes; section 4.1).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn

from spikefold.data.coding import PAYLOAD_BITS_MAX, InputCoding, encode
from spikefold.data.datasets import Dataset
from spikefold.train.errors import RecipeError, SilentLayerError, TrainError
from spikefold.train.modules.layers import AveragePool, Integrate, Synapses
from spikefold.train.modules.network import SpikingNetwork, build_network
from spikefold.train.modules.neurons import LIF, hold, lif_step
from spikefold.train.modules.norm import CurrentNorm
from spikefold.train.recipes.recipe import NormRecipe, Recipe

__all__ = ["EventBatches", "ann_of", "balance", "convert"]

CHUNK_ELEMENTS = 1 << 22
"""How many values the widest layer may have in one piece of time; a few tensors of this size are held at once."""
BATCH = 16
HISTOGRAM_SHIFT = 12
"""How many of a float32's low bits a percentile does without: 11 of its 23 fraction bits are left."""


def ann_of(recipe: Recipe) -> Recipe:
    """Return the recipe of the network to train first: ReLU neurons, one timestep, the weights' shapes, sharing and additions of ``recipe``.

    Its input is the mean of the events that ``recipe`` makes of a pixel, in whole steps of 1/127, the finest that a payload has:
    x for ``poisson`` coding, x / 2 for ``ternary``; ``direct`` coding stays as it is. What conversion cannot take over is a RecipeError:
    bias and normalisation (neither is in the paper; in front of a balanced threshold a bias would need a scale of its own in each
    layer), neurons other than ``if`` with soft reset, thresholds, ``relu`` layers, and any other coding.
    """
    _check(recipe)
    return replace(
        recipe, timesteps=1, readout="potential", input=_mean_coding(recipe.input), norm=NormRecipe(kind="none"), conversion=None,
        train=replace(recipe.train, method="bptt"), layers=tuple(replace(layer, neuron="relu") for layer in recipe.layers),
    )  # fmt: skip


def _check(recipe: Recipe) -> None:
    """Refuse by name what a converted network cannot have."""
    neuron = recipe.neuron
    for place, value, wanted in (
        ("train method", recipe.train.method, "conversion"), ("train loss", recipe.train.loss, "cross_entropy"), ("neuron kind", neuron.kind, "if"),
        ("neuron reset", neuron.reset, "soft"), ("norm kind", recipe.norm.kind, "none"),
    ):  # fmt: skip
        if value != wanted:
            raise RecipeError(f"{place}: {value!r}; for conversion it must be {wanted!r}")
    if neuron.threshold != 1.0:
        raise RecipeError(f"neuron threshold: {neuron.threshold}; conversion finds the thresholds itself, so none may be given")
    for i, layer in enumerate(recipe.layers):
        if layer.bias:
            raise RecipeError(f"layers[{i}].bias: true; conversion takes no bias")
        if layer.neuron == "relu":
            raise RecipeError(f"layers[{i}].neuron: 'relu'; conversion makes every layer spike")
        if layer.threshold is not None:
            raise RecipeError(f"layers[{i}].threshold: {layer.threshold}; conversion finds the thresholds itself, so none may be given")


def _mean_coding(coding: InputCoding) -> InputCoding:
    """Return the coding whose payload over scale is the mean of a timestep's events of ``coding``."""
    if coding.coding == "direct":
        return coding
    if coding.coding not in ("poisson", "ternary"):
        raise RecipeError(f"input coding: {coding.coding!r}; conversion takes poisson, ternary or direct")
    if coding.coding == "poisson" and coding.mean > 0:
        raise RecipeError(f"input mean: {coding.mean}; with poisson coding it must be at most 0: pixels below it never fire")
    halved = 2.0 if coding.coding == "ternary" else 1.0
    return replace(coding, coding="direct", std=coding.std * halved, scale=float(2 ** (PAYLOAD_BITS_MAX - 1) - 1), payload_bits=PAYLOAD_BITS_MAX)


def convert(ann: SpikingNetwork, recipe: Recipe) -> SpikingNetwork:
    """Return integrate-and-fire neurons with the weights of ``ann``, a trained network of ``ann_of(recipe)``, where it is and of its dtype.

    Shared weights stay shared; every layer has neurons of its own, and so has every run of one that runs several times. All thresholds
    are 1 until they are balanced. A network of another recipe is a TrainError.
    """
    _check(recipe)
    with torch.random.fork_rng():
        network = build_network(recipe).to(next(ann.parameters()))
    try:
        network.load_state_dict(ann.state_dict())
    except RuntimeError as error:
        # Missing and additional weights and other shapes are all told in words.
        raise TrainError(f"network: its weights are not those of the recipe {recipe.name!r}: {error}") from error
    if ann.adds != network.adds:
        raise TrainError(f"network: it adds the outputs of modules {ann.adds}; the recipe {recipe.name!r} adds {network.adds}")
    return network.eval()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EventBatches:
    """The inputs of some samples of a split for :func:`balance`, encoded anew each time they are iterated over.

    A batch is int8 events [T, N, C, H, W], or the same input in every timestep, [1, N, C, H, W], in float32. It takes one byte
    an event; encoding takes eight for one sample at a time.
    """

    dataset: Dataset
    coding: InputCoding
    timesteps: int
    samples: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.samples:
            raise TrainError("balancing: there are no samples; at least 1 is needed")

    def __iter__(self) -> Iterator[torch.Tensor]:
        held = self.coding.coding == "direct"
        for start in range(0, len(self.samples), BATCH):
            some = list(self.samples[start : start + BATCH])
            events = torch.from_numpy(encode(self.dataset.images[some], self.coding, 1 if held else self.timesteps, some)).transpose(0, 1)
            yield events if self.coding.scale == 1.0 else events / self.coding.scale


def balance(
    network: SpikingNetwork, batches: Iterable[torch.Tensor], percentile: float = 100.0, progress: Callable[[int, int, float], None] | None = None
) -> tuple[float, ...]:
    """Set and return the thresholds of a converted network's layers, in their order, one for each run of a layer.

    Layer after layer, the network runs on all ``batches`` up to this layer, with the thresholds found so far, and the threshold
    becomes the largest current that reaches it in any sample, neuron and timestep (Panda et al. 2020, section 3.2.1): the sum
    of the weighted inputs of one timestep, not the potential. A ``percentile`` below 100 takes the smallest value that no smaller a share
    of all currents is at most, rounded up by less than 1/2048. ``batches`` are inputs [T, N, C, H, W], or [1, N, C, H, W] where they are held, of any
    dtype, and are iterated over once a layer. Time runs in pieces, the potentials carried along, so that no tensor but the input
    has all timesteps. ``progress`` is called with (layer, counted from 1; layers; threshold).

    Where an earlier layer is added to a layer's current, that current is brought to the other's unit, which the thresholds in
    between have changed: the layer's weights are multiplied (Sengupta et al. 2019 scale the identity path instead). All other
    weights stay. So a network with such additions is balanced once only.

    A layer that no current above 0 reaches is a SilentLayerError.
    """
    if not 0 < percentile <= 100:
        raise TrainError(f"balancing percentile: {percentile}; it must be above 0 and at most 100")
    modules = list(network.chain)[:-1]
    _check_balanceable(network, modules)
    neurons = {i: module for i, module in enumerate(modules) if isinstance(module, LIF)}
    # Carried potentials belong to one run, so the network's own neurons stay without.
    twins = {i: Carrying(population) for i, population in neurons.items()}
    running = [twins.get(i, module) for i, module in enumerate(modules)]
    unit, units, thresholds = 1.0, [1.0] * len(modules), list[float]()
    with torch.no_grad():
        for i in range(len(modules)):
            if i in network.adds:
                # A value in the ReLU network is the unit times the mean over time here; what is added up must have one unit.
                added = units[network.adds[i]]
                network.get_parameter(f"chain.{i}.weight").mul_(unit / added)
                unit = added
            if i in neurons:
                adds = {place: source for place, source in network.adds.items() if place < i}
                stage = SpikingNetwork(*running[:i], Integrate(), timesteps=network.timesteps, adds=adds)
                threshold = _threshold(stage, batches, percentile, f"layer {len(thresholds) + 1} of {len(neurons)}")
                neurons[i].threshold = twins[i].threshold = threshold
                unit *= threshold
                thresholds.append(threshold)
                if progress is not None:
                    progress(len(thresholds), len(neurons), threshold)
            units[i] = unit
    return tuple(thresholds)


def _check_balanceable(network: SpikingNetwork, modules: list[nn.Module]) -> None:
    """Refuse what :func:`convert` does not make, and what a change of unit cannot be given to."""
    for i, module in enumerate(modules):
        place = f"network chain.{i} ({type(module).__name__})"
        if not isinstance(module, Synapses | AveragePool | LIF):
            raise TrainError(f"{place}: a converted network has no such part")
        if isinstance(module, LIF) and (module.leak, module.reset) != (1.0, "soft"):
            raise TrainError(f"{place}: leak {module.leak}, reset {module.reset!r}; only leak 1 and soft reset keep what a ReLU would hand on")
        if isinstance(module, LIF) and network.adds and module.threshold != 1.0:
            raise TrainError(f"{place}: threshold {module.threshold}; a network with additions is balanced once only; convert it anew")
        if isinstance(module, LIF) and modules.count(module) > 1:
            raise TrainError(f"{place}: it stands in several places; each needs neurons, and a threshold, of its own")
        if i in network.adds and (not isinstance(module, Synapses) or modules.count(module) > 1):
            raise TrainError(f"{place}: an earlier layer is added here, so it must have weights, and share them with no other layer")


class Carrying(LIF):
    """Neurons whose potentials last from one call to the next, until they are ``rested``."""

    def __init__(self, neurons: LIF) -> None:
        super().__init__(neurons.leak, neurons.threshold, neurons.reset, neurons.surrogate)
        self.potential: torch.Tensor | None = None

    def rest(self) -> None:
        """Let every potential be 0 again."""
        self.potential = None

    def forward(self, current: torch.Tensor, steps: int | None = None, norm: CurrentNorm | None = None) -> torch.Tensor:
        """Return the spikes of the next timesteps; a norm is refused by those who make these neurons."""
        potential = torch.zeros_like(current[0]) if self.potential is None else self.potential
        spikes = []
        for now in hold(current, steps or len(current)).unbind(0):
            fired, potential = lif_step(potential, now, self.leak, self.threshold, self.reset, self.surrogate)
            spikes.append(fired)
        self.potential = potential
        return torch.stack(spikes)


def _threshold(stage: SpikingNetwork, batches: Iterable[torch.Tensor], percentile: float, place: str) -> float:
    """Return the percentile of what ``stage`` returns for all batches, all its values taken together."""
    largest = Largest() if percentile == 100 else Histogram(percentile)
    seen = False
    for x in batches:
        seen = True
        for current in _in_pieces(stage, x):
            largest.add(current)
    if not seen:
        raise TrainError(f"balancing {place}: there are no inputs (batches must be iterable once for every layer)")
    threshold = largest.value()
    if not 0 < threshold < float("inf"):
        raise SilentLayerError(f"balancing {place}: its currents' percentile {percentile} is {threshold}; a threshold must be above 0 and finite")
    return threshold


def _in_pieces(stage: SpikingNetwork, x: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield what ``stage`` returns for an input, [steps, N, ...] or, where that is the same in every timestep, [1, N, ...] once."""
    steps = stage.timesteps
    if x.ndim != 5 or len(x) not in (1, steps):
        raise TrainError(f"balancing input: shape {list(x.shape)}; [{steps}, N, C, H, W], or 1 in place of {steps}, is expected")
    like = next(stage.parameters())
    modules = list(stage.chain)[:-1]
    neurons = [module for module in modules if isinstance(module, Carrying)]
    for population in neurons:
        population.rest()
    if len(x) == 1 and not neurons:
        yield stage.outputs(x.to(like))
        return
    size = max(1, CHUNK_ELEMENTS // (_widest(modules, x[:1, :1].to(like)) * x.shape[1]))
    for start in range(0, steps, size):
        part = x if len(x) == 1 else x[start : start + size]
        stage.timesteps = min(size, steps - start)
        yield stage.outputs(part.to(like))
    stage.timesteps = steps


def _widest(modules: list[nn.Module], x: torch.Tensor) -> int:
    """Return the most values that a sample has in a timestep, before or behind any of the modules."""
    widest = x.numel()
    for module in modules:
        x = x if isinstance(module, LIF) else module(x)
        widest = max(widest, x.numel())
    return widest


class Largest:
    """The largest of many values; nan if one of them is."""

    def __init__(self) -> None:
        self.found: list[torch.Tensor] = []

    def add(self, values: torch.Tensor) -> None:
        """Take more values in."""
        self.found.append(values.max())

    def value(self) -> float:
        """Return the largest."""
        return float(torch.stack(self.found).max())


class Histogram:
    """A percentile of many values without keeping them: the bits of a float32 are in the order of the numbers, so the upper ones name a bin."""

    def __init__(self, percentile: float) -> None:
        self.percentile = percentile
        self.counts: torch.Tensor | int = 0

    def add(self, values: torch.Tensor) -> None:
        """Take more values in; those below 0 count as 0."""
        bits = values.float().clamp(min=0).abs().flatten().view(torch.int32)
        # A bin is named by the largest number in it, so that 0 keeps a bin to itself: the shift floors, and is to round up.
        self.counts = self.counts + torch.bincount(-(-bits >> HISTOGRAM_SHIFT), minlength=(1 << (31 - HISTOGRAM_SHIFT)) + 1)

    def value(self) -> float:
        """Return the upper end of the bin in which the percentile lies."""
        up_to = torch.as_tensor(self.counts).cumsum(0).double()
        rank = up_to[-1:] * self.percentile / 100
        name = int(torch.searchsorted(up_to, rank))
        return float(torch.tensor(name << HISTOGRAM_SHIFT, dtype=torch.int32).view(torch.float32))
