"""Runs of every method: they learn, resume to the same network, and come back from their folder as they were."""

import json
from pathlib import Path

import pytest

from spikefold.train.methods.training import Epoch
from spikefold.train.runs.evaluation import evaluate
from spikefold.train.runs.run import train
from spikefold.train.runs.store import load_run

POISSON = """
[data]
name = "digits"
[input]
shape = [1, 8, 8]
coding = "poisson"
mean = 0.0
std = 16.0
scale = 1.0
payload_bits = 2
seed = 1
[norm]
kind = "none"
"""
CONVERSION = f"""
name = "conversion"
seed = 1
timesteps = 48
architecture = "8x8-8c3-p2-{{8c3}}@2-10"
{POISSON}
[neuron]
kind = "if"
[train]
method = "conversion"
epochs = 6
batch_size = 32
learning_rate = 0.005
optimizer = "adam"
init = "torch"
[conversion]
balance_samples = 32
"""
STDP = f"""
name = "stdp"
seed = 1
timesteps = 12
architecture = "32r-10"
{POISSON}
[train]
method = "stdp"
epochs = 8
batch_size = 32
learning_rate = 0.01
optimizer = "adam"
init = "torch"
[stdp]
samples = 128
offset = 0.8
[[stdp.stages]]
out = 12
kernel = 5
threshold = 3.0
"""
RECIPES = {"conversion": CONVERSION, "stdp": STDP}


def stop_after_two(epoch: Epoch) -> None:
    if epoch.epoch == 2:
        raise KeyboardInterrupt


@pytest.mark.parametrize("method", RECIPES)
def test_method_learns_resumes_and_comes_back(tmp_path: Path, method: str) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPES[method])
    stages: list[str] = []
    whole = train(recipe, tmp_path / "whole", batch_progress=lambda what, done, total: stages.append(what))
    assert ("balance thresholds" in stages) is (method == "conversion")
    assert ("STDP, stage 1 of 1" in stages) is (method == "stdp")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "parts", progress=stop_after_two)
    assert train(recipe, tmp_path / "parts", resume=True).model_sha256 == whole.model_sha256
    found = evaluate(tmp_path / "whole", samples=100)
    assert found.timesteps[-1] == (48 if method == "conversion" else 12)
    assert found.accuracy > 0.6
    # Few timesteps tell little, as the paper says of conversion.
    assert found.accuracies[0] < found.accuracy - 0.1
    model = "model.safetensors" if method == "conversion" else "weights.safetensors"
    assert json.loads((tmp_path / "whole" / "summary.json").read_text())["model"] == model


def test_converted_thresholds_are_kept(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(CONVERSION.replace("{8c3}@2", "8c3"))
    result = train(tmp_path / "recipe.toml", tmp_path / "run")
    # Without shared weights it is a chain of integrate-and-fire layers, which a float network can express.
    assert (result.model.name, result.not_exported) == ("model.safetensors", "")
    _, network = load_run(tmp_path / "run")
    thresholds = [part.threshold for part in network.chain if hasattr(part, "threshold")]
    assert len(thresholds) == 2
    assert len({1.0, *thresholds}) == 3


def test_features_of_stdp_depend_on_all_timesteps(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(STDP)
    train(tmp_path / "recipe.toml", tmp_path / "run")
    assert evaluate(tmp_path / "run", samples=20).timesteps == (1, 2, 4, 8, 12)
