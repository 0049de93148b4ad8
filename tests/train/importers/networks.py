"""Random networks of snnTorch and SpikingJelly for every kind of module that can be imported: small, and lively enough to tell them apart.

Needs the extra ``peers``; the frameworks are imported where they are used.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from spikefold.data.coding import InputCoding
from tests.grids import on_grid

Rng = np.random.Generator
SIDE, CHANNELS, CLASSES = 6, 4, 3
FAN_IN = CHANNELS * (SIDE // 2) ** 2
BOUNDED = {"threshold": 0.6, "beta": 0.97}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of module; ``neuron`` and ``norm`` make one of it, given a generator of numbers, channels and timesteps.

    ``quantise`` makes a layer of a convolution or a dense layer that multiplies with weights of few bits.
    """

    name: str
    framework: str
    neuron: Callable[[Rng, int], nn.Module]
    norm: Callable[[int, int, int], nn.Module] | None = None
    quantise: Callable[[Any, Rng], nn.Module] | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """A random module, and how it is to be imported."""

    module: nn.Module
    coding: InputCoding
    timesteps: int
    forward: str


class Looped(nn.Module):
    """A network of snnTorch as its tutorials write them: forward goes through time and hands on the potentials."""

    conv: nn.Module
    norm0: nn.Module | None
    neurons0: Any
    pool: nn.Module
    dense: nn.Module
    norm1: nn.Module | None
    neurons1: Any

    def __init__(self, parts: dict[str, nn.Module | None]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, last = self.neurons0.init_leaky(), None if self.neurons1 is None else self.neurons1.init_leaky()
        sent = []
        for t, step in enumerate(x):
            spikes, first = self.neurons0(self._norm(self.norm0, self.conv(step), t), first)
            out = self._norm(self.norm1, self.dense(self.pool(spikes).flatten(1)), t)
            if self.neurons1 is not None:
                out, last = self.neurons1(out, last)
            sent.append(out)
        return torch.stack(sent)

    @staticmethod
    def _norm(norm: nn.Module | None, x: torch.Tensor, t: int) -> torch.Tensor:
        if norm is None:
            return x
        return (norm[t] if isinstance(norm, nn.ModuleList) else norm)(x)


def trained(module: nn.Module, rng: Rng) -> None:
    """Give weights and statistics values as training leaves them: gammas near 0, below 0 and exactly 0, means off 0."""
    with torch.no_grad():
        parts: list[Any] = list(module.modules())
        for part in parts:
            if isinstance(part, nn.Conv2d | nn.Linear):
                fan_in = part.weight[0].numel()
                part.weight.copy_(torch.from_numpy(rng.normal(0.08, 1.4 / np.sqrt(fan_in), part.weight.shape)))
                if part.bias is not None:
                    part.bias.copy_(torch.from_numpy(rng.normal(0.1, 0.2, part.bias.shape)))
            elif isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is not None and part.running_var is not None:
                size = part.running_mean.shape
                part.running_mean.copy_(torch.from_numpy(rng.normal(0, 0.3, size)))
                part.running_var.copy_(torch.from_numpy(rng.uniform(0.2, 1.5, size)))
                part.weight.copy_(torch.from_numpy(rng.normal(0.9, 0.5, size) * (rng.random(size) >= 0.05)))
                if part.bias is not None:
                    part.bias.copy_(torch.from_numpy(rng.normal(0.1, 0.3, size)))
                scale = getattr(part, "scale", None)
                if isinstance(scale, nn.Parameter):
                    scale.copy_(torch.from_numpy(rng.uniform(0.5, 1.5, scale.shape)))


def random_source(kind: Kind, seed: int, scale: str = "") -> Source:
    """Return a random network of a kind: a convolution, average pooling and a dense layer, with neurons behind it or none.

    With a ``scale`` of :data:`tests.grids.SCALES` its weights are rounded to it, and some channels are odd; all else is drawn as without.
    """
    rng = np.random.default_rng(seed)
    timesteps, coding = int(rng.integers(2, 10)), _coding(rng)
    read = bool(rng.integers(2))
    sizes = (CHANNELS, CLASSES)
    norms = [None if kind.norm is None else kind.norm(size, timesteps, 2 - i) for i, size in enumerate(sizes)]
    neurons = [kind.neuron(rng, 2), None if read else kind.neuron(rng, 1)]
    bounded = kind.name.endswith("subtract, reset_delay=False")
    conv = nn.Conv2d(2, CHANNELS, 3, padding=1, bias=bounded or bool(rng.integers(2)))
    dense = nn.Linear(FAN_IN, CLASSES, bias=bounded or bool(rng.integers(2)))
    if kind.framework == "snntorch" and not getattr(neurons[0], "init_hidden", False):
        parts: dict[str, nn.Module | None] = {"conv": conv, "norm0": norms[0], "neurons0": neurons[0], "pool": nn.AvgPool2d(2)}
        module: nn.Module = Looped({**parts, "dense": dense, "norm1": norms[1], "neurons1": neurons[1]})
        forward = "sequence"
    else:
        parts = {"0": conv, "1": norms[0], "2": neurons[0], "3": nn.AvgPool2d(2), "4": nn.Flatten(), "5": dense, "6": norms[1], "7": neurons[1]}
        module, forward = _sequential([part for part in parts.values() if part is not None], rng, kind)
    trained(module, rng)
    if scale:
        odd = rng.spawn(1)[0]
        for part in module.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                part.weight.data = torch.from_numpy(on_grid(odd, part.weight.detach().numpy().astype(np.float64), scale)).to(part.weight)
    if bounded:
        _bound(module, coding)
    if kind.quantise is not None:
        module.conv, module.dense = (kind.quantise(part, rng) for part in (module.conv, module.dense))
    return Source(module=module, coding=coding, timesteps=timesteps, forward=forward)


def _sequential(parts: list[nn.Module], rng: Rng, kind: Kind) -> tuple[nn.Module, str]:
    """Return a network in a row: snnTorch's timestep by timestep, SpikingJelly's that way or all timesteps at once."""
    if kind.framework == "snntorch":
        return nn.Sequential(*parts), "step"
    from spikingjelly.activation_based import functional, layer

    own = {nn.Conv2d: layer.Conv2d, nn.Linear: layer.Linear, nn.AvgPool2d: layer.AvgPool2d, nn.Flatten: layer.Flatten}
    made: list[Any] = []
    for part in parts:
        if type(part) is nn.Conv2d:
            part = own[nn.Conv2d](2, CHANNELS, 3, padding=1, bias=part.bias is not None)
        elif type(part) is nn.Linear:
            part = own[nn.Linear](FAN_IN, CLASSES, bias=part.bias is not None)
        elif type(part) in own:
            part = own[type(part)](*((2,) if type(part) is nn.AvgPool2d else ()))
        made.append(part)
    module = nn.Sequential(*made)
    several = any("Threshold" in type(part).__name__ or "Temporal" in type(part).__name__ for part in made)
    if not several and rng.integers(2):
        return module, "step"
    functional.set_step_mode(module, "m")
    return module, "sequence"


def _bound(module: nn.Module, coding: InputCoding) -> None:
    """Make the weights so small that no potential gets above twice the threshold: two thirds of what may come in one timestep, the bias the rest."""
    limit = 0.95 * (2 - BOUNDED["beta"]) * BOUNDED["threshold"]
    layers: list[Any] = [part for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        for layer, most in zip(layers, (coding.payload_max / coding.scale, 1.0), strict=True):
            layer.weight.mul_(limit * 2 / 3 / (layer.weight.abs().flatten(1).sum(1) * most).max())
            layer.bias.copy_(torch.full_like(layer.bias, limit / 3))


def _coding(rng: Rng) -> InputCoding:
    kind: Any = str(rng.choice(["direct", "ternary", "frames"]))
    graded = kind == "direct"
    return InputCoding(
        shape=(2, SIDE, SIDE), coding=kind, mean=0.0, std=1.0, scale=4.0 if graded else 1.0, payload_bits=4 if graded else 3, seed=0,
    )  # fmt: skip


def snn(*, hidden: bool = False, **options: Any) -> Callable[[Rng, int], nn.Module]:
    """Return what makes ``Leaky`` neurons; beta and threshold are random where they are not given."""

    def make(rng: Rng, axes: int) -> nn.Module:
        import snntorch

        size = (CHANNELS, 1, 1) if axes == 2 else (CLASSES,)
        several = rng.random() < 0.3
        spans = {"beta": (0.3, 0.99), "threshold": (0.4, 1.2)}
        drawn = {key: torch.tensor(rng.uniform(*span, size if several else ()), dtype=torch.float32) for key, span in spans.items()}
        return snntorch.Leaky(**drawn | options, init_hidden=hidden)

    return make


def jelly(name: str, **options: Any) -> Callable[[Rng, int], nn.Module]:
    """Return what makes neurons of SpikingJelly."""

    def make(rng: Rng, axes: int) -> nn.Module:
        from spikingjelly.activation_based import neuron

        given = dict(options)
        if given.get("v_reset") == "random":
            given["v_reset"] = float(rng.normal(0, 0.2))
        if name != "IFNode":
            given["tau" if name == "LIFNode" else "init_tau"] = float(rng.uniform(1.1, 4.0))
        decayed = 0.5 if given.get("decay_input", name != "IFNode") else 1.0
        return getattr(neuron, name)(v_threshold=float(rng.uniform(0.4, 1.2)) * decayed, **given)

    return make


def norm(framework: str, name: str) -> Callable[[int, int, int], nn.Module]:
    """Return what makes a normalisation of so many channels, timesteps and dimensions of space."""

    def make(channels: int, timesteps: int, dimension: int) -> nn.Module:
        full = f"{name}{max(1, dimension)}d"
        if framework == "snntorch":
            import snntorch

            return getattr(snntorch, full)(channels, timesteps) if name == "BatchNormTT" else getattr(nn, full)(channels)
        from spikingjelly.activation_based import layer

        if name == "ThresholdDependentBatchNorm":
            return getattr(layer, full)(1.0, 1.0, channels)
        return getattr(layer, full)(*((timesteps,) if name in ("BatchNormThroughTime", "TemporalEffectiveBatchNorm") else ()), channels)

    return make


def fake_quantised(*, each: bool) -> Callable[[Any, Rng], nn.Module]:
    """Return a maker of layers for torch's quantisation-aware training, with one scale or one for each channel."""

    def make(layer: Any, rng: Rng) -> nn.Module:
        from torch.ao import quantization
        from torch.ao.nn import qat

        half = 2 ** (int(rng.integers(2, 9)) - 1)
        weight = quantization.FakeQuantize.with_args(
            observer=quantization.PerChannelMinMaxObserver if each else quantization.MinMaxObserver, quant_min=-half, quant_max=half - 1,
            dtype=torch.qint8, qscheme=torch.per_channel_symmetric if each else torch.per_tensor_symmetric,
        )  # fmt: skip
        layer.qconfig = quantization.QConfig(activation=nn.Identity, weight=weight)
        kinds: dict[type[nn.Module], Any] = {nn.Conv2d: qat.Conv2d, nn.Linear: qat.Linear}
        made = kinds[type(layer)].from_float(layer)
        made.weight_fake_quant(made.weight)
        return made.apply(quantization.disable_observer)

    return make


def of_brevitas(*, each: bool) -> Callable[[Any, Rng], nn.Module]:
    """Return a maker of brevitas layers, with one scale or one for each channel."""

    def make(layer: Any, rng: Rng) -> nn.Module:
        from brevitas import nn as brevitas
        from brevitas.quant import Int8WeightPerChannelFloat, Int8WeightPerTensorFloat

        bits = int(rng.integers(2, 9))
        options = {"weight_quant": Int8WeightPerChannelFloat if each else Int8WeightPerTensorFloat, "weight_bit_width": bits}
        if isinstance(layer, nn.Linear):
            made = brevitas.QuantLinear(layer.in_features, layer.out_features, layer.bias is not None, **options)
        else:
            shape = (layer.in_channels, layer.out_channels, layer.kernel_size)
            made = brevitas.QuantConv2d(*shape, padding=layer.padding, bias=layer.bias is not None, **options)
        made.load_state_dict(layer.state_dict(), strict=False)
        return made

    return make


LEAKY, LIF = snn(), jelly("LIFNode")
QUANTISED = {"torch.ao.nn.qat": fake_quantised, "brevitas": of_brevitas}
KINDS = tuple(
    Kind(name=f"{framework} {name}", framework=framework, neuron=neuron, norm=made)
    for framework, name, neuron, made in (
        ("snntorch", "Leaky subtract", LEAKY, None),
        ("snntorch", "Leaky subtract, init_hidden", snn(hidden=True), None),
        ("snntorch", "Leaky zero", snn(reset_mechanism="zero"), None),
        ("snntorch", "Leaky none", snn(reset_mechanism="none"), None),
        ("snntorch", "Leaky zero, reset_delay=False", snn(reset_mechanism="zero", reset_delay=False), None),
        ("snntorch", "Leaky subtract, reset_delay=False", snn(reset_delay=False, hidden=False, **BOUNDED), None),
        ("snntorch", "BatchNorm1d and 2d", LEAKY, norm("snntorch", "BatchNorm")),
        ("snntorch", "BatchNormTT1d and 2d", LEAKY, norm("snntorch", "BatchNormTT")),
        ("spikingjelly", "IFNode", jelly("IFNode", v_reset="random"), None),
        ("spikingjelly", "IFNode soft", jelly("IFNode", v_reset=None), None),
        ("spikingjelly", "LIFNode", jelly("LIFNode", v_reset="random"), None),
        ("spikingjelly", "LIFNode soft", jelly("LIFNode", v_reset=None), None),
        ("spikingjelly", "LIFNode decay_input=False", jelly("LIFNode", v_reset="random", decay_input=False), None),
        ("spikingjelly", "ParametricLIFNode", jelly("ParametricLIFNode", v_reset="random"), None),
        ("spikingjelly", "BatchNorm1d and 2d", LIF, norm("spikingjelly", "BatchNorm")),
        ("spikingjelly", "tdBN", LIF, norm("spikingjelly", "ThresholdDependentBatchNorm")),
        ("spikingjelly", "TEBN", LIF, norm("spikingjelly", "TemporalEffectiveBatchNorm")),
        ("spikingjelly", "BNTT", LIF, norm("spikingjelly", "BatchNormThroughTime")),
    )
) + tuple(
    Kind(name=f"snntorch weights of {name}, {'per channel' if each else 'per layer'}", framework="snntorch", neuron=LEAKY, quantise=made(each=each))
    for name, made in QUANTISED.items()
    for each in (False, True)
)
