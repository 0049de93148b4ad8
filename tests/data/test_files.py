"""Files and folders that are replaced whole, and those that never are."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spikefold.data.errors import DataError, SpikefoldError
from spikefold.data.files import check_output, new_folder, write_bytes


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


KILLED = """
import os, signal, sys
from pathlib import Path
from spikefold.data import files

target = Path(sys.argv[1])
if sys.argv[2] == "file":
    os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
    files.write_bytes(target, b"half")
elif sys.argv[2] == "swap":
    Path.rename = lambda *names: os.kill(os.getpid(), signal.SIGKILL)
with files.new_folder(target, force=True) as folder:
    (folder / "summary.json").write_text("half")
    if sys.argv[2] == "folder":
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("moment", "left"), [("file", 1), ("folder", 1), ("swap", 2)])
def test_what_a_killed_process_left_is_gone_after_the_next(tmp_path: Path, moment: str, left: int) -> None:
    if moment == "swap":
        old_folder(tmp_path / "out")
    kept = {".out.settings", ".out.spikefold", ".spikefold-abcdefgh", "out.spikefold-abcdefgh"}
    for name in kept:
        (tmp_path / name).write_text("mine")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "out"), moment], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == len(kept) + left
    fill(tmp_path / "other")
    assert {path.name for path in tmp_path.iterdir()} == kept | {"other"} | ({"out"} if moment == "swap" else set())
    if moment == "swap":
        assert (tmp_path / "out" / "summary.json").read_text() == "old"


def test_what_a_running_process_writes_is_left_alone(tmp_path: Path) -> None:
    with new_folder(tmp_path / "out") as folder:
        fill(tmp_path / "other")
        write_bytes(tmp_path / "file", b"new")
        assert folder.is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "other", "out"]


def denied(*_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied", "/somewhere/.name.nxm85q1h")


def test_an_output_that_may_be_written_leaves_no_trace(tmp_path: Path) -> None:
    check_output(tmp_path / "new.json", force=False, inputs=[tmp_path / "net", tmp_path / "build"])
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = old_folder(tmp_path / "build")
    (tmp_path / "outside").write_text("old")
    (tmp_path / "inside").symlink_to(build / "summary.json")
    (build / "out").symlink_to(tmp_path / "outside")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(build)
    for name, force, words in (
        (build, True, "build: it is a folder; a file's name is needed"),
        (tmp_path / "no" / "x", True, "x: the folder .*no does not exist"),
        (tmp_path / "outside" / "x", True, "x: the folder .*outside does not exist"),
        (tmp_path / "outside", False, "outside: it exists already; use --force to replace it, or another name"),
        (tmp_path / "nowhere", False, "nowhere: it exists already"),
        (tmp_path / "pipe", True, "pipe: it is not a file"),
        (Path("/dev/null"), True, "/dev/null: it is not a file"),
        (Path("new"), True, "new: it is in .*build, which is read here"),
        (build / "out", True, "out: it is in .*build, which is read here"),
        (tmp_path / "inside", True, "inside: it is in .*build, which is read here"),
        (tmp_path / "build" / ".." / "build" / "summary.json", True, "it is in .*build, which is read here"),
    ):
        with pytest.raises(DataError, match=words):
            check_output(name, force=force, inputs=[build])
    check_output(tmp_path / "outside", force=True, inputs=[build])
    for name in (build / "summary.json", tmp_path / "inside", Path("summary.json")):
        with pytest.raises(DataError, match="it is a file that is read here, which is never replaced"):
            check_output(name, force=True, inputs=[build / "summary.json"])


def test_a_folder_that_takes_no_file_is_found_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # For root, too.
    with pytest.raises(DataError, match=r"^/proc/c\.json: "):
        check_output(Path("/proc/c.json"), force=False)
    monkeypatch.setattr("spikefold.data.files.tempfile.TemporaryFile", denied)
    with pytest.raises(DataError, match=r"/c\.json: Permission denied$"):
        check_output(tmp_path / "c.json", force=False)


@pytest.mark.parametrize("refusing", ["spikefold.data.files.tempfile.mkstemp", "spikefold.data.files.Path.replace"])
def test_a_refused_file_has_its_own_name_in_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusing: str) -> None:
    monkeypatch.setattr(refusing, denied)
    with pytest.raises(SpikefoldError) as raised:
        write_bytes(tmp_path / "c.json", b"")
    assert str(raised.value) == f"{tmp_path / 'c.json'}: Permission denied"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("refusing", ["spikefold.data.files.tempfile.mkdtemp", "spikefold.data.files.Path.rename"])
def test_a_refused_folder_has_its_own_name_in_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusing: str) -> None:
    monkeypatch.setattr(refusing, denied)
    with pytest.raises(SpikefoldError) as raised:
        fill(tmp_path / "out")
    assert str(raised.value) == f"{tmp_path / 'out'}: Permission denied"
    assert list(tmp_path.iterdir()) == []


def test_a_refused_file_of_a_new_folder_is_named_in_that_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpikefoldError) as missing, new_folder(tmp_path / "out") as folder:
        (folder / "no" / "a.txt").write_text("new")
    assert str(missing.value) == f"{tmp_path / 'out' / 'no' / 'a.txt'}: No such file or directory"
    monkeypatch.setattr("spikefold.data.files.os.fsync", denied)
    with pytest.raises(SpikefoldError) as refused, new_folder(tmp_path / "out") as folder:
        write_bytes(folder / "a.txt", b"new")
    assert str(refused.value) == f"{tmp_path / 'out' / 'a.txt'}: Permission denied"
    assert list(tmp_path.iterdir()) == []


def test_a_name_of_full_length_is_written(tmp_path: Path) -> None:
    check_output(tmp_path / ("n" * 255), force=False)
    write_bytes(tmp_path / ("n" * 255), b"new")
    fill(tmp_path / ("f" * 255))
    assert sorted(p.name[0] for p in tmp_path.iterdir()) == ["f", "n"]
