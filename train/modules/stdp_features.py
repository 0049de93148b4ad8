"""What layers learned by STDP send, and the module that stands for them in front of a classifier."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from spikefold.train.errors import TrainError
from spikefold.train.modules.neurons import lif_step
from spikefold.train.recipes.stdp_settings import StdpSettings, StdpStage

__all__ = ["FEATURE_PAYLOAD_BITS", "StdpFeatures", "StdpLayer", "at_rest", "features", "layer_step"]

FEATURE_PAYLOAD_BITS = 8
"""How finely a feature is told to the classifier: as a payload of so many bits, sign included."""


Watch = Callable[[int, int, torch.Tensor, torch.Tensor], None]
"""Called in every timestep with (stage, its run, both from 0; what its weights receive; the spikes of its neurons)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StdpLayer:
    """A layer between two batches or after its training: ``weight`` [out, in, kernel, kernel], ``threshold`` [unroll, out]."""

    stage: StdpStage
    weight: torch.Tensor
    threshold: torch.Tensor


def layer_step(
    layer: StdpLayer,
    potentials: list[torch.Tensor],
    x: torch.Tensor,
    leak: float,
    watch: Callable[[int, torch.Tensor, torch.Tensor], None] | None = None,
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return (output, potentials after reset) of a learned layer in one timestep, for an input [N, in, H, W].

    There is a potential for each time that the layer is unrolled, in units of its threshold. ``watch`` is a :data:`Watch` without the stage.
    """
    after = []
    for n, (potential, threshold) in enumerate(zip(potentials, layer.threshold, strict=True)):
        weight = layer.weight / threshold[:, None, None, None]
        current = functional.conv2d(x, weight, None, layer.stage.stride, layer.stage.padding)
        fired, potential = lif_step(potential, current, leak, 1.0, "hard")
        after.append(potential)
        if watch is not None:
            watch(n, x, fired)
        x = fired + x if layer.stage.residual else fired
    return x, after


def at_rest(layer: StdpLayer, like: torch.Tensor) -> list[torch.Tensor]:
    """Return the potentials, or traces, of a layer before the first timestep, one for each time that it is unrolled."""
    return [like.new_zeros(()) for _ in range(layer.stage.unroll)]


def features(layers: Sequence[StdpLayer], events: torch.Tensor, settings: StdpSettings, watch: Watch | None = None) -> torch.Tensor:
    """Return the activity of all layers for inputs [T, N, C, H, W]: [N, maps of all stages, H // pool, W // pool].

    It is the mean output in a timestep (with residuals it may pass 1), averaged over windows of ``pool`` by ``pool``.
    """
    states = [at_rest(layer, events) for layer in layers]
    sums: list[torch.Tensor] = [events.new_zeros(()) for _ in layers]
    with torch.no_grad():
        for x in events.unbind(0):
            for i, layer in enumerate(layers):
                x, states[i] = layer_step(layer, states[i], x, settings.leak, None if watch is None else partial(watch, i))
                sums[i] = sums[i] + x
        return torch.cat([functional.avg_pool2d(total / len(events), settings.pool) for total in sums], 1)


class StdpFeatures(nn.Module):
    """Learned layers: events [T, N, C, H, W] to their activity as payloads over the largest, [1, N, F, H', W'], all timesteps together.

    Nothing here is learned by gradients. ``unit`` is the activity that becomes 1, the largest of the training split. What runs in it goes
    to ``watch`` where there is one.
    """

    over_all_timesteps = True
    unit: torch.Tensor

    def __init__(self, settings: StdpSettings, channels: int) -> None:
        super().__init__()
        self.settings = settings
        self.watch: Watch | None = None
        for i, stage in enumerate(settings.stages):
            self.register_buffer(f"weight{i}", torch.zeros(stage.out, channels, stage.kernel, stage.kernel))
            self.register_buffer(f"threshold{i}", torch.ones(stage.unroll, stage.out))
            channels = stage.out
        self.register_buffer("unit", torch.ones(()))

    @property
    def layers(self) -> tuple[StdpLayer, ...]:
        """The learned layers."""
        return tuple(
            StdpLayer(stage=stage, weight=self.get_buffer(f"weight{i}"), threshold=self.get_buffer(f"threshold{i}"))
            for i, stage in enumerate(self.settings.stages)
        )

    def fill(self, layers: Sequence[StdpLayer], unit: float) -> None:
        """Take over learned layers, and the largest of their features."""
        if len(layers) != len(self.settings.stages):
            raise TrainError(f"STDP features: {len(layers)} layers; there are {len(self.settings.stages)} stages")
        for i, layer in enumerate(layers):
            self.get_buffer(f"weight{i}").copy_(layer.weight)
            self.get_buffer(f"threshold{i}").copy_(layer.threshold)
        self.unit.fill_(unit)

    def forward(self, events: torch.Tensor) -> torch.Tensor:
        """Return the features."""
        levels = 2 ** (FEATURE_PAYLOAD_BITS - 1) - 1
        payloads = torch.round(features(self.layers, events, self.settings, self.watch) / self.unit * levels).clamp(-levels, levels)
        held: torch.Tensor = payloads[None] / levels
        return held
