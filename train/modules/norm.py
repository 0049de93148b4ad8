"""Normalisation of the input current: per timestep (BNTT) or over all timesteps (static batch normalisation, tdBN)."""

import torch
from torch import nn
from torch.nn import functional

from spikefold.train.errors import TrainError
from spikefold.train.modules import fused
from spikefold.train.modules.precision import widened
from spikefold.train.processes import added, several

__all__ = ["BNTT", "EPS", "MOMENTUM", "BatchNorm", "CurrentNorm"]

EPS = 1e-4
MOMENTUM = 0.1


class CurrentNorm(nn.Module):
    """What both normalisations share: parameters and running statistics, each [rows, C], one row a timestep or one for all.

    ``gamma`` starts at 1 (and may become 0 or negative); ``beta`` at 0, and is learned only where asked for. In evaluation
    the current x becomes ``a * x + b`` with ``a = gamma / sqrt(var + eps)`` and ``b = beta - a * mean``. In training, mean and variance are
    the batch's own, over all processes where there are several.
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

    def affine(self, current: torch.Tensor, steps: int) -> fused.Affine:
        """Return what becomes of a current [T or 1, N, C, H, W] in T ``steps``; in training, move the running statistics towards it."""
        self._check(current, steps)
        count = 0
        mean, variance = self.running_mean, self.running_var
        if self.training:
            mean, variance, count = fused.batch_moments(current)
            if self.rows == 1:
                # Of all timesteps together: the mean of the variances, and the variance of the means.
                overall = mean.mean(0, keepdim=True)
                variance = (variance + (mean - overall) ** 2).mean(0, keepdim=True)
                mean, count = overall, count * steps
            self._move(mean, variance, count)
            mean, variance = mean.to(self.gamma.dtype).expand(self.rows, -1), variance.to(self.gamma.dtype).expand(self.rows, -1)
        beta = torch.zeros_like(self.gamma) if self.beta is None else self.beta
        return fused.Affine(gamma=self.gamma, beta=beta, mean=mean, inverse=torch.rsqrt(variance + self.eps), count=count)

    def normalise(self, current: torch.Tensor, row: int) -> torch.Tensor:
        """Normalise [N, C, H, W] by its own statistics, and move row ``row`` of the running ones towards them."""
        beta = None if self.beta is None else self.beta[row]
        if several():
            mean, variance, count = _global_moments(current)
            self._move(mean.detach()[None], variance.detach()[None], count, row)
            scale = self.gamma[row] * torch.rsqrt(variance + self.eps)
            shift = (0 if beta is None else beta) - scale * mean
            return scale[:, None, None] * current + shift[:, None, None]
        return functional.batch_norm(current, self.running_mean[row], self.running_var[row], self.gamma[row], beta, True, self.momentum, self.eps)

    def evaluate(self, current: torch.Tensor) -> torch.Tensor:
        """Normalise [T, N, C, H, W] by the running statistics."""
        scale = self.gamma / torch.sqrt(self.running_var + self.eps)
        shift = (0 if self.beta is None else self.beta) - scale * self.running_mean
        return scale[:, None, :, None, None] * current + shift[:, None, :, None, None]

    def _move(self, mean: torch.Tensor, variance: torch.Tensor, count: int, row: int | None = None) -> None:
        """Move the running statistics, whose variance is unbiased as in PyTorch, towards a batch's."""
        rows = slice(None) if row is None else slice(row, row + 1)
        for running, new in ((self.running_mean, mean), (self.running_var, variance * (count / (count - 1)))):
            running[rows] = torch.lerp(running[rows], new.to(running.dtype).expand_as(running[rows]), self.momentum)

    def _check(self, current: torch.Tensor, steps: int) -> None:
        if self.rows not in (1, steps):
            raise TrainError(f"{type(self).__name__}: {steps} timesteps in the input; it was made for {self.rows}")
        if self.training and current.numel() // (len(current) * current.shape[2]) < 2:
            raise TrainError(f"norm: a batch of shape {list(current.shape)}; to train, each channel needs at least 2 values")


class BNTT(CurrentNorm):
    """Batch normalisation through time (Kim and Panda 2021): own gamma and statistics per timestep and channel, no beta.

    Takes and returns [T, N, C, H, W] with T the ``timesteps`` it was made for; statistics are over N, H and W.
    """

    def __init__(self, channels: int, timesteps: int, *, beta: bool = False, eps: float = EPS, momentum: float = MOMENTUM) -> None:
        super().__init__(channels, timesteps, beta=beta, eps=eps, momentum=momentum)

    def forward(self, current: torch.Tensor) -> torch.Tensor:
        """Return the normalised current."""
        current = widened(current)
        self._check(current, len(current))
        if not self.training:
            return self.evaluate(current)
        return torch.stack([self.normalise(now, t) for t, now in enumerate(current.unbind(0))])


class BatchNorm(CurrentNorm):
    """Static batch normalisation: one gamma, beta and set of statistics per channel, over T, N, H and W.

    With ``gamma`` at alpha times the threshold it is threshold-dependent batch normalisation (tdBN, Zheng et al. 2021).
    """

    def __init__(self, channels: int, *, beta: bool = True, gamma: float = 1.0, eps: float = EPS, momentum: float = MOMENTUM) -> None:
        super().__init__(channels, 1, beta=beta, eps=eps, momentum=momentum)
        nn.init.constant_(self.gamma, gamma)

    def forward(self, current: torch.Tensor) -> torch.Tensor:
        """Return the normalised current, [T, N, C, H, W] as given."""
        current = widened(current)
        self._check(current, len(current))
        if not self.training:
            return self.evaluate(current)
        return self.normalise(current.flatten(0, 1), 0).reshape(current.shape)


def _global_moments(current: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Return mean and variance [C] of [N, C, H, W] over all processes, which gradients pass through, and the count of values."""
    x = current.transpose(0, 1).flatten(1)
    count, total = added(x.shape[1], x.sum(1))
    mean = total / count
    # About the mean: the squares themselves would hide a small variance beside a large mean.
    _, squares = added(x.shape[1], (x - mean[:, None]).square().sum(1))
    return mean, squares / count, count
