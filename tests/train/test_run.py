"""Run folders: what they hold, how they resume, and what they never replace."""

import hashlib
import json
import sys
from pathlib import Path

import pytest

import spikefold.train.runs.run as runs
from spikefold.data.datasets import Dataset, load_dataset
from spikefold.data.errors import DataError, SpikefoldError
from spikefold.quantize.float_file import load_float
from spikefold.train.errors import RecipeError, TrainError
from spikefold.train.methods.training import Epoch
from spikefold.train.runs.run import train
from tests.train.recipes import recipe_text


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe-of-mine.toml"
    path.write_text(recipe_text())
    return path


def stop_after(last: int):
    def progress(epoch: Epoch) -> None:
        if epoch.epoch == last:
            raise KeyboardInterrupt

    return progress


def test_folder_of_a_finished_run(tmp_path: Path, recipe: Path) -> None:
    out = tmp_path / "deep" / "run"
    seen: list[int] = []
    result = train(recipe, out, progress=lambda epoch: seen.append(epoch.epoch))
    assert seen == [1, 2, 3]
    assert sorted(path.name for path in out.iterdir()) == ["checkpoint.pt", "log.jsonl", "model.safetensors", "recipe.toml", "summary.json"]
    assert (out / "recipe.toml").read_text() == recipe.read_text()
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [entry["epoch"] for entry in log] == [1, 2, 3]
    summary = json.loads((out / "summary.json").read_text())
    assert summary["model_sha256"] == result.model_sha256 == hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()
    assert (summary["seed"], summary["weights"], summary["model"], summary["epochs"]) == (5, 36 + 384 + 60, "model.safetensors", 3)
    assert summary["best_epoch"] == min(log, key=lambda e: (e["validation_loss"], -e["epoch"]))["epoch"]
    network = load_float(out / "model.safetensors")
    assert summary["validation_accuracy"] == result.best.validation_accuracy > 0.25
    assert (result.model, result.not_exported) == (out / "model.safetensors", "")
    assert network.provenance["seed"] == "5"


def test_interrupted_run_resumes_to_the_same_model(tmp_path: Path, recipe: Path) -> None:
    whole = train(recipe, tmp_path / "whole")
    for last in (1, 2):
        out = tmp_path / f"parts{last}"
        with pytest.raises(KeyboardInterrupt):
            train(recipe, out, progress=stop_after(last))
        assert not (out / "model.safetensors").exists()
        with pytest.raises(TrainError, match=f"parts{last}: it exists already; resume it with --resume"):
            train(recipe, out)
        resumed = train(recipe, out, resume=True)
        assert (resumed.model_sha256, resumed.best.epoch) == (whole.model_sha256, whole.best.epoch)
        assert len((out / "log.jsonl").read_text().splitlines()) == 3
    # Before the first checkpoint there is nothing but the recipe; and a finished run resumes to itself.
    (out / "checkpoint.pt").unlink()
    assert train(recipe, out, resume=True).model_sha256 == whole.model_sha256
    assert train(recipe, out, resume=True, progress=stop_after(1)).model_sha256 == whole.model_sha256


def test_force_keeps_the_last_finished_run_until_the_new_one_is(tmp_path: Path, recipe: Path) -> None:
    out, previous = tmp_path / "run", tmp_path / "run.previous"
    first = train(recipe, out)
    recipe.write_text(recipe_text(seed=6))
    with pytest.raises(TrainError, match=r"recipe\.toml: it differs from the recipe given"):
        train(recipe, out, resume=True)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(recipe, out, force=True, progress=stop_after(1))
        assert hashlib.sha256((previous / "model.safetensors").read_bytes()).hexdigest() == first.model_sha256
    second = train(recipe, out, resume=True)
    assert second.model_sha256 != first.model_sha256
    assert not previous.exists()


def test_other_folders_and_files_are_left_alone(tmp_path: Path, recipe: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "thesis.tex").write_text("years of work")
    for options in ({}, {"force": True}, {"resume": True}):
        with pytest.raises(TrainError, match=r"own: it is not the folder of a training run \(it has no recipe\.toml\), so it is left alone"):
            train(recipe, own, **options)
        with pytest.raises(TrainError, match=r"thesis\.tex: it is a file"):
            train(recipe, own / "thesis.tex", **options)
    own.rename(tmp_path / "run.previous")
    train(recipe, tmp_path / "run")
    with pytest.raises(TrainError, match=r"run\.previous: it is no run that an earlier --force put aside"):
        train(recipe, tmp_path / "run", force=True)
    assert (tmp_path / "run" / "model.safetensors").exists()
    assert (tmp_path / "run.previous" / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    ("old", "new", "error", "words"),
    [
        ('name = "digits"', 'name = "mnist"', DataError, "data set 'mnist': the folder of its files must be given"),
        ("shape = [1, 8, 8]", "shape = [1, 28, 28]", RecipeError, r"input\.shape: \[1, 28, 28\]; images of 'digits' are \[1, 8, 8\]"),
        ("out = 10", "out = 9", RecipeError, r"layers\[2\]\.out: 9; 'digits' has 10 classes"),
        ("kernel = 3\npadding = 1", "kernel = 9", Exception, r"layers\[0\] weights: kernel \[9, 9\] is larger"),
    ],
)
def test_what_does_not_fit_leaves_no_folder(tmp_path: Path, old: str, new: str, error: type[Exception], words: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(recipe_text().replace(old, new, 1))
    with pytest.raises(error, match=words):
        train(path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_tensorboard_cannot_have_is_told_before_a_folder_is_made_or_replaced(
    tmp_path: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, notes = tmp_path / "run", tmp_path / "notes"
    notes.write_text("mine")
    for board in (notes, notes / "board"):
        with pytest.raises(TrainError, match=r"/notes: it is a file; TensorBoard's figures need a folder$"):
            train(recipe, run, tensorboard=board)
        assert not run.exists()
    sha256 = train(recipe, run).model_sha256
    with pytest.raises(TrainError, match=r"/notes: it is a file"):
        train(recipe, run, force=True, tensorboard=notes)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ModuleNotFoundError, match="tensorboard"):
        train(recipe, run, force=True, tensorboard=tmp_path / "board")
    assert hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest() == sha256
    assert not (tmp_path / "run.previous").exists()


def test_the_test_split_is_not_read(tmp_path: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def only_train(name: str, split: str, *rest: object, **options: object) -> Dataset:
        assert split == "train"
        return load_dataset(name, split, *rest, **options)

    monkeypatch.setattr(runs, "load_dataset", only_train)
    train(recipe, tmp_path / "run")


def test_too_little_memory_is_one_line(tmp_path: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hungry(*_: object, **__: object) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

    monkeypatch.setattr(runs, "learn", hungry)
    with pytest.raises(TrainError, match="out of memory; smaller layers"):
        train(recipe, tmp_path / "run")


def test_force_never_moves_the_current_folder(tmp_path: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "recipe.toml").write_text("old")
    monkeypatch.chdir(folder)
    for out in (Path(), folder):
        with pytest.raises(SpikefoldError, match="never replaced"):
            train(recipe, out, force=True)
    assert (folder / "recipe.toml").read_text() == "old"


def test_a_folder_that_is_only_named_previous_is_kept(tmp_path: Path, recipe: Path) -> None:
    train(recipe, tmp_path / "keep")
    (tmp_path / "keep").rename(tmp_path / "run.previous")
    train(recipe, tmp_path / "run")
    assert (tmp_path / "run.previous" / "model.safetensors").is_file()
    with pytest.raises(TrainError, match=r"run\.previous: it is no run that an earlier --force put aside, so it is left alone"):
        train(recipe, tmp_path / "run", force=True)
    assert (tmp_path / "run" / "model.safetensors").is_file()
