"""Costs of networks small enough to count by hand, and of VGG9 by the paper's formula."""

import copy
import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from spikefold.train.errors import TrainError
from spikefold.train.modules.layers import AveragePool, Conv2d, Dense, Integrate, SpikeCount
from spikefold.train.modules.network import SpikingNetwork
from spikefold.train.modules.neurons import LIF
from spikefold.train.modules.norm import BNTT
from spikefold.train.modules.psp_norm import PSPNorm
from spikefold.train.modules.srm import PSP, SRM
from spikefold.train.modules.stdp_features import StdpFeatures, StdpLayer
from spikefold.train.modules.stochmax import Stochmax
from spikefold.train.recipes.stdp_settings import StdpSettings, StdpStage
from spikefold.train.runs.energy import ENERGY_TABLES, EnergyTable
from spikefold.train.runs.measures import Measures, measure
from tests.train.chains import TIMESTEPS, chain, spikes_of

INT32, FLOAT32 = ENERGY_TABLES
PASSES_ON = 2.0
"""A weight with which a neuron without memory sends what it receives: 2 * spike > 1."""


def relay(size: int, out: int | None = None) -> Dense:
    """Weights from each of ``size`` neurons to the neuron of the same number."""
    layer = Dense(size, out or size)
    with torch.no_grad():
        layer.weight.copy_(PASSES_ON * torch.eye(out or size, size))
    return layer


def memoryless() -> LIF:
    return LIF(leak=0.0)


def rows(*steps: list[float]) -> torch.Tensor:
    """One sample, [T, 1, C, 1, 1]."""
    return torch.tensor(steps)[:, None, :, None, None]


def spikes(steps: int, count: int, shape: tuple[int, int, int], rate: float = 0.3, seed: int = 0) -> torch.Tensor:
    return (torch.rand(steps, count, *shape, generator=torch.Generator().manual_seed(seed)) < rate).float()


def sources(measures: Measures) -> list[bool]:
    return [layer.spiking_input for layer in measures.layers]


def test_two_dense_layers_by_hand() -> None:
    network = SpikingNetwork(relay(2), memoryless(), relay(2, 3), Integrate(), timesteps=2)
    measures = measure(network, [rows([1.0, 0.0], [1.0, -1.0])])
    first, second = measures.layers
    assert (first.name, first.kind, first.input_neurons, first.output_neurons, first.weights) == ("dense1", "dense", 2, 2, 4)
    assert (first.positions, first.passes, first.input_activity, first.operations) == (4, 2, 0.75, 6.0)
    assert (second.place, second.positions, second.passes, second.input_activity, second.operations) == (2, 6, 2, 0.5, 6.0)
    (population,) = measures.neurons
    assert (population.place, population.name, population.kind, population.neurons) == (1, "dense1", "lif", 2)
    # The neuron of the element -1 does not fire.
    assert (population.rates, population.firing_rate, population.spikes, measures.spikes) == ((0.5, 0.5), 0.5, 2.0, 2.0)
    assert (measures.flops_ann, measures.flops_snn, measures.flops_snn_per_timestep, measures.samples) == (10, 12.0, 6.0, 1)
    # 10 MAC against 12 AC.
    for table, ann, snn in ((INT32, 32.0, 1.2), (FLOAT32, 46.0, 10.8)):
        estimate = measures.estimate(table)
        found = (estimate.estimated_ann_pj, estimate.estimated_snn_pj, estimate.efficiency, estimate.spiking_efficiency)
        assert found == pytest.approx((ann, snn, ann / snn, ann / snn))


def vgg9() -> SpikingNetwork:
    parts: list[nn.Module] = []
    channels = 3
    for out in (64, 64, 0, 128, 128, 0, 256, 256, 256):
        if out:
            parts += [Conv2d(channels, out, 3, padding=1), memoryless()]
            channels = out
        else:
            parts.append(AveragePool(2))
    return SpikingNetwork(*parts, AveragePool(2), Dense(4096, 1024), memoryless(), Dense(1024, 10), Integrate(), timesteps=2)


def test_vgg9_has_its_published_size() -> None:
    measures = measure(vgg9(), [spikes(2, 1, (3, 32, 32), 0.5)])
    assert sum(layer.weights for layer in measures.layers) == measures.parameters.unique == measures.parameters.logical == 5_938_880
    convolutions = [(32, 3, 64), (32, 64, 64), (16, 64, 128), (16, 128, 128), (8, 128, 256), (8, 256, 256), (8, 256, 256)]
    by_formula = [o**2 * n * 3**2 * m for o, n, m in convolutions]
    assert [layer.positions for layer in measures.layers] == [*by_formula, 4096 * 1024, 10240]
    assert measures.flops_ann == 194_717_696
    assert [population.neurons for population in measures.neurons] == [o * o * m for o, _, m in convolutions] + [1024]
    assert [layer.name for layer in measures.layers] == [*(f"conv{i}" for i in range(1, 8)), "dense8", "dense9"]
    assert measures.neurons[0].spikes > 0


@pytest.mark.parametrize(("table", "ratio"), [(INT32, 32.0), (FLOAT32, 4.6 / 0.9)])
def test_efficiency_of_an_all_spiking_network_follows_from_its_activity(table: EnergyTable, ratio: float) -> None:
    torch.manual_seed(1)
    network = SpikingNetwork(
        Conv2d(2, 6, 3, padding=1), LIF(), AveragePool(2), Conv2d(6, 5, 2, stride=2), LIF(), Dense(20, 3), LIF(), SpikeCount(), timesteps=4
    )
    measures = measure(network, [spikes(4, 8, (2, 9, 9))])
    assert sources(measures) == [True] * 3
    activities = [layer.input_activity for layer in measures.layers]
    assert len(set(activities)) == 3
    assert min(activities) > 0
    estimate = measures.estimate(table)
    assert estimate.efficiency == pytest.approx(ratio / (np.average(activities, weights=[81 * 108, 4 * 120, 60]) * 4))
    assert measures.input_activity == pytest.approx(np.average(activities, weights=[81 * 108, 4 * 120, 60]))
    assert estimate.spiking_efficiency == pytest.approx(estimate.efficiency)


@pytest.mark.parametrize("name", ["dense", "conv", "pooled"])
def test_rates_are_those_of_the_spikes(name: str) -> None:
    network, shape = chain(name, "soft", "spike_count", seed=3)
    x = spikes(TIMESTEPS, 7, shape).double()
    seen, _ = spikes_of(network, x)
    measures = measure(network, [x[:, :2], x[:, 2:]])
    assert measures.samples == 7
    assert any(0.02 < s.mean() < 0.98 for s in seen), "a silent network proves nothing"
    for population, expected in zip(measures.neurons, seen, strict=True):
        np.testing.assert_allclose(population.rates, expected.mean((0, 2, 3, 4)))
        assert population.spikes == pytest.approx(expected.sum() / 7)
    for layer, before in zip(measures.layers[1:], seen[:-1], strict=True):
        side = 1 if layer.input_neurons == before[0, 0].size else 2
        pooled = functional.avg_pool2d(torch.from_numpy(before.astype(np.float64)).flatten(0, 1), side)
        assert layer.input_activity == pytest.approx(float((pooled > 0).double().mean()))


def test_pooled_spikes_are_counts_of_which_each_is_one_operation() -> None:
    network = SpikingNetwork(AveragePool(2), Dense(2, 3), Integrate(), timesteps=1)
    x = torch.zeros(1, 1, 2, 2, 2)
    x[0, 0, 0] = 1.0
    (layer,) = measure(network, [x]).layers
    assert (layer.spiking_input, layer.input_neurons, layer.input_activity, layer.operations) == (True, 2, 0.5, 3.0)


def test_relu_layers_and_a_held_input_take_macs() -> None:
    """A hybrid network: what comes before the first spikes runs once, and the last layer, behind ReLU neurons again, in every timestep."""
    torch.manual_seed(0)
    network = SpikingNetwork(
        Conv2d(1, 2, 3),
        nn.ReLU(),
        Conv2d(2, 3, 1),
        LIF(threshold=0.1),
        AveragePool(2),
        Dense(12, 5),
        nn.ReLU(),
        Dense(5, 2),
        Integrate(),
        timesteps=3,
    )
    measures = measure(network, [torch.rand(1, 4, 1, 6, 6)])
    assert [layer.positions for layer in measures.layers] == [288, 96, 60, 10]
    assert sources(measures) == [False, False, True, False]
    assert [layer.passes for layer in measures.layers] == [1, 1, 3, 3]
    activity = measures.layers[2].input_activity
    assert activity > 0
    assert measures.flops_snn == pytest.approx(288 + 96 + 3 * 60 * activity + 3 * 10)
    estimate = measures.estimate(INT32)
    assert estimate.estimated_snn_pj == pytest.approx((288 + 96 + 30) * 3.2 + 180 * activity * 0.1)
    assert estimate.efficiency == pytest.approx(454 * 3.2 / estimate.estimated_snn_pj)
    assert estimate.spiking_efficiency == pytest.approx(32 / (3 * activity))
    assert measures.input_activity == activity
    assert len(measures.neurons) == 1


@pytest.mark.parametrize(
    ("x", "spiking", "passes"),
    [
        (rows([1.0, 0.0], [0.0, -1.0]), True, 2),
        (rows([3.0, 0.0], [0.0, 1.0]), True, 2),
        (rows([1.0, 0.5], [0.0, 1.0]), False, 2),
        (rows([1.0, 0.0]), False, 1),
    ],
)
def test_what_the_input_must_be_to_count_as_spikes(x: torch.Tensor, spiking: bool, passes: int) -> None:
    (layer,) = measure(SpikingNetwork(Dense(2, 2), Integrate(), timesteps=2), [x.clone(), x]).layers
    assert (layer.spiking_input, layer.passes) == (spiking, passes)


def test_one_graded_batch_makes_the_input_graded() -> None:
    graded = rows([0.5, 0.0], [0.0, 1.0])
    network = SpikingNetwork(Dense(2, 2), Integrate(), timesteps=2)
    for batches in ([graded, graded.round()], [graded.round(), graded]):
        assert sources(measure(network, batches)) == [False]


@pytest.mark.parametrize("norm", [[], [PSPNorm(2, "bn")], [PSPNorm(2, "ln")], [PSPNorm(2, "bn", "centred"), nn.Dropout()]])
def test_weights_behind_a_psp_receive_its_spikes(norm: list[nn.Module]) -> None:
    network = SpikingNetwork(PSP(), *norm, relay(2), SRM(threshold=0.1), PSP(), Dense(2, 3), Integrate(), timesteps=4)
    # The potential of the first neuron is above 0 in all timesteps after the first.
    x = rows([1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [1.0, 0.0])
    measures = measure(network, [x])
    assert sources(measures) == [True, True]
    assert (measures.layers[0].input_activity, measures.layers[0].passes, measures.layers[0].input_neurons) == (2 / 8, 4, 2)
    (population,) = measures.neurons
    assert population.kind == "srm"
    assert 0 < population.firing_rate < 1
    assert measures.layers[1].input_activity == pytest.approx(population.firing_rate)


@pytest.mark.parametrize("between", [[AveragePool(1)], [nn.ReLU()], [PSP()]])
def test_what_else_stands_behind_a_psp_makes_its_output_real(between: list[nn.Module]) -> None:
    network = SpikingNetwork(PSP(), *between, Dense(2, 2), Integrate(), timesteps=2)
    (layer,) = measure(network, [rows([1.0, 0.0], [0.0, 1.0])]).layers
    assert not layer.spiking_input


def test_a_psp_of_graded_input_is_real() -> None:
    (layer,) = measure(SpikingNetwork(PSP(), Dense(2, 2), Integrate(), timesteps=3), [torch.full((1, 1, 2, 1, 1), 0.5)]).layers
    assert (layer.spiking_input, layer.passes) == (False, 3)


def test_sums_of_spikes_are_counts_and_sums_with_anything_else_are_not() -> None:
    parts = [relay(2), memoryless(), relay(2), memoryless(), Dense(2, 2), Integrate()]
    x = rows([1.0, 0.0], [0.0, 0.0])
    added = measure(SpikingNetwork(*parts, timesteps=2, adds={3: 1}), [x])
    # The first neuron's two spikes are one count.
    assert sources(added) == [True, True, True]
    assert added.layers[2].input_activity == 0.25
    assert added.neurons[1].rates == (0.5, 0.0)
    assert sources(measure(SpikingNetwork(*parts, timesteps=2, adds={3: 0}), [x])) == [True, True, False]
    filtered = SpikingNetwork(relay(2), memoryless(), PSP(), Dense(2, 2), Integrate(), timesteps=2, adds={2: 1})
    assert sources(measure(filtered, [x])) == [True, False]
    # What is added to a current goes into the neurons, whose output is spikes.
    assert sources(measure(SpikingNetwork(*parts, timesteps=2, adds={2: 1}), [x])) == [True, True, True]


def test_shared_weights_are_counted_in_every_run() -> None:
    torch.manual_seed(2)
    shared, neurons = Conv2d(4, 4, 3, padding=1, bias=True), LIF(threshold=0.6)
    twice = SpikingNetwork(
        Conv2d(1, 4, 3, padding=1, name="stem"), LIF(), shared, neurons, shared, neurons, Dense(100, 3), Integrate(), timesteps=TIMESTEPS
    )  # fmt: skip
    separate = SpikingNetwork(*(copy.deepcopy(part) for part in twice.chain), timesteps=TIMESTEPS)
    batches = [spikes(TIMESTEPS, 3, (1, 5, 5), seed=seed) for seed in (0, 1)]
    measures, apart = measure(twice, batches), measure(separate, batches)
    assert [(layer.name, layer.run) for layer in measures.layers] == [("stem", 1), ("conv2", 1), ("conv2", 2), ("dense4", 1)]
    assert [(population.name, population.run) for population in measures.neurons] == [("stem", 1), ("conv2", 1), ("conv2", 2)]
    assert [layer.input_activity for layer in measures.layers] == [layer.input_activity for layer in apart.layers]
    assert [population.rates for population in measures.neurons] == [population.rates for population in apart.neurons]
    assert measures.neurons[1].rates != measures.neurons[2].rates
    assert (apart.parameters.unique, apart.parameters.logical) == (36 + 2 * 148 + 300, 36 + 2 * 148 + 300)
    assert (measures.parameters.unique, measures.parameters.logical) == (36 + 148 + 300, 36 + 2 * 148 + 300)
    assert measures.parameters.compression == pytest.approx(632 / 484)
    assert measures.flops_snn == apart.flops_snn > 0


def test_stochmax_counts_the_two_branches_of_inference() -> None:
    network = SpikingNetwork(relay(2), memoryless(), Stochmax(2, 3), timesteps=2)
    measures = measure(network, [rows([1.0, 0.0], [1.0, 1.0])])
    last = measures.layers[1]
    assert (last.name, last.kind, last.weights, last.positions, last.passes, last.output_neurons) == ("stochmax2", "stochmax", 12, 12, 2, 3)
    assert (last.spiking_input, last.input_activity) == (True, 0.75)
    assert measures.parameters.unique == 4 + 2 * 9


def test_a_silent_network_has_no_efficiency() -> None:
    measures = measure(SpikingNetwork(Dense(2, 2), Integrate(), timesteps=2), [torch.zeros(2, 1, 2, 1, 1)])
    estimate = measures.estimate(INT32)
    assert (estimate.estimated_snn_pj, estimate.efficiency, estimate.spiking_efficiency, measures.input_activity) == (0, None, None, 0)


def test_figures_are_plain_json() -> None:
    network = SpikingNetwork(relay(2), memoryless(), nn.Dropout(), relay(2, 3), Integrate(), timesteps=2)
    figures = measure(network, [rows([1.0, 0.0], [1.0, -1.0])]).to_dict()
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert (figures["flops_snn"], figures["parameters"]) == (12.0, {"unique": 10, "logical": 10, "compression": 1.0})
    assert [estimate["table"]["name"] for estimate in figures["energy"]] == ["int32", "float32"]
    assert figures["energy"][0]["estimated_snn_pj"] == pytest.approx(1.2)
    assert (figures["layers"][1]["operations"], figures["neurons"][0]["rates"], figures["neurons"][0]["spikes"]) == (6.0, [0.5, 0.5], 2.0)


def hooks(module: nn.Module) -> int:
    return sum(len(part._forward_hooks) for part in module.modules())


@pytest.mark.parametrize("fails", [False, True])
def test_the_module_is_left_as_it_was(fails: bool) -> None:
    network = SpikingNetwork(Dense(2, 2), BNTT(2, 2), LIF(), nn.Dropout(), Dense(2, 3), Integrate(), timesteps=2)
    network.chain[3].eval()
    modes, state = [part.training for part in network.modules()], copy.deepcopy(network.state_dict())
    seen = []

    def batches() -> Iterator[torch.Tensor]:
        yield spikes(2, 3, (2, 1, 1))
        seen.append((hooks(network), network.training, torch.is_grad_enabled()))
        if fails:
            raise KeyError("no more")

    if fails:
        with pytest.raises(KeyError, match="no more"):
            measure(network, batches())
    else:
        measure(network, batches())
    assert seen == [(3, False, False)]
    assert hooks(network) == 0
    assert torch.is_grad_enabled()
    assert [part.training for part in network.modules()] == modes
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, state[name])


def test_what_cannot_be_measured_is_refused() -> None:
    network = SpikingNetwork(Dense(2, 2), LIF(), Dense(2, 3), Integrate(), timesteps=2)
    for batches in ([], [torch.zeros(2, 0, 2, 1, 1)]):
        with pytest.raises(TrainError, match="there are no samples; at least 1 is needed"):
            measure(network, batches)
    with pytest.raises(TrainError, match=r"a batch of shape \[1, 3, 2, 1, 1\]; all must be as the first but for N, \[2, 2, 1, 1\] without it"):
        measure(network, [torch.zeros(2, 1, 2, 1, 1), torch.zeros(1, 3, 2, 1, 1)])
    with pytest.raises(TrainError, match=r"network input: shape \[3, 1, 2, 1, 1\]"):
        measure(network, [torch.zeros(3, 1, 2, 1, 1)])
    with pytest.raises(TrainError, match=r"chain.0 \(Linear\) has parameters; only Conv2d, Dense and Stochmax can be counted"):
        measure(SpikingNetwork(nn.Linear(1, 1), Dense(1, 1), Integrate(), timesteps=2), [torch.zeros(2, 1, 1, 1, 1)])
    assert hooks(network) == 0
    with pytest.raises(TrainError, match="energy table 'free', ac_pj: 0; it must be above 0 and finite"):
        EnergyTable(name="free", mac_pj=1.0, ac_pj=0)


def test_layers_learned_by_stdp_are_counted_in_every_run() -> None:
    """One stage of 1x1 kernels, run twice with its input added, of neurons without memory: spikes pass, and the second run gets counts."""
    settings = StdpSettings(stages=(StdpStage(out=1, kernel=1, threshold=1.0, unroll=2, residual=True),), leak=0.0, pool=1)
    features = StdpFeatures(settings, 1)
    features.fill([StdpLayer(stage=settings.stages[0], weight=torch.full((1, 1, 1, 1), PASSES_ON), threshold=torch.ones(2, 1))], 1.0)
    classifier = Dense(4, 3)
    network = SpikingNetwork(features, classifier, Integrate(), timesteps=TIMESTEPS)
    x = spikes(TIMESTEPS, 5, (1, 2, 2))
    found = measure(network, [x[:, :2], x[:, 2:]])
    share = float(x.mean())
    first, second, last = found.layers
    for run, layer in ((1, first), (2, second)):
        assert (layer.name, layer.run, layer.positions, layer.passes, layer.spiking_input) == ("stdp1", run, 4, TIMESTEPS, True)
        assert layer.input_activity == pytest.approx(share)
    assert (last.kind, last.passes, last.spiking_input) == ("dense", 1, False)
    assert [(n.name, n.run, n.neurons) for n in found.neurons] == [("stdp1", 1, 4), ("stdp1", 2, 4)]
    assert [n.rates for n in found.neurons] == [pytest.approx([float(now.mean()) for now in x])] * 2
    assert (found.parameters.unique, found.parameters.logical) == (1 + 12, 2 + 12)
    ac, mac = 2 * 4 * TIMESTEPS * share, 12
    energy = found.estimate(INT32)
    assert energy.estimated_snn_pj == pytest.approx(ac * 0.1 + mac * 3.2)
    assert energy.efficiency == pytest.approx((8 + 12) * 3.2 / (ac * 0.1 + mac * 3.2))
    assert energy.spiking_efficiency == pytest.approx(8 * 3.2 / (ac * 0.1))
    assert features.watch is None
