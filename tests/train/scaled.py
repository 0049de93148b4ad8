"""The recipes of the papers made small, with every kind of layer, connection, norm and neuron that they have, and one batch to overfit."""

from dataclasses import replace
from itertools import groupby
from math import prod

import numpy as np
import torch

from spikefold.data.coding import InputCoding
from spikefold.train.methods import losses
from spikefold.train.methods.conversion import ann_of
from spikefold.train.methods.training import inputs
from spikefold.train.modules.network import SpikingNetwork, build_network
from spikefold.train.recipes.architectures import expand_architecture
from spikefold.train.recipes.recipe import Recipe

WIDTH_MIN = 4
SIDE_MIN = 8
SRM_WIDTH_MIN = 8
SRM_FASTER = 10
SRM_THRESHOLD = 2.0
TAU_S_MIN = 0.4
SAMPLES = 8


def trained_by_gradient(recipe: Recipe) -> Recipe:
    """Return the recipe of what gradients train: the ReLU network to convert, the classifier behind STDP, or ``recipe`` itself."""
    if recipe.train.method == "conversion":
        return ann_of(recipe)
    if recipe.stdp is None:
        return recipe
    coding = InputCoding(shape=recipe.source, coding="direct", mean=0.0, std=1.0, scale=127.0, payload_bits=8, seed=recipe.input.seed)
    return replace(recipe, timesteps=1, input=coding, train=replace(recipe.train, method="bptt"), stdp=None)


def shallow(recipe: Recipe) -> Recipe:
    """Return ``recipe`` less its repetitions: 4 of 4 + 8 equal convolutions, or the 10-layer relative of a 106-layer network."""
    if "106" in recipe.architecture:
        return replace(recipe, layers=expand_architecture(recipe.architecture.replace("106", "10"), recipe.layers[-1].out).layers)
    return replace(recipe, layers=tuple(layer for layer, _ in groupby(recipe.layers)))


def scaled(recipe: Recipe, *, timesteps: int = 2, width: int = 8) -> Recipe:
    """Return ``recipe`` with hidden widths divided by ``width`` and the smallest images that all pooling and strides divide.

    SRM neurons live ten times as fast, or the few timesteps would be over before a potential has built up: tau_s (at least 0.4)
    and tau_r are a tenth. A kernel's sum is e * tau, so potentials fall with it, and thresholds follow: 2 of 10, as
    normalised potentials do not fall.
    """
    low = SRM_WIDTH_MIN if recipe.neuron.kind == "srm" else WIDTH_MIN
    neuron, stdp = recipe.neuron, recipe.stdp
    if neuron.kind == "srm":
        neuron = replace(neuron, tau_s=max(TAU_S_MIN, neuron.tau_s / SRM_FASTER), tau_r=neuron.tau_r / SRM_FASTER, threshold=SRM_THRESHOLD)
    layers = tuple(replace(layer, out=max(low, layer.out // width)) for layer in recipe.layers[:-1])
    side = max(SIDE_MIN, prod(layer.pool * layer.stride for layer in recipe.layers) * (stdp.pool if stdp else 1))
    if stdp:
        stdp = replace(stdp, stages=tuple(replace(stage, out=max(low, stage.out // width)) for stage in stdp.stages))
    channels, height, _ = recipe.input.shape
    # A sequence's shape is the pixels of a timestep.
    shape = (channels, side, side) if height > 1 else recipe.input.shape
    return replace(
        recipe, timesteps=timesteps, neuron=neuron, layers=(*layers, recipe.layers[-1]), input=replace(recipe.input, shape=shape), stdp=stdp
    )  # fmt: skip


def one_batch(recipe: Recipe, network: SpikingNetwork, samples: int = SAMPLES) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the network's inputs for random images, and their labels, no two alike; the same in every call."""
    generator = np.random.default_rng(3)
    coding, steps = recipe.input, recipe.timesteps
    channels, height, width = coding.shape
    # Every pixel is empty or full, so that the coding's own randomness hides little of an image.
    pixels = (steps, width) if coding.coding == "sequence" else (height, width)
    images = generator.integers(0, 2, (samples, channels, *pixels), dtype=np.uint8)
    if coding.coding == "frames":
        images = np.repeat(images[:, None], steps, axis=1)
    elif coding.std != 1.0:
        images *= 255
    return inputs(network, images, coding, steps, np.arange(samples)), torch.arange(samples)


def overfit(recipe: Recipe, *, steps: int, learning_rate: float) -> list[tuple[float, int]]:
    """Return (loss, images told rightly) of a new network on one batch, before every step of Adam, up to the first that is overfitted.

    Overfitted is half the first loss, and most images told rightly, of which one answer for all gets one. The readout learns three
    times as fast, so that it keeps up with what is in front of it.
    """
    found: list[tuple[float, int]] = []
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        network = build_network(recipe)
        x, labels = one_batch(recipe, network)
        readout = [id(parameter) for parameter in [module for module in network.chain if any(True for _ in module.parameters())][-1].parameters()]
        groups = [
            {"params": [p for p in network.parameters() if (id(p) in readout) == last], "lr": learning_rate * (3 if last else 1)}
            for last in (False, True)
        ]  # fmt: skip
        optimizer = torch.optim.Adam([group for group in groups if group["params"]])
        for _ in range(steps):
            output = network(x)
            loss = losses.loss(output, labels, recipe.train, recipe.timesteps)
            found.append((float(loss.detach()), int((losses.scores(output).argmax(1) == labels).sum())))
            if overfitted(found):
                break
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    return found


def overfitted(found: list[tuple[float, int]]) -> bool:
    """Return whether the last of ``found`` is at most half the first loss with most images told rightly."""
    loss, right = found[-1]
    return loss <= found[0][0] / 2 and 2 * right > SAMPLES
