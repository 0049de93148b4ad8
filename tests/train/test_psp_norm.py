"""Normalisation of postsynaptic potentials, against NumPy and against weights that hold it."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from spikefold.train.errors import TrainError
from spikefold.train.modules.psp_norm import PSPNorm

SHAPE = (5, 4, 3, 2, 6)
ALL = [(over, form) for over in ("bn", "ln") for form in ("raw", "variance", "centred")]
AXES = {"bn": (0, 1, 3, 4), "ln": (0, 2, 3, 4)}


def potentials(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    """Nonnegative, and of a different size in every channel and every sample."""
    generator = np.random.default_rng(seed)
    sizes = np.arange(1, shape[1] + 1)[:, None, None, None] * 3.0 ** np.arange(shape[2])[:, None, None]
    return torch.from_numpy(sizes * generator.random(shape))


def norm_of(over: str, form: str, lam: float = 0.1, momentum: float = 0.1) -> PSPNorm:
    """A module with parameters away from their start, one of them negative and one 0."""
    norm = PSPNorm(SHAPE[2], over, form, lam, momentum).double()
    for parameter, values in zip(norm.parameters(), ([0.5, -2.0, 0.0], [0.3, 0.0, -1.5]), strict=False):
        parameter.data = torch.tensor(values, dtype=torch.float64)
    return norm


def written_out(a: np.ndarray, form: str, mean: np.ndarray, moment: np.ndarray, lam: float) -> np.ndarray:
    gamma, xi = (np.array(values)[:, None, None] for values in ([0.5, -2.0, 0.0], [0.3, 0.0, -1.5]))
    if form == "raw":
        return a / np.sqrt(moment + lam)
    if form == "variance":
        return a / np.sqrt(moment + lam) * gamma
    return (a - mean) / np.sqrt(moment + lam) * gamma + xi


def statistics(a: np.ndarray, over: str, form: str) -> tuple[np.ndarray, np.ndarray]:
    mean = a.mean(AXES[over], keepdims=True)
    return mean, (a**2).mean(AXES[over], keepdims=True) if form == "raw" else a.var(AXES[over], keepdims=True)


@pytest.mark.parametrize("lam", [0.1, 1e-3])
@pytest.mark.parametrize(("over", "form"), ALL)
def test_training_is_the_formula(over: str, form: str, lam: float) -> None:
    a = potentials()
    expected = written_out(a.numpy(), form, *statistics(a.numpy(), over, form), lam)
    assert np.abs(norm_of(over, form, lam)(a).detach().numpy() - expected).max() < 1e-12


@pytest.mark.parametrize("form", ["raw", "variance", "centred"])
def test_bn_evaluates_by_running_statistics(form: str) -> None:
    norm = norm_of("bn", form, momentum=0.25)
    mean, moment = np.zeros((3, 1, 1)), np.ones((3, 1, 1))
    for seed in range(3):
        batch = potentials(seed).requires_grad_()
        norm(batch).sum().backward()
        batch = batch.detach()
        new_mean, new_moment = (value[0, 0] for value in statistics(batch.numpy(), "bn", form))
        mean, moment = 0.75 * mean + 0.25 * new_mean, 0.75 * moment + 0.25 * new_moment
    norm.eval()
    kept = {name: value.clone() for name, value in norm.state_dict().items()}
    a = potentials(9)
    assert np.abs(norm(a).detach().numpy() - written_out(a.numpy(), form, mean, moment, 0.1)).max() < 1e-12
    assert not any(value.requires_grad for value in norm.buffers())
    assert all(bool((norm.state_dict()[name] == value).all()) for name, value in kept.items())


@pytest.mark.parametrize("form", ["raw", "variance", "centred"])
def test_ln_knows_one_sample_at_a_time(form: str) -> None:
    norm = norm_of("ln", form)
    a = potentials()
    together = norm(a)
    assert not list(norm.buffers())
    norm.eval()
    for n in range(SHAPE[1]):
        assert float((norm(a[:, n : n + 1]) - together[:, n : n + 1]).detach().abs().max()) < 1e-12


@pytest.mark.parametrize(("over", "form"), ALL)
@pytest.mark.parametrize("training", [True, False])
def test_gradients(over: str, form: str, training: bool) -> None:
    norm = norm_of(over, form).train(training)
    names = [name for name, _ in norm.named_parameters()]

    def run(a: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(norm, dict(zip(names, values, strict=True)), (a,))

    # Zeros among them: most neurons are silent.
    a = (potentials(1, (2, 2, 3, 1, 2)) * (torch.arange(24).reshape(2, 2, 3, 1, 2) % 4 != 0)).requires_grad_()
    assert torch.autograd.gradcheck(run, (a, *(value.detach().clone().requires_grad_() for value in norm.parameters())))


@pytest.mark.parametrize(("over", "form"), ALL)
def test_silence_stays_finite(over: str, form: str) -> None:
    a = torch.zeros(SHAPE, dtype=torch.float64, requires_grad=True)
    out = norm_of(over, form)(a)
    out.sum().backward()
    assert bool(a.grad.isfinite().all())
    assert out.unique().tolist() == ([0.0] if form != "centred" else [-1.5, 0.0, 0.3])


def test_a_variance_rounded_below_0_is_0() -> None:
    mean, moment = PSPNorm(1, "bn", "variance")._statistics(4, torch.tensor([8.0]), torch.tensor([15.5]))
    assert (mean.tolist(), moment.tolist()) == ([2.0], [0.0])


@pytest.mark.parametrize(("over", "axis"), [("bn", 1), ("bn", 0), ("ln", 0)])
def test_moments_of_parts_add_up(over: str, axis: int) -> None:
    norm, a = norm_of(over, "raw"), potentials()
    whole, one, other = (norm._moments(part) for part in (a, a.narrow(axis, 0, 1), a.narrow(axis, 1, SHAPE[axis] - 1)))
    assert whole[0] == a.numel() // (SHAPE[2] if over == "bn" else SHAPE[1])
    for of_whole, *parts in zip(whole, one, other, strict=True):
        assert np.allclose(of_whole, sum(parts), rtol=1e-13, atol=0)


@pytest.mark.parametrize("form", ["raw", "variance"])
def test_evaluation_over_bn_is_a_scale_of_the_weights(form: str) -> None:
    norm = norm_of("bn", form)
    norm(potentials())
    norm.eval()
    weight = torch.randn(4, 3, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    a = potentials(5).flatten(0, 1)
    normed = functional.conv2d(norm(a.reshape(SHAPE)).flatten(0, 1), weight, padding=1)
    folded = functional.conv2d(a, weight * norm.weight_scale()[:, None, None], padding=1)
    assert float((normed - folded).detach().abs().max()) < 1e-12
    assert float(normed.detach().abs().max()) > 1


@pytest.mark.parametrize(("over", "form"), [("ln", "raw"), ("ln", "variance"), ("bn", "centred")])
def test_what_does_not_fold_is_refused(over: str, form: str) -> None:
    with pytest.raises(TrainError, match=f"PSPNorm over {over}, form {form}: it does not fold into weights; only raw and variance over bn do"):
        norm_of(over, form).weight_scale()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0,), "PSPNorm channels: 0; it must be at least 1"),
        ((3, "gn"), "PSPNorm over: 'gn'; it must be one of bn, ln"),
        ((3, "bn", "std"), "PSPNorm form: 'std'; it must be one of raw, variance, centred"),
        ((3, "bn", "raw", 0.0), "PSPNorm lam: 0.0; it must be above 0 and finite"),
        ((3, "bn", "raw", 0.1, 1.5), "PSPNorm momentum: 1.5; it must be above 0 and at most 1"),
    ],
)
def test_bad_values(arguments: tuple, words: str) -> None:
    with pytest.raises(TrainError, match=words):
        PSPNorm(*arguments)


def test_other_channels_are_refused() -> None:
    """One channel would broadcast to three."""
    with pytest.raises(TrainError, match="PSPNorm: 1 channels in the input; it was made for 3"):
        norm_of("bn", "variance").eval()(torch.ones(2, 2, 1, 4, 4, dtype=torch.float64))
