"""Normalised LIF neurons over all timesteps in one differentiable call, for the CPU.

What :func:`spikefold.train.modules.neurons.lif_step` does to a normalised current, timestep by timestep, is done here by the kernels, which
keep nothing but the current itself: the potentials are computed again in the backward pass. The plain loop stays the
definition; the tests hold spikes and gradients against it.
"""

import itertools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.autograd.function import once_differentiable

from spikefold.train.modules import kernels
from spikefold.train.modules.surrogate import Surrogate
from spikefold.train.processes import all_reduce, several

__all__ = ["Affine", "batch_moments", "fusable", "lif"]

Real = npt.NDArray[Any]
DTYPES = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64)}
TILE_ELEMENTS = 512
"""What a tile should hold in a timestep: few enough for a core's first cache, enough for a loop that is worth its start."""
BLOCK_ELEMENTS = 1 << 16
"""What a block may hold in all timesteps: few enough for a core's second cache, enough for long runs of memory in every timestep."""
CHUNKS = 16
CHUNK_ELEMENTS = 1 << 15


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Affine:
    """A normalisation at work: the current x becomes ``gamma * (x - mean) * inverse + beta``, all [rows, C], a row a timestep or one for all.

    ``count`` is how many values each mean was taken over, in all processes, or 0 where the statistics are not this batch's.
    """

    gamma: torch.Tensor
    beta: torch.Tensor
    mean: torch.Tensor
    inverse: torch.Tensor
    count: int


def fusable(current: torch.Tensor) -> bool:
    """Return whether the kernels take this tensor: in the CPU's memory, float32 or float64, with something in it."""
    return current.device.type == "cpu" and current.dtype in DTYPES and current.numel() > 0


def batch_moments(current: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Return mean and (biased) variance [T, C], float64, of a current [T, N, C, H, W] over N, H and W of all processes, and their count."""
    x = _flat(_channels_last(current))
    channels = current.shape[2]
    shift = _tile(x[:, :channels], x.shape[1], len(x))
    sums = np.zeros((2, _chunks(x, shift), *shift.shape), x.dtype)
    _run(x, shift, 0, lambda chunk, start, stop, _: kernels.moments(x, start, stop, shift, sums[0, chunk], sums[1, chunk]))
    total, squares = _per_channel(sums[0], channels), _per_channel(sums[1], channels)
    count = torch.tensor(float(x.shape[1] // channels), dtype=torch.float64)
    mean = total / count + torch.from_numpy(x[:, :channels].astype(np.float64))
    variance = (squares / count - (total / count) ** 2).clamp(min=0)
    # Means of several processes merge by their first two moments about 0, in float64.
    first, second = mean * count, (variance + mean**2) * count
    all_reduce(first, second, count)
    mean = first / count if several() else mean
    return mean, second / count - mean**2 if several() else variance, int(count)


def lif(
    current: torch.Tensor, steps: int, norm: Affine | None, leak: torch.Tensor, threshold: float, soft: bool, surrogate: Surrogate,
    fired: torch.Tensor | None = None,
) -> torch.Tensor:  # fmt: skip
    """Return the spikes [T, N, C, H, W] of LIF neurons that receive the normalised ``current``.

    ``current`` is [T, N, C, H, W], or [1, N, C, H, W] where it is the same in all T ``steps``; ``leak`` holds one value. All that
    :func:`fusable` and the caller do not refuse is taken. Where the spikes are known already, those ``fired`` are returned; gradients
    pass as if these neurons had sent them.
    """
    if norm is None:
        one = torch.ones(1, current.shape[2], dtype=current.dtype)
        norm = Affine(gamma=one, beta=torch.zeros_like(one), mean=torch.zeros_like(one), inverse=one, count=0)
    spikes: torch.Tensor = FusedLIF.apply(  # type: ignore[no-untyped-call]
        current, norm.gamma, norm.beta, leak, norm, steps, threshold, soft, surrogate, fired
    )
    return spikes


class FusedLIF(torch.autograd.Function):
    """The neurons of a layer, with the gradients of current, gamma, beta and leak."""

    @staticmethod
    def forward(
        ctx: Any, current: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor, leak: torch.Tensor, norm: Affine, steps: int, threshold: float,
        soft: bool, surrogate: Surrogate, fired: torch.Tensor | None,
    ) -> torch.Tensor:  # fmt: skip
        """Return the spikes."""
        last = _channels_last(current)
        ctx.save_for_backward(last, gamma, beta, leak, norm.mean, norm.inverse)
        ctx.constants = norm.count, steps, threshold, soft, surrogate
        if fired is not None:
            return fired.clone()
        x = _flat(last)
        scale = gamma * norm.inverse
        offset = beta - scale * norm.mean
        a, b = (_tile(v, x.shape[1], steps, x.dtype) for v in (scale, offset))
        _, batch, channels, height, width = current.shape
        # NumPy's large arrays lie on large pages, if the system has them; torch's do not.
        spikes = torch.from_numpy(np.empty((steps, batch, height, width, channels), x.dtype))
        out, decay = spikes.numpy().reshape(steps, -1), leak.item()
        _run(x, a, 1, lambda _, start, stop, scratch: kernels.forward(x, start, stop, a, b, decay, threshold, soft, scratch[0], out))
        return spikes.permute(0, 1, 4, 2, 3)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of current, gamma, beta and leak."""
        last, gamma, beta, leak, mean, inverse = ctx.saved_tensors
        count, steps, threshold, soft, surrogate = ctx.constants
        x, sent, channels = _flat(last), _flat(_channels_last(grads[0])), last.shape[-1]
        scale = gamma * inverse
        a, b, centre = (_tile(v, x.shape[1], steps, x.dtype) for v in (scale, beta - scale * mean, mean))
        grad, decay = np.empty_like(sent), leak.item()
        sums = np.zeros((2, _chunks(x, a), *a.shape), x.dtype)
        leak_sums = np.zeros((sums.shape[1], _block(x, a) if ctx.needs_input_grad[3] else 0), x.dtype)
        shape, peak, rate = surrogate.curve(threshold)

        def back(chunk: int, start: int, stop: int, scratch: Real) -> None:
            kernels.backward(
                x, start, stop, a, b, centre, decay, threshold, soft, shape, peak, rate, sent, scratch[:-1], scratch[-1], grad, sums[0, chunk],
                sums[1, chunk], leak_sums[chunk],
            )  # fmt: skip

        _run(x, a, steps + 2, back)
        total, moment = (_rows(_per_channel(s, channels), len(gamma)) for s in sums)
        grad_gamma, grad_beta = (moment * inverse).to(gamma.dtype), total.to(beta.dtype)
        if ctx.needs_input_grad[0]:
            slope = torch.zeros_like(mean)
            shift = torch.zeros_like(mean)
            if count:
                # The batch's own mean and variance depend on x as well (Ioffe and Szegedy 2015). Parameters get this process's sums.
                total, moment = total.clone(), moment.clone()
                all_reduce(total, moment)
                slope = -scale * inverse**2 * moment / count
                shift = -scale * total / count - slope * mean
            k, c = (_tile(v, x.shape[1], steps, x.dtype) for v in (slope, shift))
            _run(x, a, 0, lambda _, start, stop, __: kernels.input_gradient(x, start, stop, a, k, c, grad))
        spatial = torch.from_numpy(grad[: len(x)]).reshape(last.shape)
        grad_leak = torch.tensor(leak_sums.sum(dtype=np.float64), dtype=leak.dtype).reshape(leak.shape)
        return spatial.permute(0, 1, 4, 2, 3), grad_gamma, grad_beta, grad_leak, *(None,) * 6


def _channels_last(tensor: torch.Tensor) -> torch.Tensor:
    """Return [T, N, C, H, W] as [T, N, H, W, C], stored in that order; a view where it was."""
    return tensor.detach().permute(0, 1, 3, 4, 2).contiguous()


def _flat(last: torch.Tensor) -> Real:
    """Return what :func:`_channels_last` gave as [T, elements]."""
    array: Real = last.numpy().reshape(len(last), -1)
    return array


def _tile(rows: torch.Tensor | Real, elements: int, steps: int, dtype: Any = None) -> Real:
    """Return [rows, C] as [steps, tile]: each row repeated over a whole number of pixels."""
    values = np.asarray(rows.detach() if isinstance(rows, torch.Tensor) else rows, dtype)
    channels = values.shape[1]
    pixels = max(1, min(TILE_ELEMENTS, elements) // channels)
    return np.ascontiguousarray(np.broadcast_to(np.tile(values, (1, pixels)), (steps, pixels * channels)))


def _chunks(x: Real, tile: Real) -> int:
    """Return in how many parts the work is cut; it depends on the sizes alone, so that sums do not depend on the number of threads."""
    return max(1, min(CHUNKS, int(x.shape[1] // max(CHUNK_ELEMENTS, tile.shape[1]))))


def _size(x: Real, tile: Real) -> int:
    """Return how many elements a part has, in whole tiles; the last part may have fewer."""
    return int(math.ceil(x.shape[1] / (_chunks(x, tile) * tile.shape[1])) * tile.shape[1])


def _block(x: Real, tile: Real) -> int:
    """Return how many elements of a part are taken through all timesteps at a time, in whole tiles."""
    steps, width = tile.shape
    return int(max(1, min(BLOCK_ELEMENTS // steps, _size(x, tile)) // width) * width)


def _run(x: Real, tile: Real, rows: int, work: Callable[[int, int, int, Real], None]) -> None:
    """Call ``work`` with (chunk, start, stop, scratch) for every part, on as many threads as torch has: this one and helpers.

    The scratch, [rows, block], is the thread's own, and not cleared.
    """
    elements, parts, size = x.shape[1], _chunks(x, tile), _size(x, tile)
    turn = itertools.count()

    def take_turns() -> None:
        # Once a thread: memory of this size comes from the system, which clears every page of it.
        scratch = np.empty((rows, _block(x, tile)), x.dtype)
        while (chunk := next(turn)) < parts:
            work(chunk, chunk * size, min(elements, (chunk + 1) * size), scratch)

    threads = torch.get_num_threads()
    helpers = [_pool(threads - 1).submit(take_turns) for _ in range(min(threads, parts) - 1)]
    take_turns()
    for helper in helpers:
        helper.result()


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


def _per_channel(sums: Real, channels: int) -> torch.Tensor:
    """Return [chunks, T, tile] summed to [T, C], in float64."""
    return torch.from_numpy(sums.reshape(len(sums), sums.shape[1], -1, channels).sum((0, 2), dtype=np.float64))


def _rows(values: torch.Tensor, rows: int) -> torch.Tensor:
    """Return [T, C] as it is, or summed over the timesteps where one row is shared by all."""
    return values if rows == len(values) else values.sum(0, keepdim=True)
