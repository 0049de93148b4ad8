"""Numba kernels of training on a CPU: normalised leaky integrate-and-fire neurons over all timesteps, forward and backward.

Arrays are flat: [timesteps, elements] with the channel running fastest. What depends on the channel comes as a tile, [timesteps,
tile], that repeats along the elements; a tile is a whole number of pixels. ``start`` and ``stop`` say which elements a
call is to work on; ``start`` is a whole number of tiles. They go through all timesteps a block at a time, a whole number of tiles, so
that what a timestep leaves is still in the cache for the next. A source of one timestep is held: it is the same in every timestep.
Kernels allocate nothing and read no globals; each names what it writes. Arguments are validated by :mod:`spikefold.train.modules.fused`.

No loop has more than a few arrays. Any two of them might overlap, for all that the compiler knows; it checks that before the loop, and where
there are too many pairs to check it does not vectorise at all.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

__all__ = ["backward", "forward", "input_gradient", "moments"]

Function = TypeVar("Function", bound=Callable[..., Any])
Real = npt.NDArray[Any]


def kernel(function: Function) -> Function:
    """Compile ``function`` in nopython mode, cached on disk: the one set of JIT options that every kernel uses."""
    return cast(Function, numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")(function))


@kernel
def moments(x: Real, start: int, stop: int, shift: Real, total: Real, squares: Real) -> None:
    """Add ``x - shift`` and its square to ``total`` and ``squares`` [timesteps, tile], which are written."""
    tile = shift.shape[1]
    for t in range(x.shape[0]):
        centre, sums, sums2 = shift[t], total[t], squares[t]
        for first in range(start, stop, tile):
            size = min(tile, stop - first)
            now = x[t, first : first + size]
            for i in range(size):
                d = now[i] - centre[i]
                sums[i] += d
                sums2[i] += d * d


@kernel
def after_reset(potential: float, threshold: float, soft: bool, zero: float) -> float:
    """Return what a neuron keeps of its potential; ``zero`` is of the potential's type."""
    return (potential - threshold if soft else zero) if potential > threshold else potential


@kernel
def step(now: Real, scale: Real, offset: Real, leak: float, threshold: float, soft: bool, kept: Real, spikes: Real) -> None:
    """Run one timestep on ``now`` [size]: writes ``spikes`` and takes ``kept``, the potentials after the reset, one timestep on."""
    zero, one = kept.dtype.type(0), kept.dtype.type(1)
    for first in range(0, len(now), len(scale)):
        size = min(len(scale), len(now) - first)
        x, v, out = now[first : first + size], kept[first : first + size], spikes[first : first + size]
        for i in range(size):
            u = leak * v[i] + (scale[i] * x[i] + offset[i])
            out[i] = one if u > threshold else zero
            v[i] = after_reset(u, threshold, soft, zero)


@kernel
def forward(
    x: Real, start: int, stop: int, scale: Real, offset: Real, leak: float, threshold: float, soft: bool, kept: Real, spikes: Real
) -> None:  # fmt: skip
    """Run the neurons on ``scale * x + offset``; writes ``spikes`` [timesteps, elements] and, as scratch, ``kept`` [block]."""
    leak, threshold = kept.dtype.type(leak), kept.dtype.type(threshold)
    for first in range(start, stop, len(kept)):
        last = min(first + len(kept), stop)
        v = kept[: last - first]
        v[:] = kept.dtype.type(0)
        for t in range(len(spikes)):
            step(x[min(t, len(x) - 1), first:last], scale[t], offset[t], leak, threshold, soft, v, spikes[t, first:last])


@kernel
def integrate(now: Real, scale: Real, offset: Real, leak: float, threshold: float, soft: bool, before: Real, potential: Real) -> None:
    """Write ``potential`` [size], not yet reset, from what the neurons receive ``now`` and the potential of the timestep ``before``."""
    zero = potential.dtype.type(0)
    for first in range(0, len(now), len(scale)):
        size = min(len(scale), len(now) - first)
        x, v, u = now[first : first + size], before[first : first + size], potential[first : first + size]
        for i in range(size):
            u[i] = leak * after_reset(v[i], threshold, soft, zero) + (scale[i] * x[i] + offset[i])


@kernel
def surrogate(shape: int, peak: float, rate: float, threshold: float, potential: Real, slope: Real) -> None:
    """Write the surrogate derivative of the spike at ``potential`` to ``slope``, both [size].

    See :class:`spikefold.train.modules.surrogate.Surrogate`.
    """
    zero, one = slope.dtype.type(0), slope.dtype.type(1)
    if shape == 0:
        for i in range(len(slope)):
            slope[i] = peak * max(zero, one - rate * abs(potential[i] - threshold))
    elif shape == 1:
        for i in range(len(slope)):
            slope[i] = peak * np.exp(-rate * abs(potential[i] - threshold))
    elif shape == 2:
        for i in range(len(slope)):
            slope[i] = peak / (one + rate * abs(potential[i] - threshold)) ** 2
    else:
        for i in range(len(slope)):
            slope[i] = peak / (one + (rate * (potential[i] - threshold)) ** 2)


@kernel
def step_back(sent: Real, slope: Real, potential: Real, later: Real, leak: float, threshold: float, soft: bool, grad: Real) -> None:
    """Write ``grad`` [size], the gradient of ``potential``, from that of the spikes (``sent``) and of the potential one timestep ``later``."""
    zero = grad.dtype.type(0)
    # After a hard reset the later potential no longer depends on this one.
    cut = grad.dtype.type(np.inf) if soft else threshold
    for i in range(len(grad)):
        passed = later[i]
        grad[i] = sent[i] * slope[i] + leak * (zero if potential[i] > cut else passed)


@kernel
def add_sums(grad: Real, now: Real, centre: Real, total: Real, moment: Real) -> None:
    """Add ``grad`` to ``total`` and its product with ``now - centre`` to ``moment``, both [tile]."""
    for first in range(0, len(now), len(centre)):
        size = min(len(centre), len(now) - first)
        g, x = grad[first : first + size], now[first : first + size]
        for i in range(size):
            total[i] += g[i]
            moment[i] += g[i] * (x[i] - centre[i])


@kernel
def add_leak(later: Real, potential: Real, threshold: float, soft: bool, leak_grad: Real) -> None:
    """Add to ``leak_grad`` the gradient of the potential one timestep ``later``, times what that took over from ``potential``."""
    zero = leak_grad.dtype.type(0)
    for i in range(len(later)):
        leak_grad[i] += later[i] * after_reset(potential[i], threshold, soft, zero)


@kernel
def backward(
    x: Real, start: int, stop: int, scale: Real, offset: Real, centre: Real, leak: float, threshold: float, soft: bool, shape: int, peak: float,
    rate: float, grad_spikes: Real, potential: Real, slope: Real, grad: Real, total: Real, moment: Real, leak_grad: Real,
) -> None:  # fmt: skip
    """Run the neurons again and then back through time.

    Writes ``grad`` [timesteps, elements], the gradient of what the neurons received (``scale * x + offset``), and adds it to ``total``,
    its product with ``x - centre`` to ``moment`` (both [timesteps, tile]) and the gradient of the leak to ``leak_grad``: [block], or [0] where
    nobody asks for it. ``potential`` [timesteps + 1, block] and ``slope`` [block] are scratch. No gradient passes through the reset.
    """
    steps, block = len(scale), len(slope)
    leak, threshold = potential.dtype.type(leak), potential.dtype.type(threshold)
    peak, rate = potential.dtype.type(peak), potential.dtype.type(rate)
    for first in range(start, stop, block):
        last = min(first + block, stop)
        nothing, d = potential[steps, : last - first], slope[: last - first]
        nothing[:] = potential.dtype.type(0)
        before = nothing
        for t in range(steps):
            u = potential[t, : last - first]
            integrate(x[min(t, len(x) - 1), first:last], scale[t], offset[t], leak, threshold, soft, before, u)
            before = u
        later = nothing
        for t in range(steps - 1, -1, -1):
            u, g = potential[t, : last - first], grad[t, first:last]
            surrogate(shape, peak, rate, threshold, u, d)
            step_back(grad_spikes[t, first:last], d, u, later, leak, threshold, soft, g)
            add_sums(g, x[min(t, len(x) - 1), first:last], centre[t], total[t], moment[t])
            if len(leak_grad) > 0:
                add_leak(later, u, threshold, soft, leak_grad)
            later = g


@kernel
def input_gradient(x: Real, start: int, stop: int, scale: Real, slope: Real, offset: Real, grad: Real) -> None:
    """Turn the gradient of the normalised current into that of ``x``: ``scale * grad + slope * x + offset``.

    Writes ``grad`` [timesteps, elements] in place; where ``x`` is held, its gradient is summed over the timesteps into ``grad[0]``.
    """
    tile = scale.shape[1]
    for t in range(scale.shape[0]):
        a, k, c = scale[t], slope[t], offset[t]
        for first in range(start, stop, tile):
            size = min(tile, stop - first)
            now, out = x[min(t, x.shape[0] - 1), first : first + size], grad[t, first : first + size]
            for i in range(size):
                out[i] = a[i] * out[i] + (k[i] * now[i] + c[i])
            if t > 0 and x.shape[0] < scale.shape[0]:
                held = grad[0, first : first + size]
                for i in range(size):
                    held[i] += out[i]
