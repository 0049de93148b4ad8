"""Weights as quantisation-aware training and pruning leave them: on grids, and with sparse, constant, dead and single-weight channels."""

import numpy as np

from spikefold.quantize.float_network import CURRENT_NORMS, FloatLayer

__all__ = ["SCALES", "moved_weights", "on_grid", "with_odd_channels"]

Rng = np.random.Generator
SCALES = ("none", "layer", "channel", "power of two")
"""What has a step of its own; with ``none`` the weights lie on no grid."""
GAIN_LEAST = 0.02
"""The fold does not resolve weights that a norm makes far smaller than the threshold."""


def with_odd_channels(rng: Rng, weights: np.ndarray) -> np.ndarray:
    """Make a third of the channels sparse, constant but for their signs, dead, or all 0 but for one weight; the first one stays."""
    flat = weights.reshape(len(weights), -1).copy()
    for channel in flat[1:]:
        kind = rng.choice(["as it is", "sparse", "constant", "dead", "single"], p=[0.68, 0.08, 0.08, 0.08, 0.08])
        if kind == "sparse":
            channel *= rng.random(channel.shape) < 0.2
        elif kind == "constant":
            channel[:] = np.sign(channel) * np.abs(channel).max()
        elif kind == "dead":
            channel[:] = 0
        elif kind == "single":
            channel *= np.arange(len(channel)) == rng.integers(len(channel))
    return flat.reshape(weights.shape)


def on_grid(rng: Rng, weights: np.ndarray, scale: str) -> np.ndarray:
    """Return ``weights`` rounded to steps of ``scale`` and 2 to 8 bits, with a largest code that need not be the top one, and odd channels.

    Half of them are products of float32.
    """
    flat = weights.reshape(len(weights), -1)
    if scale != "none":
        bits = int(rng.integers(2, 9))
        top = int(rng.integers(1, 1 << (bits - 1)))
        peaks = np.abs(flat).max(1, keepdims=True)
        steps = (np.full_like(peaks, peaks.max()) if scale == "layer" else peaks) / top
        if scale == "power of two":
            steps = np.exp2(np.ceil(np.log2(steps)))
        kind = np.dtype(str(rng.choice(["float32", "float64"])))
        flat = (np.rint(flat / steps).astype(kind) * steps.astype(kind)).astype(np.float64)
    return with_odd_channels(rng, flat).reshape(weights.shape)


def moved_weights(layer: FloatLayer, tensor: np.ndarray) -> int:
    """Return how many weights of a layer are not, but for float32's rounding, the codes in ``tensor`` times one step a channel.

    A channel counts whole, as its step is that of its largest weight. Left out are channels whose weights a norm takes away.
    """
    codes, weights = (array.reshape(len(array), -1).astype(np.float64) for array in (tensor, layer.source_weights))
    signs = np.sign((codes * weights).sum(1))
    steps = signs * np.abs(weights).max(1) / np.maximum(np.abs(codes).max(1), 1)
    kept = np.isclose(codes * steps[:, None], weights, rtol=1e-6, atol=0)
    scaled = layer.norm.kind in CURRENT_NORMS and layer.neuron != "relu"
    resolved = np.abs(layer.drive_scale).max(0) >= GAIN_LEAST if scaled else np.ones(len(weights), np.bool_)
    return int((~kept[resolved]).sum())
