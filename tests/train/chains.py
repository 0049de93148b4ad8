"""Random small networks, with trained-looking statistics, for the tests of export and evaluation."""

from typing import Literal

import numpy as np
import torch
from torch import nn

from spikefold.data.coding import InputCoding
from spikefold.train.modules.layers import AveragePool, Conv2d, Dense, Integrate, SpikeCount
from spikefold.train.modules.network import SpikingNetwork
from spikefold.train.modules.neurons import LIF, Reset
from spikefold.train.modules.norm import BNTT, BatchNorm, CurrentNorm

TIMESTEPS = 5
CLASS_NAMES = ("a", "b", "c")


def coding(shape: tuple[int, int, int], kind: Literal["direct", "ternary", "poisson"] = "direct") -> InputCoding:
    return InputCoding(shape=shape, coding=kind, mean=0.0, std=1.0, scale=1.0 if kind != "direct" else 4.0, payload_bits=4, seed=3)


def randomise(module: nn.Module, seed: int) -> None:
    """Give normalisations statistics as training leaves them: gammas that are 0, tiny, negative; means off 0."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, CurrentNorm):
            with torch.no_grad():
                part.gamma.copy_(torch.randn(part.gamma.shape, generator=generator) + 0.5)
                part.gamma[:, 0] = torch.tensor([0.0, 1e-6, -0.03, -1.0, 0.1])[: part.rows]
                part.running_mean.copy_(torch.randn(part.running_mean.shape, generator=generator) * 0.3)
                part.running_var.copy_(torch.rand(part.running_var.shape, generator=generator) + 0.05)
                if part.beta is not None:
                    part.beta.copy_(torch.randn(part.beta.shape, generator=generator) * 0.3)


def chain(name: str, reset: Reset, readout: str, seed: int) -> tuple[SpikingNetwork, tuple[int, int, int]]:
    """Return a network by name, and its input shape."""
    torch.manual_seed(seed)

    def lif(leak: float = 0.95) -> LIF:
        return LIF(leak, threshold=0.8, reset=reset)

    end: list[nn.Module] = [Integrate()] if readout == "potential" else [lif(), SpikeCount()]
    if name == "dense":
        shape, parts = (1, 4, 4), [Dense(16, 12), BNTT(12, TIMESTEPS), lif(), Dense(12, 3, bias=True), *end]
    elif name == "conv":
        shape = (2, 9, 7)
        parts = [
            Conv2d(2, 6, 3, padding=1), BNTT(6, TIMESTEPS, beta=True), lif(), AveragePool(2), nn.Dropout(0.5),
            Conv2d(6, 5, 2, stride=2, bias=True, name="second"), BatchNorm(5), lif(0.5), Dense(10, 3), BNTT(3, TIMESTEPS), *end,
        ]  # fmt: skip
    else:
        shape, parts = (3, 8, 8), [AveragePool(2), AveragePool(2), Conv2d(3, 7, 1), lif(1.0), AveragePool(2), Dense(7, 3), *end]
    network = SpikingNetwork(*parts, timesteps=TIMESTEPS)
    randomise(network, seed)
    return network.double().eval(), shape


def spikes_of(network: nn.Module, x: torch.Tensor) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the spikes of every LIF module, [N, T, C, H, W], and the scores."""
    seen: list[np.ndarray] = []
    hooks = [
        part.register_forward_hook(lambda _m, _i, out: seen.append(out.detach().numpy().swapaxes(0, 1).astype(bool)))
        for part in network.modules() if isinstance(part, LIF)
    ]  # fmt: skip
    with torch.no_grad():
        scores = network(x).numpy()
    for hook in hooks:
        hook.remove()
    return seen, scores
