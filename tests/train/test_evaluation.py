"""What is said of a trained network, against what its module does."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from spikefold.data.datasets import load_dataset
from spikefold.quantize.float_evaluation import float_accuracy
from spikefold.quantize.float_file import load_float
from spikefold.report.figures import evaluation_svg
from spikefold.train.errors import TrainError
from spikefold.train.methods.training import predict, split
from spikefold.train.modules.network import build_network
from spikefold.train.recipes.recipe import parse_recipe
from spikefold.train.runs.evaluation import evaluate, evaluate_network, keep_evaluation
from spikefold.train.runs.run import train
from tests.train.recipes import recipe_text


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "r.toml").write_text(recipe_text())
    train(folder / "r.toml", folder / "run")
    return folder / "run"


def test_final_is_the_test_split_in_float64(run: Path) -> None:
    found = evaluate(run, final=True)
    assert (found.split, found.samples, found.confusion.sum()) == ("test", 360, 360)
    assert found.accuracy == float_accuracy(load_float(run / "model.safetensors"), load_dataset("digits", "test"))
    assert found.accuracy == np.trace(found.confusion) / 360
    assert not (run / "evaluation_final.json").exists()
    keep_evaluation(found, run)
    assert json.loads((run / "evaluation_final.json").read_text()) == found.to_dict()


def test_otherwise_it_is_what_training_held_back(run: Path) -> None:
    found = evaluate(run)
    assert (found.split, found.samples) == ("validation", 144)
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    best = json.loads((run / "summary.json").read_text())["best_epoch"]
    assert found.accuracy == pytest.approx(log[best - 1]["validation_accuracy"], abs=0.01)
    assert not (run / "evaluation.json").exists()
    labels = load_dataset("digits", "train").labels[split(1437, 0.1, 5)[1]]
    assert found.confusion.sum(1).tolist() == np.bincount(labels, minlength=10).tolist()
    assert evaluate(run, samples=10).samples == 10
    for samples in (0, 145):
        with pytest.raises(TrainError, match=f"samples: {samples}; there are 144"):
            evaluate(run, samples=samples)


@pytest.mark.parametrize("kind", ["bntt", "psp-ln", "psp-bn"])
def test_accuracy_after_t_is_that_of_t_timesteps(kind: str) -> None:
    """A network of fewer timesteps, with the same parameters, sees the first of them; statistics over all timesteps are then over these."""
    text = recipe_text(norm=kind)
    if kind != "bntt":
        text = text.replace("leak = 0.9", 'kind = "srm"\ntau_s = 1.0\ntau_r = 1.0\nthreshold = 0.3').replace("timesteps = 3", "timesteps = 6")
    recipe = parse_recipe(text, "recipe")
    torch.manual_seed(3)
    module = build_network(recipe).double()
    data, samples = load_dataset("digits", "train"), np.arange(150)
    # Ternary coding draws a timestep after the other, so that the first ones of a longer run are those of a shorter one.
    found = evaluate_network(module, data, recipe.input, samples, split="train")
    assert found.timesteps == ((1, 2, 4, 6) if kind == "psp-ln" else tuple(range(1, recipe.timesteps + 1)))
    for t, accuracy in zip(found.timesteps, found.accuracies, strict=True):
        short = build_network(parse_recipe(text.replace(f"timesteps = {recipe.timesteps}", f"timesteps = {t}"), "recipe")).double()
        state = {name: value[:t] if kind == "bntt" and value.shape[:1] == (3,) else value for name, value in module.state_dict().items()}
        short.load_state_dict(state)
        scores, labels = predict(short, data, recipe.input, t, samples)
        assert accuracy == float((scores.argmax(1) == labels).double().mean())
    assert len(set(found.accuracies)) > 1


def test_early_exit_is_reported_where_there_is_bntt(run: Path) -> None:
    found = evaluate(run, samples=20)
    assert found.early_exit is not None
    assert found.early_exit.accuracy == found.accuracies[found.early_exit.timesteps - 1]
    assert len(found.early_exit.gammas) == 2
    module = build_network(parse_recipe(recipe_text(norm="bn"), "recipe")).double()
    data = load_dataset("digits", "train")
    assert evaluate_network(module, data, parse_recipe(recipe_text(), "r").input, np.arange(10), split="train").early_exit is None


def test_picture_is_the_same_every_time(run: Path) -> None:
    found = evaluate(run, samples=20).to_dict()
    picture = evaluation_svg(found)
    assert picture == evaluation_svg(found)
    assert "early exit after" in picture
    assert "spikes per neuron and timestep" in picture
