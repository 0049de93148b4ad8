"""The same two BNTT networks in Spikefold, snnTorch, SpikingJelly, norse, plain torch, and without their neurons.

All have the same layers and weights, ``u = LEAK * u + current``, a soft reset without gradient, and a triangular surrogate of height and half
width 1. A builder imports its own framework alone, so that a process holds the memory of one. Every network takes [T, N, C, H, W].
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

__all__ = ["CASES", "CONTESTANTS", "Build", "Case", "Contestant", "batch_of", "reference"]

LEAK, THRESHOLD, SURROGATE_HEIGHT = 0.95, 1.0, 1.0
EPS, MOMENTUM = 1e-4, 0.1
INPUT_RATE = 0.2
SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A hidden layer of ``out`` channels: a convolution of a ``kernel``'s side, padded to keep its size, or a dense one (0), after a ``pool``."""

    out: int
    kernel: int = 0
    pool: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A network, its input [N, T, C, H, W] (``shape`` is C, H, W) and its ``classes``."""

    text: str
    shape: tuple[int, int, int]
    timesteps: int
    batch: int
    layers: tuple[Layer, ...]
    classes: int = 10

    @property
    def convolutional(self) -> bool:
        """Whether the hidden layers are convolutions; all are, or none."""
        return self.layers[0].kernel > 0

    def weights(self) -> list[torch.Tensor]:
        """Return the weights of the hidden layers, then of the readout: normal, over the root of the fan-in; the same ones at every call."""
        generator = torch.Generator().manual_seed(SEED)
        channels, height, width = self.shape
        shapes: list[tuple[int, ...]] = []
        for layer in self.layers:
            height, width = height // layer.pool, width // layer.pool
            shapes.append((layer.out, channels, layer.kernel, layer.kernel) if layer.kernel else (layer.out, channels * height * width))
            channels = layer.out
        shapes.append((self.classes, channels * height * width))
        return [torch.randn(shape, generator=generator) / math.sqrt(math.prod(shape[1:])) for shape in shapes]


CASES = {
    "conv": Case(
        text="1x28x28-32c3-p2-64c3-64c3-p2-128c3-10", shape=(1, 28, 28), timesteps=8, batch=32,
        layers=(Layer(out=32, kernel=3), Layer(out=64, kernel=3, pool=2), Layer(out=64, kernel=3), Layer(out=128, kernel=3, pool=2)),
    ),
    "fc": Case(text="784-512-512-10", shape=(784, 1, 1), timesteps=16, batch=128, layers=(Layer(out=512), Layer(out=512))),
}  # fmt: skip

Build = Callable[[Case, bool], nn.Module]
"""(case, first) to the network: to scores [N, classes], or, with ``first``, to the first hidden layer's spike counts [N, C * H * W]."""


def batch_of(case: Case, samples: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """Return random spikes [T, N, C, H, W], other ones in every timestep, and labels [N]."""
    generator = torch.Generator().manual_seed(SEED + 1)
    spikes = torch.rand((case.timesteps, samples, *case.shape), generator=generator) < INPUT_RATE
    return spikes.to(dtype), torch.randint(case.classes, (samples,), generator=generator)


def spikefold(case: Case, first: bool) -> nn.Module:
    """Return the network in Spikefold's public modules."""
    from spikefold.train.modules.layers import AveragePool, Conv2d, Dense, Integrate, SpikeCount
    from spikefold.train.modules.network import SpikingNetwork
    from spikefold.train.modules.neurons import LIF
    from spikefold.train.modules.norm import BNTT
    from spikefold.train.modules.surrogate import Surrogate

    *hidden, last = case.weights()
    parts: list[nn.Module] = []
    for layer, weight in zip(case.layers, hidden, strict=True):
        if layer.pool > 1:
            parts.append(AveragePool(layer.pool))
        synapses = Conv2d(weight.shape[1], layer.out, layer.kernel, padding=layer.kernel // 2) if layer.kernel else Dense(weight.shape[1], layer.out)
        neurons = LIF(LEAK, THRESHOLD, "soft", Surrogate("triangular", SURROGATE_HEIGHT))
        parts += [with_weight(synapses, weight), BNTT(layer.out, case.timesteps, eps=EPS, momentum=MOMENTUM), neurons]
        if first:
            return SpikingNetwork(*parts, SpikeCount(), timesteps=case.timesteps)
    readout = with_weight(Dense(last.shape[1], case.classes), last)
    return SpikingNetwork(*parts, readout, Integrate(), timesteps=case.timesteps)


def with_weight(module: nn.Module, weight: torch.Tensor) -> nn.Module:
    """Return ``module`` with a copy of ``weight`` in place of its own."""
    module.weight = nn.Parameter(weight.clone())
    return module


class Stack(nn.Module):
    """What the networks outside Spikefold share: the readout, applied once to the spikes' mean over time, as it is linear."""

    def __init__(self, case: Case, first: bool) -> None:
        super().__init__()
        *hidden, last = case.weights()
        self.case, self.first = case, first
        self.layers = case.layers[:1] if first else case.layers
        self.weights = hidden[: len(self.layers)]
        self.readout = with_weight(nn.Linear(last.shape[1], case.classes, bias=False), last)

    def end(self, total: torch.Tensor) -> torch.Tensor:
        """Return what the network gives for its last layer's spikes, summed over time."""
        counts = total.flatten(1)
        if self.first:
            return counts
        scores: torch.Tensor = self.readout(counts / self.case.timesteps)
        return scores

    def synapses(self) -> nn.ModuleList:
        """Return the hidden layers' pools and weights as torch has them."""
        return nn.ModuleList(synapses(layer, weight) for layer, weight in zip(self.layers, self.weights, strict=True))


def synapses(layer: Layer, weight: torch.Tensor) -> nn.Module:
    """Return a layer's pool and weights for one timestep, or for all with time and batch as one axis."""
    channels = weight.shape[1]
    if not layer.kernel:
        return with_weight(nn.Linear(channels, layer.out, bias=False), weight)
    convolution = with_weight(nn.Conv2d(channels, layer.out, layer.kernel, padding=layer.kernel // 2, bias=False), weight)
    return nn.Sequential(nn.AvgPool2d(layer.pool), convolution) if layer.pool > 1 else convolution


def norms(case: Case, layer: Layer, gamma: float = 1.0) -> nn.ModuleList:
    """Return torch's batch normalisations, one a timestep, without beta, as BNTT has none."""
    kind = nn.BatchNorm2d if layer.kernel else nn.BatchNorm1d
    modules = [kind(layer.out, eps=EPS, momentum=MOMENTUM) for _ in range(case.timesteps)]
    for module in modules:
        module.register_parameter("bias", None)
        nn.init.constant_(module.weight, gamma)
    return nn.ModuleList(modules)


class Folded(Stack):
    """Weights applied to all timesteps in one call, ``between`` [layer] to their currents [T, N, ...]; no neurons of its own."""

    between: list[Callable[[torch.Tensor], torch.Tensor]]

    def __init__(self, case: Case, first: bool) -> None:
        super().__init__(case, first)
        self.parts = self.synapses()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores."""
        if not self.case.convolutional:
            x = x.flatten(2)
        for part, between in zip(self.parts, self.between, strict=True):
            x = between(part(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
        return self.end(x.sum(0))


class Layers(Folded):
    """The network without neurons, with BNTT or without it."""

    def __init__(self, case: Case, first: bool, *, bntt: bool) -> None:
        super().__init__(case, first)
        self.norms = nn.ModuleList(norms(case, layer) if bntt else nn.Identity() for layer in self.layers)
        self.between = [self.normalise(norm) if isinstance(norm, nn.ModuleList) else norm for norm in self.norms]

    @staticmethod
    def normalise(norm: nn.ModuleList) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return the normalisation of [T, N, ...]."""
        return lambda current: torch.stack([part(now) for part, now in zip(norm, current.unbind(0), strict=True)])


class Triangle(torch.autograd.Function):
    """``x > 0`` with the gradient ``max(0, 1 - |x|)``: the reference's, and, as snnTorch has no such surrogate, what it is given."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        """Return the spikes."""
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        """Return the surrogate's gradient."""
        (x,) = ctx.saved_tensors
        return grads[0] * torch.relu(1 - x.abs())


def triangle(x: torch.Tensor) -> torch.Tensor:
    """Return the spikes of neurons ``x`` above their threshold."""
    spikes: torch.Tensor = Triangle.apply(x)  # type: ignore[no-untyped-call]
    return spikes


class Reference(Folded):
    """The equations, written out; ``decrement`` is what a spike takes from the potential before the leak. It is not timed."""

    def __init__(self, case: Case, first: bool, decrement: float) -> None:
        super().__init__(case, first)
        self.decrement = decrement
        self.between = [self.neurons] * len(self.layers)

    def neurons(self, current: torch.Tensor) -> torch.Tensor:
        """Return the spikes of currents [T, N, ...]."""
        potential, spikes = torch.zeros_like(current[0]), []
        for now in current:
            potential = LEAK * potential + functional.batch_norm(now, None, None, training=True, eps=EPS)
            spikes.append(triangle(potential - THRESHOLD))
            potential = potential - self.decrement * spikes[-1].detach()
        return torch.stack(spikes)


def reference(case: Case, first: bool, decrement: float) -> nn.Module:
    """Return the network that the others are held against."""
    return Reference(case, first, decrement)


class SnnTorch(Stack):
    """Step by step, as snnTorch's examples are written."""

    def __init__(self, case: Case, first: bool) -> None:
        import snntorch

        super().__init__(case, first)
        self.parts = self.synapses()
        bntt = snntorch.BatchNormTT2d if case.convolutional else snntorch.BatchNormTT1d
        self.norms = nn.ModuleList(bntt(layer.out, case.timesteps, eps=EPS, momentum=MOMENTUM) for layer in self.layers)
        self.neurons = nn.ModuleList(
            snntorch.Leaky(beta=torch.tensor(LEAK, dtype=torch.float64), threshold=THRESHOLD, spike_grad=triangle) for _ in self.layers
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores."""
        layers: list[tuple[Any, Any, Any]] = list(zip(self.parts, self.norms, self.neurons, strict=True))
        potentials = [neuron.reset_mem() for _, _, neuron in layers]
        total = torch.zeros(())
        for t, spikes in enumerate(x if self.case.convolutional else x.flatten(2)):
            for i, (part, norm, neuron) in enumerate(layers):
                spikes, potentials[i] = neuron(norm[t](part(spikes)), potentials[i])
            total = total + spikes
        return self.end(total)


class SpikingJelly(Stack):
    """SpikingJelly's own layers and neurons in multi-step mode."""

    def __init__(self, case: Case, first: bool) -> None:
        from spikingjelly.activation_based import functional as jelly
        from spikingjelly.activation_based import layer as jelly_layer
        from spikingjelly.activation_based import neuron, surrogate

        super().__init__(case, first)
        bntt = jelly_layer.BatchNormThroughTime2d if case.convolutional else jelly_layer.BatchNormThroughTime1d
        parts: list[nn.Module] = []
        for layer, weight in zip(self.layers, self.weights, strict=True):
            if layer.pool > 1:
                parts.append(jelly_layer.AvgPool2d(layer.pool, step_mode="m"))
            if layer.kernel:
                part = jelly_layer.Conv2d(weight.shape[1], layer.out, layer.kernel, padding=layer.kernel // 2, bias=False, step_mode="m")
            else:
                part = jelly_layer.Linear(weight.shape[1], layer.out, bias=False, step_mode="m")
            lif = neuron.LIFNode(
                tau=1 / (1 - LEAK), decay_input=False, v_threshold=THRESHOLD, v_reset=None, detach_reset=True, step_mode="m",
                surrogate_function=surrogate.PiecewiseQuadratic(alpha=SURROGATE_HEIGHT),
            )  # fmt: skip
            parts += [with_weight(part, weight), bntt(case.timesteps, layer.out, eps=EPS, momentum=MOMENTUM, step_mode="m"), lif]
        self.chain = nn.Sequential(*parts)
        self.reset = jelly.reset_net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores; the states start again."""
        self.reset(self.chain)
        return self.end(self.chain(x if self.case.convolutional else x.flatten(2)).sum(0))


class Norse(Folded):
    """Weights on all timesteps at once, then torch's normalisations and norse's neurons without synaptic current, step by step.

    They leak ``(1 - LEAK) * (current - potential)``: a gamma that starts at 1 / (1 - LEAK) makes up for it, without another operation.
    """

    def __init__(self, case: Case, first: bool) -> None:
        from norse.torch import LIFBoxCell, LIFBoxParameters

        super().__init__(case, first)
        tick = 1e-3
        parameters = LIFBoxParameters(
            tau_mem_inv=torch.tensor((1 - LEAK) / tick, dtype=torch.float64), v_leak=torch.tensor(0.0), v_th=torch.tensor(THRESHOLD),
            method="triangle", alpha=SURROGATE_HEIGHT, reset_method=subtract,
        )  # fmt: skip
        lists = [norms(case, layer, 1 / (1 - LEAK)) for layer in self.layers]
        self.norms = nn.ModuleList(lists)
        self.cells = nn.ModuleList(LIFBoxCell(parameters, dt=tick) for _ in self.layers)
        self.between = [self.neurons(norm, cell) for norm, cell in zip(lists, self.cells, strict=True)]

    @staticmethod
    def neurons(norm: nn.ModuleList, cell: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return a layer's neurons, from currents [T, N, ...] to spikes."""

        def run(current: torch.Tensor) -> torch.Tensor:
            state, spikes = None, []
            for part, now in zip(norm, current, strict=True):
                fired, state = cell(part(now), state)
                spikes.append(fired)
            return torch.stack(spikes)

        return run


def subtract(spikes: torch.Tensor, potential: torch.Tensor, _reset: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    """Reset by subtraction, for norse, whose own lets the gradient through and does more work."""
    return potential - spikes.detach() * threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A builder, the ``package`` it needs (that of the registry), and what a spike takes from the potential; None: it has no neurons."""

    name: str
    build: Build
    package: str | None = None
    decrement: float | None = THRESHOLD


CONTESTANTS = {
    "spikefold": Contestant(name="Spikefold", build=spikefold),
    # It subtracts in the following timestep, after the leak.
    "snntorch": Contestant(name="snnTorch", build=SnnTorch, package="snntorch", decrement=THRESHOLD / LEAK),
    "spikingjelly": Contestant(name="SpikingJelly", build=SpikingJelly, package="spikingjelly"),
    "norse": Contestant(name="norse", build=Norse, package="norse"),
    "layers-bntt": Contestant(name="no neurons, BNTT", build=lambda case, first: Layers(case, first, bntt=True), decrement=None),
    "layers": Contestant(name="no neurons, no BNTT", build=lambda case, first: Layers(case, first, bntt=False), decrement=None),
}
