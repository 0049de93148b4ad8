"""Input that cannot be used, whatever verb reads it, is one line and leaves nothing."""

import json
from dataclasses import replace
from pathlib import Path

from spikefold.network.files import network_file
from tests.cli.sources import RECIPE
from tests.command_line import ended_badly, spikefold


def test_one_line_for_files_that_cannot_be_used(files: Path, net: Path, tmp_path: Path) -> None:
    content = net.read_bytes()
    out = ("--out", tmp_path / "x")
    ended_badly(spikefold("simulate", tmp_path / "missing.safetensors", *out), "missing.safetensors: No such file or directory")
    ended_badly(spikefold("generate", tmp_path, *out), "it is not a file")
    (tmp_path / "cut.safetensors").write_bytes(content[:-5])
    ended_badly(spikefold("simulate", tmp_path / "cut.safetensors", *out), "cut.safetensors", "data_offsets")
    (tmp_path / "bad.safetensors").write_bytes(content.replace(b'\\"timesteps\\":3', b'\\"timesteps\\":0'))
    ended_badly(spikefold("simulate", tmp_path / "bad.safetensors", *out), "bad.safetensors", "timesteps: value 0", "1..4096")
    ended_badly(spikefold("simulate", files / "float.safetensors", *out), "a float network; an integer network")
    ended_badly(spikefold("quantize", net, "--out", tmp_path / "n.safetensors"), "an integer network; a float network")
    ended_badly(spikefold("quantize", tmp_path, "--out", tmp_path / "n.safetensors"), "there is no model.safetensors")
    ended_badly(spikefold("quantize", files / "float.safetensors", "--out", tmp_path / "n.bin"), "must end in .safetensors")
    ended_badly(spikefold("quantize", files / "float.safetensors", "--out", tmp_path / "no" / "n.safetensors"), "does not exist")
    ended_badly(spikefold("verify", tmp_path), "manifest.json: No such file")
    ended_badly(spikefold("info", tmp_path / "missing.toml"), "missing.toml: No such file")
    assert not (tmp_path / "x").exists()


def test_one_line_for_settings_that_do_not_fit(files: Path, net: Path, build: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "x")
    ended_badly(spikefold("simulate", net, "--data", "cats", *out), "data set 'cats'")
    ended_badly(spikefold("simulate", net, "--split", "middle", *out), "split 'middle'")
    ended_badly(spikefold("simulate", net, "--samples", "999", *out), "999 samples", "it has 360")
    for place, words in ((tmp_path, "it is a folder; a file's name is needed"), (tmp_path / "no" / "result.json", "does not exist")):
        ended_badly(spikefold("verify", build, "--out", place), str(place), words)
    ended_badly(spikefold("verify", build, "--samples", "361"), "361 samples", "it has 360")
    ended_badly(spikefold("simulate", net, "--data", "fashion-mnist", "--data-dir", tmp_path, *out), str(tmp_path))
    (tmp_path / "chip.toml").write_text('name = "tiny"\n[architecture]\ncores = 1\n')
    for verb in ("simulate", "generate"):
        ended_badly(spikefold(verb, net, "--chip", tmp_path / "chip.toml", *out), "2 layers", "'tiny' has 1 cores")
    (tmp_path / "odd.toml").write_text("speed = 9\n")
    ended_badly(spikefold("simulate", net, "--chip", tmp_path / "odd.toml", *out), "odd.toml", "'speed'")
    (tmp_path / "recipe.toml").write_text(RECIPE + "speed = 9")
    ended_badly(spikefold("train", tmp_path / "recipe.toml", *out), "recipe.toml", "'speed'")
    ended_badly(spikefold("info", tmp_path / "recipe.toml"), "'speed'")
    (tmp_path / "broken.toml").write_text("a = [")
    ended_badly(spikefold("info", tmp_path / "broken.toml"), "not a TOML file")
    ended_badly(spikefold("demo", "--data", "cats", *out), "'cats'")
    ended_badly(spikefold("demo", "--run", tmp_path, *out), "model.safetensors")
    assert not (tmp_path / "x").exists()


def test_files_that_say_too_much(tmp_path: Path, build: Path) -> None:
    out = tmp_path / "x"
    for name, text in (("digits", "a = " + "9" * 5000), ("nested", "a = " + "[" * 5000)):
        (tmp_path / f"{name}.toml").write_text(text)
        ended_badly(spikefold("info", tmp_path / f"{name}.toml"), f"{name}.toml: not a TOML file")
        ended_badly(spikefold("train", tmp_path / f"{name}.toml", "--out", out), "not a TOML file")
    (tmp_path / "build").mkdir()
    manifest = json.loads((build / "manifest.json").read_text())
    (tmp_path / "build" / "manifest.json").write_text(json.dumps({**manifest, "network": {"class_names": 5}}))
    assert spikefold("info", tmp_path / "build").exit_code == 0


def test_a_network_whose_data_is_not_known(net: Path, tmp_path: Path) -> None:
    network_file.save(replace(network_file.load(net), provenance={}), tmp_path / "n.safetensors")
    ended_badly(spikefold("simulate", tmp_path / "n.safetensors", "--out", tmp_path / "x"), "provenance names none")
    assert spikefold("simulate", tmp_path / "n.safetensors", "--data", "digits", "--samples", "1", "--out", tmp_path / "x").exit_code == 0
