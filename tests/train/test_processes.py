"""Training under torchrun, and trainings that are killed: the result is that of one undisturbed process."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from spikefold.train.runs.store import load_run
from tests.command_line import spikefold
from tests.train.recipes import recipe_text

TOLERANCE = 2e-5
"""Of weights and statistics that are of the order of 1: float32's sums in another order, over 42 steps."""


def command(*options: str) -> list[str]:
    return [sys.executable, *options, "-m", "spikefold", "train", "recipe.toml", "--json"]


def train(folder: Path, out: str, *options: str) -> None:
    """Train in this process, which has torch already: starting another one costs more than the training."""
    done = spikefold("train", folder / "recipe.toml", "--out", folder / out, *options)
    assert done.exit_code == 0, done.output


def tensors(folder: Path) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in load_run(folder)[1].state_dict().items()}


def test_two_processes_are_one(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(recipe_text(epochs=2))
    train(tmp_path, "one")
    line = [*command("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"), "--out", "two"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    # One process reports, however many there are.
    assert json.loads(done.stdout)["epochs"] == 2
    one, two = tensors(tmp_path / "one"), tensors(tmp_path / "two")
    assert any(name.endswith("running_var") for name in one)
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=TOLERANCE, atol=TOLERANCE, err_msg=name)
    logs = [[json.loads(line) for line in (tmp_path / out / "log.jsonl").read_text().splitlines()] for out in ("one", "two")]
    assert [entry["epoch"] for entry in logs[1]] == [1, 2]
    for theirs, ours in zip(*logs, strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-5)
        assert ours["validation_accuracy"] == pytest.approx(theirs["validation_accuracy"], abs=0.01)
    assert json.loads((tmp_path / "two" / "summary.json").read_text())["processes"] == 2


def killed(folder: Path, after: float) -> bool:
    """Train or resume, and send SIGKILL so many seconds after the first epoch began to be written; return whether it had not finished."""
    process = subprocess.Popen([*command(), "--out", "killed", "--resume"], cwd=folder, stdout=subprocess.DEVNULL)
    log = folder / "killed" / "log.jsonl"
    before = log.stat().st_size if log.exists() else 0
    while process.poll() is None and not (log.exists() and log.stat().st_size > before):
        time.sleep(0.005)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.deep)])
def test_a_killed_training_resumes_to_the_same_weights(tmp_path: Path, kills: int) -> None:
    (tmp_path / "recipe.toml").write_text(recipe_text(epochs=6 * kills))
    train(tmp_path, "whole")
    delays = np.random.default_rng(1).uniform(0, 0.5, kills)
    for delay in delays:
        assert killed(tmp_path, float(delay))
    train(tmp_path, "killed", "--resume")
    assert (tmp_path / "killed" / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
