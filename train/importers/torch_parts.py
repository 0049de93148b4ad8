"""What torch's own modules are, and those of SpikingJelly that only add a mode to them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from spikefold.quantize.float_network import Norm
from spikefold.train.importers.errors import SourceError
from spikefold.train.importers.parts import Float, Identity, Pool, Weights

__all__ = ["array", "average_pool", "batch_norm", "conv2d", "identity", "linear", "number"]


def array(tensor: torch.Tensor) -> Float:
    """Return a tensor as float64."""
    return np.asarray(tensor.detach().cpu().double().numpy())


def number(place: str, value: Any) -> float:
    """Return a number, or a tensor of one, as a float; anything else is a SourceError."""
    found = array(value) if isinstance(value, torch.Tensor) else value
    if isinstance(found, bool) or np.size(found) != 1 or np.asarray(found).dtype.kind not in "fiu":
        raise SourceError(f"{place}: {type(value).__name__}; a number is expected")
    return float(np.asarray(found).reshape(()))


def linear(place: str, module: Any) -> Weights:
    """Return a dense layer's weights."""
    return Weights(kind="dense", weights=array(module.weight), bias=None if module.bias is None else array(module.bias))


def conv2d(place: str, module: Any) -> Weights:
    """Return a convolution's weights; groups, dilation, unequal strides and padding other than by zeros are SourceErrors."""
    if module.groups != 1:
        raise SourceError(f"{place} groups: {module.groups}; it must be 1")
    if set(module.dilation) != {1}:
        raise SourceError(f"{place} dilation: {module.dilation}; it must be 1")
    if module.padding_mode != "zeros":
        raise SourceError(f"{place} padding_mode: {module.padding_mode!r}; it must be 'zeros'")
    return Weights(
        kind="conv2d", weights=array(module.weight), bias=None if module.bias is None else array(module.bias),
        stride=_equal(f"{place} stride", module.stride), padding=_equal(f"{place} padding", module.padding),
    )  # fmt: skip


def _equal(place: str, value: Any) -> int:
    """Return what a parameter is in both directions."""
    sides = {value} if isinstance(value, int) else set(value)
    if len(sides) != 1 or isinstance(value, str):
        raise SourceError(f"{place}: {value!r}; it must be one number, the same in both directions")
    return int(sides.pop())


def average_pool(place: str, module: Any) -> Pool:
    """Return a pooling over square windows that touch and do not overlap; others are SourceErrors."""
    side = _equal(f"{place} kernel_size", module.kernel_size)
    stride = _equal(f"{place} stride", module.stride)
    if stride != side or _equal(f"{place} padding", module.padding) != 0 or module.ceil_mode or module.divisor_override is not None:
        raise SourceError(
            f"{place}: kernel_size {side}, stride {stride}, padding {module.padding}, ceil_mode {module.ceil_mode}, divisor_override "
            f"{module.divisor_override}; the stride must be the kernel_size, with no padding, no ceil_mode and no divisor_override"
        )
    return Pool(side=side)


def batch_norm(place: str, modules: Sequence[Any]) -> Norm:
    """Return batch normalisation with running statistics: one module for all timesteps, or one for each (BNTT)."""
    rows = []
    for module in modules:
        if module.running_mean is None or module.running_var is None:
            raise SourceError(f"{place}: track_running_stats is False, so it normalises by the batch it is given; running statistics are needed")
        mean, var = array(module.running_mean), array(module.running_var)
        gamma = np.ones_like(mean) if module.weight is None else array(module.weight)
        beta = np.zeros_like(mean) if module.bias is None else array(module.bias)
        rows.append((gamma, beta, mean, var))
    if len({module.eps for module in modules}) != 1:
        raise SourceError(f"{place} eps: it changes over the timesteps; one value is expected")
    gamma, beta, mean, var = (np.stack(column) for column in zip(*rows, strict=True))
    return Norm(kind="bntt" if len(rows) > 1 else "bn", gamma=gamma, beta=beta, mean=mean, var=var, eps=modules[0].eps)


def identity(place: str, module: Any) -> Identity:
    """Return what changes nothing."""
    return Identity()
