"""``spikefold train``: a folder that is there already."""

from pathlib import Path

from tests.command_line import ended_badly, spikefold


def test_training_twice_into_a_folder(files: Path, run: Path) -> None:
    ended_badly(spikefold("train", files / "tiny.toml", "--out", run), str(run), "--resume", "--force")
    assert spikefold("train", files / "tiny.toml", "--out", run, "--resume").exit_code == 0
    assert spikefold("train", files / "tiny.toml", "--out", run, "--resume", "--force").exit_code == 2
