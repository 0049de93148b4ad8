"""Random networks as snnTorch, SpikingJelly and norse write them to NIR, and what they compute. Needs the extras ``peers`` and ``nir``."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from spikefold.data.coding import InputCoding
from spikefold.train.importers.nir_import import NirRules
from tests.train.importers.networks import trained

Rng = np.random.Generator
CODING = InputCoding(shape=(1, 4, 4), coding="ternary", mean=0.0, std=1.0, scale=1.0, payload_bits=2, seed=0)
HIDDEN, CLASSES = 12, 3


@dataclass(frozen=True, kw_only=True)
class NirSource:
    """The rules by which a graph's framework steps time, and what gives the spikes of its last neurons for [T, N, C, H, W]."""

    rules: NirRules
    run: Callable[[torch.Tensor], torch.Tensor]


def snntorch_graph(rng: Rng, path: Path) -> NirSource:
    """Reset to zero alone: that is what snnTorch writes, whatever the neurons do."""
    import nir
    import snntorch
    from snntorch.export_nir import export_to_nir

    def leaky(size: int) -> Any:
        beta, threshold = (torch.from_numpy(rng.uniform(*span, size)) for span in ((0.5, 0.98), (0.4, 1.0)))
        # Its own surrogates give float32 whatever the potentials are, and a float64 layer does not take them.
        return snntorch.Leaky(beta=beta, threshold=threshold, init_hidden=True, reset_mechanism="zero", spike_grad=lambda x: (x > 0).to(x.dtype))

    net = nn.Sequential(nn.Linear(16, HIDDEN), leaky(HIDDEN), nn.Linear(HIDDEN, CLASSES, bias=False), leaky(CLASSES)).double()
    trained(net, rng)
    with torch.no_grad():
        nir.write(path, export_to_nir(net, torch.zeros(1, 16, dtype=torch.float64), ignore_dims=[0]))

    def run(x: torch.Tensor) -> torch.Tensor:
        for part in (net[1], net[3]):
            assert isinstance(part, snntorch.Leaky)
            part.reset_mem()
        return torch.stack([net(step.flatten(1)) for step in x])

    return NirSource(rules=NirRules(dt=1e-4, compare="above", reset="hard"), run=run)


def spikingjelly_graph(rng: Rng, path: Path) -> NirSource:
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    def node() -> Any:
        rest, threshold = float(rng.normal(0, 0.1)), float(rng.uniform(0.3, 0.8))
        if rng.random() < 0.3:
            return neuron.IFNode(v_threshold=threshold, v_reset=rest)
        kind = neuron.LIFNode if rng.random() < 0.5 else neuron.ParametricLIFNode
        tau = float(rng.uniform(1.2, 3.0))
        return kind(tau, decay_input=bool(rng.integers(2)), v_threshold=threshold, v_reset=rest)

    parts = [layer.Conv2d(1, 2, 3, padding=1), node(), layer.AvgPool2d(2), layer.Flatten(), layer.Linear(8, CLASSES), node()]
    net = nn.Sequential(*parts).double()
    trained(net, rng)
    with torch.no_grad():
        export_to_nir(net, torch.zeros(1, 1, 4, 4, dtype=torch.float64), save_path=str(path))

    def run(x: torch.Tensor) -> torch.Tensor:
        functional.reset_net(net)
        return torch.stack([net(step) for step in x])

    return NirSource(rules=NirRules(dt=1e-4, compare="at", reset="hard"), run=run)


def norse_graph(rng: Rng, path: Path) -> NirSource:
    import nir
    import norse.torch as norse
    from norse.torch.utils.export_nir import to_nir

    def box(size: int) -> Any:
        rate, threshold = (torch.from_numpy(rng.uniform(*span, size)) for span in ((20.0, 600.0), (0.1, 0.4)))
        zero = torch.zeros(size, dtype=torch.float64)
        return norse.LIFBoxCell(norse.LIFBoxParameters(tau_mem_inv=rate, v_th=threshold, v_leak=zero, v_reset=zero))

    net = norse.SequentialState(nn.Linear(16, HIDDEN), box(HIDDEN), nn.Linear(HIDDEN, CLASSES), box(CLASSES)).double()
    trained(net, rng)
    with torch.no_grad():
        nir.write(path, to_nir(net, torch.zeros(1, 16, dtype=torch.float64)))

    def run(x: torch.Tensor) -> torch.Tensor:
        state, sent = None, []
        for step in x:
            spikes, state = net(step.flatten(1), state)
            sent.append(spikes)
        return torch.stack(sent)

    # It writes dt / rate in the place of 1 / rate, so the timestep by which its time constants are to be read is dt * dt.
    return NirSource(rules=NirRules(dt=1e-6, compare="above", reset="hard"), run=run)


Write = Callable[[Rng, Path], NirSource]
NIR_KINDS: dict[str, Write] = {"nir of snntorch": snntorch_graph, "nir of spikingjelly": spikingjelly_graph, "nir of norse": norse_graph}
