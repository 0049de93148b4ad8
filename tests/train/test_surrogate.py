"""Surrogate gradients against their published formulas, each written out for one number."""

import math
from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from spikefold.train.errors import TrainError
from spikefold.train.modules.surrogate import KINDS, SURROGATES, TRIANGULAR, Surrogate, fire

WRITTEN_OUT = {
    "triangular": lambda u, theta, scale, width: scale * max(0.0, 1 - abs(u / theta - 1)) / theta,
    "exponential": lambda u, theta, scale, width: scale / (width * theta) * math.exp(-abs(u - theta) / (width * theta)),
    "exponential-literal": lambda u, theta, scale, width: math.exp(-width * abs(u - theta)) / scale,
    "fast-sigmoid": lambda u, theta, scale, width: 1 / (1 + scale * abs(u - theta)) ** 2,
    "arctan": lambda u, theta, scale, width: scale / 2 / (1 + (math.pi / 2 * scale * (u - theta)) ** 2),
}
CHANGED = {"exponential": {"scale": 3.0, "width": 0.3}, "exponential-literal": {"scale": 0.5, "width": 0.7}}


@pytest.mark.parametrize("threshold", [1.0, 0.5, 10.0])
@pytest.mark.parametrize("published", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_the_formula(kind: str, published: bool, threshold: float) -> None:
    surrogate = SURROGATES[kind] if published else replace(SURROGATES[kind], **CHANGED.get(kind, {"scale": 0.7}))
    potential = torch.linspace(-2, 3, 401, dtype=torch.float64) * threshold
    potential.requires_grad_()
    spikes = fire(potential, threshold, surrogate)
    spikes.backward(torch.full_like(potential, -2.0))
    for u, s, g in zip(potential.tolist(), spikes.tolist(), potential.grad.tolist(), strict=True):
        assert s == (u > threshold)
        assert g == pytest.approx(-2.0 * WRITTEN_OUT[kind](u, threshold, surrogate.scale, surrogate.width), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(
    ("kind", "threshold", "peak"),
    [("triangular", 2.0, 0.15), ("exponential", 10.0, 0.1), ("exponential-literal", 10.0, 0.1), ("fast-sigmoid", 10.0, 1.0), ("arctan", 10.0, 1.0)],
)
def test_published_peaks(kind: str, threshold: float, peak: float) -> None:
    potential = torch.tensor([threshold - 1e-3, threshold, threshold + 1e-3], dtype=torch.float64)
    low, top, high = SURROGATES[kind].derivative(potential, threshold).tolist()
    assert top == pytest.approx(peak)
    assert low == pytest.approx(high)
    assert low < top


def test_firing_at_the_threshold() -> None:
    potential = torch.tensor([math.nextafter(1.5, 0.0), 1.5, math.nextafter(1.5, 2.0)], dtype=torch.float64)
    assert fire(potential, 1.5).tolist() == [0.0, 0.0, 1.0]
    assert fire(potential, 1.5, at_threshold=True).tolist() == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_spikes_and_gradient_keep_shape_and_dtype(kind: str, dtype: torch.dtype) -> None:
    potential = torch.zeros(2, 3, 1, dtype=dtype, requires_grad=True)
    spikes = fire(potential, 0.5, SURROGATES[kind])
    spikes.sum().backward()
    assert (spikes.dtype, potential.grad.dtype, potential.grad.shape) == (dtype, dtype, potential.shape)


def test_a_surrogate_is_a_value() -> None:
    assert Surrogate("triangular", 0.3) == TRIANGULAR
    assert tuple(SURROGATES) == KINDS
    with pytest.raises(FrozenInstanceError):
        TRIANGULAR.scale = 1.0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("square", 1.0), "surrogate: kind 'square'; it must be one of triangular, exponential, "),
        (("arctan", 0.0), "surrogate arctan: scale 0.0; it must be above 0 and finite"),
        (("arctan", math.inf), "surrogate arctan: scale inf"),
        (("arctan", math.nan), "surrogate arctan: scale nan"),
        (("exponential", 1.0, -1.0), "surrogate exponential: width -1.0; it must be above 0 and finite"),
        (("fast-sigmoid", 25.0, 2.0), "surrogate fast-sigmoid: width 2.0; this kind has a scale alone"),
    ],
)
def test_bad_surrogates(arguments: tuple, words: str) -> None:
    with pytest.raises(TrainError, match=words):
        Surrogate(*arguments)
