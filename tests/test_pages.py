"""What is printed runs: every command and all code of the pages and of a build's README, from an empty folder of a clone."""

import re
import sys
from pathlib import Path

import pytest

from spikefold.cli import main
from spikefold.network.files import network_file
from spikefold.quantize.fold import fold
from tests.cli.sources import float_digits
from tests.command_line import spikefold
from tests.pages import PAGES, ROOT, code_blocks, commands, inline_commands, run, unknown_parts

CLONE = (".ci", "Makefile", "benchmarks", "constraints.txt", "examples", "pyproject.toml", "tests")
"""What the commands of the pages find in a clone."""
BUILD = "the README of a build"
QUICK = "sed 's/^epochs = .*/epochs = 2/' examples/recipes/digits.toml > quick.toml"
INSTALL = "pip install -c constraints.txt '.[all]'"
SHORT = {
    # All of it but the copying, without an index: tests/test_package.py installs a wheel and runs its demo.
    INSTALL: (f"pip install --dry-run --no-index --no-build-isolation -c constraints.txt '{ROOT}[all]'",),
    "spikefold demo --out demo-out": ("spikefold demo --run examples/models/digits --out demo-out --rtl-samples 1",),
    "make demo": ("make -n demo",),
    "make test": ("make -n test",),
    "spikefold train digits --out runs/digits": (QUICK, "spikefold train quick.toml --out runs/digits"),
    "spikefold verify digits-build": ("spikefold verify digits-build --samples 1",),
    "spikefold train examples/recipes/digits.toml --out runs/bntt": (QUICK, "spikefold train quick.toml --out runs/bntt"),
    "spikefold train bn.toml --out runs/bn": ("sed -i 's/^epochs = .*/epochs = 2/' bn.toml", "spikefold train bn.toml --out runs/bn"),
    "spikefold train digits-2.toml --out runs/digits-2": (
        "sed -i 's/^epochs = .*/epochs = 2/' digits-2.toml",
        "spikefold train digits-2.toml --out runs/digits-2",
    ),
    "spikefold count counted-fashion.safetensors --samples 10000": ("spikefold count counted-fashion.safetensors --samples 2",),
    "spikefold search examples/models/digits --out found-digits": (
        "spikefold search examples/models/digits --out found-digits --trials 3 --samples 20",
    ),
    "spikefold search examples/models/fashion_mnist --out found-fashion --budget 1 --trials 100": (
        "spikefold search examples/models/fashion_mnist --out found-fashion --budget 1 --trials 2 --samples 2",
    ),
    "spikefold search examples/models/fashion_mnist --out found-fashion --budget 1 --trials 100 --resume": (
        "spikefold search examples/models/fashion_mnist --out found-fashion --budget 1 --trials 3 --samples 2 --resume",
    ),
    "python -m tests.equivalence.matrix --markdown matrix.md": (
        "python -m tests.equivalence.matrix --markdown matrix.md --networks 1 --integer 1 --only 'bntt, lif, soft, ternary, plain'",
    ),
    "python -m tests.train.importers.deep --networks 1000": ("python -m tests.train.importers.deep --networks 2 --kind 'IFNode soft'",),
    'python -m tests.train.importers.deep --networks 1000 --kind "nir of"': (
        "python -m tests.train.importers.deep --networks 2 --kind 'nir of snntorch'",
    ),
    "python -m tests.train.importers.grids": (
        "python -m tests.train.importers.grids --epochs 0 --samples 8 --only 'torch, 4 bits, tensor, no leak, reset to 0'",
    ),
    "spikefold verify .": ("spikefold verify . --samples 1",),
}
"""Commands that take long, and what the tests run in their place."""
NEVER = {
    # They install everything anew, and start the tests again.
    INSTALL,
    "make demo",
    "make test",
    # Hours.
    "python -m tests.equivalence.matrix --markdown matrix.md",
    "python -m tests.train.importers.deep --networks 1000",
    'python -m tests.train.importers.deep --networks 1000 --kind "nir of"',
}
"""Those that not even the long run runs as they are."""


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def follow(text: str, folder: Path, *, short: bool) -> None:
    """Run all commands of a page, then its Python code."""
    for command in commands(text):
        for one in SHORT.get(command, (command,)) if short or command in NEVER else (command,):
            run(one, folder)
    for code in code_blocks(text, "python"):
        run(f"python - <<'END'\n{code}\nEND", folder)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name in CLONE:
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    network_file.save(fold(float_digits()).network, folder / "net.safetensors")
    assert spikefold("generate", folder / "net.safetensors", "--out", folder / "build").exit_code == 0
    return folder / "build"


def shipped() -> dict[Path, tuple[int, int]]:
    """The size and time of every file that comes along, which no command may touch."""
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in (ROOT / "examples").rglob("*") if path.is_file()}


@pytest.mark.parametrize("page", [page for page in PAGES if commands(text_of(page))])
def test_a_page_can_be_followed(page: str, clone: Path) -> None:
    before = shipped()
    follow(text_of(page), clone, short=True)
    assert shipped() == before


@pytest.mark.deep
@pytest.mark.parametrize("page", [page for page in PAGES if commands(text_of(page))])
def test_a_page_can_be_followed_to_the_letter(page: str, clone: Path) -> None:
    follow(text_of(page), clone, short=False)


def test_the_readme_of_a_build_can_be_followed(build: Path) -> None:
    text = (build / "README.md").read_text(encoding="utf-8")
    assert len(commands(text)) >= 3
    follow(text, build, short=True)


def test_what_is_run_in_the_place_of_a_command_is_still_needed(build: Path) -> None:
    printed = {command for page in PAGES for command in commands(text_of(page))} | set(commands((build / "README.md").read_text(encoding="utf-8")))
    assert sorted(SHORT.keys() - printed) == []
    assert SHORT.keys() >= NEVER


@pytest.mark.parametrize("page", PAGES)
def test_commands_stand_in_blocks_that_are_run_or_in_sentences_that_are_right(page: str) -> None:
    text = text_of(page)
    assert {command: unknown_parts(command) for command in inline_commands(text) if unknown_parts(command)} == {}
    # Neither indented nor in a block of another language, where nothing would run them.
    rest = text if not commands(text) else re.sub(r"^```(sh|python)\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"^ *(?:spikefold|python|make|pip|iverilog|torchrun) .*$", rest, re.MULTILINE) == []


def test_no_two_commands_write_the_same_and_none_writes_over_the_clone() -> None:
    written = []
    for page in PAGES:
        for command in dict.fromkeys(re.sub(" --resume$", "", command) for command in commands(text_of(page))):
            for path in re.findall(r"(?:--out|--markdown|--plot| >) (\S+)", command):
                written += [path] + [f"{path.removesuffix('.safetensors')}.json"] * path.endswith(".safetensors")
    assert sorted({path for path in written if written.count(path) > 1}) == []
    assert [path for path in written if (ROOT / path).exists() and not path.startswith("runs/")] == []


def test_the_examples_of_the_help_can_be_called() -> None:
    called = [line.strip() for verb in main.commands.values() for line in (verb.epilog or "").splitlines() if line.startswith("  spikefold ")]
    assert len(called) > 2 * len(main.commands)
    for command in called:
        _, name, *arguments = command.split()
        verb = main.commands[name]
        with verb.make_context(name, arguments):
            pass
    outs = [path for command in called for path in re.findall(r"--out (\S+)", command)]
    assert [path for path in outs if (ROOT / path).exists() and (ROOT / path / "__init__.py").exists()] == []
    runs = {path for command in called for path in re.findall(r"runs/[\w.-]+", command)}
    assert runs <= {path for command in called for path in re.findall(r"train .*--out (runs/[\w.-]+)", command)} | {"runs/table-2"}


def test_the_readme_names_every_verb() -> None:
    assert [verb for verb in main.commands if f"`spikefold {verb} " not in text_of("README.md")] == []
