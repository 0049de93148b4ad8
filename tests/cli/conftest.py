"""Networks, runs and builds that tests of several verbs read."""

import json
from pathlib import Path

import pytest
from click.testing import Result

from spikefold.network.files import network_file
from spikefold.quantize.float_file import save_float
from spikefold.quantize.fold import fold
from tests.cli.sources import MODEL, RECIPE, float_digits
from tests.command_line import spikefold
from tests.train.paper_tables import write_table


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a float network, an integer one, and a recipe."""
    folder = tmp_path_factory.mktemp("files")
    network = float_digits()
    save_float(network, folder / "float.safetensors")
    network_file.save(fold(network).network, folder / "net.safetensors")
    (folder / "tiny.toml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="session")
def net(files: Path) -> Path:
    return files / "net.safetensors"


@pytest.fixture(scope="session")
def build(net: Path) -> Path:
    result = spikefold("generate", net, "--out", net.parent / "build")
    assert result.exit_code == 0, result.output
    return net.parent / "build"


@pytest.fixture(scope="session")
def run(files: Path) -> Path:
    result = spikefold("train", files / "tiny.toml", "--out", files / "run", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["data"] == "digits"
    return files / "run"


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Result]:
    folder = tmp_path_factory.mktemp("reproduced")
    table = write_table(folder, changes={"epochs = 2": "epochs = 1"})
    result = spikefold("reproduce", table, "--out", folder / "runs")
    assert result.exit_code == 0, result.output
    return table, folder / "runs", result


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.py"
    path.write_text(MODEL, encoding="utf-8")
    return path


@pytest.fixture
def hard(tmp_path: Path) -> Path:
    """A float network that NIR can carry, made by import."""
    path = tmp_path / "hard.py"
    path.write_text(MODEL.replace("init_hidden", "reset_mechanism='zero', init_hidden"), encoding="utf-8")
    out = tmp_path / "hard.safetensors"
    result = spikefold("import", f"{path}:net", "--shape", "1", "8", "8", "--timesteps", "3", "--out", out)
    assert result.exit_code == 0, result.output
    return out
