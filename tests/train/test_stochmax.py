"""Stochmax against the formulas in NumPy, with probabilities where the module has logarithms."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.nn import functional

from spikefold.train.errors import TrainError
from spikefold.train.modules.stochmax import EPS, Stochmax, StochmaxOutput, stochmax_loss, stochmax_scores

N, FEATURES, CLASSES = 5, 7, 4
LABELS = torch.tensor([0, 3, 1, 1, 2])
Float = npt.NDArray[np.float64]


def outputs(seed: int = 0, dtype: torch.dtype = torch.float64) -> StochmaxOutput:
    generator = torch.Generator().manual_seed(seed)
    o, p, r = (torch.randn(N, CLASSES, generator=generator, dtype=dtype).mul_(2).requires_grad_() for _ in range(3))
    return StochmaxOutput(logits=o, p_logits=p, r_logits=r)


def uniforms(seed: int = 1) -> torch.Tensor:
    return torch.rand(N, CLASSES, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sigmoid(x: Float) -> Float:
    return 1 / (1 + np.exp(-x))


def logit(x: Float) -> Float:
    return np.log(x) - np.log(1 - x)


def oracle(output: StochmaxOutput, uniform: Float, eps: float, temperature: float) -> tuple[float, float, float, float]:
    """The four terms, class by class as they are written down."""
    o, p_logits, r_logits = (x.detach().numpy() for x in (output.logits, output.p_logits, output.r_logits))
    p, q, r = sigmoid(p_logits), sigmoid(p_logits + r_logits), sigmoid(r_logits)
    terms = np.zeros(4)
    for n, t in enumerate(LABELS.numpy()):
        z = sigmoid((logit(q[n]) + logit(uniform[n])) / temperature)
        z[t] = 1
        terms[0] += -np.log((z[t] + eps) * np.exp(o[n, t]) / ((z + eps) * np.exp(o[n])).sum())
        for k in range(CLASSES):
            is_target = k == t
            terms[1] += -np.log(p[n, k]) if is_target else q[n, k] * np.log(q[n, k] / p[n, k]) + (1 - q[n, k]) * np.log((1 - q[n, k]) / (1 - p[n, k]))
            terms[2] += -np.log(r[n, k] if is_target else 1 - r[n, k])
            terms[3] += p[n, k] * np.log(p[n, k]) + (1 - p[n, k]) * np.log(1 - p[n, k])
    ce, kl, auxiliary, entropy = terms / N
    return float(ce), float(kl), float(auxiliary), float(entropy)


@pytest.mark.parametrize(("eps", "temperature"), [(1e-20, 0.1), (1e-2, 0.7)])
def test_the_terms_are_the_formulas(eps: float, temperature: float) -> None:
    output, uniform = outputs(), uniforms()
    loss = stochmax_loss(output, LABELS, eps=eps, temperature=temperature, noise=uniform)
    expected = oracle(output, uniform.numpy(), eps, temperature)
    measured = [float(term.detach()) for term in (loss.cross_entropy, loss.kl, loss.auxiliary, loss.entropy)]
    np.testing.assert_allclose(measured, expected, rtol=1e-9)
    assert float(loss.total.detach()) == pytest.approx(sum(expected), rel=1e-9)
    loss = stochmax_loss(output, LABELS, eps=eps, temperature=temperature, kl_weight=0.5, auxiliary_weight=0, entropy_weight=3, noise=uniform)
    assert float(loss.total.detach()) == pytest.approx(expected[0] + 0.5 * expected[1] + 3 * expected[3], rel=1e-9)


def test_the_scores_are_the_classes_weighed_by_how_likely_they_are_kept() -> None:
    output = outputs()
    p = sigmoid(output.p_logits.detach().numpy())
    weighed = (p + EPS) * np.exp(output.logits.detach().numpy())
    torch.testing.assert_close(stochmax_scores(output).softmax(1).detach(), torch.from_numpy(weighed / weighed.sum(1, keepdims=True)))
    big = stochmax_scores(output, eps=0.5)
    torch.testing.assert_close(big.detach().exp().numpy(), (p + 0.5) * np.exp(output.logits.detach().numpy()))


def test_the_gradient_is_that_of_the_loss() -> None:
    output, uniform = outputs(), uniforms()
    # p's branch is cut off from the sample of z and from q, so it is held; what reaches it is checked below.
    fixed = output.p_logits.detach()

    def total(o: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
        return stochmax_loss(StochmaxOutput(logits=o, p_logits=fixed, r_logits=r), LABELS, temperature=0.5, noise=uniform).total

    assert torch.autograd.gradcheck(total, (output.logits, output.r_logits))


def test_the_prior_learns_from_kl_and_entropy_alone() -> None:
    output, uniform = outputs(), uniforms()
    loss = stochmax_loss(output, LABELS, noise=uniform)
    (of_ce,) = torch.autograd.grad(loss.cross_entropy + loss.auxiliary, output.p_logits, retain_graph=True, allow_unused=True)
    assert of_ce is None
    (of_kl,) = torch.autograd.grad(loss.kl, output.p_logits)
    p, q = output.p_logits.sigmoid(), (output.p_logits + output.r_logits).sigmoid()
    is_target = functional.one_hot(LABELS, CLASSES).bool()
    torch.testing.assert_close(of_kl, torch.where(is_target, p - 1, p - q) / N)


@pytest.mark.parametrize("noise", [0.0, 1 - 2**-24])
def test_the_target_is_always_kept(noise: float) -> None:
    """Even where everything speaks for dropping it; with all the others dropped, the loss is 0."""
    output = StochmaxOutput(
        logits=torch.zeros(N, CLASSES), p_logits=torch.full((N, CLASSES), -30.0), r_logits=torch.full((N, CLASSES), -30.0)
    )  # fmt: skip
    loss = stochmax_loss(output, LABELS, noise=torch.full((N, CLASSES), noise))
    assert float(loss.cross_entropy) == pytest.approx(0, abs=1e-15)
    kept = StochmaxOutput(logits=output.logits, p_logits=-output.p_logits, r_logits=-output.r_logits)
    loss = stochmax_loss(kept, LABELS, noise=torch.full((N, CLASSES), 0.5))
    assert float(loss.cross_entropy) == pytest.approx(np.log(CLASSES))


def test_dropped_classes_get_no_gradient() -> None:
    """As z of class 0 falls, so does its share of the gradient, and all of it is finite."""
    seen = []
    for r in (0.0, -1.0, -3.0, -40.0, -1e4):
        output = outputs(dtype=torch.float32)
        dropped = torch.zeros(N, CLASSES)
        dropped[:, 0] = r
        output = StochmaxOutput(logits=output.logits, p_logits=torch.zeros(N, CLASSES), r_logits=dropped.requires_grad_())
        loss = stochmax_loss(output, LABELS, noise=torch.full((N, CLASSES), 0.5))
        of_o, of_r = torch.autograd.grad(loss.cross_entropy, (output.logits, output.r_logits))
        assert bool(of_o.isfinite().all())
        assert bool(of_r.isfinite().all())
        seen.append(float(of_o[1:, 0].abs().max()))
    assert seen == sorted(seen, reverse=True)
    assert seen[0] > 1e-2
    assert seen[-1] < 1e-15


def test_the_noise_is_of_the_global_generator() -> None:
    output = outputs()
    with torch.random.fork_rng():
        torch.manual_seed(7)
        first, second = (float(stochmax_loss(output, LABELS).total.detach()) for _ in range(2))
        torch.manual_seed(7)
        again = float(stochmax_loss(output, LABELS).total.detach())
    assert first == again
    assert first != second


def test_a_relaxed_class_is_kept_as_often_as_its_posterior_says() -> None:
    """P(z > 1/2) = q, whatever the temperature: with two classes of equal logits, the loss of a sample is log(1 + z)."""
    draws, q = 400, 0.3
    zero = torch.zeros(1, 2, dtype=torch.float64)
    output = StochmaxOutput(logits=zero, p_logits=zero + 1, r_logits=zero + float(logit(np.array(q))) - 1)
    noise = torch.rand(draws, 1, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    losses = torch.stack([stochmax_loss(output, torch.tensor([0]), noise=u).cross_entropy for u in noise])
    assert abs(float((losses.exp() - 1 > 0.5).double().mean()) - q) < 0.05


def test_it_learns() -> None:
    """Three directions in the plane; evaluation with the prior classifies them, and the loss has fallen."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        labels = torch.arange(90) % 3
        angles = labels * (2 * torch.pi / 3)
        features = torch.stack([angles.cos(), angles.sin()], 1) + 0.3 * torch.randn(90, 2)
        module = Stochmax(2, 3)
        optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
        losses = []
        for _ in range(60):
            loss = stochmax_loss(module(features[None, :, :, None, None]), labels)
            optimizer.zero_grad()
            loss.total.backward()
            optimizer.step()
            losses.append(float(loss.total.detach()))
        scores = stochmax_scores(module(features[None, :, :, None, None]))
    assert losses[-1] < losses[0] / 2
    assert float((scores.argmax(1) == labels).double().mean()) > 0.95


def test_bad_stochmax() -> None:
    with pytest.raises(TrainError, match="Stochmax: 3 features, 1 classes; there must be at least 1 and 2"):
        Stochmax(3, 1)
    with pytest.raises(TrainError, match=r"Stochmax input: shape \[5, 2, 4, 1, 1\]; \[T, N, C, H, W\] with 3 features is expected"):
        Stochmax(3, 2)(torch.zeros(5, 2, 4, 1, 1))
    with pytest.raises(TrainError, match=r"Stochmax labels: shape \[3\]; there are 5 samples"):
        stochmax_loss(outputs(), torch.zeros(3, dtype=torch.int64))
    for eps in (0, 1):
        with pytest.raises(TrainError, match=f"Stochmax eps: {eps}; it must be above 0 and below 1"):
            stochmax_scores(outputs(), eps=eps)
    with pytest.raises(TrainError, match="Stochmax temperature: 0; it must be above 0"):
        stochmax_loss(outputs(), LABELS, temperature=0)


def test_the_module_has_three_branches() -> None:
    output = Stochmax(FEATURES, CLASSES)(torch.ones(2, N, FEATURES, 1, 1))
    parts = output.logits, output.p_logits, output.r_logits
    assert [list(part.shape) for part in parts] == [[N, CLASSES]] * 3
    assert len({float(part[0, 0].detach()) for part in parts}) == 3
