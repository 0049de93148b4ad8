"""The demo of a run that was trained through the fold, for a chip that shifts, and of what the data cannot give."""

import json
import shutil
from pathlib import Path

import pytest

from spikefold.network.files import network_file
from spikefold.network.power_terms import term_count
from spikefold.train.recipes.recipe import trained_widths
from tests.command_line import ended_badly, spikefold

EXAMPLES = Path(__file__).parents[2] / "examples"
WIDTHS = "[quantize]\nweight_bits = 4\n\n[quantize.layer_bits]\nreadout = 6\n"


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped digits run, trained on through the fold for an epoch."""
    folder = tmp_path_factory.mktemp("quantized")
    text = (EXAMPLES / "recipes" / "digits.toml").read_text(encoding="utf-8")
    text = text.replace("epochs = 60", f'epochs = 1\nmethod = "quantize"\nstart = "{EXAMPLES / "models" / "digits"}"')
    text = text.replace("learning_rate = 0.1", "learning_rate = 0.001")
    (folder / "quantized.toml").write_text(f"{text}\n{WIDTHS}", encoding="utf-8")
    result = spikefold("train", folder / "quantized.toml", "--out", folder / "run")
    assert result.exit_code == 0, result.output
    return folder / "run"


def bits_of(path: Path) -> dict[str, int]:
    return {weights.id: weights.bits for weights in network_file.load(path).weights}


def test_the_demo_of_a_quantized_run_has_its_widths(quantized: Path, tmp_path: Path) -> None:
    result = spikefold("demo", "--run", quantized, "--samples", "20", "--rtl-samples", "1", "--out", tmp_path / "demo", "--json")
    assert result.exit_code == 0, result.output
    assert bits_of(tmp_path / "demo" / "net.safetensors") == {"hidden": 4, "readout": 6}
    assert json.loads(result.stdout)["equal"]


def test_the_file_of_a_quantized_run_has_its_widths_beside_its_recipe_alone(quantized: Path, tmp_path: Path) -> None:
    model, out = quantized / "model.safetensors", tmp_path / "net.safetensors"
    assert spikefold("quantize", model, "--out", out).exit_code == 0
    assert bits_of(out) == {"hidden": 4, "readout": 6}
    # A file that only lies beside the recipe was not trained by it.
    shutil.copy(quantized / "recipe.toml", tmp_path)
    other = shutil.copy(EXAMPLES / "models" / "digits" / "model.safetensors", tmp_path)
    assert trained_widths(Path(other)) == {}
    assert trained_widths(quantized / "nothing here" / "model.safetensors") == {}


def test_the_demo_quantizes_for_a_chip_that_shifts(tmp_path: Path) -> None:
    chip = EXAMPLES / "chips" / "shift.toml"
    options = ("--chip", chip, "--samples", "20", "--rtl-samples", "1", "--out", tmp_path / "demo")
    result = spikefold("demo", "--run", EXAMPLES / "models" / "digits", *options)
    assert result.exit_code == 0, result.output
    assert max(term_count(connection.gain.values) for connection in network_file.load(tmp_path / "demo" / "net.safetensors").connections) == 1


@pytest.mark.parametrize("option", ["--samples", "--rtl-samples"])
def test_more_samples_than_there_are_end_before_the_training(option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(*_: object, **__: object) -> None:
        raise AssertionError("it was trained")

    monkeypatch.setattr("spikefold.workflow.demo._train", trained)
    ended_badly(spikefold("demo", option, "1000", "--out", tmp_path / "demo"), "1000 samples are asked for; it has 360")
    assert not (tmp_path / "demo").exists()
