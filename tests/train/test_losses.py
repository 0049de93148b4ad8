"""Losses against their formulas."""

import numpy as np
import torch

from spikefold.train.methods.losses import loss, spike_count_loss
from spikefold.train.recipes.recipe import TrainSettings


def test_spike_count_loss() -> None:
    """The error of a class is (count - desired) / T in every timestep; half the sum of its squares, the mean over the batch."""
    timesteps, counts, labels = 20, np.array([[3.0, 7.0, 0.0], [1.0, 2.0, 9.0]]), np.array([1, 0])
    expected = 0.0
    for row, label in zip(counts, labels, strict=True):
        for k, count in enumerate(row):
            error = (count - (0.2 if k == label else 1 / 30) * timesteps) / timesteps
            expected += sum(error**2 for _ in range(timesteps)) / 2 / len(labels)
    settings = TrainSettings(epochs=1, batch_size=2, learning_rate=0.1, loss="spike_count")
    found = loss(torch.tensor(counts, requires_grad=True), torch.tensor(labels), settings, timesteps)
    np.testing.assert_allclose(found.detach(), expected)
    perfect = torch.tensor([[2.0, 12.0, 2.0]])
    assert spike_count_loss(perfect, torch.tensor([1]), 12.0, 2.0, 60) == 0


def test_label_smoothing() -> None:
    scores, labels = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 2, 1, 0])
    settings = TrainSettings(epochs=1, batch_size=2, learning_rate=0.1, label_smoothing=0.3)
    log_p = torch.log_softmax(scores, 1)
    expected = -(0.7 * log_p[torch.arange(5), labels] + 0.3 * log_p.mean(1)).mean()
    torch.testing.assert_close(loss(scores, labels, settings, 4), expected)
