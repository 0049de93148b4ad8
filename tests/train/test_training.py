"""The loop: repeatable, resumable to the last bit, with any module and any data set."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from spikefold.data.coding import InputCoding, encode
from spikefold.data.datasets import Dataset
from spikefold.quantize.float_evaluation import evaluate
from spikefold.train.errors import DivergenceError, TrainError
from spikefold.train.methods.training import Epoch, FitResult, fit, learning_rate, predict, repeatable, sample_order, split
from spikefold.train.modules.export import to_float_network
from spikefold.train.modules.layers import Dense, Integrate
from spikefold.train.modules.network import SpikingNetwork
from spikefold.train.modules.neurons import LIF
from spikefold.train.modules.norm import BNTT
from spikefold.train.recipes.recipe import TrainSettings

CODING = InputCoding(shape=(1, 3, 3), coding="ternary", mean=0.0, std=0.5, scale=1.0, payload_bits=2, seed=4)
SETTINGS = TrainSettings(epochs=4, batch_size=16, learning_rate=0.1)
T = 3


class StoppedError(Exception):
    """Stands for an interrupt."""


def data(count: int = 120) -> Dataset:
    """Bars in three directions, a data set of the user's own."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, count)
    images = rng.normal(0, 0.1, (count, 1, 3, 3))
    for n, label in enumerate(labels):
        images[n, 0, label] += 1
    return Dataset(name="bars", images=images, labels=labels, class_names=("top", "middle", "bottom"))


def module() -> SpikingNetwork:
    with repeatable(3, 1):
        return SpikingNetwork(Dense(9, 8), BNTT(8, T), LIF(), nn.Dropout(0.2), Dense(8, 3), Integrate(), timesteps=T)


def run(network: nn.Module, settings: TrainSettings = SETTINGS, **options) -> FitResult:
    return fit(network, data(), CODING, settings, timesteps=T, seed=11, **options)


def untimed(epochs: tuple[Epoch, ...]) -> list[Epoch]:
    return [replace(epoch, seconds=0.0) for epoch in epochs]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, optimizer: str) -> None:
    settings = replace(SETTINGS, optimizer=optimizer, learning_rate=0.1 if optimizer == "sgd" else 0.01)
    whole = module()
    expected = run(whole, settings, checkpoint=tmp_path / "whole.pt")

    def stop(epoch: Epoch) -> None:
        if epoch.epoch == 2:
            raise StoppedError

    path = tmp_path / "parts.pt"
    with pytest.raises(StoppedError):
        run(module(), settings, checkpoint=path, progress=stop)
    torch.rand(17)  # What the user's process drew in between must not matter.
    resumed = module()
    seen: list[int] = []
    got = run(resumed, settings, checkpoint=path, resume=True, progress=lambda epoch: seen.append(epoch.epoch))
    assert seen == [3, 4]
    assert untimed(got.epochs) == untimed(expected.epochs)
    assert got.best.epoch == expected.best.epoch
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key
    finished = torch.load(path, weights_only=True), torch.load(tmp_path / "whole.pt", weights_only=True)
    for key, value in finished[0]["module"].items():
        assert torch.equal(value, finished[1]["module"][key]), key


def test_learns_an_own_data_set_and_leaves_global_state_alone() -> None:
    torch.manual_seed(99)
    threads, expected = torch.get_num_threads(), torch.rand(3, generator=torch.Generator().manual_seed(99))
    network = module()
    result = run(network, replace(SETTINGS, epochs=15))
    assert result.best.validation_accuracy > 0.9
    assert not network.training
    assert torch.equal(torch.rand(3), expected)
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == (threads, False)
    best = min(result.epochs, key=lambda e: (e.validation_loss, -e.epoch))
    assert result.best == best
    # Float module and exported network see the same events, keyed by the sample's index.
    samples = np.arange(0, 120, 7)
    scores, labels = predict(network, data(), CODING, T, samples)
    exported = to_float_network(network, coding=CODING, class_names=data().class_names)
    trace = evaluate(exported, encode(data().images[samples], CODING, T, samples))
    np.testing.assert_allclose(scores.numpy() * T, trace.scores, atol=1e-4)
    np.testing.assert_array_equal(labels, data().labels[samples])


def test_epochs_see_fresh_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """No sample number is used twice in training, and evaluation uses the indices themselves."""
    asked: list[np.ndarray] = []

    def spy(images: np.ndarray, coding: InputCoding, timesteps: int, samples: np.ndarray) -> np.ndarray:
        asked.append(np.asarray(samples))
        return encode(images, coding, timesteps, samples)

    monkeypatch.setattr("spikefold.train.methods.training.encode", spy)
    run(module())
    train, held = split(120, SETTINGS.validation, 11)
    numbers = np.concatenate(asked)
    drawn = numbers[numbers >= 120]
    assert len(np.unique(drawn)) == len(drawn) == 4 * 96
    assert set(drawn % 120) <= set(train)
    assert sorted(set(numbers[numbers < 120])) == held.tolist()


def test_split_and_order_are_permutations() -> None:
    train, held = split(50, 0.2, 1)
    assert sorted([*train, *held]) == list(range(50))
    assert len(held) == 10
    assert sorted(sample_order(1, 2, 50)) == list(range(50))
    assert sample_order(1, 2, 50).tolist() != sample_order(1, 3, 50).tolist() != sample_order(2, 3, 50).tolist()
    with pytest.raises(TrainError, match=r"a share of 0\.01 of 20 samples holds back 0"):
        split(20, 0.01, 1)


def test_learning_rates() -> None:
    rates = {name: [learning_rate(replace(SETTINGS, epochs=10, schedule=name), e) for e in range(1, 11)] for name in ("constant", "step", "cosine")}
    assert rates["constant"] == [0.1] * 10
    assert rates["step"] == pytest.approx([0.1] * 5 + [0.01] * 2 + [0.001] * 2 + [0.0001])
    assert rates["cosine"][0] == 0.1
    assert rates["cosine"][5] == pytest.approx(0.05)
    assert all(a > b > 0 for a, b in zip(rates["cosine"], rates["cosine"][1:], strict=False))
    # 0.7 * 90 is 62.99999999999999 to a float: the schedule must not compare with it.
    assert learning_rate(replace(SETTINGS, epochs=90, schedule="step"), 64) == pytest.approx(0.001)


@pytest.mark.filterwarnings("ignore")
def test_bad_checkpoints_and_losses(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    run(module(), replace(SETTINGS, epochs=1), checkpoint=path)
    with pytest.raises(TrainError, match=r"checkpoint\.pt: it belongs to another run"):
        run(module(), replace(SETTINGS, epochs=2), checkpoint=path, resume=True)
    whole = path.read_bytes()
    for content in (b"", b"not a checkpoint", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(TrainError, match=r"checkpoint\.pt: not a checkpoint"):
            run(module(), checkpoint=path, resume=True)
    torch.save({"format": 1, "signature": print}, path)
    with pytest.raises(TrainError, match=r"checkpoint\.pt: not a checkpoint"):
        run(module(), checkpoint=path, resume=True)
    with pytest.raises(TrainError, match=r"epoch 1: the loss is (nan|inf); a lower learning_rate"):
        run(SpikingNetwork(Dense(9, 3), Integrate(), timesteps=T), replace(SETTINGS, learning_rate=1e3, weight_decay=1.0, momentum=1.0, batch_size=2))
    with pytest.raises(TrainError, match="Integrate has no parameters to train"):
        predict(Integrate(), data(), CODING, T, np.arange(3))


class Watched(nn.Module):
    """A classifier of images that keeps what it was shown while training."""

    def __init__(self) -> None:
        super().__init__()
        self.timesteps = 1
        self.classify = nn.Linear(9, 3)
        self.shown: list[torch.Tensor] = []
        self.dtypes: set[torch.dtype] = set()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.classify(x[0].flatten(1))
        if self.training:
            self.shown.append(x[0].clone())
            self.dtypes.add(scores.dtype)
        return scores.float()


DIRECT = replace(CODING, coding="direct", std=1.0, scale=80.0, payload_bits=8)


def watch(**changes: object) -> Watched:
    network = Watched()
    settings = replace(SETTINGS, epochs=2, batch_size=8, validation=0.2, **changes)
    fit(network, data(100), DIRECT, settings, timesteps=1, seed=11)
    return network


def rows(shown: list[torch.Tensor]) -> set[tuple[float, ...]]:
    return {tuple(image.flatten().tolist()) for image in torch.cat(shown)}


def test_an_epoch_shows_all_or_so_many_samples() -> None:
    everything = watch()
    assert sum(map(len, everything.shown)) == 2 * 80
    assert len(rows(everything.shown)) == 80
    some = watch(samples_per_epoch=24)
    first, second = rows(some.shown[:3]), rows(some.shown[3:])
    assert (sum(map(len, some.shown)), len(first), len(second)) == (48, 24, 24)
    # Others in each epoch, of all that there are to train on.
    assert first != second
    assert first | second < rows(everything.shown)
    few = watch(subset=50)
    assert len(rows(few.shown)) == 40
    with pytest.raises(TrainError, match="subset: 101 samples; there are 100"):
        watch(subset=101)


def test_images_are_moved_anew_in_every_epoch() -> None:
    plain, moved = watch(), watch(augment_crop=1, augment_flip=True)
    first, second = rows(moved.shown[:10]), rows(moved.shown[10:])
    assert rows(plain.shown[:10]) == rows(plain.shown[10:])
    assert first != second
    assert len(first - rows(plain.shown)) > 40
    again = watch(augment_crop=1, augment_flip=True)
    assert all(torch.equal(a, b) for a, b in zip(moved.shown, again.shown, strict=True))


def test_mixed_precision_is_for_training_alone() -> None:
    assert watch().dtypes == {torch.float32}
    assert watch(amp=True).dtypes == {torch.bfloat16}


def test_the_best_epoch_is_what_is_left() -> None:
    """Labels that say nothing are learned by heart, so an early epoch is the best on others; the module is as it was then."""
    network, seen = module(), {}
    noise = replace(data(), labels=np.random.default_rng(1).integers(0, 3, 120))

    def keep(epoch: Epoch) -> None:
        seen[epoch.epoch] = {key: value.clone() for key, value in network.state_dict().items()}

    settings = replace(SETTINGS, epochs=6, learning_rate=0.5, schedule="constant")
    found = fit(network, noise, CODING, settings, timesteps=T, seed=11, progress=keep)
    assert found.best.epoch < 6
    for key, value in network.state_dict().items():
        assert torch.equal(value, seen[found.best.epoch][key])


def test_a_validation_loss_that_is_no_number_ends_training() -> None:
    class Broken(Watched):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) if self.training else super().forward(x) * torch.nan

    with pytest.raises(DivergenceError, match="epoch 1: the validation loss is nan"):
        fit(Broken(), data(100), DIRECT, SETTINGS, timesteps=1, seed=11)
