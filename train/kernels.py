"""Numba kernels of training on a CPU: normalised leaky integrate-and-fire neurons over all timesteps, forward and backward.

Arrays are flat: [timesteps, elements] with the channel running fastest. What depends on the channel comes as a tile, [timesteps,
tile], that repeats along the elements; a tile is a whole number of pixels. ``start`` and ``stop`` say which elements a
call is to work on; ``start`` is a whole number of tiles. A source of one timestep is held: it is the same in every timestep.
Kernels allocate nothing and read no globals; each names what it writes. Arguments are validated by :mod:`spikefold.train.fused`.
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
    for first in range(start, stop, tile):
        size = min(tile, stop - first)
        for t in range(x.shape[0]):
            now, centre, sums, sums2 = x[t, first : first + size], shift[t], total[t], squares[t]
            for i in range(size):
                d = now[i] - centre[i]
                sums[i] += d
                sums2[i] += d * d


@kernel
def forward(
    x: Real, start: int, stop: int, scale: Real, offset: Real, leak: float, threshold: float, soft: bool,
    potential: Real, spikes: Real,
) -> None:  # fmt: skip
    """Run the neurons on ``scale * x + offset``; writes ``spikes`` [timesteps, elements] and, as scratch, ``potential`` [tile]."""
    tile = scale.shape[1]
    leak, threshold = potential.dtype.type(leak), potential.dtype.type(threshold)
    zero, one = potential.dtype.type(0), potential.dtype.type(1)
    for first in range(start, stop, tile):
        size = min(tile, stop - first)
        potential[:size] = zero
        for t in range(spikes.shape[0]):
            now, out = x[min(t, x.shape[0] - 1), first : first + size], spikes[t, first : first + size]
            a, b = scale[t], offset[t]
            for i in range(size):
                u = leak * potential[i] + (a[i] * now[i] + b[i])
                fired = u > threshold
                s = one if fired else zero
                out[i] = s
                potential[i] = u - threshold * s if soft else u * (one - s)


@kernel
def surrogate(shape: int, peak: float, rate: float, threshold: float, potential: Real, slope: Real) -> None:
    """Write the surrogate derivative of the spike at ``potential`` to ``slope``, both [size]; see :class:`spikefold.train.surrogate.Surrogate`."""
    one, zero = potential.dtype.type(1), potential.dtype.type(0)
    peak, rate, threshold = potential.dtype.type(peak), potential.dtype.type(rate), potential.dtype.type(threshold)
    for i in range(len(potential)):
        distance = rate * abs(potential[i] - threshold)
        if shape == 0:
            slope[i] = peak * max(zero, one - distance)
        elif shape == 1:
            slope[i] = peak * np.exp(-distance)
        elif shape == 2:
            slope[i] = peak / ((one + distance) * (one + distance))
        else:
            slope[i] = peak / (one + distance * distance)


@kernel
def backward(
    x: Real, start: int, stop: int, scale: Real, offset: Real, centre: Real, leak: float, threshold: float, soft: bool,
    shape: int, peak: float, rate: float, grad_spikes: Real, potential: Real, slope: Real, carry: Real, grad: Real, total: Real,
    moment: Real, leak_grad: Real,
) -> None:  # fmt: skip
    """Run the neurons again and then back through time.

    Writes ``grad`` [timesteps, elements], the gradient of what the neurons received (``scale * x + offset``), and adds it to ``total``,
    its product with ``x - centre`` to ``moment`` (both [timesteps, tile]) and the gradient of the leak to ``leak_grad`` [tile]; ``potential``
    [timesteps, tile], ``slope`` and ``carry`` [tile] are scratch. No gradient passes through the reset.
    """
    tile, steps = scale.shape[1], scale.shape[0]
    leak, threshold = potential.dtype.type(leak), potential.dtype.type(threshold)
    zero = potential.dtype.type(0)
    for first in range(start, stop, tile):
        size = min(tile, stop - first)
        carry[:size] = zero
        for t in range(steps):
            now, a, b = x[min(t, x.shape[0] - 1), first : first + size], scale[t], offset[t]
            u = potential[t, :size]
            for i in range(size):
                v = leak * carry[i] + (a[i] * now[i] + b[i])
                fired = v > threshold
                u[i] = v
                carry[i] = (v - threshold if soft else zero) if fired else v
        carry[:size] = zero
        for step in range(steps):
            t = steps - 1 - step
            now = x[min(t, x.shape[0] - 1), first : first + size]
            sent, out, mean = grad_spikes[t, first : first + size], grad[t, first : first + size], centre[t]
            sums, sums2, u, d = total[t], moment[t], potential[t, :size], slope[:size]
            surrogate(shape, peak, rate, threshold, u, d)
            for i in range(size):
                fired = u[i] > threshold
                # What the neuron kept after the reset, and how it depends on the potential before it.
                kept = (u[i] - threshold if soft else zero) if fired else u[i]
                passed = zero if fired and not soft else carry[i]
                leak_grad[i] += carry[i] * kept
                g = sent[i] * d[i] + leak * passed
                carry[i] = g
                out[i] = g
                sums[i] += g
                sums2[i] += g * (now[i] - mean[i])


@kernel
def input_gradient(x: Real, start: int, stop: int, scale: Real, slope: Real, offset: Real, grad: Real) -> None:
    """Turn the gradient of the normalised current into that of ``x``: ``scale * grad + slope * x + offset``.

    Writes ``grad`` [timesteps, elements] in place; where ``x`` is held, its gradient is summed over the timesteps into ``grad[0]``.
    """
    tile = scale.shape[1]
    for first in range(start, stop, tile):
        size = min(tile, stop - first)
        for t in range(scale.shape[0]):
            now, out, a, k, c = x[min(t, x.shape[0] - 1), first : first + size], grad[t, first : first + size], scale[t], slope[t], offset[t]
            for i in range(size):
                out[i] = a[i] * out[i] + (k[i] * now[i] + c[i])
        if x.shape[0] < scale.shape[0]:
            held = grad[0, first : first + size]
            for t in range(1, scale.shape[0]):
                out = grad[t, first : first + size]
                for i in range(size):
                    held[i] += out[i]
