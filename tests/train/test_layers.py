"""Layers that fold time into the batch give what each timestep alone would, and training finds its gradients."""

import pytest
import torch
from torch.nn import functional

from spikefold.train.errors import TrainError
from spikefold.train.modules.layers import AveragePool, Conv2d, Dense, Integrate, SpikeCount

X = torch.randn(4, 2, 3, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_weights_treat_every_timestep_alike() -> None:
    conv, dense = Conv2d(3, 5, 3, stride=2, padding=1, bias=True).double(), Dense(126, 4).double()
    for t in range(4):
        torch.testing.assert_close(conv(X)[t], functional.conv2d(X[t], conv.weight, conv.bias, 2, 1))
        torch.testing.assert_close(dense(X)[t, ..., 0, 0], X[t].reshape(2, -1) @ dense.weight.T)
    assert conv(X).shape == (4, 2, 5, 4, 3)


def test_pool_leaves_out_what_fills_no_window() -> None:
    pooled = AveragePool(4)(X)
    assert pooled.shape == (4, 2, 3, 1, 1)
    torch.testing.assert_close(pooled[..., 0, 0], X[..., :4, :4].mean((-1, -2)))


def test_readouts() -> None:
    x = X[..., :1, :1]
    torch.testing.assert_close(Integrate()(x), x.sum(0)[..., 0, 0] / 4)
    torch.testing.assert_close(SpikeCount()((x > 0).double()), (x > 0).double().sum(0)[..., 0, 0])


def test_bad_layers() -> None:
    with pytest.raises(TrainError, match=r"weights of shape \[0, 4\]"):
        Dense(4, 0)
    with pytest.raises(TrainError, match="Conv2d: stride 0, padding 0"):
        Conv2d(1, 1, 3, stride=0)
    with pytest.raises(TrainError, match="AveragePool side: 0"):
        AveragePool(0)
