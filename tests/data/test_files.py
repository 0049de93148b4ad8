"""Folders that are replaced whole, and those that never are."""

from pathlib import Path

import pytest

from spikefold.data.errors import SpikefoldError
from spikefold.data.files import new_folder


def fill(path: Path, *, force: bool = False) -> None:
    with new_folder(path, force=force) as folder:
        (folder / "summary.json").write_text("new")


def old_folder(path: Path, name: str = "summary.json") -> Path:
    path.mkdir()
    (path / name).write_text("old")
    return path


def test_a_folder_of_ours_is_replaced_and_nothing_else_stays(tmp_path: Path) -> None:
    fill(old_folder(tmp_path / "out"), force=True)
    (tmp_path / "empty").mkdir()
    fill(tmp_path / "empty", force=True)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == ["empty", "empty/summary.json", "out", "out/summary.json"]
    assert (tmp_path / "out" / "summary.json").read_text() == "new"


@pytest.mark.parametrize("place", ["", ".", "..", "inner/..", "/", "~"])
def test_the_folders_that_one_stands_in_are_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    home = old_folder(tmp_path / "home")
    here = old_folder(home / "here")
    (here / "inner").mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(home))
    for force in (True, False):
        with pytest.raises(SpikefoldError, match="never replaced"):
            fill(Path(place.replace("~", str(home))), force=force)
    assert sorted(p.name for p in home.rglob("*")) == ["here", "inner", "summary.json", "summary.json"]


def test_a_link_to_the_current_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(old_folder(tmp_path / "here"))
    (tmp_path / "link").symlink_to(tmp_path / "here")
    with pytest.raises(SpikefoldError, match="the current folder"):
        fill(tmp_path / "link", force=True)


@pytest.mark.parametrize(("name", "words"), [("thesis.txt", "neither manifest.json nor summary.json"), ("model.safetensors", "leaves it alone")])
def test_folders_of_others_are_left_alone(tmp_path: Path, name: str, words: str) -> None:
    mine = old_folder(tmp_path / "mine", name)
    with pytest.raises(SpikefoldError, match=words):
        fill(mine, force=True)
    assert (mine / name).read_text() == "old"


def test_a_training_run_is_left_to_train(tmp_path: Path) -> None:
    run = old_folder(tmp_path / "run")
    (run / "model.safetensors").write_text("weights")
    with pytest.raises(SpikefoldError, match="only train --force replaces"):
        fill(run, force=True)
    assert (run / "summary.json").read_text() == "old"


def test_a_folder_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    with pytest.raises(SpikefoldError, match="exists already"), new_folder(tmp_path / "out"):
        old_folder(tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "summary.json").read_text() == "old"


@pytest.mark.parametrize("failing", ["replace", "rename"])
def test_an_interrupted_swap_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    out = old_folder(tmp_path / "out")
    unbroken = getattr(Path, failing)
    calls = []

    def once(self: Path, target: Path) -> Path:
        calls.append(self)
        if len(calls) == 1:
            raise KeyboardInterrupt
        moved: Path = unbroken(self, target)
        return moved

    monkeypatch.setattr(Path, failing, once)
    with pytest.raises(KeyboardInterrupt):
        fill(out, force=True)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (out / "summary.json").read_text() == "old"
