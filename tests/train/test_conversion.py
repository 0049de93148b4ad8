"""Conversion: the same function as the network of ReLU neurons, by thresholds that are what they are defined to be."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

import spikefold.train.methods.conversion as conversion
from spikefold.data.coding import InputCoding, encode
from spikefold.data.datasets import Dataset, load_dataset
from spikefold.train.errors import RecipeError, SilentLayerError, TrainError
from spikefold.train.methods.conversion import EventBatches, Histogram, ann_of, balance, convert
from spikefold.train.methods.training import fit, predict
from spikefold.train.modules.layers import AveragePool, Dense, Integrate
from spikefold.train.modules.network import SpikingNetwork, build_network
from spikefold.train.modules.neurons import LIF
from spikefold.train.modules.norm import BatchNorm
from spikefold.train.recipes.recipe import LayerRecipe, Recipe, parse_recipe

TEXT = """
name = "converted"
seed = 3
timesteps = 96
[data]
name = "digits"
[input]
shape = [1, 8, 8]
coding = "poisson"
mean = 0.0
std = 16.0
scale = 1.0
payload_bits = 2
seed = 9
[neuron]
kind = "if"
[norm]
kind = "none"
[conversion]
[[layers]]
kind = "dense"
out = 10
[train]
method = "conversion"
epochs = 6
batch_size = 32
optimizer = "adam"
learning_rate = 0.01
weight_decay = 0.0
init = "torch"
weight_scale = 2.0
"""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """For tensors as small as these, a second thread costs more than it does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def conv(name: str = "", **keys: Any) -> LayerRecipe:
    return LayerRecipe(kind="conv2d", out=8, kernel=3, padding=1, name=name, **keys)


def dense(out: int, name: str = "", **keys: Any) -> LayerRecipe:
    return LayerRecipe(kind="dense", out=out, name=name, **keys)


NETWORKS = {
    "vgg": (conv(), conv(pool=2), dense(16, pool=2), dense(10)),
    "backres": (conv(), conv("again", pool=2), conv(weights="again"), conv(weights="again"), dense(10, pool=2)),
    "residual": (conv("stem", pool=2), conv(), conv(add="stem"), conv(), conv(add="stem", add_from="output"), dense(10, pool=2)),
}


def recipe(*layers: LayerRecipe, **changes: Any) -> Recipe:
    return replace(parse_recipe(TEXT, "r"), layers=layers, **changes)


def random_ann(plan: Recipe, seed: int = 0) -> SpikingNetwork:
    """Weights that are eighths, so that all sums of them are exact in whatever order they are taken."""
    torch.manual_seed(seed)
    ann = build_network(ann_of(plan)).double()
    with torch.no_grad():
        for weight in ann.parameters():
            weight.copy_(torch.randint(-5, 8, weight.shape) / 8)
    return ann


def poisson(plan: Recipe, samples: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy((rng.random((plan.timesteps, samples, *plan.input.shape)) < 0.3).astype(np.int8))


def neurons(network: SpikingNetwork) -> list[LIF]:
    return [module for module in network.chain if isinstance(module, LIF)]


def spikes(network: SpikingNetwork, x: torch.Tensor) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    hooks = [population.register_forward_hook(lambda _, __, sent: found.append(sent)) for population in neurons(network)]
    with torch.no_grad():
        network(x)
    for hook in hooks:
        hook.remove()
    return found


# --- what it is for: the accuracy of the ReLU network, given time ---


@pytest.fixture(scope="module", params=["vgg", "backres"])
def trained(request: pytest.FixtureRequest) -> tuple[Recipe, SpikingNetwork]:
    plan = recipe(*NETWORKS[request.param])
    torch.manual_seed(0)
    ann = build_network(ann_of(plan))
    fit(ann, load_dataset("digits", "train"), ann_of(plan).input, ann_of(plan).train, timesteps=1, seed=plan.seed)
    return plan, ann


def test_accuracy_is_that_of_the_relu_network_given_time(trained: tuple[Recipe, SpikingNetwork]) -> None:
    plan, ann = trained
    train, test = load_dataset("digits", "train"), load_dataset("digits", "test")
    scores, labels = predict(ann, test, ann_of(plan).input, 1, np.arange(len(test)))
    expected = float((scores.argmax(1) == labels).double().mean())
    assert expected > 0.85
    network = convert(ann, plan)
    balance(network, EventBatches(dataset=train, coding=plan.input, timesteps=plan.timesteps, samples=tuple(range(32))))
    x = torch.from_numpy(encode(test.images, plan.input, plan.timesteps, range(len(test)))).transpose(0, 1).float()
    with torch.no_grad():
        sums = network.outputs(x).cumsum(0).flatten(2)
    accuracy = {t: float((sums[t - 1].argmax(1) == labels).double().mean()) for t in (4, plan.timesteps)}
    assert abs(accuracy[plan.timesteps] - expected) < 0.025
    assert accuracy[4] < expected - 0.3


@pytest.mark.parametrize(("name", "readout"), [("vgg", "potential"), ("vgg", "spike_count"), ("backres", "potential"), ("residual", "potential")])
def test_means_over_time_become_the_values_of_the_relu_network(name: str, readout: Any) -> None:
    plan = recipe(*NETWORKS[name], timesteps=1000, readout=readout)
    coding = ann_of(plan).input
    plan = replace(plan, input=coding)
    ann = random_ann(plan)
    image = torch.rand(1, 2, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    network = convert(ann, plan)
    thresholds = balance(network, [image])
    # The thresholds up to the readout are the unit; with residuals, only those along the path that is added last.
    scale = float(np.prod([thresholds[i] for i in ((0, 4) if name == "residual" else range(len(thresholds)))]))
    with torch.no_grad():
        mean, logits = network(image), ann(image)
    if readout == "spike_count":
        mean, logits = mean / plan.timesteps, logits.clamp(min=0)
    assert float((mean * scale - logits).abs().max()) < 0.02 * float(logits.abs().max())


# --- the thresholds are what they are defined to be ---


def smallest(values: npt.NDArray[Any], percentile: float) -> float:
    """The smallest value that is no smaller than this share of all of them."""
    ordered = np.sort(np.maximum(values, 0), axis=None)
    return float(ordered[math.ceil(round(len(ordered) * percentile / 100, 6)) - 1])


def oracle(ann: SpikingNetwork, x: npt.NDArray[np.float64], percentile: float) -> tuple[list[float], list[npt.NDArray[np.float64]]]:
    """Thresholds and spikes [T, N, neurons] of dense layers, one after the other, all timesteps held, straight from the definition."""
    thresholds, sent = [], []
    steps, samples = x.shape[:2]
    arriving = x.reshape(steps, samples, -1)
    for weights in [module.weight.detach().numpy() for module in ann.chain if isinstance(module, Dense)][:-1]:
        currents = np.array([[weights @ arriving[t, n] for n in range(samples)] for t in range(steps)])
        threshold = smallest(currents, percentile)
        potential, arriving = np.zeros_like(currents[0]), np.zeros_like(currents)
        for t in range(steps):
            potential = potential + currents[t]
            arriving[t] = potential > threshold
            potential = np.where(potential > threshold, potential - threshold, potential)
        thresholds.append(threshold)
        sent.append(arriving)
    return thresholds, sent


@pytest.mark.parametrize(("percentile", "piece"), [(100.0, 1), (100.0, 1000), (100.0, 1 << 20), (99.0, 1000), (90.0, 1 << 20)])
def test_thresholds_and_spikes_of_the_definition(monkeypatch: pytest.MonkeyPatch, percentile: float, piece: int) -> None:
    monkeypatch.setattr(conversion, "CHUNK_ELEMENTS", piece)
    plan = recipe(dense(12, "a"), dense(12, "b"), dense(12, weights="b"), dense(12, weights="b"), dense(10), timesteps=37)
    ann = random_ann(plan)
    x = poisson(plan, 5)
    expected, sent = oracle(ann, x.double().numpy(), percentile)
    network = convert(ann, plan)
    seen: list[tuple[int, int, float]] = []
    # Eighths below 256 have at most 11 fraction bits, so that a percentile is exact too.
    assert balance(network, [x[:, :2], x[:, 2:]], percentile, lambda *report: seen.append(report)) == tuple(expected)
    assert seen == [(i + 1, 4, threshold) for i, threshold in enumerate(expected)]
    assert [population.threshold for population in neurons(network)] == expected
    for got, wanted in zip(spikes(network, x.double()), sent, strict=True):
        np.testing.assert_array_equal(got.flatten(2).numpy(), wanted)
        assert 0.01 < wanted.mean() < 0.9


@pytest.mark.parametrize("name", NETWORKS)
def test_pieces_of_time_and_of_the_samples_change_nothing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    plan = recipe(*NETWORKS[name], timesteps=9)
    ann, x = random_ann(plan), poisson(plan, 6)
    found = set()
    for piece, parts in ((1, 1), (1 << 20, 1), (8 * 64 * 2 * 4, 3)):
        monkeypatch.setattr(conversion, "CHUNK_ELEMENTS", piece)
        found.add(balance(convert(ann, plan), list(x.split(6 // parts, dim=1))))
    assert len(found) == 1


@pytest.mark.parametrize("percentile", [100.0, 99.0])
@pytest.mark.parametrize("name", ["vgg", "backres"])
def test_scale_of_the_weights_is_taken_up_by_the_thresholds(name: str, percentile: float) -> None:
    plan = recipe(*NETWORKS[name], timesteps=40)
    ann, x = random_ann(plan), poisson(plan, 3)
    networks = [convert(ann, plan), convert(ann, plan)]
    factors = (0.25, 8.0)
    synapses = list(dict.fromkeys(networks[1].chain.children()))
    weighted = [module for module in synapses if hasattr(module, "weight")][: len(factors)]
    with torch.no_grad():
        for module, factor in zip(weighted, factors, strict=True):
            module.weight.mul_(factor)
    plain, scaled = (balance(network, [x], percentile) for network in networks)
    by_layer = [0.25, 8.0, 1.0] if name == "vgg" else [0.25, 8.0, 8.0, 8.0]
    assert scaled == tuple(threshold * factor for threshold, factor in zip(plain, by_layer, strict=True))
    for one, other in zip(*(spikes(network, x.double()) for network in networks), strict=True):
        assert one.any()
        assert torch.equal(one, other)


def test_thresholds_take_in_what_is_added() -> None:
    plan = recipe(dense(6, "a"), dense(6, "b", add="a"), dense(6, add="b", add_from="output"), dense(10), timesteps=30)
    ann = random_ann(plan)
    with torch.no_grad():
        for module in (ann.chain[2], ann.chain[4]):
            module.weight.zero_()
    first, drive, output = balance(convert(ann, plan), [poisson(plan, 4)])
    # Of the second layer's current only the first one's is left, and of the third one's only spikes.
    assert first == drive > 1
    assert output == 1


@pytest.mark.parametrize("name", NETWORKS)
def test_no_layer_holds_more_than_a_piece(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    limit = 8 * 64 * 3 * 4 + 100
    monkeypatch.setattr(conversion, "CHUNK_ELEMENTS", limit)
    plan = recipe(*NETWORKS[name], timesteps=50)
    network = convert(random_ann(plan), plan)
    sizes: list[int] = []
    for module in network.chain:
        module.register_forward_hook(lambda _, given, found: sizes.extend((given[0].numel(), found.numel())))
    balance(network, [poisson(plan, 3)])
    assert max(sizes) == limit - 100


@pytest.mark.parametrize("percentile", [50.0, 99.9, 100.0])
def test_histogram_is_a_percentile_rounded_up_a_little(percentile: float) -> None:
    rng = np.random.default_rng(0)
    values = (rng.normal(size=5000) * 10.0 ** rng.integers(-6, 6, 5000)).astype(np.float32)
    values[:7] = -0.0
    histogram = Histogram(percentile)
    for part in np.split(values, 5):
        histogram.add(torch.from_numpy(part))
    exact = smallest(values, percentile)
    assert exact <= histogram.value() < exact * (1 + 2**-11) or (exact, histogram.value()) == (0, 0)


# --- what is trained first, and what becomes of it ---


@pytest.mark.parametrize(("coding", "std"), [("poisson", 16.0), ("ternary", 8.0)])
def test_input_of_the_relu_network_is_the_mean_of_the_events(coding: Any, std: float) -> None:
    code = InputCoding(shape=(1, 1, 5), coding=coding, mean=0.0, std=std, scale=1.0, payload_bits=2, seed=1)
    images = np.array([[[[0, 3, 8, 15, 16]]]], dtype=np.uint8)
    steps = 20000
    direct = ann_of(recipe(dense(10), input=code)).input
    assert (direct.coding, direct.payload_max, direct.scale) == ("direct", 127, 127.0)
    mean = encode(images, code, steps, [0]).mean(1)
    held = encode(images, direct, 1, [0])[:, 0] / direct.scale
    np.testing.assert_allclose(mean, held, atol=1 / 254 + 5 * 0.5 / steps**0.5)
    assert held.max() == 1


@pytest.mark.parametrize("name", NETWORKS)
def test_relu_network_and_converted_one_have_the_same_parts(name: str) -> None:
    plan = recipe(*NETWORKS[name])
    ann = random_ann(plan)
    before, state = torch.get_rng_state(), {key: value.clone() for key, value in ann.state_dict().items()}
    network = convert(ann, plan)
    assert torch.equal(before, torch.get_rng_state())
    assert (ann.timesteps, network.timesteps, ann.adds) == (1, 96, network.adds)
    pairs = list(zip(ann.chain, network.chain, strict=True))
    assert all(isinstance(a, nn.ReLU) if isinstance(b, LIF) else type(a) is type(b) for a, b in pairs)
    assert len(neurons(network)) == len(plan.layers) - 1
    assert {(n.leak, n.threshold, n.reset) for n in neurons(network)} == {(1.0, 1.0, "soft")}
    assert sum(1 for _ in network.parameters()) == sum(not layer.weights for layer in plan.layers)
    assert all(torch.equal(value, state[key]) and value.dtype == torch.float64 for key, value in network.state_dict().items())
    balance(network, [poisson(plan, 2)])
    assert all(torch.equal(value, state[key]) for key, value in ann.state_dict().items())
    assert (name == "residual") != all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_batches_are_the_events_of_the_samples_each_time() -> None:
    images = np.arange(20 * 64, dtype=np.uint8).reshape(20, 1, 8, 8) % 17
    dataset = Dataset(name="own", images=images, labels=np.zeros(20, np.int64), class_names=("a",))
    plan = recipe(dense(10), timesteps=7)
    samples = (*range(1, 20), 0)
    batches = EventBatches(dataset=dataset, coding=plan.input, timesteps=7, samples=samples)
    for _ in range(2):
        found = list(batches)
        assert [len(part[0]) for part in found] == [16, 4]
        assert found[0].dtype == torch.int8
        events = torch.cat(found, 1).transpose(0, 1).numpy()
        np.testing.assert_array_equal(events, encode(images[list(samples)], plan.input, 7, samples))
    held = torch.cat(list(replace(batches, coding=ann_of(plan).input)), 1)
    assert held.shape == (1, 20, 1, 8, 8)
    np.testing.assert_allclose(held[0].numpy(), images[list(samples)] / 16, atol=0.51 / 127)
    with pytest.raises(TrainError, match="no samples"):
        replace(batches, samples=())


# --- what is refused ---


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('kind = "if"', 'kind = "lif"', "neuron kind: 'lif'; for conversion it must be 'if'"),
        ('kind = "if"', 'kind = "if"\nreset = "hard"', "neuron reset: 'hard'; for conversion it must be 'soft'"),
        ('kind = "if"', 'kind = "if"\nthreshold = 2.0', r"neuron threshold: 2\.0; conversion finds the thresholds itself"),
        ('kind = "none"', 'kind = "bn"', "norm kind: 'bn'; for conversion it must be 'none'"),
        ("out = 10", "out = 10\nbias = true", r"layers\[0\]\.bias: true"),
        ("out = 10", 'out = 10\nneuron = "relu"', r"layers\[0\]\.neuron: 'relu'; conversion makes every layer spike"),
        ("out = 10", "out = 10\nthreshold = 2.0", r"layers\[0\]\.threshold: 2\.0; conversion finds the thresholds itself"),
        ("mean = 0.0", "mean = 8.0", r"input mean: 8\.0; with poisson coding it must be at most 0"),
        (
            'coding = "poisson"\nmean = 0.0\nstd = 16.0',
            'coding = "frames"\nmean = 0.0\nstd = 1.0',
            "input coding: 'frames'; conversion takes poisson",
        ),
        ('method = "conversion"', 'method = "bptt"', "train method: 'bptt'"),
    ],
)
def test_recipes_that_cannot_be_converted_are_refused(old: str, new: str, words: str) -> None:
    text = TEXT.replace(old, new, 1)
    if "bptt" in new:
        text = text.replace("[conversion]", "")
    with pytest.raises(RecipeError, match=words):
        ann_of(parse_recipe(text, "r"))


def test_weights_of_another_recipe_are_refused() -> None:
    plan, wide = recipe(dense(6), dense(10)), recipe(dense(7), dense(10))
    for other in (wide, recipe(dense(10)), recipe(dense(6), dense(6), dense(10))):
        with pytest.raises(TrainError, match="its weights are not those of the recipe 'converted'"):
            convert(build_network(ann_of(other)), plan)
    added = recipe(dense(6, "a"), dense(6), dense(6, add="a"), dense(10))
    with pytest.raises(TrainError, match="it adds the outputs of modules"):
        convert(build_network(ann_of(added)), recipe(dense(6), dense(6), dense(6), dense(10)))


@pytest.mark.parametrize(
    ("parts", "adds", "words"),
    [
        ([Dense(4, 4), nn.ReLU()], {}, r"network chain\.1 \(ReLU\): a converted network has no such part"),
        ([Dense(4, 4), BatchNorm(4), LIF(1.0)], {}, r"chain\.1 \(BatchNorm\): a converted network has no such part"),
        ([Dense(4, 4), LIF(0.9)], {}, r"chain\.1 \(LIF\): leak 0\.9, reset 'soft'; only leak 1"),
        ([Dense(4, 4), LIF(1.0, reset="hard")], {}, "reset 'hard'; only leak 1 and soft reset"),
        ([Dense(4, 4), same := LIF(1.0), Dense(4, 4), same], {}, r"chain\.1 \(LIF\): it stands in several places"),
        ([Dense(4, 4), LIF(1.0, 2.0), Dense(4, 4), LIF(1.0)], {2: 1}, r"chain\.1 \(LIF\): threshold 2\.0; a network with additions is balanced once"),
        ([Dense(4, 4), LIF(1.0), AveragePool(1), LIF(1.0)], {2: 1}, r"chain\.2 \(AveragePool\): an earlier layer is added here"),
        (
            [again := Dense(4, 4), LIF(1.0), again, LIF(1.0)],
            {2: 0},
            r"chain\.2 \(Dense\): an earlier layer is added here, .* share them with no other",
        ),
    ],
)
def test_networks_that_cannot_be_balanced_are_refused(parts: list[nn.Module], adds: dict[int, int], words: str) -> None:
    with pytest.raises(TrainError, match=words):
        balance(SpikingNetwork(*parts, Integrate(), timesteps=2, adds=adds), [torch.ones(2, 1, 4, 1, 1)])


def test_inputs_that_cannot_balance_are_refused() -> None:
    plan = recipe(dense(6), dense(6), dense(10), timesteps=5)
    network, x = convert(random_ann(plan), plan), poisson(plan, 2)
    with pytest.raises(TrainError, match=r"shape \[4, 2, 1, 8, 8\]; \[5, N, C, H, W\], or 1 in place of 5, is expected"):
        balance(network, [x[:4]])
    with pytest.raises(TrainError, match="balancing layer 1 of 2: there are no inputs"):
        balance(network, [])
    with pytest.raises(TrainError, match="balancing layer 2 of 2: there are no inputs"):
        balance(network, iter([x]))
    for percentile in (0.0, 100.5, float("nan")):
        with pytest.raises(TrainError, match="balancing percentile"):
            balance(network, [x], percentile)


@pytest.mark.parametrize(("value", "percentile", "found"), [(-1.0, 100.0, r"-?\d"), (-1.0, 99.0, r"0\.0;"), (float("nan"), 100.0, "nan")])
def test_layers_that_nothing_excites_are_refused(value: float, percentile: float, found: str) -> None:
    plan = recipe(dense(6), dense(6), dense(10), timesteps=5)
    network = convert(random_ann(plan), plan)
    with torch.no_grad():
        network.chain[2].weight.fill_(value)
    words = f"balancing layer 2 of 2: its currents' percentile {percentile} is {found}.*threshold must be above 0"
    with pytest.raises(SilentLayerError, match=words):
        balance(network, [poisson(plan, 2)], percentile)
