"""The export is the module: spike for spike in float64, and what is no chain is refused."""

import numpy as np
import pytest
import torch
from torch import nn

from spikefold.quantize.float_evaluation import evaluate
from spikefold.train.errors import RecipeError, TrainError
from spikefold.train.modules.export import to_float_network
from spikefold.train.modules.layers import AveragePool, Conv2d, Dense, Integrate, SpikeCount, Synapses
from spikefold.train.modules.network import SpikingNetwork, build_network, events_to_input
from spikefold.train.modules.neurons import LIF
from spikefold.train.modules.norm import BNTT, BatchNorm, CurrentNorm
from spikefold.train.recipes.recipe import parse_recipe
from tests.train.chains import CLASS_NAMES, TIMESTEPS, chain, coding, spikes_of
from tests.train.recipes import recipe_text


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("readout", ["potential", "spike_count"])
@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("name", ["dense", "conv", "pooled"])
def test_export_equals_module_spike_for_spike(name: str, reset: str, readout: str, seed: int) -> None:
    network, shape = chain(name, reset, readout, seed)
    code = coding(shape)
    exported = to_float_network(network, coding=code, class_names=CLASS_NAMES)
    events = np.random.default_rng(seed).integers(-7, 8, (20, TIMESTEPS, *shape), dtype=np.int8)
    spikes, scores = spikes_of(network, events_to_input(events, code.scale, torch.float64))
    trace = evaluate(exported, events)
    for got, expected in zip(spikes, trace.spikes, strict=readout == "spike_count"):
        np.testing.assert_array_equal(got, expected)
    assert any(0.02 < s.mean() < 0.98 for s in spikes), "a silent network proves nothing"
    if readout == "potential":
        assert not trace.spikes[-1].any()
        assert (exported.layers[-1].reset, exported.layers[-1].leak) == ("none", 1.0)
        np.testing.assert_allclose(scores * TIMESTEPS, trace.scores, rtol=1e-10, atol=1e-10)
        np.testing.assert_array_equal(scores.argmax(1), trace.scores.argmax(1))
    else:
        np.testing.assert_array_equal(scores, trace.scores)


def test_float32_parameters_are_exported_exactly() -> None:
    network = SpikingNetwork(Dense(4, 3, name="only"), BatchNorm(3), Integrate(), timesteps=2)
    layer = to_float_network(network, coding=coding((1, 2, 2)), class_names=CLASS_NAMES, provenance={"by": "test"}).layers[0]
    assert layer.name == "only"
    np.testing.assert_array_equal(layer.weights.astype(np.float32), network.chain[0].weight.detach().numpy())
    assert network.training, "the export must not change the module's mode"


class Own(nn.Module):
    """A user's module, with parts nested as they please."""

    def __init__(self, twice: bool = False) -> None:
        super().__init__()
        self.timesteps = TIMESTEPS
        self.body = nn.Sequential(Conv2d(1, 4, 3), BNTT(4, TIMESTEPS), LIF(), AveragePool(2))
        self.head = nn.ModuleDict({"weights": Dense(4, 3), "readout": Integrate()})
        self.twice = twice

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = self.head["readout"](self.head["weights"](self.body(x)))
        return scores * 2 if self.twice else scores


def test_own_module_is_exported_and_held_to_its_chain() -> None:
    torch.manual_seed(0)
    network = to_float_network(Own(), coding=coding((1, 4, 4)), class_names=CLASS_NAMES)
    assert [layer.name for layer in network.layers] == ["conv1", "dense2"]
    assert network.layers[1].pool == 2
    with pytest.raises(TrainError, match=r"its scores differ by .* must apply them in the order in which they are registered"):
        to_float_network(Own(twice=True), coding=coding((1, 4, 4)), class_names=CLASS_NAMES)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([Dense(4, 3)], "no readout"),
        ([Dense(4, 3), LIF()], "no readout"),
        ([LIF(), Integrate()], r"network chain.0 \(LIF\): it cannot stand here"),
        ([Dense(4, 4), AveragePool(2), LIF(), Dense(4, 3), Integrate()], r"chain.1 \(AveragePool\): it cannot stand here"),
        ([Dense(4, 4), Dense(4, 3), Integrate()], r"chain.1 \(Dense\): it cannot stand here"),
        ([Dense(4, 3), BatchNorm(3), BNTT(3, 2), Integrate()], r"chain.2 \(BNTT\): it cannot stand here"),
        ([Dense(4, 3), SpikeCount()], r"chain.1 \(SpikeCount\): it cannot stand here"),
        ([Dense(4, 3), Integrate(), nn.Dropout(), LIF()], r"chain.3 \(LIF\): nothing may follow the readout"),
        ([nn.Linear(4, 3), Integrate()], r"chain.0 \(Linear\): it cannot stand here"),
        ([Dense(4, 3), nn.ReLU(), Integrate()], r"chain.2 \(Integrate\): it cannot stand here"),
    ],
)
def test_what_is_no_chain_is_refused_by_place(parts: list[nn.Module], words: str) -> None:
    with pytest.raises(TrainError, match=words):
        to_float_network(SpikingNetwork(*parts, timesteps=2), coding=coding((1, 2, 2)), class_names=CLASS_NAMES)


def test_module_without_timesteps_is_refused() -> None:
    with pytest.raises(TrainError, match="Sequential has no attribute timesteps"):
        to_float_network(nn.Sequential(Dense(4, 3), Integrate()), coding=coding((1, 2, 2)), class_names=CLASS_NAMES)
    with pytest.raises(TrainError, match=r"shape \[3, 1, 1, 2, 2\]; \[2, N, C, H, W\], or 1 in place of 2, is expected"):
        SpikingNetwork(Dense(4, 3), Integrate(), timesteps=2)(torch.zeros(3, 1, 1, 2, 2))


@pytest.mark.parametrize("norm", ["none", "bn", "bntt"])
@pytest.mark.parametrize("readout", ["potential", "spike_count"])
def test_recipe_builds_the_chain_it_says(norm: str, readout: str) -> None:
    text = recipe_text(readout=readout, norm=norm)
    network = to_float_network(build_network(parse_recipe(text, "r")), coding=parse_recipe(text, "r").input, class_names=tuple("0123456789"))
    assert network.shapes() == ((4, 8, 8), (6, 1, 1), (10, 1, 1))
    assert [layer.name for layer in network.layers] == ["first", "dense2", "dense3"]
    assert [layer.pool for layer in network.layers] == [1, 2, 1]
    assert [layer.norm.kind for layer in network.layers] == [norm, norm, "none" if readout == "potential" else norm]
    assert network.readout == readout


def test_recipe_whose_readout_is_a_map_is_refused() -> None:
    text = (
        recipe_text()
        .replace('kind = "dense"\nout = 6\npool = 2', 'kind = "conv2d"\nout = 6')
        .replace('kind = "dense"\nout = 10', 'kind = "conv2d"\nout = 10')
    )
    with pytest.raises(RecipeError, match=r"layers\[2\]: the readout has the shape \(10, 8, 8\)"):
        build_network(parse_recipe(text, "r"))


def test_tdbn_starts_at_alpha_times_the_threshold() -> None:
    text = recipe_text(norm="tdbn").replace("leak = 0.9", "leak = 0.9\nthreshold = 4.0").replace('kind = "tdbn"', 'kind = "tdbn"\nalpha = 0.5')
    gammas = [part.gamma for part in build_network(parse_recipe(text, "recipe")).modules() if isinstance(part, CurrentNorm)]
    assert len(gammas) == 2
    assert all((gamma == 2.0).all() for gamma in gammas)


@pytest.mark.parametrize("kind", ["bntt", "bn", "psp-bn", "psp-ln"])
def test_potentials_stay_float32_under_autocast(kind: str) -> None:
    """Whatever a product of half precision goes into widens it: neurons, norms, the sums of the readout."""
    text = recipe_text(norm=kind) if kind.startswith("b") else recipe_text(norm=kind).replace("leak = 0.9", 'kind = "srm"\ntau_s = 2.0')
    network = build_network(parse_recipe(text.replace('name = "first"', 'name = "first"\nneuron = "relu"') if kind == "bn" else text, "recipe"))
    seen: set[torch.dtype] = set()
    for part in network.chain:
        if not isinstance(part, Synapses | nn.ReLU):
            part.register_forward_hook(lambda module, args, output: seen.add(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        scores = network(torch.rand(3, 4, 1, 8, 8))
    assert seen == {torch.float32}
    scores.sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters() if parameter.grad is not None)
