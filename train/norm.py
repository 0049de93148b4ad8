"""Normalisation of the input current: per timestep (BNTT) or over all timesteps (static batch normalisation)."""

import torch
from torch import nn
from torch.nn import functional

from spikefold.train.errors import TrainError

__all__ = ["BNTT", "EPS", "MOMENTUM", "BatchNorm", "CurrentNorm"]

EPS = 1e-4
MOMENTUM = 0.1


class CurrentNorm(nn.Module):
    """What both normalisations share: parameters and running statistics, each [rows, C], one row a timestep or one for all.

    ``gamma`` starts at 1 (and may become 0 or negative); ``beta`` at 0, and is learned only where asked for. In evaluation
    the current x becomes ``a * x + b`` with ``a = gamma / sqrt(var + eps)`` and ``b = beta - a * mean``.
    """

    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, channels: int, rows: int, *, beta: bool, eps: float, momentum: float) -> None:
        super().__init__()
        if min(channels, rows) < 1:
            raise TrainError(f"norm: {channels} channels, {rows} timesteps; both must be at least 1")
        if not 0 < eps < 1 or not 0 < momentum <= 1:
            raise TrainError(f"norm: eps {eps}, momentum {momentum}; eps must be above 0 and below 1, momentum above 0 and at most 1")
        self.eps, self.momentum = eps, momentum
        self.gamma = nn.Parameter(torch.ones(rows, channels))
        self.beta = nn.Parameter(torch.zeros(rows, channels)) if beta else None
        self.register_buffer("running_mean", torch.zeros(rows, channels))
        self.register_buffer("running_var", torch.ones(rows, channels))

    @property
    def rows(self) -> int:
        """The number of timesteps that have their own parameters."""
        return self.gamma.shape[0]

    def train_row(self, current: torch.Tensor, row: int) -> torch.Tensor:
        """Normalise [N, C, H, W] by its own statistics, and move row ``row`` of the running ones towards them."""
        if current.numel() // current.shape[1] < 2:
            raise TrainError(f"norm: a batch of shape {list(current.shape)}; to train, each channel needs at least 2 values")
        beta = None if self.beta is None else self.beta[row]
        return functional.batch_norm(current, self.running_mean[row], self.running_var[row], self.gamma[row], beta, True, self.momentum, self.eps)

    def evaluate(self, current: torch.Tensor) -> torch.Tensor:
        """Normalise [T, N, C, H, W] by the running statistics."""
        scale = self.gamma / torch.sqrt(self.running_var + self.eps)
        shift = (0 if self.beta is None else self.beta) - scale * self.running_mean
        return scale[:, None, :, None, None] * current + shift[:, None, :, None, None]


class BNTT(CurrentNorm):
    """Batch normalisation through time (Kim and Panda 2021): own gamma and statistics per timestep and channel, no beta.

    Takes and returns [T, N, C, H, W] with T the ``timesteps`` it was made for; statistics are over N, H and W.
    """

    def __init__(self, channels: int, timesteps: int, *, beta: bool = False, eps: float = EPS, momentum: float = MOMENTUM) -> None:
        super().__init__(channels, timesteps, beta=beta, eps=eps, momentum=momentum)

    def forward(self, current: torch.Tensor) -> torch.Tensor:
        """Return the normalised current."""
        if len(current) != self.rows:
            raise TrainError(f"BNTT: {len(current)} timesteps in the input; it was made for {self.rows}")
        if not self.training:
            return self.evaluate(current)
        return torch.stack([self.train_row(now, t) for t, now in enumerate(current.unbind(0))])


class BatchNorm(CurrentNorm):
    """Static batch normalisation: one gamma, beta and set of statistics per channel, over T, N, H and W."""

    def __init__(self, channels: int, *, beta: bool = True, eps: float = EPS, momentum: float = MOMENTUM) -> None:
        super().__init__(channels, 1, beta=beta, eps=eps, momentum=momentum)

    def forward(self, current: torch.Tensor) -> torch.Tensor:
        """Return the normalised current, [T, N, C, H, W] as given."""
        if not self.training:
            return self.evaluate(current)
        return self.train_row(current.flatten(0, 1), 0).reshape(current.shape)
