"""Normalisations against PyTorch's own batch normalisation, one plain module a timestep."""

import pytest
import torch
from torch import nn

from spikefold.train.errors import TrainError
from spikefold.train.modules.norm import BNTT, BatchNorm

T, C = 4, 3


def batches(count: int = 6) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(T, 5, C, 2, 3, dtype=torch.float64, generator=generator) * (i + 1) + i for i in range(count)]


@pytest.mark.parametrize("beta", [False, True])
def test_bntt_is_one_batch_norm_a_timestep(beta: bool) -> None:
    ours = BNTT(C, T, beta=beta).double()
    plain = [nn.BatchNorm2d(C, eps=1e-4, momentum=0.1).double() for _ in range(T)]
    with torch.no_grad():
        ours.gamma.copy_(torch.randn(T, C, generator=torch.Generator().manual_seed(1)))
        for t, module in enumerate(plain):
            module.weight.copy_(ours.gamma[t])
    for x in batches():
        torch.testing.assert_close(ours(x), torch.stack([m(x[t]) for t, m in enumerate(plain)]), rtol=0, atol=0)
    for t, module in enumerate(plain):
        torch.testing.assert_close(ours.running_mean[t], module.running_mean, rtol=0, atol=0)
        torch.testing.assert_close(ours.running_var[t], module.running_var, rtol=0, atol=0)
    ours.eval()
    x = batches()[0]
    torch.testing.assert_close(ours(x), torch.stack([m.eval()(x[t]) for t, m in enumerate(plain)]))
    assert {name for name, _ in ours.named_parameters()} == ({"gamma", "beta"} if beta else {"gamma"})


def test_static_batch_norm_takes_all_timesteps_together() -> None:
    ours, plain = BatchNorm(C).double(), nn.BatchNorm2d(C, eps=1e-4, momentum=0.1).double()
    for x in batches():
        torch.testing.assert_close(ours(x), plain(x.flatten(0, 1)).reshape(x.shape), rtol=0, atol=0)
    ours.eval()
    plain.eval()
    torch.testing.assert_close(ours(x), plain(x.flatten(0, 1)).reshape(x.shape))


def test_bad_norms() -> None:
    with pytest.raises(TrainError, match="BNTT: 3 timesteps in the input; it was made for 4"):
        BNTT(C, T)(torch.zeros(3, 2, C, 1, 1))
    with pytest.raises(TrainError, match="each channel needs at least 2 values"):
        BNTT(C, 1)(torch.zeros(1, 1, C, 1, 1))
    with pytest.raises(TrainError, match="norm: 0 channels, 4 timesteps"):
        BNTT(0, T)
    with pytest.raises(TrainError, match=r"eps 0, momentum 0.1"):
        BatchNorm(C, eps=0)
