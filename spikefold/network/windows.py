"""Pooling and convolution windows: the shapes and views shared by float network, integer network and reference."""

from typing import Any

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import NetworkError

__all__ = ["Shape", "layer_shape", "patches", "pool", "pooled_shape"]

Shape = tuple[int, int, int]
KERNEL_MAX = 16
POOL_MAX = 16
STRIDE_MAX = 16
PADDING_MAX = 15


def pooled_shape(shape: Shape, side: int) -> Shape:
    """Return the shape after pooling. Rows and columns that fill no window are left out."""
    return shape[0], shape[1] // side, shape[2] // side


def layer_shape(place: str, kind: str, source: Shape, side: int, weights: tuple[int, ...], stride: int, padding: int) -> Shape:
    """Return the neuron shape of a layer, or raise a NetworkError where its weights do not fit ``source``."""
    pooled = pooled_shape(source, side)
    if min(pooled) < 1:
        raise NetworkError(f"{place}: pooling {source} by {side} leaves nothing")
    fan_in = int(np.prod(pooled)) if kind == "dense" else pooled[0]
    if len(weights) != (2 if kind == "dense" else 4) or weights[1] != fan_in:
        kernel = "" if kind == "dense" else ", kernel_y, kernel_x"
        raise NetworkError(f"{place} weights: shape {list(weights)}; [out, {fan_in}{kernel}] is expected for a source of {source}")
    if kind == "dense":
        return weights[0], 1, 1
    if not all(1 <= k <= KERNEL_MAX for k in weights[2:]):
        raise NetworkError(f"{place} weights: kernel {list(weights[2:])}; a side must be in 1..{KERNEL_MAX}")
    height, width = ((size + 2 * padding - k) // stride + 1 for size, k in zip(pooled[1:], weights[2:], strict=True))
    if min(height, width) < 1:
        raise NetworkError(f"{place} weights: kernel {list(weights[2:])} is larger than its padded source {pooled}")
    return weights[0], height, width


def pool(payload: npt.NDArray[Any], side: int) -> npt.NDArray[Any]:
    """Sum the payloads of each pooling window, [..., H, W] to [..., H // side, W // side]."""
    height, width = payload.shape[-2] // side, payload.shape[-1] // side
    windows = payload[..., : height * side, : width * side].reshape(*payload.shape[:-2], height, side, width, side)
    return np.asarray(windows.sum((-3, -1)))


def patches(payload: npt.NDArray[Any], kernel: tuple[int, int], stride: int, padding: int) -> npt.NDArray[Any]:
    """Return what each output pixel sees of [N, T, C, H, W]: a view [N, T, OH, OW, C, KY, KX]."""
    padded = np.pad(payload, ((0, 0), (0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(3, 4))[:, :, :, ::stride, ::stride]
    return np.asarray(windows.transpose(0, 1, 3, 4, 2, 5, 6))
