"""The package away from its clone: the files of wheel and sdist, and the demo of an installed wheel."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import spikefold
from tests.pages import ROOT

NOT_SOURCES = re.compile(r"\..*|.*\.egg-info|build|dist|runs|demo-out")
"""Names in a clone that a build must not find: those of earlier builds and of results."""
BESIDE_THE_PACKAGE = {"LICENSE", "MANIFEST.in", "PKG-INFO", "README.md", "pyproject.toml", "setup.cfg"}
"""Files of the sdist outside the package and its metadata."""
HEAVY = {"amaranth", "cocotb", "matplotlib", "numba", "sklearn", "torch"}
"""What importing the package alone does not load."""


def said(command: list[str | Path], folder: Path, **variables: str) -> str:
    """Run a program in ``folder`` without the clone on its path; return its stdout.

    A status other than 0 is an AssertionError.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(kind: str, sources: Path, out: Path) -> Path:
    """Build the wheel or sdist of ``sources`` as pip does, with the setuptools that is installed; return its path."""
    out.mkdir(exist_ok=True)
    code = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
    said([sys.executable, "-c", code, out], sources)
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything of the clone, which stays as it is."""
    folder = tmp_path_factory.mktemp("sources")
    for path in ROOT.iterdir():
        if not NOT_SOURCES.fullmatch(path.name):
            (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", sources, tmp_path_factory.mktemp("wheel"))


def packaged() -> list[str]:
    """Return the files that a wheel must hold: all of the package but the examples' scripts and trained runs.

    Runs that recipes start from are among them.
    """
    paths = (ROOT / "examples" / "recipes").rglob("*.toml")
    recipes = [tomllib.loads(path.read_text(encoding="utf-8")) for path in paths]
    starts = {Path(recipe["train"]["start"]).name for recipe in recipes if "start" in recipe["train"]}
    assert starts
    found = []
    for folder, _, names in os.walk(ROOT / "spikefold", followlinks=True):
        place = Path(folder).relative_to(ROOT)
        script = place == Path("spikefold/examples")
        unused = place.parent == Path("spikefold/examples/models") and place.name not in starts
        if not (script or unused or place.name == "__pycache__"):
            found += [(place / name).as_posix() for name in names]
    return sorted(found)


def contents(path: Path) -> dict[str, int]:
    """Return the checksum of every file of a wheel; a file that is there twice is an AssertionError."""
    with zipfile.ZipFile(path) as archive:
        files = archive.infolist()
    assert len({file.filename for file in files}) == len(files)
    return {file.filename: file.CRC for file in files}


def test_the_wheel_holds_every_file_of_the_package_and_no_other(wheel: Path) -> None:
    assert wheel.name.startswith(f"spikefold-{spikefold.__version__}-")
    names = sorted(contents(wheel))
    assert [name for name in names if ".dist-info/" not in name] == packaged()
    assert f"spikefold-{spikefold.__version__}.dist-info/licenses/LICENSE" in names


def test_the_sdist_makes_the_same_wheel_and_holds_no_more(sources: Path, wheel: Path, tmp_path: Path) -> None:
    sdist = build("sdist", sources, tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        files = [Path(*Path(file.name).parts[1:]) for file in archive if not file.isdir()]
    beside = {str(path) for path in files if path.parts[0] not in ("spikefold", "spikefold.egg-info")}
    assert beside == BESIDE_THE_PACKAGE
    assert sorted(path.as_posix() for path in files if path.parts[0] == "spikefold") == packaged()
    shutil.unpack_archive(sdist, tmp_path)
    unpacked = tmp_path / sdist.name.removesuffix(".tar.gz")
    assert contents(build("wheel", unpacked, tmp_path / "again")) == contents(wheel)


def test_an_installed_wheel_runs_the_demo_where_no_clone_is(wheel: Path, tmp_path: Path) -> None:
    environment, folder = tmp_path / "environment", tmp_path / "empty"
    folder.mkdir()
    venv.create(environment, symlinks=True)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(environment)}))
    # The packages that are installed already, but not their own .pth files: one of those leads to the clone.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    python, command = environment / "bin" / "python", environment / "bin" / "spikefold"
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python]
    said([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], folder)
    found = said([python, "-c", "import spikefold; print(spikefold.__file__)"], folder)
    assert Path(found.strip()) == site / "spikefold" / "__init__.py"
    assert said([command, "--version"], folder).split()[-1] == spikefold.__version__
    assert "demo" in said([command, "--help"], folder)
    assert "psp-table-2" in said([command, "reproduce", "--list"], folder)
    recipe = site / "spikefold" / "examples" / "recipes" / "digits.toml"
    text, count = re.subn("^epochs = .*", "epochs = 1", recipe.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert count == 1
    recipe.write_text(text, encoding="utf-8")
    # To compile the kernels would take longer than all the rest, and other tests do.
    demo: list[str | Path] = [command, "demo", "--samples", "1", "--rtl-samples", "1", "--out", "demo", "--json"]
    assert json.loads(said(demo, folder, NUMBA_DISABLE_JIT="1"))["equal"]
    assert [path.name for path in folder.iterdir()] == ["demo"]


def test_the_import_is_light() -> None:
    code = "import sys, time; began = time.process_time(); import spikefold; "
    code += "print(time.process_time() - began, *sys.modules)"
    seconds, *modules = said([sys.executable, "-c", code], ROOT).split()
    assert sorted(HEAVY & set(modules)) == []
    assert float(seconds) < 0.3
