"""What training minimises, and the scores that predictions are made from."""

import torch
from torch.nn import functional

from spikefold.train.modules.stochmax import StochmaxOutput, stochmax_loss, stochmax_scores
from spikefold.train.recipes.recipe import TrainSettings

__all__ = ["loss", "scores", "spike_count_loss"]

Output = torch.Tensor | StochmaxOutput


def loss(output: Output, labels: torch.Tensor, settings: TrainSettings, timesteps: int) -> torch.Tensor:
    """Return the loss of a network's output for the classes ``labels``, int64 [N]; the mean over the batch."""
    if isinstance(output, StochmaxOutput):
        return stochmax_loss(output, labels).total
    if settings.loss == "spike_count":
        return spike_count_loss(output, labels, settings.true_rate * timesteps, settings.false_rate * timesteps, timesteps)
    return functional.cross_entropy(output, labels, label_smoothing=settings.label_smoothing)


def scores(output: Output) -> torch.Tensor:
    """Return [N, classes], whose softmax is the prediction."""
    return stochmax_scores(output) if isinstance(output, StochmaxOutput) else output


def spike_count_loss(counts: torch.Tensor, labels: torch.Tensor, true_spikes: float, false_spikes: float, timesteps: int) -> torch.Tensor:
    """Return half the squared distance of the spike counts [N, classes] from the desired ones, over T, summed over classes.

    The target class is to fire ``true_spikes`` times, the others ``false_spikes`` times. (Shrestha and Orchard 2018, SLAYER's code: the
    error of a class is (count - desired) / T in every timestep, and the loss half the sum of its squares over classes and timesteps.)
    """
    desired = torch.full_like(counts, false_spikes).scatter_(1, labels[:, None], true_spikes)
    return ((counts - desired) ** 2).sum(1).mean() / (2 * timesteps)
