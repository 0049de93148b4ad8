"""Modules that are wrapped, or compute their weights, are read as what they compute.

Those that compute something else are refused by name.
"""

import sys
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from brevitas import nn as brevitas
from brevitas.quant import Int8ActPerTensorFloat, Int8BiasPerTensorFloatInternalScaling, Int8WeightPerChannelFloat, Int8WeightPerTensorFloat
from spikingjelly.activation_based import ann2snn, functional, layer, neuron
from torch import nn
from torch.ao import quantization as qat
from torch.nn.utils import parametrizations, prune

from spikefold.data.coding import InputCoding
from spikefold.quantize.float_evaluation import evaluate
from spikefold.train.importers.errors import SourceError
from spikefold.train.importers.modules import Imported, import_module, random_events

pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning"), pytest.mark.filterwarnings("ignore::FutureWarning")]
T = 5
CODING = InputCoding(shape=(1, 4, 4), coding="direct", mean=0.0, std=1.0, scale=4.0, payload_bits=4, seed=0)
Make = Callable[[], nn.Module]


class Renamed(nn.Linear):
    """A subclass that computes what its base does, and is made in another way."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.label = "mine"

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, 0.1, 0.5)
        nn.init.zeros_(self.bias)


class OwnConv(nn.Conv2d):
    pass


class OwnLeaky(snn.Leaky):
    pass


class Doubled(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * 2


class Charged(neuron.IFNode):
    def single_step_functional_forward(self, inputs: Any, states: Any) -> Any:
        return super().single_step_functional_forward((2 * inputs[0],), states)


class Half(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 0.5


class Weighted(nn.Module):
    """Weights of the user's own, multiplied in their own way."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 12))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.weight)


def leaky(**options: Any) -> nn.Module:
    return snn.Leaky(**{"beta": 0.9, "threshold": 0.5, "init_hidden": True} | options)


def lively(module: Any) -> Any:
    """Give a layer's plain weights values at which neurons fire now and then."""
    with torch.no_grad():
        module.weight.normal_(0.15, 0.6, generator=torch.Generator().manual_seed(3))
    return module


def first() -> nn.Module:
    return lively(nn.Linear(16, 12))


def row(*parts: nn.Module, neurons: nn.Module | None = None) -> nn.Sequential:
    """A dense layer of snnTorch's neurons, which send float32 in any run, and what is tried behind it."""
    return nn.Sequential(nn.Flatten(), first(), leaky(), *parts, neurons or leaky())


def imported(module: nn.Module, **options: Any) -> Imported:
    return import_module(module, **{"coding": CODING, "timesteps": T} | options)


def hooked() -> nn.Module:
    """Weights that a hook computed in a training step, which are part of a graph."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = nn.utils.weight_norm(lively(nn.Linear(12, 3)))
    module(torch.ones(1, 12))
    return module


def compiled_in_place() -> nn.Module:
    module = row(lively(nn.Linear(12, 3)))
    module.compile()
    return module


@pytest.mark.parametrize(
    "make",
    [
        lambda: row(Renamed(12, 3)),
        lambda: row(lively(nn.Linear(12, 3)), neurons=OwnLeaky(beta=0.9, init_hidden=True)),
        lambda: nn.Sequential(lively(OwnConv(1, 2, 3)), leaky(), nn.Flatten(), lively(nn.Linear(8, 3)), leaky()),
        lambda: nn.DataParallel(row(lively(nn.Linear(12, 3)))),
        lambda: torch.compile(row(lively(nn.Linear(12, 3)))),
        lambda: row(torch.compile(nn.DataParallel(lively(nn.Linear(12, 3))))),
        compiled_in_place,
        lambda: row(parametrizations.weight_norm(lively(nn.Linear(12, 3)))),
        lambda: row(hooked()),
        lambda: row(prune.l1_unstructured(lively(nn.Linear(12, 3)), "weight", 0.3)),
    ],
    ids=["Linear", "Leaky", "Conv2d", "DataParallel", "compile", "compile inside", "compile()", "parametrization", "hook", "pruned"],
)
def test_what_computes_the_same_is_unwrapped(make: Make) -> None:
    result = imported(make())
    assert [layer_.name.rpartition(".")[2] for layer_ in result.network.layers] in (["1", "3"], ["0", "3"])
    assert sum(flips.flipped for flips in result.flips) == 0
    assert all(0.05 < rate < 0.95 for rate in result.rates), result.rates


@pytest.mark.parametrize("mode", ["s", "m"])
def test_layers_of_spikingjelly_keep_their_step_mode(mode: str) -> None:
    conv = parametrizations.weight_norm(lively(layer.Conv2d(1, 3, 3)))
    dense = prune.l1_unstructured(lively(layer.Linear(12, 3)), "weight", 0.2)
    module = nn.Sequential(conv, neuron.LIFNode(v_threshold=0.5), layer.Flatten(), dense, neuron.IFNode())
    functional.set_step_mode(module, mode)
    result = imported(module)
    assert result.forward == {"s": "step", "m": "sequence"}[mode]
    assert all(0.05 < rate < 0.95 for rate in result.rates), result.rates
    assert (module[0].step_mode, module[3].step_mode) == (mode, mode)


def fake_quantised(bits: int, *, each: bool) -> nn.Sequential:
    """A convolution and a dense layer of torch's quantisation-aware training, with weights of few bits and activations as they are."""
    observer = qat.PerChannelMinMaxObserver if each else qat.MinMaxObserver
    scheme = torch.per_channel_symmetric if each else torch.per_tensor_symmetric
    half = 2 ** (bits - 1)
    weight = qat.FakeQuantize.with_args(observer=observer, quant_min=-half, quant_max=half - 1, dtype=torch.qint8, qscheme=scheme)
    module = nn.Sequential(lively(nn.Conv2d(1, 3, 3)), leaky(), nn.Flatten(), lively(nn.Linear(12, 3)), leaky()).train()
    module.qconfig = qat.QConfig(activation=nn.Identity, weight=weight)
    module = qat.prepare_qat(module)
    module(torch.ones(2, 1, 4, 4))
    return module.apply(qat.disable_observer).eval()


def of_brevitas(bits: int, *, each: bool) -> nn.Sequential:
    options = {"weight_quant": Int8WeightPerChannelFloat if each else Int8WeightPerTensorFloat, "weight_bit_width": bits}
    conv, dense = (lively(made) for made in (brevitas.QuantConv2d(1, 3, 3, **options), brevitas.QuantLinear(12, 3, True, **options)))
    return nn.Sequential(conv, leaky(), nn.Flatten(), dense, leaky()).eval()


def quantised_weights(module: nn.Module) -> Any:
    """Return what the framework multiplies with, by its own words."""
    found = module.quant_weight().value if hasattr(module, "quant_weight") else module.weight_fake_quant(module.weight)
    return found.detach().numpy()


@pytest.mark.parametrize("each", [False, True], ids=["per layer", "per channel"])
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("make", [fake_quantised, of_brevitas])
def test_quantised_weights_arrive_as_the_framework_uses_them(make: Callable[..., nn.Sequential], bits: int, each: bool) -> None:
    module = make(bits, each=each)
    result = imported(module)
    for got, source in zip(result.network.layers, (module[0], module[3]), strict=True):
        weights = quantised_weights(source)
        assert weights.dtype == np.float32
        np.testing.assert_array_equal(got.weights, weights.astype(np.float64))
        steps = np.unique(weights[0]).size
        assert 4 < steps <= 2**bits, "they are on a grid"
    assert sum(flips.flipped for flips in result.flips) == 0
    # The framework's own run, not the plain layers that it was read through.
    events = random_events(np.random.default_rng(7), CODING, T, 6)
    module[1].reset_mem(), module[4].reset_mem()
    with torch.no_grad():
        steps = torch.from_numpy(np.moveaxis(events / CODING.scale, 1, 0).astype(np.float32))
        sent = np.asarray(torch.stack([module(step) for step in steps], 1))
    spikes = evaluate(result.network, events).spikes[-1]
    np.testing.assert_array_equal(sent.reshape(spikes.shape) > 0.5, spikes)
    assert 0.05 < spikes.mean() < 0.95


def observed() -> nn.Module:
    """Weights whose scale goes on following them."""
    module = fake_quantised(8, each=False)
    module[3].weight_fake_quant = qat.FakeQuantize(qat.MovingAverageMinMaxObserver, -128, 127, dtype=torch.qint8)
    module[3].weight_fake_quant(module[3].weight * 3)
    return module


def activations() -> nn.Module:
    module = row(lively(nn.Linear(12, 3))).train()
    module[3].qconfig = qat.QConfig(activation=qat.default_fake_quant, weight=qat.default_weight_fake_quant)
    return qat.prepare_qat(module)


def changed_by_a_hook() -> nn.Module:
    module = Renamed(12, 3)
    module.register_forward_hook(lambda _, arguments, output: output + 1)
    return row(module)


def quant(**options: Any) -> nn.Module:
    return row(lively(brevitas.QuantLinear(12, 3, True, **options)))


NO_PLACE = "for which a float network has no place"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: row(Doubled(12, 3)), "3 (Doubled): it has a forward of its own, so it is not known what it computes; use torch.Linear as it is"),
        (lambda: nn.Sequential(nn.Flatten(), first(), Charged()),
         "2 (Charged): it has a single_step_functional_forward of its own, so it is not known what it computes; use spikingjelly.IFNode as it is"),
        (lambda: row(layer.WSLinear(12, 3)), "3 (spikingjelly.WSLinear): it has a forward of its own"),
        (lambda: row(nn.Linear(12, 3), neurons=snn.RLeaky(beta=0.9, linear_features=3, init_hidden=True)),
         "4 (snntorch.RLeaky): its layer feeds itself"),
        (lambda: row(layer.Linear(12, 3), neurons=layer.LinearRecurrentContainer(neuron.IFNode(), 3, 3)),
         "4 (spikingjelly.LinearRecurrentContainer): its layer feeds itself"),
        (lambda: row(Half(), nn.Linear(12, 3)), "4 (torch.Linear): it receives something else than what 2 sends: "),
        (lambda: row(Half(), nn.Linear(12, 3)), "values differ, the first is 0.5 for 1; between them comes 3 (Half), which cannot be read"),
        (lambda: row(Weighted()), "what 2 sends: the shape [3] for [12]; between them comes 3 (Weighted), which cannot be read; use modules of"),
        (observed, "3 (torch.ao.nn.qat.modules.linear.Linear) weight_fake_quant: its observer still runs, and its weights change with every call"),
        (activations, "3 (torch.ao.nn.qat.modules.linear.Linear) activation_post_process: it quantises what it sends, "),
        (changed_by_a_hook, "3 (Renamed): it sends something else than its weights and bias make of its input; take away the hook"),
        (lambda: row(qat.QuantStub(), nn.Linear(12, 3)), "3 (torch.ao.quantization.stubs.QuantStub): it quantises what goes from layer to layer"),
        (lambda: row(torch.ao.nn.quantized.Linear(12, 3)), "3 (torch.ao.nn.quantized.modules.linear.Linear): its numbers are integers already"),
        (lambda: row(torch.jit.script(nn.Linear(12, 3))), "3 (Linear): it is compiled by torch.jit, which says nothing of its parts"),
        (lambda: quant(input_quant=Int8ActPerTensorFloat), f"3 (brevitas.QuantLinear) input_quant: it quantises what it receives, {NO_PLACE}"),
        (lambda: quant(output_quant=Int8ActPerTensorFloat), "3 (brevitas.QuantLinear) output_quant: it quantises what it sends"),
        (lambda: quant(bias_quant=Int8BiasPerTensorFloatInternalScaling), "3 (brevitas.QuantLinear) bias_quant: it quantises its bias"),
        (lambda: row(brevitas.QuantIdentity(), nn.Linear(12, 3)), "3 (brevitas.QuantIdentity): it quantises what goes from layer to layer"),
    ],
)  # fmt: skip
def test_what_computes_something_else_is_named(make: Make, words: str) -> None:
    with pytest.raises(SourceError) as error:
        imported(make())
    assert words in str(error.value), str(error.value)
    assert "\n" not in str(error.value)


def test_weights_that_forward_multiplies_itself_are_not_a_mistake_of_types() -> None:
    """Spikes of snnTorch are float32 and weights here float64: what is said is what is meant."""

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense, self.neurons, self.weight, self.last = first(), leaky(), nn.Parameter(torch.ones(3, 12)), leaky()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(nn.functional.linear(self.neurons(self.dense(x.flatten(1))), self.weight))

    words = r"what neurons sends: the shape \[3\] for \[12\]; forward itself does something between the two, such as a pooling"
    with pytest.raises(SourceError, match=rf"^last \(snntorch\.Leaky\): it receives something else than {words}"):
        imported(Own())


def test_the_examples_of_spikingjelly_are_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own classes for whole networks are none of its layers.

    torchvision, which gives them data, does not import with torch for CPUs.
    """
    vision = ModuleType("torchvision")
    vision.transforms = ModuleType("torchvision.transforms")
    monkeypatch.setitem(sys.modules, "torchvision", vision)
    monkeypatch.setitem(sys.modules, "torchvision.transforms", vision.transforms)
    from spikingjelly.activation_based.examples.conv_fashion_mnist import CSNN
    from spikingjelly.activation_based.examples.lif_fc_mnist import SNN

    coding = InputCoding(shape=(1, 28, 28), coding="direct", mean=0.0, std=1.0, scale=4.0, payload_bits=4, seed=0)
    network = SNN(2.0)
    with torch.no_grad():
        network.layer[1].weight.normal_(0.02, 0.1)
    result = imported(network, coding=coding)
    assert [layer_.name for layer_ in result.network.layers] == ["layer.1"]
    assert 0.05 < result.rates[0] < 0.95
    with pytest.raises(SourceError, match=r"\(spikingjelly\.MaxPool2d\): a maximum of spikes is no sum of them"):
        imported(CSNN(T=T, channels=2), coding=coding, forward="image")


@pytest.mark.parametrize("options", [{}, {"channel_wise": True}], ids=["one scale", "one for each channel"])
def test_what_ann2snn_returns_is_entered(options: dict[str, Any]) -> None:
    """A GraphModule of scalings and perfect neurons, whose last layer has none."""
    torch.manual_seed(0)
    parts = [lively(nn.Conv2d(1, 3, 3, padding=1)), nn.BatchNorm2d(3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), lively(nn.Linear(12, 6)), nn.ReLU()]
    data = [(torch.rand(4, 1, 4, 4), torch.zeros(4)) for _ in range(2)]
    recipe = ann2snn.RateCodingRecipe(data, mode="max", **options)
    converted = ann2snn.FXConverter(recipe).convert(nn.Sequential(*parts, nn.Linear(6, 3)).eval())
    assert isinstance(converted, torch.fx.GraphModule)
    result = imported(converted)
    assert [layer_.name for layer_ in result.network.layers] == ["0", "5", "7"]
    assert result.network.readout == "potential"
    assert all(0.02 < rate < 0.95 for rate in result.rates), result.rates


def test_a_scaling_with_nothing_behind_it_is_refused() -> None:
    with pytest.raises(SourceError, match="network: it ends with a pooling or scaling of what the last neurons send; weights must come"):
        imported(nn.Sequential(nn.Flatten(), first(), leaky(), ann2snn.modules.VoltageScaler(0.5)))
