"""When the gammas say to stop."""

import pytest
import torch
from torch import nn

from spikefold.train.errors import TrainError
from spikefold.train.modules.early_exit import exit_step, mean_gammas
from spikefold.train.modules.norm import BNTT


@pytest.mark.parametrize(
    ("gammas", "steps"),
    [
        ([[0.5, 0.4, 0.05, 0.02]], 2),
        ([[0.5, 0.4, 0.05, 0.2]], 4),
        ([[0.0, 0.02, 0.6, 0.3, 0.05]], 4),
        ([[0.5, 0.05, 0.05, 0.05], [0.02, 0.03, 0.4, 0.05]], 3),
        ([[0.5, 0.1, 0.05]], 2),
        ([[0.05, 0.04, -0.03]], 1),
        ([[0.01, 0.02, 0.05]], 3),
        ([[1.0]], 1),
    ],
    ids=str,
)
def test_exit_step(gammas: list[list[float]], steps: int) -> None:
    """A gamma at the threshold is not below it; a deep layer that starts near 0 counts from its peak on."""
    assert exit_step([torch.tensor(layer, dtype=torch.float64) for layer in gammas]) == steps


def test_threshold_and_mean_over_the_channels() -> None:
    norm = BNTT(3, 4)
    with torch.no_grad():
        norm.gamma.copy_(torch.tensor([[1.0, 2.0, 3.0], [0.5, 0.2, 0.2], [0.3, -0.3, 0.0], [0.0, 0.1, 0.2]]))
    (gamma,) = mean_gammas(nn.Sequential(nn.Identity(), norm))
    torch.testing.assert_close(gamma, torch.tensor([2.0, 0.3, 0.0, 0.1]))
    assert exit_step([gamma], threshold=0.05) == 4
    assert exit_step([gamma], threshold=0.2) == 2
    with pytest.raises(TrainError, match="early exit: the network has no BNTT"):
        mean_gammas(nn.Sequential(nn.Identity()))
