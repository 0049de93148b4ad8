"""The commands and the code on the pages: those in ``sh`` blocks, in their order, and those in sentences and cells."""

import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from spikefold.cli import main
from tests.command_line import spikefold

__all__ = ["PAGES", "ROOT", "as_program", "code_blocks", "commands", "inline_commands", "run", "status_of", "unknown_parts"]

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")), "benchmarks/README.md")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:spikefold|python -m|make|pip install) [^`]+)`")
HEREDOC = re.compile(r"<<'(\w+)'$")


def code_blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return [content for found, content in FENCED.findall(text) if found == language]


def commands(text: str) -> list[str]:
    """Return the commands in the ``sh`` blocks of a page, in order, without comments and with their here-documents."""
    found = []
    for block in code_blocks(text, "sh"):
        lines = iter(block.splitlines())
        for line in lines:
            command = re.sub(r"(^|\s+)#.*$", "", line)
            if not command:
                continue
            heredoc = HEREDOC.search(command)
            while heredoc and command.splitlines()[-1] != heredoc[1]:
                command += "\n" + next(lines)
            found.append(command)
    return found


def inline_commands(text: str) -> list[str]:
    """Return the commands that stand in sentences and cells, which name a part, such as RUN, instead of a file."""
    return INLINE.findall(FENCED.sub("", text))


def unknown_parts(command: str) -> list[str]:
    """Return the verbs, modules, targets, extras and options of a command that do not exist."""
    words = [word.strip("[]") for word in shlex.split(command)]
    options = {word.partition("=")[0] for word in words if word.startswith("--")}
    if words[0] == "spikefold":
        verb = main.commands.get(words[1])
        if verb is None:
            return [words[1]] * (not words[1].startswith("--"))
        known = {name for parameter in verb.params if isinstance(parameter, click.Option) for name in parameter.opts}
        return sorted(options - known - {"--help"})
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        return [word for word in words[1:] if not re.search(rf"^{word.partition('=')[0]}( \?=|:)", makefile, re.MULTILINE)]
    if words[0] == "pip":
        extras = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
        return sorted({extra for word in re.findall(r"\.\[([\w,]+)", command) for extra in word.split(",")} - set(extras))
    path = ROOT.joinpath(*words[2].split("."))
    sources = [path.with_suffix(".py"), path / "__main__.py"]
    source = next((source.read_text(encoding="utf-8") for source in sources if source.is_file()), None)
    return [words[2]] if source is None else sorted(option for option in options if f'"{option}"' not in source)


@contextmanager
def as_program(folder: Path, *arguments: str) -> Iterator[None]:
    """Make ``folder`` the current one and the first place of imports, and ``arguments`` those of the program."""
    before = Path.cwd(), sys.argv, sys.path, set(sys.modules)
    os.chdir(folder)
    sys.argv, sys.path = list(arguments), [str(folder), *sys.path]
    try:
        yield
    finally:
        os.chdir(before[0])
        sys.argv, sys.path = before[1], before[2]
        # What the page itself wrote must not be found by another one.
        for name in set(sys.modules) - before[3]:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
                del sys.modules[name]


def run(command: str, folder: Path) -> None:
    """Run a command of a page in ``folder``; a status other than 0 is an AssertionError.

    Programs in Python run in this process, which is cheaper.
    """
    first, *rest = command.split("\n")
    words = shlex.split(first)
    if words[:2] == ["python", "-"]:
        with as_program(folder, "-"):
            exec(compile("\n".join(rest[:-1]), command, "exec"), {"__name__": "__main__"})
    elif words[:2] == ["python", "-m"]:
        with as_program(folder, *words[2:]):
            assert status_of(words[2]) == 0, command
    elif words[0] == "spikefold" and not {"&&", "|", ">"} & set(words):
        with as_program(folder):
            result = spikefold(*words[1:])
        assert result.exit_code == 0, f"{command}: {result.output}"
    else:
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(["bash", "-ec", command], cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def status_of(module: str) -> int:
    """Run a module as ``python -m`` does; return its exit status."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0
