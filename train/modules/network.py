"""Layers in a row as a module, and how a recipe becomes one."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from spikefold.network.windows import layer_shape
from spikefold.train.errors import RecipeError, TrainError
from spikefold.train.modules.layers import AveragePool, Conv2d, Dense, Integrate, SpikeCount, Synapses
from spikefold.train.modules.neurons import LIF, hold
from spikefold.train.modules.norm import BNTT, BatchNorm, CurrentNorm
from spikefold.train.modules.psp_norm import Form, Over, PSPNorm
from spikefold.train.modules.srm import PSP, SRM
from spikefold.train.modules.stdp_features import StdpFeatures
from spikefold.train.modules.stochmax import Stochmax
from spikefold.train.modules.surrogate import SURROGATES, Surrogate
from spikefold.train.recipes.recipe import LayerRecipe, Recipe, default_name

__all__ = ["SpikingNetwork", "build_network", "events_to_input"]

PSP_NORMS: Mapping[str, tuple[Over, Form]] = {
    "psp-bn": ("bn", "raw"),
    "psp-ln": ("ln", "raw"),
    "psp-bn-eq12": ("bn", "centred"),
    "psp-bn-eq15": ("bn", "variance"),
    "psp-ln-eq12": ("ln", "centred"),
    "psp-ln-eq15": ("ln", "variance"),
}
"""What a recipe calls the normalisations of postsynaptic potentials (Ikegawa 2022): over what, and in which form."""


class SpikingNetwork(nn.Module):
    """Layers in a row, [T, N, C, H, W] to scores [N, classes].

    A layer is ``Conv2d`` or ``Dense``, then optionally ``BNTT`` or ``BatchNorm``, then ``LIF``; ``AveragePool`` may stand before
    each, and ``PSP`` and ``PSPNorm``, where the neurons are ``SRM``. ``ReLU`` may take the place of spiking neurons. The last
    layer ends with ``Integrate`` in the place of its neurons, or with ``SpikeCount`` after them. ``Dropout`` may stand anywhere.
    A module of your own trains as well; it needs an attribute ``timesteps``.

    ``adds[i] = j`` adds what the j-th module returned to what the i-th one returns: a residual connection. A module that
    stands in several places shares its weights: a backward residual one (BackRes, Panda et al. 2020), unrolled.

    An input of one timestep, [1, N, C, H, W], is held: it is the same in all, and all that comes before the first spiking
    neurons is computed once.
    """

    def __init__(self, *layers: nn.Module, timesteps: int, adds: Mapping[int, int] | None = None) -> None:
        super().__init__()
        if timesteps < 1:
            raise TrainError(f"network timesteps: {timesteps}; there must be at least 1")
        if not layers:
            raise TrainError("network: it has no layers; at least 1 is needed")
        self.timesteps = timesteps
        self.adds = dict(adds or {})
        for place, source in self.adds.items():
            if not 0 <= source < place < len(layers) - 1:
                raise TrainError(f"network adds: {source} to {place}; it must be an earlier module, and not added to the last of {len(layers)}")
        self.chain = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores of inputs [T, N, C, H, W]."""
        scores: torch.Tensor = self.readout(self.outputs(x))
        return scores

    @property
    def readout(self) -> nn.Module:
        """The last module, which makes scores of what all timesteps sent, or of the first of them alone."""
        return self.chain[-1]

    def outputs(self, x: torch.Tensor, timesteps: int | None = None) -> torch.Tensor:
        """Return what the readout receives, [T, N, C, H, W]: the current, or the spikes; [1, ...] where nothing spikes.

        ``timesteps`` takes the place of the network's own number, where no part (a BNTT) was made for that.
        """
        steps = self.timesteps if timesteps is None else timesteps
        if x.ndim != 5 or len(x) not in (1, steps):
            raise TrainError(f"network input: shape {list(x.shape)}; [{steps}, N, C, H, W], or 1 in place of {steps}, is expected")
        modules = list(self.chain)[:-1]
        kept: dict[int, torch.Tensor] = {}
        norm: CurrentNorm | None = None
        for i, module in enumerate(modules):
            if isinstance(module, CurrentNorm) and i + 1 < len(modules) and isinstance(modules[i + 1], LIF) and not self._tapped(i):
                norm = module
                continue
            if isinstance(module, LIF):
                x, norm = module(x, steps, norm), None
            else:
                x = module(hold(x, steps) if isinstance(module, BNTT | PSP | SRM | StdpFeatures) else x)
            if i in self.adds:
                x = x + kept[self.adds[i]]
            if i in self.adds.values():
                kept[i] = x
        return x

    def _tapped(self, place: int) -> bool:
        return place in self.adds or place in self.adds.values()


def events_to_input(events: npt.NDArray[np.int8], scale: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return payloads [N, T, C, H, W] as a module's input [T, N, C, H, W], divided by the coding's ``scale``."""
    return torch.from_numpy(np.ascontiguousarray(events.swapaxes(0, 1))).to(dtype) / scale


def build_network(recipe: Recipe) -> SpikingNetwork:
    """Return the untrained network of ``recipe``; torch's global generator draws the weights."""
    return _Builder(recipe).build()


class _Builder:
    """Turns the layers of a recipe into modules, one after the other."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.modules: list[nn.Module] = []
        self.shape = recipe.input.shape
        self.synapses: dict[str, Synapses] = {}
        self.drives: dict[str, int] = {}
        self.outputs: dict[str, int] = {}
        self.adds: dict[int, int] = {}
        self.surrogate = _surrogate(recipe)

    def build(self) -> SpikingNetwork:
        """Return the network."""
        recipe = self.recipe
        if recipe.stdp is not None:
            self.modules.append(StdpFeatures(recipe.stdp, recipe.input.shape[0]))
            self.shape = recipe.source
        for i, layer in enumerate(recipe.layers):
            last = i == len(recipe.layers) - 1
            if last and recipe.train.classifier == "stochmax":
                return self.end(self.stochmax(layer))
            self.add(layer, layer.name or default_name(layer.kind, i + 1), f"layers[{i}]", last=last)
        if self.shape[1:] != (1, 1):
            raise RecipeError(f"layers[{len(recipe.layers) - 1}]: the readout has the shape {self.shape}; each class must be one neuron")
        return self.end(Integrate() if recipe.readout == "potential" else SpikeCount())

    def end(self, readout: nn.Module) -> SpikingNetwork:
        """Return the network, which ends with ``readout``."""
        return SpikingNetwork(*self.modules, readout, timesteps=self.recipe.timesteps, adds=self.adds)

    def stochmax(self, layer: LayerRecipe) -> Stochmax:
        """Return the classifier that takes the place of the last layer, which must be dense."""
        channels, height, width = self.shape
        if layer.kind != "dense":
            raise RecipeError(f"layers[{len(self.recipe.layers) - 1}].kind: {layer.kind!r}; the stochmax classifier is dense")
        if layer.pool > 1:
            self.modules.append(AveragePool(layer.pool))
        return Stochmax(channels * (height // layer.pool) * (width // layer.pool), layer.out)

    def add(self, layer: LayerRecipe, name: str, place: str, *, last: bool) -> None:
        """Append a layer's modules."""
        norm, source = self.recipe.norm, self.shape
        if layer.pool > 1:
            self.modules.append(AveragePool(layer.pool))
        if self.recipe.neuron.kind == "srm":
            self.modules.append(PSP(self.recipe.neuron.tau_s))
            if layer.norm and norm.before:
                self.modules.append(_psp_norm(source[0], self.recipe))
            if layer.pool == 1 and self.outputs:
                # What a layer sends is then a normalised potential: Func is "Spike-PSP-Norm" (Ikegawa 2022, figure 3).
                self.outputs[list(self.outputs)[-1]] = len(self.modules) - 1
        synapses = self.synapses[layer.weights] if layer.weights else self.draw(layer)
        self.synapses[name] = synapses
        self.modules.append(synapses)
        self.shape = layer_shape(place, layer.kind, source, layer.pool, tuple(synapses.weight.shape), layer.stride, layer.padding)
        integrates = last and self.recipe.readout == "potential"
        if layer.norm and not norm.before and norm.kind != "none" and not integrates:
            self.modules.append(_current_norm(layer.out, self.recipe, self.threshold(layer)))
        self.drives[name] = len(self.modules) - 1
        if layer.add:
            self.adds[self.drives[name]] = self.drives[layer.add] if layer.add_from == "drive" else self.outputs[layer.add]
        if not integrates:
            self.modules.append(self.neurons(layer))
        self.outputs[name] = len(self.modules) - 1

    def draw(self, layer: LayerRecipe) -> Synapses:
        """Return new weights for a layer that receives what the last one sent."""
        channels, height, width = self.shape
        if layer.kind == "conv2d":
            synapses: Synapses = Conv2d(
                channels, layer.out, layer.kernel, stride=layer.stride, padding=layer.padding, bias=layer.bias, name=layer.name
            )  # fmt: skip
        else:
            synapses = Dense(channels * (height // layer.pool) * (width // layer.pool), layer.out, bias=layer.bias, name=layer.name)
        settings = self.recipe.train
        with torch.no_grad():
            if settings.init == "torch":
                # What PyTorch's own layers start from: uniform in +-1 / sqrt(fan-in).
                bound = synapses.weight[0].numel() ** -0.5
                synapses.weight.uniform_(-bound, bound)
            synapses.weight.mul_(settings.weight_scale)
        return synapses

    def threshold(self, layer: LayerRecipe) -> float:
        """Return the firing threshold of a layer."""
        return self.recipe.neuron.threshold if layer.threshold is None else layer.threshold

    def neurons(self, layer: LayerRecipe) -> nn.Module:
        """Return the neurons of a layer."""
        neuron, threshold = self.recipe.neuron, self.threshold(layer)
        if layer.neuron == "relu":
            return nn.ReLU()
        if neuron.kind == "srm":
            return SRM(threshold, neuron.tau_r, neuron.refractory, self.surrogate)
        return LIF(neuron.leak, threshold, neuron.reset, self.surrogate, learn_leak=neuron.learn_leak)


def _surrogate(recipe: Recipe) -> Surrogate:
    """Return the surrogate gradient that the recipe names, with its own values where it gives any."""
    neuron, published = recipe.neuron, SURROGATES[recipe.neuron.surrogate]
    scale = published.scale if neuron.surrogate_scale is None else neuron.surrogate_scale
    width = published.width if neuron.surrogate_width is None else neuron.surrogate_width
    return replace(published, scale=scale, width=width)


def _current_norm(channels: int, recipe: Recipe, threshold: float) -> CurrentNorm:
    norm = recipe.norm
    if norm.kind == "bntt":
        return BNTT(channels, recipe.timesteps, beta=norm.beta, eps=norm.eps, momentum=norm.momentum)
    gamma = norm.alpha * threshold if norm.kind == "tdbn" else 1.0
    return BatchNorm(channels, beta=norm.beta, gamma=gamma, eps=norm.eps, momentum=norm.momentum)


def _psp_norm(channels: int, recipe: Recipe) -> PSPNorm:
    over, form = PSP_NORMS[recipe.norm.kind]
    return PSPNorm(channels, over, form, lam=recipe.norm.lam, momentum=recipe.norm.momentum)
