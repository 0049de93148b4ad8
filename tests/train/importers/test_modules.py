"""Live modules become float networks that spike as they do; what cannot is refused by name; and the check that says so can fail."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

from spikefold.data.coding import InputCoding
from spikefold.quantize.float_evaluation import evaluate
from spikefold.train.importers import snntorch_parts
from spikefold.train.importers.errors import SourceError
from spikefold.train.importers.modules import Imported, import_module, random_events
from spikefold.train.importers.parts import Neurons
from tests.train.importers.networks import KINDS, Kind, random_source

T = 5
CODING = InputCoding(shape=(1, 4, 4), coding="direct", mean=0.0, std=1.0, scale=4.0, payload_bits=4, seed=0)


def imported(module: nn.Module, **options: Any) -> Imported:
    return import_module(module, coding=CODING, timesteps=T, **options)


def refused(module: nn.Module, *words: str, **options: Any) -> None:
    with pytest.raises(SourceError) as error:
        imported(module, **options)
    for word in words:
        assert word in str(error.value), str(error.value)


def stepwise(neurons: nn.Module, *parts: nn.Module) -> nn.Sequential:
    """A dense layer of lively neurons, and what else is wanted behind the weights."""
    torch.manual_seed(0)
    dense = nn.Linear(16, 12)
    with torch.no_grad():
        dense.weight.mul_(4)
    return nn.Sequential(nn.Flatten(), dense, *parts, neurons)


def leaky(**options: Any) -> nn.Module:
    return snn.Leaky(**{"beta": 0.9, "init_hidden": True} | options)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_spikes_as_its_source(kind: Kind) -> None:
    active = []
    # One of them timestep by timestep and one with all at once, if the kind can do both.
    for seed in (101, 102):
        source = random_source(kind, seed)
        events = random_events(np.random.default_rng(seed), source.coding, source.timesteps, 3)
        result = import_module(source.module, coding=source.coding, timesteps=source.timesteps, events=events)
        assert (result.forward, result.samples) == (source.forward, 11)
        sizes = [int(np.prod(shape)) for shape in result.network.shapes()]
        fires = len(sizes) - (result.network.readout == "potential")
        assert list(result.compared) == [11 * source.timesteps * size for size in sizes[:fires]]
        active += [0.02 < rate < 0.98 for rate in result.rates]
    assert sum(active) >= 0.6 * len(active), "silent networks prove nothing"


def test_the_module_itself_gives_the_same_spikes() -> None:
    """Without hooks and copies: the plain module against the saved meaning."""
    module = nn.Sequential(*stepwise(leaky()), nn.Linear(12, 3), leaky(beta=0.5, threshold=0.1)).double()
    network = imported(module, class_names="abc").network
    events = random_events(np.random.default_rng(5), CODING, T, 6)
    module[2].reset_mem(), module[4].reset_mem()
    x = torch.from_numpy(np.moveaxis(events / CODING.scale, 0, 1).copy())
    with torch.no_grad():
        counts = sum(module[4](module[3](module[2](module[1](step.flatten(1))).double())) for step in x)
    np.testing.assert_array_equal(evaluate(network, events).scores, np.asarray(counts))
    assert counts.max() > 0
    assert (network.readout, network.class_names) == ("spike_count", ("a", "b", "c"))


def test_delayed_subtraction_is_theta_over_beta() -> None:
    layer_ = imported(stepwise(leaky(beta=0.5, threshold=0.8))).network.layers[0]
    np.testing.assert_allclose(layer_.subtracted, 1.6, rtol=1e-7)
    assert not layer_.fires_at_threshold


@pytest.mark.parametrize("changed", ["decrement", "threshold", "leak"])
def test_a_wrong_reading_is_found(changed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The obvious mistake (subtracting the threshold at once) and small ones are errors that name layer and timestep."""
    right = snntorch_parts.leaky

    def wrong(*arguments: Any) -> Neurons:
        part = right(*arguments)
        value = {"decrement": part.threshold, "threshold": part.threshold * 1.05, "leak": part.leak - 0.05}[changed]
        return replace(part, **{changed: value})

    monkeypatch.setattr(snntorch_parts, "leaky", wrong)
    refused(stepwise(leaky()), "layer '1'", "spikes differ in timestep", "|u - threshold|")


def test_entries_of_bntt_belong_to_the_timesteps_that_call_them() -> None:
    """Which entry is whose is in the user's forward alone: here the list is gone through backwards, and its end is used twice."""

    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense, self.norm, self.neurons = nn.Linear(16, 3), snn.BatchNormTT1d(3, 9), snn.Leaky(beta=0.9)
            for i, norm in enumerate(self.norm):
                nn.init.constant_(norm.weight, 1 + i)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            potential, sent = self.neurons.init_leaky(), []
            for t in range(len(x)):
                spikes, potential = self.neurons(self.norm[max(8 - t, 5)](self.dense(x[t].flatten(1))), potential)
                sent.append(spikes)
            return torch.stack(sent)

    norm = imported(Backwards()).network.layers[0].norm
    assert norm.kind == "bntt"
    np.testing.assert_array_equal(norm.gamma[:, 0], [9, 8, 7, 6, 6])


def test_a_list_of_static_norms_is_not_bntt() -> None:
    norms = nn.ModuleList([nn.BatchNorm1d(12), nn.BatchNorm1d(3)])

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norms, self.neurons = norms, nn.ModuleList([leaky(), leaky()])
            self.dense = nn.ModuleList([nn.Linear(16, 12), nn.Linear(12, 3)])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.flatten(1)
            for dense, norm, neurons in zip(self.dense, self.norms, self.neurons, strict=True):
                x = neurons(norm(dense(x)))
            return x

    network = imported(Two()).network
    assert [layer_.norm.kind for layer_ in network.layers] == ["bn", "bn"]
    assert [layer_.name for layer_ in network.layers] == ["dense.0", "dense.1"]


def test_an_image_that_the_module_holds_itself() -> None:
    class Held(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense, self.neurons = nn.Linear(16, 3), snn.Leaky(beta=0.8)

        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            current, potential = self.dense(image.flatten(1)), self.neurons.init_leaky()
            sent = []
            for _ in range(T):
                spikes, potential = self.neurons(current, potential)
                sent.append(spikes)
            return torch.stack(sent), potential

    assert imported(Held(), forward="image").rates[0] > 0
    refused(Held(), "forward", "failed on an input of", forward="sequence")
    ternary = InputCoding(shape=(1, 4, 4), coding="ternary", mean=0.0, std=1.0, scale=1.0, payload_bits=2, seed=0)
    with pytest.raises(SourceError, match=r"forward: 'image'.*'ternary'"):
        import_module(Held(), coding=ternary, timesteps=T, forward="image")


def test_readouts() -> None:
    behind = nn.Sequential(*stepwise(leaky()), nn.Linear(12, 3))
    assert imported(behind).network.readout == "potential"
    integrating = nn.Sequential(*stepwise(leaky()), nn.Linear(12, 3), leaky(beta=0.7, reset_mechanism="none", output=True))
    last = imported(integrating, readout="potential").network.layers[-1]
    assert last.reset == "none"
    np.testing.assert_allclose(last.leak, 0.7, rtol=1e-6)
    counted = imported(integrating).network
    assert (counted.readout, counted.layers[-1].reset, float(counted.layers[-1].subtracted[0])) == ("spike_count", "soft", 0.0)
    refused(behind, "no neurons whose spikes could be counted", readout="spike_count")
    refused(stepwise(leaky()), "its neurons are reset", readout="potential")


@pytest.mark.parametrize(
    ("neurons", "words"),
    [
        (lambda: leaky(inhibition=True), ("inhibition", "must be False")),
        (lambda: leaky(state_quant=lambda x: x.round()), ("state_quant", "must be False")),
        (lambda: leaky(graded_spikes_factor=2.0), ("graded_spikes_factor: 2.0", "must be 1")),
        (lambda: leaky(beta=0.0), ("beta: 0", "must be above 0")),
        (lambda: leaky(threshold=-0.5), ("threshold: -0.5", "at least 0")),
        (lambda: leaky(reset_delay=False), ("reset_delay: False", "channel", "above (2 - beta) threshold = 1.1")),
        (lambda: leaky(spike_grad=torch.sigmoid), ("its surrogate fires with", "a step from 0 to 1 at 0")),
        (lambda: snn.Synaptic(alpha=0.9, beta=0.8, init_hidden=True), ("snntorch.Synaptic", "synaptic current", "use Leaky")),
        (lambda: snn.Lapicque(beta=0.9, init_hidden=True), ("snntorch.Lapicque", "next input")),
        (lambda: neuron.LIFNode(v_reset=None, surrogate_function=nn.Sigmoid()), ("its surrogate fires with",)),
        (lambda: neuron.KLIFNode(), ("spikingjelly.KLIFNode", "use LIFNode")),
        (lambda: neuron.EIFNode(), ("spikingjelly.EIFNode", "ParametricLIFNode")),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Inhibition")
def test_neurons_that_are_refused(neurons: Callable[[], nn.Module], words: tuple[str, ...]) -> None:
    refused(stepwise(neurons()), *words)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([nn.Conv2d(1, 2, 2, dilation=2)], ("dilation", "must be 1")),
        ([nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular")], ("padding_mode: 'circular'",)),
        ([nn.Conv2d(1, 2, 3, padding=(1, 0))], ("padding: (1, 0)", "same in both directions")),
        ([nn.Conv2d(1, 2, 3, padding="same")], ("padding: 'same'",)),
        ([nn.MaxPool2d(2), nn.Conv2d(1, 2, 1)], ("torch.MaxPool2d", "use AvgPool2d")),
        ([nn.AvgPool2d(3, 1), nn.Conv2d(1, 2, 1)], ("kernel_size 3, stride 1",)),
        ([nn.Conv2d(1, 2, 1), nn.AvgPool2d(2)], ("1 (torch.AvgPool2d): it cannot stand here", "in this order")),
        ([nn.BatchNorm2d(1), nn.Conv2d(1, 2, 1)], ("0 (torch.BatchNorm2d): it cannot stand here",)),
        ([nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, track_running_stats=False)], ("track_running_stats is False",)),
        ([nn.Conv2d(1, 2, 1), nn.ReLU()], ("torch.ReLU", "nothing in a float network is the same")),
    ],
)
def test_layers_that_are_refused(parts: list[nn.Module], words: tuple[str, ...]) -> None:
    refused(nn.Sequential(*parts, leaky()), *words)


def test_what_happens_between_modules_is_seen() -> None:
    class Functional(nn.Module):
        def __init__(self, between: Callable[[torch.Tensor], torch.Tensor], twice: bool = False) -> None:
            super().__init__()
            self.conv, self.neurons, self.dense = nn.Conv2d(1, 2, 1), leaky(threshold=0.1), nn.LazyLinear(3)
            self.last, self.between, self.twice = leaky(threshold=0.1), between, twice
            self(torch.zeros(1, 1, 4, 4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            spikes = self.neurons(self.conv(x))
            out = self.dense(self.between(spikes).flatten(1))
            return self.last(self.last(out)) if self.twice else self.last(out) * 1.0

    assert imported(Functional(lambda x: x)).network.readout == "spike_count"
    refused(
        Functional(lambda x: nn.functional.max_pool2d(x, 2)), "dense (torch.Linear): it receives something else than what neurons sends", "[2, 4, 4]"
    )
    refused(Functional(lambda x: 1 - x), "dense (torch.Linear): it receives something else")
    refused(Functional(lambda x: x, twice=True), "last (snntorch.Leaky): it was called 10 times in 5 timesteps")


def test_scores_that_are_not_what_the_last_part_sends() -> None:
    class Scored(nn.Module):
        def __init__(self, made: Callable[[torch.Tensor], Any]) -> None:
            super().__init__()
            self.chain, self.made = stepwise(leaky()), made

        def forward(self, x: torch.Tensor) -> Any:
            return self.made(torch.stack([self.chain(step) for step in x]))

    for made in (lambda s: s, lambda s: s.sum(0), lambda s: s.mean(0), lambda s: (s.sum(0), "more")):
        assert imported(Scored(made), forward="sequence").compared == (8 * T * 12,)
    refused(Scored(lambda s: s.sum(0) * torch.arange(12)), "its forward returns [8, 12]", "sum or mean", forward="sequence")
    refused(Scored(lambda s: None), "its forward returns no tensor", forward="sequence")


def test_too_few_entries_of_bntt_are_an_error_of_the_run() -> None:
    module = nn.Sequential(layer.Flatten(), layer.Linear(16, 3), layer.BatchNormThroughTime1d(T - 1, 3), neuron.LIFNode())
    refused(module, "its forward failed", "IndexError")
    functional.set_step_mode(module, "m")
    refused(module, "its forward failed")


def test_the_module_is_left_as_it_was() -> None:
    module = stepwise(leaky()).train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    module(torch.rand(2, 1, 4, 4)).sum()  # Its state holds a graph, which cannot be copied.
    imported(module)
    assert module.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert module[1].weight.dtype == torch.float32


def test_a_module_that_cannot_be_copied() -> None:
    module = stepwise(leaky())
    module.kept = module[1].weight * 2  # It holds a graph.
    refused(module, "Sequential: it cannot be copied", "RuntimeError")
    refused(nn.Sequential(nn.Flatten(), nn.LazyLinear(3), leaky()), "1.weight: it has no values yet")


def test_containers_of_spikingjelly() -> None:
    """Weights of all timesteps at once, [T N, ...], neurons of all, [T, N, ...], and parts that are called timestep by timestep."""
    together = layer.SeqToANNContainer(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3))
    single = layer.MultiStepContainer(nn.Flatten(), nn.Linear(12, 3), neuron.IFNode())
    module = nn.Sequential(together, neuron.LIFNode(v_threshold=0.2, step_mode="m"), single)
    result = imported(module)
    assert (result.forward, [layer_.name for layer_ in result.network.layers]) == ("sequence", ["0.0", "2.1"])
    assert result.rates[0] > 0


def test_as_many_samples_as_timesteps_or_one() -> None:
    for timesteps, samples in ((8, 8), (1, 1), (3, 3), (2, 9)):
        events = random_events(np.random.default_rng(1), CODING, timesteps, samples)
        result = import_module(stepwise(leaky()), coding=CODING, timesteps=timesteps, events=events)
        assert result.compared == ((8 + samples) * timesteps * 12,)
