"""LIF neurons and their surrogate gradient, against the formulas written out."""

import math

import pytest
import torch

from spikefold.train.errors import TrainError
from spikefold.train.modules.neurons import LIF, lif_step
from spikefold.train.modules.surrogate import fire


@pytest.mark.parametrize("threshold", [1.0, 0.5, 3.0])
def test_surrogate_is_the_triangle(threshold: float) -> None:
    potential = torch.linspace(-4, 8, 401, dtype=torch.float64, requires_grad=True)
    spikes = fire(potential, threshold)
    spikes.backward(torch.full_like(potential, 2.0))
    for u, s, g in zip(potential.tolist(), spikes.tolist(), potential.grad.tolist(), strict=True):
        assert s == (u > threshold)
        assert g == pytest.approx(2.0 * 0.3 * max(0.0, 1 - abs(u / threshold - 1)) / threshold)


def test_firing_is_strict() -> None:
    spikes, state = lif_step(torch.tensor([0.0, 0.0]), torch.tensor([1.0, math.nextafter(1.0, 2.0)], dtype=torch.float64), 0.95, 1.0, "hard")
    assert spikes.tolist() == [0.0, 1.0]
    assert state.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("reset", ["soft", "hard"])
def test_module_follows_the_scalar_recursion(reset: str) -> None:
    current = torch.randn(30, 2, 3, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    spikes = LIF(0.8, 0.6, reset)(current)
    assert 0.1 < spikes.mean() < 0.9
    for n in range(2):
        for c in range(3):
            u = 0.0
            for t in range(30):
                u = 0.8 * u + float(current[t, n, c])
                fired = u > 0.6
                assert float(spikes[t, n, c]) == fired
                if fired:
                    u = u - 0.6 if reset == "soft" else 0.0


def test_no_gradient_passes_through_the_reset() -> None:
    """Two timesteps; the second's gradient on the first current is the leak alone (soft), or 0 after a spike (hard)."""
    for reset, first, expected in (("soft", 1.2, 0.9), ("hard", 1.2, 0.0), ("hard", 0.7, 0.9)):
        current = torch.tensor([first, 0.3], dtype=torch.float64, requires_grad=True)
        _, state = lif_step(torch.zeros((), dtype=torch.float64), current[0], 0.9, 1.0, reset)
        (state * 0.9 + current[1]).backward()
        assert current.grad.tolist() == pytest.approx([expected, 1.0])


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"leak": 1.1}, r"LIF leak: 1.1; it must be in 0\.\.1"), ({"threshold": 0.0}, "LIF threshold: 0.0"), ({"reset": "none"}, "LIF reset: 'none'")],
)
def test_bad_neurons(changes: dict, words: str) -> None:
    with pytest.raises(TrainError, match=words):
        LIF(**changes)
