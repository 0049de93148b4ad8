"""Fewer timesteps at inference, as the gammas of BNTT suggest (Kim and Panda 2021, abstract and code's poster)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from spikefold.train.errors import TrainError
from spikefold.train.modules.norm import BNTT

__all__ = ["EXIT_THRESHOLD", "exit_step", "mean_gammas"]

EXIT_THRESHOLD = 0.1


def mean_gammas(module: nn.Module) -> tuple[torch.Tensor, ...]:
    """Return the mean over the channels of every BNTT's gamma, [T] each; a TrainError where there is none."""
    found = tuple(part.gamma.detach().mean(1) for part in module.modules() if isinstance(part, BNTT))
    if not found:
        raise TrainError("early exit: the network has no BNTT, whose gammas say when to stop")
    return found


def exit_step(gammas: Sequence[torch.Tensor], threshold: float = EXIT_THRESHOLD) -> int:
    """Return how many timesteps to run: the first t behind every layer's peak from which on all gammas [T] stay below ``threshold``.

    Without the clause on the peak, deep layers, whose gammas start near 0, would end the inference at once. The result depends on
    the network alone, not on the input; it is T where some gamma stays up to the end.
    """
    return max(_quiet_from(np.asarray(gamma.double()), threshold) for gamma in gammas)


def _quiet_from(gamma: np.ndarray[tuple[int, ...], np.dtype[np.float64]], threshold: float) -> int:
    """Return the first timestep behind the peak from which on ``gamma`` is below the threshold."""
    peak, t = int(gamma.argmax()), len(gamma)
    while t > peak + 1 and gamma[t - 1] < threshold:
        t -= 1
    return t
