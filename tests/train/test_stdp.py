"""STDP against a simulation of single neurons and spike times in plain Python, and on patterns that it must find."""

import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from spikefold.data.coding import InputCoding, encode
from spikefold.data.datasets import Dataset, load_dataset
from spikefold.data.errors import NetworkError
from spikefold.train.errors import RecipeError, TrainError
from spikefold.train.methods.stdp import (
    StdpProgress,
    compete,
    correlation,
    generator_for,
    learn_batch,
    new_layer,
    stdp_dataset,
    train_layer,
    train_stdp,
    updated_weight,
)
from spikefold.train.methods.training import fit, predict, repeatable
from spikefold.train.modules.layers import Dense, Integrate
from spikefold.train.modules.network import SpikingNetwork
from spikefold.train.modules.stdp_features import StdpFeatures, StdpLayer, features
from spikefold.train.recipes.recipe import TrainSettings
from spikefold.train.recipes.stdp_settings import StdpSettings, StdpStage, feature_shape, stage_shapes

Float = npt.NDArray[np.float64]
Settings = StdpSettings


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def layer64(stage: StdpStage, channels: int, settings: Settings, seed: int = 0) -> StdpLayer:
    """A layer in float64, so that its rounding cannot decide which neuron fires."""
    layer = new_layer(stage, channels, settings, rng(seed))
    return replace(layer, weight=layer.weight.double(), threshold=layer.threshold.double())


def raster(timesteps: int, count: int, shape: tuple[int, int, int], rate: float, seed: int = 3) -> torch.Tensor:
    return (torch.rand(timesteps, count, *shape, generator=rng(seed)) < rate).double()


class Simulation:
    """A learning layer, neuron by neuron: spike times instead of traces, sums instead of convolutions."""

    def __init__(self, layer: StdpLayer, settings: Settings, count: int, size: int) -> None:
        self.s, self.stage, self.count = settings, layer.stage, count
        self.w = layer.weight.numpy().copy()
        self.threshold = layer.threshold.numpy().copy()
        self.size = size
        self.out = (size + 2 * layer.stage.padding - layer.stage.kernel) // layer.stage.stride + 1
        self.potential = np.zeros((layer.stage.unroll, count, layer.stage.out, self.out, self.out))
        self.last: list[dict[tuple[int, int, int, int], int]] = [{} for _ in range(layer.stage.unroll)]

    def synapses(self, y: int, x: int) -> Iterator[tuple[tuple[int, int, int], tuple[int, int, int]]]:
        """(place in the kernel, place in the input) of all that a neuron has; none in the padding."""
        for c, ky, kx in np.ndindex(*self.w.shape[1:]):
            iy, ix = y * self.stage.stride + ky - self.stage.padding, x * self.stage.stride + kx - self.stage.padding
            if 0 <= iy < self.size and 0 <= ix < self.size:
                yield (c, ky, kx), (c, iy, ix)

    def step(self, t: int, given: Float) -> None:
        source = given
        for n in range(self.stage.unroll):
            source = self.run(t, n, source)

    def run(self, t: int, n: int, source: Float) -> Float:
        fired = np.zeros((self.count, self.stage.out, self.out, self.out))
        for i, c, y, x in np.argwhere(source > 0):
            self.last[n][i, c, y, x] = t
        for i, y, x in np.ndindex(self.count, self.out, self.out):
            for m in range(self.stage.out):
                current = sum(self.w[(m, *k)] * source[(i, *place)] for k, place in self.synapses(y, x))
                self.potential[n, i, m, y, x] = self.s.leak * self.potential[n, i, m, y, x] + current
            excess = self.potential[n, i, :, y, x] - self.threshold[n]
            if excess.max() > 0:
                fired[i, excess.argmax(), y, x] = 1
                self.potential[n, i, :, y, x] = 0
        for m in range(self.stage.out):
            spikes = np.argwhere(fired[:, m])
            if len(spikes):
                change = np.zeros(self.w.shape[1:])
                for i, y, x in spikes:
                    for k, place in self.synapses(y, x):
                        t_pre = self.last[n].get((i, *place), -math.inf)
                        change[k] += math.exp((t_pre - t) / self.s.trace_tau) - self.s.offset
                self.w[m] = np.clip(self.w[m] + self.s.learning_rate * change / len(spikes), self.s.weight_min, self.s.weight_max)
            above = (self.threshold[n, m] - self.stage.threshold) * math.exp(-1 / self.s.threshold_tau)
            self.threshold[n, m] = self.stage.threshold + above + self.s.threshold_rise * len(spikes) / fired[:, m].size
        return fired + source if self.stage.residual else fired


@pytest.mark.parametrize(
    ("stage", "channels"),
    [
        (StdpStage(out=3, kernel=2, threshold=1.2), 2),
        (StdpStage(out=3, kernel=3, threshold=1.2, stride=2, padding=1), 2),
        (StdpStage(out=2, kernel=3, threshold=1.2, padding=1, unroll=3), 2),
        (StdpStage(out=2, kernel=3, threshold=1.5, padding=1, unroll=2, residual=True), 2),
    ],
)
def test_a_batch_is_eq_5_between_spike_times(stage: StdpStage, channels: int) -> None:
    """Traces, convolutions, competition, thresholds, and BackRes: each time unrolled, another update of the same weights."""
    settings = Settings(stages=(stage,), learning_rate=0.3, trace_tau=3.0, offset=0.4, leak=0.8, threshold_rise=2.0, threshold_tau=10.0, drop=0)
    events = raster(5, 2, (channels, 4, 4), 0.3)
    layer = layer64(stage, channels, settings)
    learned, rate = learn_batch(layer, (), events, settings, rng())
    simulation = Simulation(layer, settings, 2, 4)
    for t, now in enumerate(events.numpy()):
        simulation.step(t, now)
    np.testing.assert_allclose(learned.weight.numpy(), simulation.w, atol=1e-12)
    np.testing.assert_allclose(learned.threshold.numpy(), simulation.threshold, atol=1e-12)
    assert rate > 0.02
    assert not torch.equal(layer.weight, learned.weight)
    assert bool((learned.threshold > stage.threshold).all())


def test_the_layers_below_are_run_as_learned_and_left_alone() -> None:
    lower, upper = StdpStage(out=3, kernel=3, threshold=1.0, padding=1), StdpStage(out=2, kernel=2, threshold=0.5)
    settings = Settings(stages=(lower, upper), drop=0, threshold_rise=0.1)
    below, layer = layer64(lower, 1, settings, 1), layer64(upper, 3, settings, 2)
    events = raster(6, 2, (1, 4, 4), 0.5)
    learned, _ = learn_batch(layer, (below,), events, settings, rng())
    spikes = torch.stack([features((below,), events[: t + 1], replace(settings, pool=1)) * (t + 1) for t in range(6)])
    spikes[1:] -= spikes[:-1].clone()
    directly, _ = learn_batch(layer, (), spikes.round(), settings, rng())
    torch.testing.assert_close(learned.weight, directly.weight)
    assert bool((spikes.round() == 1).any())


def test_features_are_plain_lif_neurons() -> None:
    """Two layers, one unrolled with a residual, neuron by neuron: hard reset, no competition, a threshold for each time unrolled."""
    first, second = (
        StdpStage(out=2, kernel=3, threshold=1.5, padding=1),
        StdpStage(out=2, kernel=3, threshold=2.0, padding=1, unroll=2, residual=True),
    )
    settings = Settings(stages=(first, second), leak=0.7, pool=2)
    layers = layer64(first, 1, settings, 1), layer64(second, 2, settings, 2)
    layers = layers[0], replace(layers[1], threshold=torch.tensor([[2.0, 1.5], [3.0, 2.5]], dtype=torch.float64))
    events = raster(7, 3, (1, 4, 4), 0.5)
    total = np.zeros((3, 4, 4, 4))
    potentials = [np.zeros((3, 2, 4, 4)) for _ in range(3)]
    runs = [(layers[0], 0), (layers[1], 0), (layers[1], 1)]
    for x in events.numpy():
        for k, (layer, n) in enumerate(runs):
            padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
            windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
            integrated = 0.7 * potentials[k] + np.einsum("ncyxij,mcij->nmyx", windows, layer.weight.numpy())
            fired = integrated > layer.threshold[n].numpy()[:, None, None]
            potentials[k] = np.where(fired, 0, integrated)
            x = fired + x if layer.stage.residual else fired.astype(float)
            if k != 1:
                total[:, :2] += x if k == 0 else 0
                total[:, 2:] += x if k == 2 else 0
    expected = total.reshape(3, 4, 2, 2, 2, 2).mean((3, 5)) / 7
    measured = features(layers, events, settings)
    np.testing.assert_allclose(measured.numpy(), expected, atol=1e-12)
    assert measured.shape[1:] == feature_shape(settings, (1, 4, 4))


def test_the_correlation_of_a_map_is_the_mean_over_its_spikes() -> None:
    stage = StdpStage(out=2, kernel=2, threshold=1.0)
    trace = torch.rand(2, 1, 3, 3, generator=rng(), dtype=torch.float64)
    fired = torch.zeros(2, 2, 2, 2, dtype=torch.float64)
    fired[0, 1, 0, 0] = fired[1, 1, 1, 0] = 1
    mean = correlation(trace, fired, stage, 0.25)
    assert bool((mean[0] == 0).all())
    torch.testing.assert_close(mean[1, 0], (trace[0, 0, :2, :2] + trace[1, 0, 1:, :2]) / 2 - 0.25)


def test_one_neuron_a_place_fires() -> None:
    potential = torch.tensor([[3.0, 5.0, 5.0, 0.0], [1.0, 2.0, 1.5, 2.5]])[:, :, None, None]
    threshold = torch.tensor([2.0, 3.0, 3.0, 3.0])
    everyone = torch.zeros(2, 4, 1, 1, dtype=torch.bool)
    # Excesses 1, 2, 2, -3 (of equals the first) and none at all.
    assert compete(potential, threshold, everyone).flatten(1).tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]]
    dropped = everyone.clone()
    dropped[0, 1] = True
    assert compete(potential, threshold, dropped).flatten(1).tolist() == [[0, 0, 1, 0], [0, 0, 0, 0]]
    assert compete(potential, threshold, ~everyone).sum() == 0
    assert compete(threshold[None, :, None, None], threshold, everyone[:1]).sum() == 0


@pytest.mark.parametrize("drop", [0.0, 0.4])
def test_maps_drop_out_for_a_whole_sample(drop: float) -> None:
    """A single map, driven over its threshold in every timestep, fires in all of them, or in none in a share ``drop`` of the samples."""
    stage = StdpStage(out=1, kernel=1, threshold=0.001)
    settings = Settings(stages=(stage,), drop=drop, threshold_rise=0, learning_rate=0)
    layer = replace(new_layer(stage, 1, settings, rng()), weight=torch.ones(1, 1, 1, 1))
    _, rate = learn_batch(layer, (), torch.ones(4, 2000, 1, 1, 1), settings, rng(5))
    assert rate == pytest.approx(1 - drop, abs=0.04 if drop else 0)


def test_the_real_rule_stays_within_its_limits() -> None:
    settings = Settings(stages=(StdpStage(out=1, kernel=1, threshold=1.0),), learning_rate=0.5, weight_min=-0.2, weight_max=0.9)
    weight = torch.tensor([0.0, 0.0, 0.8, -0.1]).reshape(4, 1, 1, 1)
    mean = torch.tensor([0.4, -0.2, 0.4, -0.4]).reshape(4, 1, 1, 1)
    torch.testing.assert_close(updated_weight(weight, mean, settings, rng()).flatten(), torch.tensor([0.2, -0.1, 0.9, -0.2]))


def test_the_binary_rule_switches_as_often_as_it_says() -> None:
    settings = Settings(stages=(StdpStage(out=1, kernel=1, threshold=1.0),), rule="binary", learning_rate=0.5, weight_min=-0.5, weight_max=2.0)
    low, high = torch.full((10_000, 1, 1, 1), -0.5), torch.full((10_000, 1, 1, 1), 2.0)
    for start, other, mean in ((low, high, 0.6), (high, low, -0.4)):
        for sign in (1, -1):
            after = updated_weight(start, torch.full_like(start, sign * mean), settings, rng(1))
            assert bool(((after == low) | (after == high)).all())
            share = float((after == other).double().mean())
            assert share == pytest.approx(0.5 * abs(mean) if sign == 1 else 0, abs=0.02 if sign == 1 else 0)
    assert torch.equal(updated_weight(low, torch.zeros_like(low), settings, rng()), low)
    untrained = new_layer(StdpStage(out=50, kernel=8, threshold=1.0), 1, settings, rng()).weight
    assert set(untrained.unique().tolist()) == {-0.5, 2.0}
    assert abs(float(untrained.mean()) - 0.75) < 0.1


def bars(count: int, seed: int) -> torch.Tensor:
    """One of the four rows of 4 by 4 pixels fires half of the time, the rest hardly ever: [20, N, 1, 4, 4]."""
    draw = np.random.default_rng(seed)
    rate = np.full((count, 1, 4, 4), 0.02)
    rate[np.arange(count), 0, draw.integers(0, 4, count)] = 0.5
    return torch.from_numpy((draw.random((20, count, 1, 4, 4)) < rate).astype(np.float32))


@pytest.mark.parametrize(("rule", "learning_rate", "least"), [("real", 0.05, 1.0), ("binary", 0.2, 0.85)])
def test_it_finds_the_patterns_in_its_input(rule, learning_rate: float, least: float) -> None:
    """Every row becomes the kernel of some map; untrained kernels are nowhere near."""
    stage = StdpStage(out=8, kernel=4, threshold=2.0)
    settings = Settings(stages=(stage,), rule=rule, learning_rate=learning_rate, offset=0.4, threshold_rise=2.0)
    patterns = torch.eye(4)[:, :, None].expand(4, 4, 4).flatten(1)

    def agreement(layer: StdpLayer) -> float:
        """The share of pixels in which the best map agrees with a pattern, of the pattern where it is least."""
        on = (layer.weight.flatten(1) > 0.5).float()
        return float((on[:, None] == patterns).float().mean(2).amax(0).min())

    for seed in range(3):
        untrained = new_layer(stage, 1, settings, rng(seed))
        batches = [bars(64, 100 * seed + b) for b in range(12)]
        seen: list[StdpProgress] = []
        with repeatable(seed, 1):
            learned = train_layer(untrained, (), batches, settings, seed=seed, progress=seen.append)
        assert agreement(untrained) < 0.75
        assert agreement(learned) >= least
        assert [p.batch for p in seen] == list(range(1, 13))
        assert all(0 < p.rate < 1 for p in seen)
        assert seen[0].change > 0


T = 10
DIGITS = InputCoding(shape=(1, 8, 8), coding="poisson", mean=0.0, std=16.0, scale=1.0, payload_bits=2, seed=5)


def part(split: str, count: int) -> Dataset:
    whole = load_dataset("digits", split)
    return replace(whole, images=whole.images[:count], labels=whole.labels[:count])


def test_digits_are_better_known_by_learned_features() -> None:
    """A dense classifier on 16 learned maps against the same on untrained ones, whose thresholds were adapted alike; 3 seeds."""
    settings = Settings(stages=(StdpStage(out=16, kernel=5, threshold=3.0),), offset=0.8, samples=320)
    train, test = part("train", 500), part("test", 300)
    means = []
    for rate in (settings.learning_rate, 0.0):
        accuracies = []
        for seed in range(3):
            chosen = replace(settings, learning_rate=rate)
            layers = train_stdp(train, DIGITS, chosen, timesteps=T, seed=seed)
            learned, coding = stdp_dataset(layers, train, DIGITS, chosen, timesteps=T)
            held, _ = stdp_dataset(layers, test, DIGITS, chosen, timesteps=T, like=coding)
            with repeatable(seed, 1):
                classifier = SpikingNetwork(Dense(math.prod(coding.shape), 32), torch.nn.ReLU(), Dense(32, 10), Integrate(), timesteps=1)
            fit(classifier, learned, coding, TrainSettings(epochs=12, batch_size=32, learning_rate=0.01, optimizer="adam"), timesteps=1, seed=seed)
            scores, labels = predict(classifier, held, coding, 1, np.arange(len(held)))
            accuracies.append(float((scores.argmax(1) == labels).double().mean()))
            spread = float(layers[0].weight.flatten(1).std(1).mean())
            # Uniform weights have 0.29; those that have gone to one limit or the other, up to 0.5.
            assert (spread > 0.33) == (rate > 0)
        means.append(np.mean(accuracies))
    assert means[0] > means[1] + 0.1
    assert means[0] > 0.6


def test_a_run_is_its_seed_and_goes_on_after_any_layer() -> None:
    stages = StdpStage(out=4, kernel=3, threshold=2.0, padding=1), StdpStage(out=4, kernel=3, threshold=1.0, padding=1, unroll=2, residual=True)
    for rule in ("real", "binary"):
        settings = Settings(stages=stages, rule=rule, samples=48, batch_size=16, epochs=2)
        train = part("train", 60)
        before = torch.random.get_rng_state()
        seen: list[StdpProgress] = []
        layers = train_stdp(train, DIGITS, settings, timesteps=4, seed=1, progress=seen.append)
        assert torch.equal(torch.random.get_rng_state(), before)
        assert [(p.stage, p.batch) for p in seen] == [(i, b) for i in (0, 1) for b in range(1, 7)]
        torch.manual_seed(99)
        resumed = train_stdp(train, DIGITS, settings, timesteps=4, seed=1, layers=layers[:1])
        other = train_stdp(train, DIGITS, settings, timesteps=4, seed=2)
        for a, b, c in zip(layers, resumed, other, strict=True):
            assert torch.equal(a.weight, b.weight)
            assert torch.equal(a.threshold, b.threshold)
            assert not torch.equal(a.weight, c.weight)
    assert not torch.equal(torch.rand(8, generator=generator_for(1, 0, 1)), torch.rand(8, generator=generator_for(1, 1, 0)))


def test_each_batch_and_layer_draws_its_own_numbers() -> None:
    stages = StdpStage(out=3, kernel=3, threshold=1.0), StdpStage(out=3, kernel=2, threshold=0.5)
    settings = Settings(stages=stages, rule="binary", learning_rate=1.0, drop=0.5)
    below = new_layer(stages[0], 1, settings, rng(1))
    layer = expected = new_layer(stages[1], 3, settings, rng(2))
    batches = [raster(5, 8, (1, 6, 6), 0.6, seed).float() for seed in (1, 2)]
    for number, batch in enumerate(batches, start=1):
        expected, _ = learn_batch(expected, (below,), batch, settings, generator_for(7, 1, number))
    learned = train_layer(layer, (below,), batches, settings, seed=7)
    assert torch.equal(learned.weight, expected.weight)
    assert not torch.equal(train_layer(layer, (below,), batches, settings, seed=8).weight, expected.weight)


def test_samples_are_shown_as_training_shows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chosen samples once an epoch, in another order each, with events of their own; features of the events that evaluation draws."""
    settings = Settings(stages=(StdpStage(out=2, kernel=3, threshold=1.0),), samples=12, epochs=2, batch_size=5)
    train = part("train", 30)
    shown: list[list[int]] = []

    def recorded(images: npt.NDArray[np.uint8], coding: InputCoding, timesteps: int, samples: npt.NDArray[np.int64]) -> npt.NDArray[np.int8]:
        assert np.array_equal(images, train.images[samples % 30])
        shown.append(samples.tolist())
        return encode(images, coding, timesteps, samples)

    monkeypatch.setattr("spikefold.train.methods.stdp.encode", recorded)
    layers = train_stdp(train, DIGITS, settings, timesteps=3, seed=1)
    assert [len(batch) for batch in shown] == [5, 5, 2] * 2
    first, second = (np.concatenate([np.array(batch) for batch in shown[k : k + 3]]) for k in (0, 3))
    assert (first // 30 == 1).all()
    assert (second // 30 == 2).all()
    assert set(first - 30) == set(second - 60)
    assert len(set(first)) == 12
    assert not np.array_equal(first - 30, second - 60)
    monkeypatch.setattr("spikefold.train.methods.stdp.FEATURE_BATCH", 4)
    dataset, _ = stdp_dataset(layers, train, DIGITS, settings, timesteps=3)
    events = torch.from_numpy(encode(train.images, DIGITS, 3, np.arange(30)).swapaxes(0, 1).astype(np.float32))
    np.testing.assert_allclose(dataset.images, features(layers, events, settings).numpy(), atol=1e-6)


def test_the_features_are_a_data_set_that_training_takes() -> None:
    settings = Settings(stages=(StdpStage(out=4, kernel=3, threshold=1.0),))
    train = part("train", 30)
    layers = train_stdp(train, DIGITS, settings, timesteps=4, seed=1)
    dataset, coding = stdp_dataset(layers, train, DIGITS, settings, timesteps=4)
    assert dataset.shape == coding.shape == feature_shape(settings, train.shape) == (4, 3, 3)
    assert coding.std == dataset.images.max()
    assert np.array_equal(dataset.labels, train.labels)
    kept, again = stdp_dataset(layers, part("test", 20), DIGITS, settings, timesteps=4, like=coding)
    assert again is coding
    assert len(kept) == 20
    silent = replace(layers[0], threshold=torch.full((1, 4), 1e6))
    nothing, of_nothing = stdp_dataset((silent,), train, DIGITS, settings, timesteps=4)
    assert nothing.images.max() == 0
    assert of_nothing.std == 1


def test_the_module_sends_what_the_classifier_was_trained_on() -> None:
    settings = Settings(stages=(StdpStage(out=4, kernel=3, threshold=1.0), StdpStage(out=4, kernel=3, threshold=1.0, padding=1, unroll=2)))
    train = part("train", 30)
    layers = train_stdp(train, DIGITS, settings, timesteps=4, seed=1)
    dataset, coding = stdp_dataset(layers, train, DIGITS, settings, timesteps=4)
    module = StdpFeatures(settings, 1)
    module.fill(layers, coding.std)
    events = torch.from_numpy(encode(train.images, DIGITS, 4, np.arange(30)).swapaxes(0, 1).astype(np.float32))
    expected = encode(dataset.images, coding, 1, np.arange(30)).swapaxes(0, 1) / coding.scale
    np.testing.assert_allclose(module(events).numpy(), expected, atol=1e-6)
    assert expected.max() == 1
    assert not list(module.parameters())
    with pytest.raises(TrainError, match="STDP features: 1 layers; there are 2 stages"):
        module.fill(layers[:1], 1.0)


def test_shapes_of_stages() -> None:
    first = StdpStage(out=4, kernel=5, threshold=1.0)
    settings = Settings(stages=(first, StdpStage(out=8, kernel=3, threshold=1.0, stride=2, padding=1)))
    assert stage_shapes(settings, (2, 28, 28)) == ((4, 24, 24), (8, 12, 12))
    with pytest.raises(RecipeError, match=r"stdp stages\[1\]: \(12, 12\) neurons a map, stages\[0\] has \(24, 24\)"):
        feature_shape(settings, (2, 28, 28))
    with pytest.raises(NetworkError, match=r"stdp stages\[0\] weights: kernel \[5, 5\] is larger than its padded source \(1, 4, 4\)"):
        stage_shapes(settings, (1, 4, 4))
    with pytest.raises(RecipeError, match=r"stdp stages\[0\]: unroll 2 needs an output of the shape of its input; the output is \(4, 4, 4\)"):
        stage_shapes(Settings(stages=(replace(first, unroll=2),)), (4, 8, 8))
    with pytest.raises(RecipeError, match=r"stdp stages\[0\]: residual needs an output .* \(4, 8, 8\), the input \(1, 8, 8\)"):
        stage_shapes(Settings(stages=(replace(first, padding=2, residual=True),)), (1, 8, 8))
    with pytest.raises(RecipeError, match=r"stdp pool 5: it leaves nothing of maps of \(4, 4\) neurons"):
        feature_shape(Settings(stages=(first,), pool=5), (1, 8, 8))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stages": ()}, "stdp stages: there must be at least one"),
        ({"offset": 1.5}, r"stdp offset: 1.5; it must be in 0\.\.1"),
        ({"weight_min": 1.0}, r"stdp weight_min 1.0, weight_max 1.0: the first must be below"),
        ({"batch_size": 0}, r"stdp batch_size: 0; it must be in 1\.\."),
        ({"rule": "other"}, r"stdp rule: 'other'; it must be real or binary"),
    ],
)
def test_bad_settings(change: dict[str, object], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        replace(Settings(stages=(StdpStage(out=1, kernel=1, threshold=1.0),)), **change)
    with pytest.raises(RecipeError, match=r"stdp stage unroll: 0; it must be in 1\.\.64"):
        StdpStage(out=1, kernel=1, threshold=1.0, unroll=0)


def test_bad_input() -> None:
    settings = Settings(stages=(StdpStage(out=1, kernel=1, threshold=1.0),), samples=99)
    with pytest.raises(TrainError, match="STDP: an input event below 0"):
        learn_batch(new_layer(settings.stages[0], 1, settings, rng()), (), -torch.ones(2, 1, 1, 1, 1), settings, rng())
    with pytest.raises(TrainError, match="STDP samples: 99; of data set 'digits' there are 20 to train on"):
        train_stdp(part("train", 20), DIGITS, settings, timesteps=2, seed=0)


def test_the_settings_load_no_torch() -> None:
    code = "import sys, spikefold.train.recipes.stdp_settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
