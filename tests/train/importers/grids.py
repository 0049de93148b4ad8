"""Networks trained with quantised weights: their spikes in float64 against those of the integers that they fold into.

``python -m tests.train.importers.grids [--epochs 4] [--samples 360] [--only WORDS] [--out FILE]`` needs the extra ``peers``. It trains small
networks of snnTorch on the digits, with the weights quantised by torch (``torch.ao``) or brevitas, to 4 and 8 bits, with a scale for a
tensor, for each channel, or a power of two. Each is imported, which holds every spike against the framework's in float64, folded with the
bits that ``keep`` finds, and run by the reference. A spike that differs is a flip. Neurons without a leak that are reset to 0, and with a
power of two those from which the threshold is subtracted, are held exactly; a flip there, or a weight that is not the framework's, makes the
exit status 1. Of the others, the integers round leak or decrement, and the flips are counted.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn

from spikefold.data.coding import InputCoding, encode
from spikefold.data.datasets import load_dataset
from spikefold.network import reference
from spikefold.quantize.float_evaluation import evaluate
from spikefold.quantize.fold import fold
from spikefold.train.importers.modules import import_module

__all__ = ["CASES", "Case", "Found", "main", "measure"]

TIMESTEPS, CHANNELS, BATCH, BATCHES = 6, 8, 32, 15
CODING = InputCoding(shape=(1, 8, 8), coding="direct", mean=0.0, std=16.0, scale=16.0, payload_bits=6, seed=0)
NEURONS: dict[str, dict[str, Any]] = {
    "no leak, reset to 0": {"beta": 1.0, "reset_mechanism": "zero"},
    "no leak, subtract": {"beta": 1.0},
    "leak 0.5, reset to 0": {"beta": 0.5, "reset_mechanism": "zero"},
    "leak 0.9, subtract": {"beta": 0.9},
}
SCALES = ("tensor", "channel", "power of two")


@dataclass(frozen=True, kw_only=True)
class Case:
    """What quantises the weights, to so many bits, with a scale for what, and the neurons."""

    framework: str
    bits: int
    scale: str
    neurons: str

    @property
    def exact(self) -> bool:
        """Whether the integers hold every potential."""
        held = ["no leak, reset to 0", *(["no leak, subtract"] if self.scale == "power of two" else [])]
        return self.neurons in held

    def __str__(self) -> str:
        return f"{self.framework}, {self.bits} bits, {self.scale}, {self.neurons}"


CASES = tuple(
    Case(framework=framework, bits=bits, scale=scale, neurons=neurons)
    for framework, bits, scale, neurons in product(("torch", "brevitas"), (4, 8), SCALES, NEURONS)
)


@dataclass(frozen=True, kw_only=True)
class Found:
    """Of one network: the bits and the largest code of each layer, weights that differ, spikes compared, fired and flipped, and accuracy."""

    kept_bits: tuple[int, ...]
    codes: tuple[int, ...]
    weights_differing: int
    spikes: int
    fired: int
    flips: int
    accuracy: float


class Net(nn.Module):
    """A convolution and a dense layer between snnTorch's neurons: inputs [T, N, 1, 8, 8] to spikes [T, N, 10]."""

    def __init__(self, conv: nn.Module, dense: nn.Module, neurons: dict[str, Any]) -> None:
        super().__init__()
        import snntorch

        self.conv, self.hidden, self.pool = conv, snntorch.Leaky(**neurons), nn.AvgPool2d(2)
        self.dense, self.last = dense, snntorch.Leaky(**neurons)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the spikes."""
        hidden, last = self.hidden.reset_mem(), self.last.reset_mem()
        sent = []
        for step in x:
            spikes, hidden = self.hidden(self.conv(step), hidden)
            spikes, last = self.last(self.dense(self.pool(spikes).flatten(1)), last)
            sent.append(spikes)
        return torch.stack(sent)


def quantised_net(case: Case) -> Net:
    """Return an untrained network whose weights the framework quantises in every forward pass."""
    made = torch_layers(case) if case.framework == "torch" else brevitas_layers(case)
    return Net(*made, NEURONS[case.neurons])


def torch_layers(case: Case) -> tuple[nn.Module, nn.Module]:
    """Return torch's own layers for quantisation-aware training; moving averages let the largest code be any."""
    from torch.ao import quantization
    from torch.ao.nn import qat

    class PowerOfTwo(quantization.MovingAverageMinMaxObserver):
        def calculate_qparams(self, **_: Any) -> tuple[torch.Tensor, torch.Tensor]:
            scale, zero = super().calculate_qparams()
            return torch.exp2(torch.ceil(torch.log2(scale))), zero

    observers = (quantization.MovingAverageMinMaxObserver, quantization.MovingAveragePerChannelMinMaxObserver, PowerOfTwo)
    per_channel = case.scale == "channel"
    weight = quantization.FakeQuantize.with_args(
        observer=dict(zip(SCALES, observers, strict=True))[case.scale], quant_min=-(1 << (case.bits - 1)), quant_max=(1 << (case.bits - 1)) - 1,
        dtype=torch.qint8, qscheme=torch.per_channel_symmetric if per_channel else torch.per_tensor_symmetric,
    )  # fmt: skip
    qconfig = quantization.QConfig(activation=nn.Identity, weight=weight)
    conv = qat.Conv2d(1, CHANNELS, 3, padding=1, bias=False, qconfig=qconfig)
    return conv, qat.Linear(CHANNELS * 16, 10, bias=False, qconfig=qconfig)


def brevitas_layers(case: Case) -> tuple[nn.Module, nn.Module]:
    """Return brevitas' layers; scales that are trained let the largest code be any."""
    from brevitas import nn as layers
    from brevitas import quant
    from brevitas.inject.enum import ScalingImplType

    kinds = (quant.Int8WeightPerTensorFloat, quant.Int8WeightPerChannelFloat, quant.Int8WeightPerTensorFixedPoint)
    given = {
        "weight_quant": dict(zip(SCALES, kinds, strict=True))[case.scale], "weight_bit_width": case.bits, "bias": False,
        "weight_scaling_impl_type": ScalingImplType.PARAMETER_FROM_STATS,
    }  # fmt: skip
    return layers.QuantConv2d(1, CHANNELS, 3, padding=1, **given), layers.QuantLinear(CHANNELS * 16, 10, **given)


def quantised_weights(layer: Any) -> torch.Tensor:
    """Return the float32 weights that the layer computes with."""
    if hasattr(layer, "weight_fake_quant"):
        return layer.weight_fake_quant(layer.weight)
    return layer.quant_weight().value


def plain(net: Net, case: Case) -> Net:
    """Return the same network with layers of plain torch that have the quantised weights."""
    conv, dense = nn.Conv2d(1, CHANNELS, 3, padding=1, bias=False), nn.Linear(CHANNELS * 16, 10, bias=False)
    for layer, source in ((conv, net.conv), (dense, net.dense)):
        layer.weight = nn.Parameter(quantised_weights(source).detach().clone())
    return Net(conv, dense, NEURONS[case.neurons]).eval()


def train(net: Net, epochs: int) -> None:
    """Train by cross-entropy of the spikes' mean; an epoch is a third of the training split."""
    rng, data = np.random.default_rng(0), load_dataset("digits", "train")
    images, labels = torch.from_numpy(data.images[:] / np.float32(16)), torch.from_numpy(data.labels)
    net(images[:BATCH].expand(TIMESTEPS, -1, -1, -1, -1))
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    for _ in range(epochs):
        for part in rng.permutation(len(data))[: BATCHES * BATCH].reshape(BATCHES, BATCH):
            optimizer.zero_grad()
            sent = net(images[part].expand(TIMESTEPS, -1, -1, -1, -1))
            nn.functional.cross_entropy(sent.mean(0) * 5, labels[part]).backward()
            optimizer.step()


def measure(case: Case, epochs: int, samples: int) -> Found:
    """Train a network, and hold the integers that it folds into against the framework, on the first ``samples`` of the test split."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        # torch's and brevitas' own deprecations.
        warnings.simplefilter("ignore")
        net = quantised_net(case)
        train(net, epochs)
        net.eval()
        net.apply(torch.ao.quantization.disable_observer)
        bare = plain(net, case)
        data = load_dataset("digits", "test")
        inputs = torch.from_numpy(data.images[:samples] / np.float32(16)).expand(TIMESTEPS, -1, -1, -1, -1)
        with torch.no_grad():
            # The framework's own layers and their quantised weights are the same computation.
            if not torch.equal(net(inputs), bare(inputs)):
                raise ValueError(f"{case}: layers with the quantised weights spike otherwise than the framework's own")
    events = encode(data.images[:samples], CODING, TIMESTEPS, range(samples))
    network = import_module(bare, coding=CODING, timesteps=TIMESTEPS, class_names=data.class_names, events=events).network
    result = fold(network, weight_bits="keep")
    expected, found = evaluate(network, events).spikes, reference.run(result.network, events).spikes
    codes = [stored.tensor.reshape(len(stored.tensor), -1).astype(np.float64) for stored in result.network.weights]
    differing = 0
    for layer, counts in zip(network.layers, codes, strict=True):
        flat = layer.weights.reshape(len(counts), -1)
        steps = np.abs(flat).max(1) / np.maximum(np.abs(counts).max(1), 1)
        differing += int((~np.isclose(counts * steps[:, None], flat, rtol=1e-6, atol=0)).sum())
    return Found(
        kept_bits=tuple(layer.weight_bits for layer in result.layers), codes=tuple(int(np.abs(counts).max()) for counts in codes),
        weights_differing=differing, spikes=sum(layer.size for layer in expected), fired=sum(int(layer.sum()) for layer in expected),
        flips=sum(int((a != b).sum()) for a, b in zip(expected, found, strict=True)),
        accuracy=float((expected[-1].sum((1, 3, 4)).argmax(1) == data.labels[:samples]).mean()),
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.train.importers.grids", description="Hold quantised networks against their integers.")
    parser.add_argument("--epochs", type=int, default=4, help="how long each network is trained")
    parser.add_argument("--samples", type=int, default=360, help="how many of the 360 samples of the test split are compared")
    parser.add_argument("--only", default="", help="cases whose name has these words, as in 'torch, 4 bits'")
    parser.add_argument("--out", type=Path, help="a JSON file for the result")
    options = parser.parse_args(arguments)
    cases = [case for case in CASES if options.only in str(case)]
    if options.epochs < 0 or not 1 <= options.samples <= 360 or not cases:
        parser.error("--epochs must be at least 0, --samples in 1..360, and --only the words of some case")
    # Layers this small are slower in several threads.
    torch.set_num_threads(1)
    console = Console(width=None if sys.stdout.isatty() else 150)
    results = {case: measure(case, options.epochs, options.samples) for case in track(cases, console=console, transient=True)}
    table = Table(title="Networks with quantised weights against the integers they fold into")
    columns = ("framework", "bits", "scale", "neurons", "kept in", "largest codes", "accuracy", "spikes", "flips", "of", "held exactly")
    for column in columns:
        table.add_column(column, no_wrap=True, justify="left" if column in columns[:4] else "right")
    for case, found in results.items():
        table.add_row(
            case.framework, str(case.bits), case.scale, case.neurons, ", ".join(map(str, found.kept_bits)), ", ".join(map(str, found.codes)),
            f"{found.accuracy:.2%}", f"{found.fired:,}", f"{found.flips:,}", f"{found.spikes:,}", "yes" if case.exact else "no",
        )  # fmt: skip
    console.print(table)
    failures = [str(case) for case, found in results.items() if found.weights_differing or (case.exact and found.flips)]
    for failure in failures:
        console.print(f"FAILED: {failure}", style="red", markup=False)
    exact = [found for case, found in results.items() if case.exact]
    console.print(
        f"{len(results)} networks: {sum(found.weights_differing for found in results.values())} weights differ; held exactly {len(exact)}: "
        f"{sum(found.flips for found in exact):,} of {sum(found.spikes for found in exact):,} spikes flip"
    )
    if options.out is not None:
        listed = [asdict(case) | asdict(found) for case, found in results.items()]
        options.out.write_text(json.dumps({"cases": listed, "failures": failures}, indent=2) + "\n", encoding="utf-8")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
