"""The group of verbs: its help, and how every verb ends where something is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.processes import EACH_WITHOUT, WITHOUT, python
from tests.command_line import ended_badly, spikefold

VERBS = (
    "train", "evaluate", "compare", "reproduce", "import", "export", "quantize", "search", "drift", "count", "simulate", "generate", "verify",
    "info", "demo",
)  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_examples(verb: str) -> None:
    result = spikefold(verb, "--help")
    assert result.exit_code == 0
    assert f"Examples:\n    spikefold {verb}" in result.output


def test_the_verbs_are_listed() -> None:
    result = spikefold("--help")
    assert result.exit_code == 0
    assert all(f"  {verb} " in result.output for verb in VERBS)


def test_a_wrong_option_is_a_usage_error() -> None:
    assert spikefold("simulate", "--speed", "9").exit_code == 2
    assert spikefold("fly").exit_code == 2


def test_help_needs_no_extra() -> None:
    for verb in VERBS:
        ended = python(WITHOUT, "torch,numba,amaranth,cocotb,sklearn,numpy", verb, "--help")
        assert ended.returncode == 0, ended.stderr


def test_all_but_training_works_without_torch(files: Path, net: Path, build: Path, tmp_path: Path) -> None:
    verbs = (
        ("quantize", files / "float.safetensors", "--out", tmp_path / "n.safetensors"),
        ("simulate", net, "--samples", "2", "--out", tmp_path / "simulated"),
        ("generate", net, "--out", tmp_path / "build"),
        ("verify", build, "--samples", "1"),
        ("info", net),
        ("info", files / "tiny.toml"),
    )
    ended = python(EACH_WITHOUT, "torch", json.dumps([list(map(str, arguments)) for arguments in verbs]))
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "n.safetensors").exists()
    assert (tmp_path / "build" / "manifest.json").exists()


def test_what_runs_no_chip_works_without_any_extra(files: Path, net: Path, tmp_path: Path) -> None:
    verbs = (
        ("quantize", files / "float.safetensors", "--out", tmp_path / "n.safetensors"),
        ("count", net, "--samples", "2"),
        ("drift", files / "float.safetensors", net, "--samples", "2", "--out", tmp_path / "drift"),
        ("info", net),
    )
    ended = python(EACH_WITHOUT, "torch,numba,amaranth,cocotb,optuna", json.dumps([list(map(str, arguments)) for arguments in verbs]))
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "drift" / "drift.json").exists()


@pytest.mark.parametrize(
    ("module", "extra", "arguments"),
    [
        ("torch", "train", ("train", "tiny.toml", "--out", "x")),
        ("numba", "sim", ("simulate", "net.safetensors", "--out", "x")),
        ("amaranth", "hw", ("generate", "net.safetensors", "--out", "x")),
    ],
)
def test_a_missing_extra_is_named(module: str, extra: str, arguments: tuple[str, ...], files: Path) -> None:
    verb, file, *rest = arguments
    ended = python(WITHOUT, module, verb, files / file, *rest[:-1], files / rest[-1])
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1] == (
        f"spikefold: {module} is not installed; the extra '{extra}' brings it: in a clone, pip install -c constraints.txt -e '.[{extra}]'"
    )
    assert not (files / "x").exists()


def test_a_wrong_option_is_one_line(net: Path) -> None:
    ended_badly(spikefold("info", net, "--speed"), "No such option", "--speed", "info --help")
    ended_badly(spikefold("fly"), "No such command", "'fly'")
    ended_badly(spikefold(), "Missing command")


def test_a_bug_is_status_3_with_its_traceback(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr("spikefold.cli.info.describe", broken)
    result = spikefold("info", net)
    assert result.exit_code == 3
    assert result.stderr.startswith("Traceback")
    assert "ZeroDivisionError: of ours" in result.stderr


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        ("--help >/dev/full", 2, "No space left on device"),
        ("--version >/dev/full", 2, "No space left on device"),
        ("info NET >/dev/full", 2, "No space left on device"),
        ("info NET --json >&-", 2, "the standard output is closed"),
        ("fly 2>/dev/full", 2, ""),
        ("fly 2>&-", 2, ""),
    ],
)
def test_an_output_that_takes_nothing(net: Path, command: str, status: int, words: str) -> None:
    line = f"{sys.executable} -c 'from spikefold.cli import main; main()' {command.replace('NET', str(net))}"
    ended = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stdout) == (status, "")
    assert ended.stderr == (f"spikefold: {words}\n" if words else "")


@pytest.mark.parametrize("arguments", [("--help",), ("info", "NET"), ("info", "NET", "--json")])
def test_a_pipe_that_nobody_reads_is_no_difference(net: Path, arguments: tuple[str, ...]) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", "from spikefold.cli import main; main()", *(str(net) if a == "NET" else a for a in arguments)]
    ended = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=300)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (2, "")


def test_an_interrupt_leaves_nothing(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("spikefold.workflow.trace_file.write_trace", interrupted)
    ended_badly(spikefold("simulate", net, "--samples", "1", "--out", tmp_path / "x"), "interrupted")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(net: Path, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("spikefold.data.files.os.fsync", full)
    for verb in ("simulate", "generate"):
        ended_badly(spikefold(verb, net, "--samples", "1", "--out", tmp_path / "x"), "No space left on device")
    ended_badly(spikefold("quantize", files / "float.safetensors", "--out", tmp_path / "n.safetensors"), "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_too_little_memory_is_one_line(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hungry(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("spikefold.workflow.simulation.simulate", hungry)
    ended_badly(spikefold("simulate", net, "--out", tmp_path / "x"), "out of memory")
