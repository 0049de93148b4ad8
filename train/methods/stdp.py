"""Layer-wise mini-batch STDP of convolutional spiking layers, and the features that a classifier is trained on.

Panda, Aketi and Roy 2020 (sections 3.2.3 and 4.3) train one convolutional layer after the other without labels: where a neuron
fires, ``dw = eta (exp((t_pre - t_post) / tau) - offset)`` (eq. 5) for each of its synapses, averaged over a mini-batch. A layer
that is unrolled n times (BackRes) gets its updates n times: first between its input and its spikes, then between those spikes,
as input, and the spikes that they lead to. A classifier is then trained by backpropagation on the layers' spiking activity.

What the paper leaves open is chosen here:

- t_pre is the last spike before or at t_post; a synapse whose neuron has not fired yet counts as infinitely long ago.
- The average is over the spikes of a map, in all samples and places of a timestep: a kernel is updated in the timesteps in
  which its map fires, k <= T times. Synapses from the padding do not exist, so they change nothing.
- Competition: at each place, of the neurons above their thresholds only the one furthest above fires, and it resets all
  neurons of the place to 0. Each map's threshold rises with its spikes and falls slowly back ("uniform threshold
  adaptation"); maps drop out, drawn for each sample of a batch.
- The binary rule switches a weight to the upper value with the probability ``eta d`` where the averaged correlation d is
  positive, to the lower one with ``-eta d`` where it is negative. (Srinivasan and Roy 2019 have such a rule for binary weights, HB-STDP;
  its text was not available, so this is not it.)
- Once learned, a layer is plain LIF with a hard reset and its thresholds fixed: no competition, nothing random.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from torch.nn.grad import conv2d_weight

from spikefold.data.coding import InputCoding, encode
from spikefold.data.datasets import Dataset
from spikefold.train.errors import TrainError
from spikefold.train.methods.training import repeatable, sample_order
from spikefold.train.modules.network import events_to_input
from spikefold.train.modules.stdp_features import FEATURE_PAYLOAD_BITS, StdpLayer, at_rest, features, layer_step
from spikefold.train.recipes.stdp_settings import StdpSettings, StdpStage, feature_shape, stage_shapes

__all__ = [
    "StdpProgress", "compete", "correlation", "learn_batch", "new_layer", "stdp_dataset", "train_layer", "train_stdp", "updated_weight",
]  # fmt: skip

Int = npt.NDArray[np.int64]
FEATURE_BATCH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class StdpProgress:
    """What a batch did: ``rate`` is the mean spikes of a neuron in a timestep, ``change`` the mean absolute change of a weight."""

    stage: int
    batch: int
    rate: float
    change: float


def generator_for(seed: int, stage: int, batch: int) -> torch.Generator:
    """Return the generator of a batch (numbered from 1; 0: of the first weights): nothing depends on what was drawn before."""
    words = np.random.SeedSequence([seed, stage, batch]).generate_state(1, np.uint64)
    # manual_seed takes 64 bits, but as a signed number.
    return torch.Generator().manual_seed(int(words[0] >> np.uint64(1)))


def new_layer(stage: StdpStage, channels: int, settings: StdpSettings, generator: torch.Generator) -> StdpLayer:
    """Return an untrained layer: weights uniform between the limits, or of the binary rule either limit with probability 1/2."""
    uniform = torch.rand((stage.out, channels, stage.kernel, stage.kernel), generator=generator)
    if settings.rule == "binary":
        uniform = uniform.round()
    weight = settings.weight_min + (settings.weight_max - settings.weight_min) * uniform
    return StdpLayer(stage=stage, weight=weight, threshold=torch.full((stage.unroll, stage.out), stage.threshold))


def compete(potential: torch.Tensor, threshold: torch.Tensor, dropped: torch.Tensor) -> torch.Tensor:
    """Return the spikes [N, C, H, W] of neurons of which one a place may fire: the furthest above its threshold, of equals the first.

    ``threshold`` is [C]; ``dropped``, bool [N, C, 1, 1], says which maps may not fire at all.
    """
    excess = potential - threshold[:, None, None].expand(dropped.shape).masked_fill(dropped, torch.inf)
    best, winner = excess.max(1, keepdim=True)
    return torch.zeros_like(potential).scatter_(1, winner, (best > 0).to(potential.dtype))


def correlation(trace: torch.Tensor, fired: torch.Tensor, stage: StdpStage, offset: float) -> torch.Tensor:
    """Return the mean of ``exp((t_pre - t_post) / tau) - offset`` over each map's spikes, [out, in, kernel, kernel]; 0 without any.

    ``trace`` [N, in, H, W] is the exponential of every element now, ``fired`` [N, out, H', W'] the spikes. (Panda et al. 2020, eq. 5.)
    """
    # The sum over samples and places of (what a synapse saw) * (its neuron's spike): the gradient of a convolution's weights.
    # The padding is 0 after the offset is taken off, so a synapse that does not exist adds nothing.
    shape = (stage.out, trace.shape[1], stage.kernel, stage.kernel)
    summed: torch.Tensor = conv2d_weight(trace - offset, shape, fired, stage.stride, stage.padding)  # type: ignore[no-untyped-call]
    return summed / fired.sum((0, 2, 3)).clamp_min(1)[:, None, None, None]


def updated_weight(weight: torch.Tensor, mean: torch.Tensor, settings: StdpSettings, generator: torch.Generator) -> torch.Tensor:
    """Return the weights after one update with the mean correlation ``mean``, of the same shape (the module's docstring has the rules)."""
    if settings.rule == "real":
        return (weight + settings.learning_rate * mean).clamp(settings.weight_min, settings.weight_max)
    switched = torch.rand(weight.shape, generator=generator).to(weight.device) < settings.learning_rate * mean.abs()
    limits = torch.where(mean > 0, settings.weight_max, settings.weight_min).to(weight.dtype)
    return torch.where(switched, limits, weight)


def learn_batch(
    layer: StdpLayer, below: Sequence[StdpLayer], events: torch.Tensor, settings: StdpSettings, generator: torch.Generator
) -> tuple[StdpLayer, float]:
    """Return the layer after a batch of inputs [T, N, C, H, W], and the mean spikes of its neurons in a timestep.

    ``below`` are the learned layers between the input and this one. An element of the input above 0 is a spike; one below 0 is a TrainError.
    """
    if bool((events < 0).any()):
        raise TrainError("STDP: an input event below 0; it learns from spikes, such as those of the poisson coding")
    stage, weight, threshold = layer.stage, layer.weight, layer.threshold.clone()
    decay, recovery = math.exp(-1 / settings.trace_tau), math.exp(-1 / settings.threshold_tau)
    dropped = torch.rand((events.shape[1], stage.out, 1, 1), generator=generator).to(events.device) < settings.drop
    states = [at_rest(lower, events) for lower in below]
    potentials = at_rest(layer, events)
    traces = at_rest(layer, events)
    total = events.new_zeros(())
    with torch.no_grad():
        for x in events.unbind(0):
            for i, lower in enumerate(below):
                x, states[i] = layer_step(lower, states[i], x, settings.leak)
            for n in range(stage.unroll):
                traces[n] = torch.maximum(traces[n] * decay, (x > 0).to(x.dtype))
                current = functional.conv2d(x, weight, None, stage.stride, stage.padding)
                potential = torch.add(current, potentials[n], alpha=settings.leak)
                fired = compete(potential, threshold[n], dropped)
                potentials[n] = potential * (1 - fired.sum(1, keepdim=True))
                weight = updated_weight(weight, correlation(traces[n], fired, stage, settings.offset), settings, generator)
                rate = fired.mean((0, 2, 3))
                threshold[n] = stage.threshold + (threshold[n] - stage.threshold) * recovery + settings.threshold_rise * rate
                total += rate.mean()
                x = fired + x if stage.residual else fired
    return replace(layer, weight=weight, threshold=threshold), float(total) / (len(events) * stage.unroll)


def train_layer(
    layer: StdpLayer, below: Sequence[StdpLayer], batches: Iterable[torch.Tensor], settings: StdpSettings, *, seed: int,
    progress: Callable[[StdpProgress], None] | None = None,
) -> StdpLayer:  # fmt: skip
    """Return the layer after all ``batches`` of inputs [T, N, C, H, W]; what is random comes from (seed, stage, batch) alone."""
    for batch, events in enumerate(batches, start=1):
        before = layer.weight
        layer, rate = learn_batch(layer, below, events, settings, generator_for(seed, len(below), batch))
        if progress is not None:
            progress(StdpProgress(stage=len(below), batch=batch, rate=rate, change=float((layer.weight - before).abs().mean())))
    return layer


def train_stdp(
    dataset: Dataset, coding: InputCoding, settings: StdpSettings, *, timesteps: int, seed: int, threads: int = 1,
    among: Int | None = None, layers: Sequence[StdpLayer] = (), progress: Callable[[StdpProgress], None] | None = None,
) -> tuple[StdpLayer, ...]:  # fmt: skip
    """Return every stage trained on a training split, the first ones as given by ``layers``: a run goes on after any of them.

    ``settings.samples`` samples, drawn by the seed from ``among`` (indices; None: all), are shown in each epoch in another order and, with
    epochs counted from 1, as events drawn with the number ``i + epoch * len(dataset)``, as in :func:`spikefold.train.methods.training.fit`. Labels
    are not looked at. The number of ``threads`` changes the order of sums, so the last bits of the weights.
    """
    stage_shapes(settings, dataset.shape)
    some = np.arange(len(dataset)) if among is None else among
    if settings.samples > len(some):
        raise TrainError(f"STDP samples: {settings.samples}; of data set {dataset.name!r} there are {len(some)} to train on")
    trained = list(layers)
    for i, stage in enumerate(settings.stages[len(trained) :], start=len(trained)):
        channels = settings.stages[i - 1].out if i else dataset.shape[0]
        layer = new_layer(stage, channels, settings, generator_for(seed, i, 0))
        batches = _batches(dataset, some, coding, settings, timesteps, seed)
        with repeatable(seed, threads):
            trained.append(train_layer(layer, tuple(trained), batches, settings, seed=seed, progress=progress))
    return tuple(trained)


def _batches(dataset: Dataset, some: Int, coding: InputCoding, settings: StdpSettings, timesteps: int, seed: int) -> Iterator[torch.Tensor]:
    chosen = some[sample_order(seed, 0, len(some))][: settings.samples or len(some)]
    for epoch in range(1, settings.epochs + 1):
        order = chosen[sample_order(seed, epoch, len(chosen))]
        for start in range(0, len(order), settings.batch_size):
            batch = order[start : start + settings.batch_size]
            yield events_to_input(encode(dataset.images[batch], coding, timesteps, batch + epoch * len(dataset)), coding.scale)


def stdp_dataset(
    layers: Sequence[StdpLayer], dataset: Dataset, coding: InputCoding, settings: StdpSettings, *, timesteps: int, threads: int = 1,
    among: Int | None = None, like: InputCoding | None = None,
) -> tuple[Dataset, InputCoding]:  # fmt: skip
    """Return the features of a split as a data set of float images, and the coding that ``fit`` and ``predict`` take them with.

    The coding is direct, with the largest feature of the samples ``among`` (indices; None: all) as its largest payload; for a test
    split, ``like`` is the training split's. The classifier's ``timesteps`` is 1. Events are keyed by the sample's index in its split.
    """
    parts = []
    for start in range(0, len(dataset), FEATURE_BATCH):
        batch: Int = np.arange(start, min(start + FEATURE_BATCH, len(dataset)))
        events = events_to_input(encode(dataset.images[batch], coding, timesteps, batch), coding.scale)
        with repeatable(0, threads):
            parts.append(features(layers, events, settings).numpy())
    images = np.concatenate(parts)
    if like is None:
        levels, largest = 2 ** (FEATURE_PAYLOAD_BITS - 1) - 1, float((images if among is None else images[among]).max())
        like = InputCoding(
            shape=feature_shape(settings, dataset.shape), coding="direct", mean=0.0, std=largest or 1.0, scale=float(levels),
            payload_bits=FEATURE_PAYLOAD_BITS, seed=coding.seed,
        )  # fmt: skip
    return replace(dataset, name=f"{dataset.name}, STDP features", images=images), like
