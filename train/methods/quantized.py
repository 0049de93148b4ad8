"""Quantisation-aware training through the fold itself: what is trained is the integer network, bit for bit.

In every step the network's parameters are folded (:mod:`spikefold.quantize.fold`), and the forward pass is what the reference
(:mod:`spikefold.network.reference`) makes of the integers. Gradients pass straight through every rounding (Bengio et al. 2013), to the
parameters that were folded, and through the neurons as those of the float network whose weights and gains are the rounded ones. The
statistics of normalisations are no longer a batch's: the means are learned as biases are, the variances stay.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from spikefold.data.coding import InputCoding
from spikefold.network import reference
from spikefold.network.connection import Connection
from spikefold.network.fields import Int
from spikefold.network.population import Population
from spikefold.quantize.fold import fold
from spikefold.quantize.fold_result import FoldResult
from spikefold.train.errors import TrainError
from spikefold.train.modules import fused
from spikefold.train.modules.export import read_network
from spikefold.train.modules.layers import Conv2d
from spikefold.train.modules.lif_chain import LIFLayer, lif_layers
from spikefold.train.modules.network import SpikingNetwork
from spikefold.train.recipes.sections import QuantizeSettings

__all__ = ["QuantizedNetwork"]

CURRENT_BITS_MAX = 25
"""float32 holds every integer of so many bits, so that the order of a sum does not matter."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Integers:
    """What a layer was folded into. ``count`` [C] is a count of the current in the unit of the weighted sum, ``payload`` a payload of 1 in
    that of an input, ``gain`` [T, C] the rounded gain on the weighted sum, ``offset`` what a readout's score holds besides the potential.
    """  # noqa: D205

    connection: Connection
    population: Population
    weights: torch.Tensor
    count: torch.Tensor
    payload: float
    gain: torch.Tensor
    offset: Int


class QuantizedNetwork(nn.Module):
    """A chain of LIF layers that runs as the integer network it folds into: [T, N, C, H, W] to scores [N, classes].

    The scores are those of the integer network, in the unit of ``network``'s own, which is trained in place; the means of its
    normalisations become parameters. Inputs are payloads over the coding's scale, [1, N, C, H, W] where they are held.
    """

    def __init__(self, network: SpikingNetwork, coding: InputCoding, settings: QuantizeSettings) -> None:
        super().__init__()
        self.network, self.coding, self.settings = network, coding, settings
        self.layers = tuple(_layers(network))
        for layer in self.layers:
            if layer.norm is not None and not isinstance(layer.norm.running_mean, nn.Parameter):
                mean = layer.norm.running_mean
                del layer.norm.running_mean
                layer.norm.running_mean = nn.Parameter(mean)

    @property
    def timesteps(self) -> int:
        """The number of timesteps."""
        return self.network.timesteps

    def fold(self) -> FoldResult:
        """Return what the network is in integers now; its classes are called by their numbers."""
        names = [str(number) for number in range(len(self.layers[-1].synapses.weight))]
        return fold(read_network(self.network, coding=self.coding, class_names=names), **self.settings.widths)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores."""
        integers = self._integers()
        # Autocast would round sums of integers; it may have the products of gradients.
        half = torch.is_autocast_enabled(x.device.type)
        with torch.autocast(x.device.type, enabled=False):
            payloads = self._run(x, integers, len(self.layers) - 1, half=half)
            last, one = self.layers[-1], integers[-1]
            current = _current(last, one, payloads, half=half)
            if last.neurons is None:
                return self._scores(last, one, current)
            counted: torch.Tensor = self.network.readout(_spikes(last, one, current, self.timesteps))
            return counted

    @torch.no_grad()
    def calibrate(self, x: torch.Tensor) -> None:
        """Set the statistics of every normalisation to those of the currents that inputs cause, with the weights rounded, layer after layer."""
        for i, layer in enumerate(self.layers):
            if layer.norm is None:
                continue
            integers = self._integers()
            current = _current(layer, integers[i], self._run(x, integers, i)) * integers[i].count[:, None, None]
            if layer.synapses.bias is not None:
                current = current + layer.synapses.bias[:, None, None]
            mean, variance = current.mean((1, 3, 4)), current.var((1, 3, 4), correction=0)
            if layer.norm.rows == 1:
                overall = mean.mean(0, keepdim=True)
                mean, variance = overall, (variance + (mean - overall) ** 2).mean(0, keepdim=True)
            layer.norm.running_mean.copy_(mean.expand_as(layer.norm.running_mean))
            layer.norm.running_var.copy_(variance.expand_as(layer.norm.running_var))

    def _integers(self) -> list[_Integers]:
        folded = self.fold()
        network, integers, payload = folded.network, [], 1 / self.coding.scale
        for layer, report, connection, population in zip(self.layers, folded.layers, network.connections, network.populations, strict=True):
            if connection.current_bits > CURRENT_BITS_MAX:
                raise TrainError(
                    f"layer {report.name!r} current: it takes {connection.current_bits} bits, and float32 holds {CURRENT_BITS_MAX}; "
                    "fewer weight_bits or inputs are needed to train it"
                )
            weight, units = layer.synapses.weight, folded.units[report.name]
            count, drive = (torch.from_numpy(np.array(values)).to(weight) for values in (units.current, units.drive))
            integers.append(
                _Integers(
                    connection=connection, population=population, payload=payload / layer.pool**2, count=count.expand(len(weight)),
                    weights=torch.from_numpy(network.weights_of(connection).tensor.astype(np.float64)).to(weight),
                    gain=(drive / count).expand(self.timesteps, len(weight)), offset=network.readout.offset,
                )
            )  # fmt: skip
            payload = 1.0
        return integers

    def _run(self, x: torch.Tensor, integers: list[_Integers], layers: int, *, half: bool = False) -> torch.Tensor:
        """Return what the first so many layers make of an input: payloads, which are whole numbers."""
        payloads = torch.round(x * self.coding.scale)
        for layer, one in zip(self.layers[:layers], integers, strict=False):
            payloads = _spikes(layer, one, _current(layer, one, payloads, half=half), self.timesteps)
        return payloads

    def _scores(self, layer: LIFLayer, one: _Integers, current: torch.Tensor) -> torch.Tensor:
        """Return the scores of an integrating readout: the reference's, with the gradient of the float network's."""
        affine = _affine(layer, one)
        scale = affine.gamma * affine.inverse
        received = current * scale[:, None, :, None, None] + (affine.beta - scale * affine.mean)[:, None, :, None, None]
        scores: torch.Tensor = received.mean(0).flatten(1)
        potentials = np.concatenate([potentials for _, potentials in _reference(one, current, self.timesteps)])
        exact = (potentials[:, -1].reshape(len(scores), -1) + one.offset) * one.population.unit / self.timesteps
        return scores + (torch.from_numpy(exact).to(scores) - scores).detach()


def _layers(network: SpikingNetwork) -> Iterator[LIFLayer]:
    """Yield the layers of a chain of LIF layers; a learned leak or any other chain is a TrainError."""
    for layer in lif_layers(network, "training through the fold"):
        if layer.neurons is not None and layer.neurons.leak_logit is not None:
            raise TrainError(f"{layer.place}: it learns its leak; training through the fold takes leaks as they are")
        yield layer


class ExactConvolution(torch.autograd.Function):
    """A convolution of integers, exact in float32, whose gradients are computed in bfloat16 where asked for."""

    @staticmethod
    def forward(ctx: Any, payloads: torch.Tensor, weight: torch.Tensor, stride: int, padding: int, half: bool) -> torch.Tensor:
        """Return the current."""
        kind = torch.bfloat16 if half else payloads.dtype
        ctx.save_for_backward(payloads.to(kind), weight.to(kind))
        ctx.window = [stride, stride], [padding, padding]
        return functional.conv2d(payloads, weight, None, stride, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of payloads and weights."""
        payloads, weight = ctx.saved_tensors
        wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], False]
        found = torch.ops.aten.convolution_backward(
            grads[0].to(weight.dtype), payloads, weight, None, *ctx.window, [1, 1], False, [0, 0], 1, wanted
        )  # fmt: skip
        # To the first layer's input, nobody asks for a gradient.
        back = (None if grad is None else grad.to(grads[0].dtype) for grad in found[:2])
        return *back, None, None, None


def _current(layer: LIFLayer, one: _Integers, payloads: torch.Tensor, *, half: bool = False) -> torch.Tensor:
    """Return the current of payloads [T, N, C, H, W] in counts; its gradient reaches the weights that were rounded."""
    if layer.pool > 1:
        pooled = functional.avg_pool2d(payloads.flatten(0, 1), layer.pool, divisor_override=1)
        payloads = pooled.reshape(*payloads.shape[:2], *pooled.shape[1:])
    weight = layer.synapses.weight
    scale = (one.payload / one.count).reshape(-1, *(1,) * (weight.ndim - 1))
    rounded = one.weights + (weight - weight.detach()) * scale
    if isinstance(layer.synapses, Conv2d):
        current: torch.Tensor = ExactConvolution.apply(  # type: ignore[no-untyped-call]
            payloads.flatten(0, 1), rounded, layer.synapses.stride, layer.synapses.padding, half
        )
        return current.reshape(*payloads.shape[:2], *current.shape[1:])
    return functional.linear(payloads.flatten(2), rounded)[..., None, None]


def _spikes(layer: LIFLayer, one: _Integers, current: torch.Tensor, steps: int) -> torch.Tensor:
    """Return the reference's spikes [T, N, C, H, W], with the gradient of the float network's."""
    neurons = layer.neurons
    if neurons is None:
        raise TrainError("network: a layer without neurons can only be the last")
    fired = np.concatenate([spikes for spikes, _ in _reference(one, current, steps)])
    # Channels last, as the kernels and convolutions want them.
    last = torch.from_numpy(fired).permute(1, 0, 3, 4, 2).contiguous()
    spikes = last.to(current.dtype).permute(0, 1, 4, 2, 3)
    leak = torch.tensor(neurons.leak, dtype=torch.float64)
    return fused.lif(current, steps, _affine(layer, one), leak, neurons.threshold, neurons.reset == "soft", neurons.surrogate, spikes)


def _affine(layer: LIFLayer, one: _Integers) -> fused.Affine:
    """Return what becomes of a current in counts, [T, C]: the rounded gain with the gradients of gamma, and the exact bias."""
    ones, norm, bias = torch.ones_like(one.gain), layer.norm, layer.synapses.bias
    gamma = ones if norm is None else norm.gamma.expand_as(ones)
    inverse = ones if norm is None else torch.rsqrt(norm.running_var + norm.eps).expand_as(ones)
    mean = 0 * ones if norm is None else norm.running_mean.expand_as(ones)
    mean = mean if bias is None else mean - bias
    beta = 0 * ones if norm is None or norm.beta is None else norm.beta.expand_as(ones)
    rounded = gamma + (one.gain / inverse - gamma).detach()
    # Gradients reach gamma and current through what the neurons receive, the mean through what is added here to beta.
    fixed = mean.detach()
    shift = beta + (rounded - gamma).detach() * inverse * fixed - gamma.detach() * inverse * (mean - fixed)
    return fused.Affine(gamma=rounded, beta=shift, mean=fixed / one.count, inverse=inverse * one.count, count=0)


def _reference(one: _Integers, current: torch.Tensor, steps: int) -> Iterator[tuple[npt.NDArray[np.bool_], Int]]:
    """Run the neurons of the contract on a current [T or 1, N, C, H, W]; yield each sample's spikes and potentials [1, T, C, H, W]."""
    counts = current.detach().numpy().astype(np.int64)
    for sample in np.broadcast_to(counts, (steps, *counts.shape[1:])).swapaxes(0, 1):
        # One at a time stays in the cache.
        spikes, potentials, _ = reference.run_population([(one.connection, sample[None])], one.population)
        yield spikes, potentials
