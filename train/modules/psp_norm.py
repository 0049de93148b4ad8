"""Normalisation of postsynaptic potentials before the weights (Ikegawa 2022, section 4)."""

import math
from typing import Literal, get_args

import torch
from torch import nn

from spikefold.train.errors import TrainError
from spikefold.train.modules.precision import widened
from spikefold.train.processes import added

__all__ = ["LAMBDA", "PSPNorm"]

Over = Literal["bn", "ln"]
Form = Literal["raw", "variance", "centred"]
LAMBDA = 0.1
MOMENTUM = 0.1


class PSPNorm(nn.Module):
    """Postsynaptic potentials a, [T, N, C, H, W], to normalised ones of the same shape, by statistics over a set X.

    ``form``, with gamma (start 1) and xi (start 0) learned per channel:

    - raw: ``a / sqrt(E[a^2] + lam)``, eq. 19, no parameters: the paper's PSP-norm;
    - variance: ``gamma * a / sqrt(V[a] + lam)``, eq. 15;
    - centred: ``gamma * (a - E[a]) / sqrt(V[a] + lam) + xi``, eq. 12.

    ``over``:

    - bn: X = W, H, N, T, per channel. The paper does not say what a test uses; here evaluation uses running statistics. They
      are E[a], from 0, and E[a^2] (raw) or V[a], from 1, and move by ``momentum`` towards those of each training batch. V[a] is
      divided by X as in eq. 14, not by X - 1;
    - ln: X = W, H, C, T, per sample, in training and evaluation alike. Not causal: it needs the potentials of all timesteps.

    Raises TrainError for a value out of range, and for an input of another number of channels.
    """

    running_mean: torch.Tensor
    running_moment: torch.Tensor

    def __init__(self, channels: int, over: Over = "bn", form: Form = "raw", lam: float = LAMBDA, momentum: float = MOMENTUM) -> None:
        super().__init__()
        if channels < 1:
            raise TrainError(f"PSPNorm channels: {channels}; it must be at least 1")
        for name, value, known in (("over", over, get_args(Over)), ("form", form, get_args(Form))):
            if value not in known:
                raise TrainError(f"PSPNorm {name}: {value!r}; it must be one of {', '.join(known)}")
        if not 0 < lam < math.inf:
            raise TrainError(f"PSPNorm lam: {lam}; it must be above 0 and finite")
        if not 0 < momentum <= 1:
            raise TrainError(f"PSPNorm momentum: {momentum}; it must be above 0 and at most 1")
        self.channels, self.lam, self.momentum = channels, lam, momentum
        self.over: Over = over
        self.form: Form = form
        self.gamma = None if form == "raw" else nn.Parameter(torch.ones(channels))
        self.xi = nn.Parameter(torch.zeros(channels)) if form == "centred" else None
        if over == "bn":
            self.register_buffer("running_mean", torch.zeros(channels))
            self.register_buffer("running_moment", torch.ones(channels))

    @property
    def over_all_timesteps(self) -> bool:
        """Whether what comes out in a timestep depends on later ones too."""
        return self.over == "ln"

    def forward(self, psp: torch.Tensor) -> torch.Tensor:
        """Return the normalised potentials."""
        psp = widened(psp)
        if psp.shape[2] != self.channels:
            raise TrainError(f"PSPNorm: {psp.shape[2]} channels in the input; it was made for {self.channels}")
        if self.over == "bn" and not self.training:
            scale, shift = self._affine(*self._running())
        else:
            mean, moment = self._statistics(*self._moments(psp))
            if self.over == "bn":
                self._track(mean, moment)
            scale, shift = self._affine(mean, moment)
        return psp * scale if shift is None else psp * scale + shift

    def weight_scale(self) -> torch.Tensor:
        """Return [C], the factors that evaluation applies to the channels: times them, the next layer's weights need no norm.

        Raises TrainError where no such factors exist: over ln they depend on the sample, and centred potentials are also
        shifted, which a zero-padded convolution's weights cannot hold.
        """
        if self.over == "ln" or self.form == "centred":
            raise TrainError(f"PSPNorm over {self.over}, form {self.form}: it does not fold into weights; only raw and variance over bn do")
        return self._affine(*self._running())[0].flatten()

    def _moments(self, psp: torch.Tensor) -> tuple[int, torch.Tensor, torch.Tensor]:
        """Return the number of values in X, their sum and their sum of squares, each [1, 1, C, 1, 1] or [1, N, 1, 1, 1].

        Over bn, X is what all processes have.
        """
        axes = (0, 1, 3, 4) if self.over == "bn" else (0, 2, 3, 4)
        count = math.prod(psp.shape[axis] for axis in axes)
        total, squares = psp.sum(axes, keepdim=True), psp.square().sum(axes, keepdim=True)
        if self.over == "ln":
            return count, total, squares
        everywhere, sums = added(count, torch.stack([total, squares]))
        return everywhere, sums[0], sums[1]

    def _statistics(self, count: int, total: torch.Tensor, squares: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return E[a] and the moment that the form divides by: E[a^2] or V[a]."""
        mean, raw = total / count, squares / count
        if self.form == "raw":
            return mean, raw
        # The difference of two large numbers may round to below 0.
        return mean, torch.clamp(raw - mean.square(), min=0)

    @torch.no_grad()
    def _track(self, mean: torch.Tensor, moment: torch.Tensor) -> None:
        """Move the running statistics towards a batch's."""
        self.running_mean.lerp_(mean.flatten(), self.momentum)
        self.running_moment.lerp_(moment.flatten(), self.momentum)

    def _running(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the running statistics, [C, 1, 1]."""
        return self.running_mean[:, None, None], self.running_moment[:, None, None]

    def _affine(self, mean: torch.Tensor, moment: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the factor and the summand on the potentials, of shapes that broadcast against [T, N, C, H, W]."""
        scale = torch.rsqrt(moment + self.lam)
        if self.gamma is not None:
            scale = scale * self.gamma[:, None, None]
        return scale, None if self.xi is None else self.xi[:, None, None] - mean * scale

    def extra_repr(self) -> str:
        """Describe the parameters."""
        return f"{self.channels}, over={self.over!r}, form={self.form!r}, lam={self.lam}"
