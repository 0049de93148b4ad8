"""AdaBelief against its algorithm, number by number."""

import math

import pytest
import torch
from torch import nn

from spikefold.train.methods.optimizers import AdaBelief, make_optimizer
from spikefold.train.recipes.recipe import TrainSettings


def test_adabelief_is_algorithm_2() -> None:
    start, rate, decay, b1, b2, eps = [0.5, -2.0], 0.1, 0.01, 0.9, 0.999, 1e-8
    parameter = nn.Parameter(torch.tensor(start, dtype=torch.float64))
    optimizer = AdaBelief([parameter], lr=rate, weight_decay=decay)
    gradients = torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected, means, beliefs = list(start), [0.0, 0.0], [0.0, 0.0]
    for t, gradient in enumerate(gradients, start=1):
        parameter.grad = gradient.clone()
        optimizer.step()
        for i in range(2):
            g = float(gradient[i]) + decay * expected[i]
            means[i] = b1 * means[i] + (1 - b1) * g
            beliefs[i] = b2 * beliefs[i] + (1 - b2) * (g - means[i]) ** 2 + eps
            spread = math.sqrt(beliefs[i] / (1 - b2**t)) + eps
            expected[i] -= rate * means[i] / (1 - b1**t) / spread
    assert parameter.tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("adabelief", AdaBelief)]
)
def test_optimizers_by_name(name: str, kind: type) -> None:
    amsgrad = name.startswith("adam")
    settings = TrainSettings(epochs=1, batch_size=2, learning_rate=0.3, optimizer=name, weight_decay=0.02, amsgrad=amsgrad)
    optimizer = make_optimizer(nn.Linear(2, 3), settings)
    assert type(optimizer) is kind
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.3, 0.02)
    assert group.get("amsgrad", False) is amsgrad
