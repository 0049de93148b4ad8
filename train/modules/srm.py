"""The spike response model (Ikegawa 2022, section 3): postsynaptic potentials, and neurons with a refractory response.

Both kernels are exact recursions over all earlier spikes; SLAYER's code cuts its kernels off where they fall below 0.01.
The functions that work on one timestep allocate nothing: each names the tensors it writes.
"""

import math
from collections.abc import Iterable
from typing import Any, Literal, get_args

import torch
from torch import nn

from spikefold.train.errors import TrainError
from spikefold.train.modules.precision import widened
from spikefold.train.modules.surrogate import SURROGATES, Surrogate

__all__ = ["PSP", "SRM", "Refractory", "psp", "srm_step"]

Refractory = Literal["exponential", "alpha"]


def alpha_step(response: torch.Tensor, rise: torch.Tensor, kick: torch.Tensor, tau: float, height: float, out: torch.Tensor) -> None:
    """Advance a response to kicks through the kernel ``height * t / tau * exp(1 - t / tau)``, t >= 0, by one timestep.

    ``response`` is of this timestep and ``kick`` comes in it: the kernel is 0 at t = 0, so the response does not depend on it.
    With ``d = exp(-1 / tau)``: ``rise = d * rise + height * e / tau * kick``; next response ``d * (response + rise)``. Writes
    ``rise`` and ``out``, the next response; ``out`` may be ``response``.
    """
    decay = math.exp(-1 / tau)
    rise.mul_(decay).add_(kick, alpha=height * math.e / tau)
    torch.add(response, rise, out=out).mul_(decay)


def _alpha_filter(kicks: torch.Tensor, tau: float, times: Iterable[int]) -> torch.Tensor:
    """Return the responses to ``kicks`` [T, ...], its timesteps taken in the order ``times``."""
    responses = torch.empty_like(kicks)
    rise = torch.zeros_like(kicks[0])
    earlier, *later = times
    responses[earlier].zero_()
    for now in later:
        alpha_step(responses[earlier], rise, kicks[earlier], tau, 1.0, out=responses[now])
        earlier = now
    return responses


class AlphaResponse(torch.autograd.Function):
    """Convolution with the alpha kernel over time; its adjoint is the same recursion from the last timestep to the first."""

    @staticmethod
    def forward(ctx: Any, spikes: torch.Tensor, tau: float) -> torch.Tensor:
        """Return the responses; nothing is kept but the time constant."""
        ctx.tau = tau
        return _alpha_filter(spikes, tau, range(len(spikes)))

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Return the gradient with respect to the spikes."""
        return _alpha_filter(grads[0], ctx.tau, reversed(range(len(grads[0])))), None


def psp(spikes: torch.Tensor, tau_s: float) -> torch.Tensor:
    """Return the postsynaptic potentials ``a = eps * s``, ``eps(t) = t / tau_s * exp(1 - t / tau_s)`` (Ikegawa 2022, eq. 3 and 5).

    ``spikes`` are floats, [T, N, ...], and so are the potentials; ``tau_s`` is in timesteps. ``eps(0) = 0``: a spike acts from
    the next timestep on. The gradient is exact.
    """
    potentials: torch.Tensor = AlphaResponse.apply(spikes, tau_s)  # type: ignore[no-untyped-call]
    return potentials


def srm_step(
    state: tuple[torch.Tensor, ...],
    current: torch.Tensor,
    threshold: float,
    tau_r: float,
    refractory: Refractory,
    potential: torch.Tensor,
    spikes: torch.Tensor,
) -> None:
    """Advance SRM neurons by one timestep; every tensor has one shape, and all but ``current`` are written.

    ``u_t = current_t + R_t``, and a neuron fires where ``u_t >= threshold``. ``state`` begins as zeros and holds the
    refractory response R_t of this timestep, and for the alpha kernel its rise. With ``d = exp(-1 / tau_r)``:

    - exponential (Ikegawa 2022, eq. 4): ``R_t = d * (R_(t-1) - 2 * threshold * s_(t-1))``. Printed, the kernel is
      ``-2 * threshold`` at lag 0 already, so that a spike would prevent itself; here it begins at lag 1.
    - alpha (Shrestha and Orchard 2018, code): ``R_t`` is the sum of ``-2 * threshold * k / tau_r * exp(1 - k / tau_r)`` over the
      lags k of the earlier spikes.
    """
    response = state[0]
    torch.add(current, response, out=potential)
    torch.ge(potential, threshold, out=spikes)
    if refractory == "exponential":
        response.add_(spikes, alpha=-2 * threshold).mul_(math.exp(-1 / tau_r))
    else:
        alpha_step(response, state[1], spikes, tau_r, -2 * threshold, out=response)


class SpikeResponse(torch.autograd.Function):
    """SRM neurons over all timesteps. No gradient passes through the refractory response, so only the potentials are kept."""

    @staticmethod
    def forward(ctx: Any, current: torch.Tensor, threshold: float, tau_r: float, refractory: Refractory, surrogate: Surrogate) -> torch.Tensor:
        """Return the spikes."""
        potentials, spikes = torch.empty_like(current), torch.empty_like(current)
        state = tuple(torch.zeros_like(current[0]) for _ in range(1 if refractory == "exponential" else 2))
        for t, now in enumerate(current):
            srm_step(state, now, threshold, tau_r, refractory, potentials[t], spikes[t])
        ctx.save_for_backward(potentials)
        ctx.threshold, ctx.surrogate = threshold, surrogate
        return spikes

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None, None, None]:
        """Return ``grad * ds/du``, timestep by timestep."""
        (potentials,) = ctx.saved_tensors
        gradient = torch.empty_like(potentials)
        # One timestep at a time, so that what derivative() allocates stays in the cache: several times as fast.
        for grad, potential, out in zip(grads[0], potentials, gradient, strict=True):
            torch.mul(grad, ctx.surrogate.derivative(potential, ctx.threshold), out=out)
        return gradient, None, None, None, None


class PSP(nn.Module):
    """Spikes [T, N, ...] to postsynaptic potentials of the same shape; ``tau_s`` above 0, in timesteps."""

    def __init__(self, tau_s: float = 10.0) -> None:
        super().__init__()
        if not 0 < tau_s < math.inf:
            raise TrainError(f"PSP tau_s: {tau_s}; it must be above 0 and finite")
        self.tau_s = tau_s

    def forward(self, spikes: torch.Tensor) -> torch.Tensor:
        """Return the potentials of every timestep."""
        return psp(widened(spikes), self.tau_s)

    def extra_repr(self) -> str:
        """Describe the parameter."""
        return f"tau_s={self.tau_s}"


class SRM(nn.Module):
    """A population of SRM neurons: current [T, N, C, H, W] to spikes of the same shape, no refractory response before t = 0.

    The current is the weighted sum of postsynaptic potentials. ``threshold`` and ``tau_r`` (timesteps) are above 0,
    ``refractory`` is exponential or alpha. The surrogate's gradient goes straight to the current of the same timestep:
    none passes through the refractory response, as in SLAYER's code. Defaults: Ikegawa 2022, table 1.
    """

    def __init__(
        self,
        threshold: float = 10.0,
        tau_r: float = 10.0,
        refractory: Refractory = "exponential",
        surrogate: Surrogate = SURROGATES["exponential"],
    ) -> None:
        super().__init__()
        for name, value in (("threshold", threshold), ("tau_r", tau_r)):
            if not 0 < value < math.inf:
                raise TrainError(f"SRM {name}: {value}; it must be above 0 and finite")
        if refractory not in get_args(Refractory):
            raise TrainError(f"SRM refractory: {refractory!r}; it must be exponential or alpha")
        self.threshold, self.tau_r, self.surrogate = threshold, tau_r, surrogate
        self.refractory: Refractory = refractory

    def forward(self, current: torch.Tensor) -> torch.Tensor:
        """Return the spikes of every timestep."""
        spikes: torch.Tensor = SpikeResponse.apply(widened(current), self.threshold, self.tau_r, self.refractory, self.surrogate)  # type: ignore[no-untyped-call]
        return spikes

    def extra_repr(self) -> str:
        """Describe the parameters."""
        return f"threshold={self.threshold}, tau_r={self.tau_r}, refractory={self.refractory!r}"
