"""Postsynaptic potentials and SRM neurons, against sums over the kernels as printed."""

import math

import numpy as np
import pytest
import torch

from spikefold.train.errors import TrainError
from spikefold.train.modules.srm import PSP, SRM, psp
from spikefold.train.modules.surrogate import SURROGATES


def alpha_kernel(steps: int, tau: float) -> np.ndarray:
    t = np.arange(steps)
    return t / tau * np.exp(1 - t / tau)


@pytest.mark.parametrize("tau_s", [0.7, 5.0, 10.0])
@pytest.mark.parametrize("steps", [1, 2, 120])
def test_psp_is_the_convolution(steps: int, tau_s: float) -> None:
    spikes = (np.random.default_rng(3).random((steps, 4, 3)) < 0.3).astype(float)
    potentials = PSP(tau_s)(torch.from_numpy(spikes)).numpy()
    kernel = alpha_kernel(steps, tau_s)
    expected = np.zeros_like(spikes)
    for t in range(steps):
        for k in range(t + 1):
            expected[t] += kernel[k] * spikes[t - k]
    assert np.abs(potentials - expected).max() < 1e-12


def test_one_spike_peaks_at_1_after_tau() -> None:
    spikes = torch.zeros(40, 1, dtype=torch.float64)
    spikes[3] = 1
    potentials = psp(spikes, 10.0)
    assert potentials[:4].abs().max() == 0
    assert int(potentials.argmax()) == 13
    assert float(potentials.max()) == pytest.approx(1)


def test_psp_gradient() -> None:
    values = torch.randn(7, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: psp(x, 2.5), (values,))


def test_psp_gradient_is_the_transposed_matrix() -> None:
    """Also where the incoming gradient is an expanded tensor, as that of a sum is."""
    spikes = torch.zeros(90, 2, dtype=torch.float64, requires_grad=True)
    psp(spikes, 10.0).sum().backward()
    expected = np.cumsum(alpha_kernel(90, 10.0))[::-1]
    assert np.abs(spikes.grad.numpy() - expected[:, None]).max() < 1e-11


def refractory_kernel(k: int, threshold: float, tau_r: float, refractory: str) -> float:
    if refractory == "exponential":
        return -2 * threshold * math.exp(-k / tau_r)
    return -2 * threshold * k / tau_r * math.exp(1 - k / tau_r)


@pytest.mark.parametrize("refractory", ["exponential", "alpha"])
@pytest.mark.parametrize(("threshold", "tau_r"), [(10.0, 10.0), (1.0, 0.8), (0.5, 3.0)])
def test_neurons_are_the_kernel_sum(threshold: float, tau_r: float, refractory: str) -> None:
    steps = 60
    noise = torch.randn(steps, 2, 3, 1, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    current = (threshold * (1 + 2 * noise)).requires_grad_()
    spikes = SRM(threshold, tau_r, refractory)(current)
    assert 0.05 < spikes.mean() < 0.7
    weights = torch.randn(spikes.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    (spikes * weights).sum().backward()
    driven, fired = current.detach(), spikes.detach()
    for index in np.ndindex(*current.shape[1:]):
        earlier: list[int] = []
        for t in range(steps):
            u = float(driven[(t, *index)]) + sum(refractory_kernel(t - s, threshold, tau_r, refractory) for s in earlier)
            assert float(fired[(t, *index)]) == (u >= threshold)
            # No gradient through the refractory response: the surrogate at the potential, and nothing from later timesteps.
            slope = math.exp(-abs(u - threshold) / threshold) / threshold
            assert float(current.grad[(t, *index)]) == pytest.approx(float(weights[(t, *index)]) * slope, rel=1e-9)
            if u >= threshold:
                earlier.append(t)


def test_firing_at_the_threshold_and_right_after() -> None:
    """A neuron reaches its threshold exactly; held there, the exponential kernel silences it and the alpha kernel starts from 0 at lag 0."""
    current = torch.full((3, 1, 1, 1, 1), 10.0)
    assert SRM(10.0, 10.0, "exponential")(current).flatten().tolist() == [1, 0, 0]
    current[1] += 2 * 10.0 * math.e / 10 * math.exp(-0.1) + 0.01
    assert SRM(10.0, 10.0, "alpha")(current).flatten().tolist() == [1, 1, 0]
    assert SRM(math.nextafter(10.0, 11.0), 10.0)(current.double()).flatten().tolist()[0] == 0


def test_the_given_surrogate_is_used() -> None:
    current = torch.tensor([0.2, 1.3], dtype=torch.float64).reshape(1, 1, 2, 1, 1).requires_grad_()
    SRM(1.0, 10.0, surrogate=SURROGATES["arctan"])(current).sum().backward()
    expected = [1 / (1 + (math.pi * distance) ** 2) for distance in (0.8, 0.3)]
    assert current.grad.flatten().tolist() == pytest.approx(expected)


def test_inputs_are_left_as_they_are() -> None:
    current = torch.full((4, 1, 2, 1, 1), 12.0)
    spikes = torch.ones(4, 1, 2, 1, 1)
    SRM()(current)
    PSP()(spikes)
    assert bool((current == 12).all())
    assert bool((spikes == 1).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtypes_are_kept(dtype: torch.dtype) -> None:
    current = torch.full((5, 2, 3, 1, 1), 11.0, dtype=dtype)
    assert SRM()(current).dtype == PSP()(current).dtype == dtype


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SRM(threshold=0.0), "SRM threshold: 0.0; it must be above 0 and finite"),
        (lambda: SRM(tau_r=math.inf), "SRM tau_r: inf"),
        (lambda: SRM(refractory="hard"), "SRM refractory: 'hard'; it must be exponential or alpha"),
        (lambda: PSP(-1.0), "PSP tau_s: -1.0; it must be above 0 and finite"),
        (lambda: PSP(math.nan), "PSP tau_s: nan"),
    ],
)
def test_bad_values(make: object, words: str) -> None:
    with pytest.raises(TrainError, match=words):
        make()
