"""The fused neurons against the plain loop: the same spikes, and the same gradient of everything."""

import copy

import pytest
import torch
from torch import nn

from spikefold.train.modules.fused import BLOCK_ELEMENTS
from spikefold.train.modules.neurons import LIF, Reset, hold, lif_loop
from spikefold.train.modules.norm import BNTT, BatchNorm, CurrentNorm
from spikefold.train.modules.surrogate import KINDS, SURROGATES, Kind

T = 5
SHAPES = [(3, 7, 1, 1), (4, 3, 5, 6), (5, 1, 9, 1), (1, 4, 2, 1), (3, 4100, 1, 1), (9, 16, 31, 33)]


def norm_of(kind: str, channels: int, seed: int) -> CurrentNorm | None:
    if kind == "none":
        return None
    norm = BNTT(channels, T) if kind == "bntt" else BatchNorm(channels) if kind == "bn" else BNTT(channels, T, beta=True)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in (norm.gamma, norm.running_mean, *(() if norm.beta is None else (norm.beta,))):
            tensor.copy_(torch.randn(tensor.shape, generator=generator) + (tensor is norm.gamma))
        norm.running_var.uniform_(0.1, 2.0, generator=generator)
    return norm.double()


def run(lif: LIF, norm: CurrentNorm | None, current: torch.Tensor, weight: torch.Tensor, *, plain: bool) -> list[torch.Tensor]:
    """Return spikes, the gradients of current and parameters, and the statistics afterwards."""
    x = current.clone().requires_grad_()
    if plain:
        held = hold(x, T)
        leak = lif.leak if lif.leak_logit is None else torch.sigmoid(lif.leak_logit)
        spikes = lif_loop(held if norm is None else norm(held), leak, lif.threshold, lif.reset, lif.surrogate)
    else:
        spikes = lif(x, T, norm)
    (spikes * weight).sum().backward()
    modules = [module for module in (lif, norm) if module is not None]
    return [spikes, x.grad, *(p.grad for module in modules for p in module.parameters()), *(b for module in modules for b in module.buffers())]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["none", "bntt", "bntt with beta", "bn"])
@pytest.mark.parametrize("reset", ["soft", "hard"])
def test_fused_is_the_plain_loop(shape: tuple[int, ...], kind: str, reset: str) -> None:
    for training in (True, False):
        for steps in (1, T):
            generator = torch.Generator().manual_seed(len(kind) + steps)
            current = torch.randn(steps, *shape, dtype=torch.float64, generator=generator) * 1.5 + 0.2
            weight = torch.randn(T, *shape, dtype=torch.float64, generator=generator)
            lif, norm = LIF(0.9, 0.8, reset, learn_leak=True).double(), norm_of(kind, shape[1], 1)
            if norm is not None:
                norm.train(training)
            expected = run(copy.deepcopy(lif), copy.deepcopy(norm), current, weight, plain=True)
            got = run(lif, norm, current, weight, plain=False)
            assert 0 < expected[0].mean() < 1
            assert torch.equal(got[0], expected[0])
            for one, other in zip(got[1:], expected[1:], strict=True):
                torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize(("dtype", "rtol", "atol"), [(torch.float64, 1e-9, 1e-12), (torch.float32, 1e-4, 1e-6)], ids=["float64", "float32"])
def test_every_surrogate(kind: Kind, reset: Reset, dtype: torch.dtype, rtol: float, atol: float) -> None:
    threshold = 10.0 if kind.startswith("exp") else 0.7
    current = torch.randn(T, 4, 6, 3, 3, dtype=dtype, generator=torch.Generator().manual_seed(2)) * threshold
    lif = LIF(0.8, threshold, reset, SURROGATES[kind]).to(dtype)
    expected = run(lif, None, current, torch.ones_like(current), plain=True)
    got = run(lif, None, current, torch.ones_like(current), plain=False)
    assert expected[1].abs().max() > 0
    assert torch.equal(got[0], expected[0])
    torch.testing.assert_close(got[1], expected[1], rtol=rtol, atol=atol)


@pytest.mark.parametrize("reset", ["soft", "hard"])
def test_more_timesteps_and_channels_than_a_block_holds(reset: Reset) -> None:
    channels, steps = 600, 150
    assert channels * steps > BLOCK_ELEMENTS
    current = torch.randn(steps, 2, channels, 2, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(7), requires_grad=True)
    lif = LIF(0.9, 0.8, reset, learn_leak=True).double()
    results = []
    for spikes in (lif_loop(current, torch.sigmoid(lif.leak_logit), 0.8, reset, lif.surrogate), lif(current)):
        results.append((spikes, *torch.autograd.grad(spikes.square().sum(), (current, lif.leak_logit))))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_a_leak_that_is_not_learned_changes_no_other_gradient() -> None:
    generator = torch.Generator().manual_seed(8)
    current, weight = (torch.randn(T, 4, 6, 5, 5, dtype=torch.float64, generator=generator) for _ in range(2))
    learned, fixed = (LIF(0.9, learn_leak=learn).double() for learn in (True, False))
    fixed._leak = learned.leak
    (spikes, grad, leak_grad, *rest), results = (run(lif, norm_of("bntt", 6, 1), current, weight, plain=False) for lif in (learned, fixed))
    assert leak_grad.abs() > 0
    assert all(torch.equal(a, b) for a, b in zip((spikes, grad, *rest), results, strict=True))


def test_float32_is_as_near_as_float32_gets() -> None:
    shape = (16, 24, 13, 13)
    current = torch.randn(T, *shape, generator=torch.Generator().manual_seed(3)) * 3 + 40
    norm = BNTT(24, T)
    expected = norm.double()(current.double())
    norm = BNTT(24, T)
    lif = LIF()
    spikes = lif(current, T, norm)
    plain = lif_loop(expected, 0.95, 1.0, "soft")
    assert (spikes != plain).float().mean() < 1e-4
    torch.testing.assert_close(norm.running_var, current.transpose(0, 2).flatten(3).var((1, 3)).T * 0.1 + 0.9, rtol=1e-4, atol=0)


def test_the_number_of_threads_changes_no_bit() -> None:
    generator = torch.Generator().manual_seed(4)
    current = torch.randn(T, 32, 24, 28, 28, generator=generator)
    weight = torch.randn(T, 32, 24, 28, 28, generator=generator)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(run(LIF(), BNTT(24, T), current, weight, plain=False))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_any_layout_is_taken() -> None:
    """What a convolution returns, a slice, a transposed tensor: the same values give the same spikes and gradients."""
    wide = torch.randn(T, 4, 6, 10, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    view = wide[:, ::2, 1:5].transpose(3, 4)
    results = [run(LIF(), norm_of("bntt", 4, 1), x, torch.ones_like(x), plain=False) for x in (view, view.contiguous())]
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    convolved = nn.functional.conv2d(torch.rand(T * 2, 3, 6, 6).contiguous(memory_format=torch.channels_last), torch.rand(4, 3, 3, 3)).reshape(
        T, 2, 4, 4, 4
    )
    assert torch.equal(LIF()(convolved), LIF()(convolved.contiguous()))


def test_half_precision_is_integrated_in_float32() -> None:
    current = torch.randn(T, 2, 3, 4, 4, generator=torch.Generator().manual_seed(6)).to(torch.bfloat16)
    spikes = LIF(0.5)(current)
    assert spikes.dtype == torch.float32
    assert torch.equal(spikes, lif_loop(current.float(), 0.5, 1.0, "soft"))
