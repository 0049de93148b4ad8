"""Weights, pooling and readouts. Every layer takes [T, N, C, H, W] and applies its weights to all timesteps in one call."""

import torch
from torch import nn
from torch.nn import functional

from spikefold.train.errors import TrainError
from spikefold.train.modules.precision import widened

__all__ = ["AveragePool", "Conv2d", "Dense", "Integrate", "SpikeCount", "Synapses"]

XAVIER_GAIN = 2.0


class Synapses(nn.Module):
    """Weights and an optional bias; Xavier-uniform with gain 2 (Kim and Panda 2021, official code), the bias at 0.

    ``name`` is what the exported layer will be called; without one it is its kind and number.
    """

    def __init__(self, shape: tuple[int, ...], *, bias: bool, name: str) -> None:
        super().__init__()
        if min(shape) < 1:
            raise TrainError(f"weights of shape {list(shape)}: every side must be at least 1")
        self.name = name
        self.weight = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.zeros(shape[0])) if bias else None
        nn.init.xavier_uniform_(self.weight, gain=XAVIER_GAIN)


class Conv2d(Synapses):
    """A convolution with a square kernel, [T, N, C, H, W] to [T, N, out, H', W']."""

    def __init__(self, channels: int, out: int, kernel: int, *, stride: int = 1, padding: int = 0, bias: bool = False, name: str = "") -> None:
        super().__init__((out, channels, kernel, kernel), bias=bias, name=name)
        if stride < 1 or padding < 0:
            raise TrainError(f"Conv2d: stride {stride}, padding {padding}; they must be at least 1 and 0")
        self.stride, self.padding = stride, padding

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the input current."""
        current = functional.conv2d(x.flatten(0, 1), self.weight, self.bias, self.stride, self.padding)
        return current.reshape(*x.shape[:2], *current.shape[1:])


class Dense(Synapses):
    """All-to-all synapses, [T, N, C, H, W] with C*H*W ``inputs`` in (channel, y, x) order to [T, N, out, 1, 1]."""

    def __init__(self, inputs: int, out: int, *, bias: bool = False, name: str = "") -> None:
        super().__init__((out, inputs), bias=bias, name=name)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the input current."""
        return functional.linear(x.flatten(2), self.weight, self.bias)[..., None, None]


class AveragePool(nn.Module):
    """The mean of square windows of spikes, ``side`` by ``side`` and not overlapping; what does not fill a window is left out."""

    def __init__(self, side: int) -> None:
        super().__init__()
        if side < 1:
            raise TrainError(f"AveragePool side: {side}; it must be at least 1")
        self.side = side

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [T, N, C, H // side, W // side]."""
        pooled = functional.avg_pool2d(x.flatten(0, 1), self.side)
        return pooled.reshape(*x.shape[:2], *pooled.shape[1:])


class Integrate(nn.Module):
    """The readout that never fires: the current's sum over time divided by T, [T, N, C, 1, 1] to [N, C].

    ``U_T`` of Kim and Panda 2021: no leak, no threshold. The division changes no prediction and is not exported.
    """

    def forward(self, current: torch.Tensor) -> torch.Tensor:
        """Return the scores."""
        return widened(current).mean(0).flatten(1)


class SpikeCount(nn.Module):
    """The readout that counts spikes over time, [T, N, C, 1, 1] to [N, C]."""

    def forward(self, spikes: torch.Tensor) -> torch.Tensor:
        """Return the scores."""
        return spikes.sum(0).flatten(1)
