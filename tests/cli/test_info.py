"""``spikefold info``: every kind of file and folder."""

import json
from pathlib import Path

from tests.cli.sources import RECIPE
from tests.command_line import ended_badly, spikefold


def test_info_knows_every_kind(files: Path, net: Path, build: Path, run: Path) -> None:
    (files / "chip.toml").write_text('name = "small"\n[architecture]\nlanes = 4\n')
    kinds = {
        net: "network", files / "float.safetensors": "float_network", files / "tiny.toml": "recipe", files / "chip.toml": "chip", build: "build",
        run: "float_network",
    }  # fmt: skip
    for path, kind in kinds.items():
        result = spikefold("info", path, "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["kind"] == kind
        assert spikefold("info", path).exit_code == 0


def test_the_chips_that_come_along_are_sound() -> None:
    for chip in sorted((Path(__file__).parents[2] / "examples" / "chips").glob("*.toml")):
        result = spikefold("info", chip, "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["name"] == chip.stem


def test_info_estimates_what_a_chip_must_have(files: Path, net: Path, tmp_path: Path) -> None:
    result = spikefold("info", net, "--chip", Path(__file__).parents[2] / "examples" / "chips" / "ecp5.toml", "--json")
    assert result.exit_code == 0, result.output
    cores = json.loads(result.stdout)["cores"]
    assert [core["layer"] for core in cores] == ["conv[1]", "out"]
    assert all(core["block_rams"] > 0 for core in cores)
    (tmp_path / "chip.toml").write_text('name = "tiny"\n[architecture]\ncores = 1\n')
    ended_badly(spikefold("info", net, "--chip", tmp_path / "chip.toml"), "'tiny' has 1 cores")
    ended_badly(spikefold("info", files / "tiny.toml", "--chip", tmp_path / "chip.toml"), "--chip is for an integer network")


def test_info_on_a_folder_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text("{}")
    ended_badly(spikefold("info", tmp_path), "neither the folder of a run", "nor that of a build")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    ended_badly(spikefold("info", tmp_path), "is the run finished?")
