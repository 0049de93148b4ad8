"""``spikefold verify``: its comparison, its status, and builds that are not as they were generated."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spikefold.network.trace import Trace
from tests.command_line import ended_badly, spikefold


def test_verify_compares_and_says_so(build: Path, tmp_path: Path) -> None:
    result = spikefold("verify", build, "--samples", "2", "--out", tmp_path / "result.json", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document == json.loads((tmp_path / "result.json").read_text())
    assert document["equal"] is True
    assert document["reference_vs_rtl"]["spikes_compared"] == 2 * 3 * (4 * 8 * 8 + 10)
    assert document["cycles"] == {"steps_compared": 2 * (3 + 2), "arrivals_compared": document["cycles"]["arrivals_compared"], "differences": 0}


def test_verify_replaces_nothing_unasked_and_its_build_never(build: Path, tmp_path: Path) -> None:
    copy, out = tmp_path / "build", tmp_path / "result.json"
    shutil.copytree(build, copy)
    (tmp_path / "link").symlink_to(copy / "rtl")
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    out.write_text("years")
    ended_badly(spikefold("verify", copy, "--samples", "1", "--out", out), "result.json: it exists already; use --force to replace it")
    assert out.read_text() == "years"
    for name in (copy / "manifest.json", copy / "network.safetensors", tmp_path / "link" / "spikefold.v", copy / "rtl" / "new.v"):
        ended_badly(spikefold("verify", copy, "--samples", "1", "--out", name, "--force"), f"{name}: it is in {copy}, which is read here")
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before
    assert spikefold("verify", copy, "--samples", "1", "--out", out, "--force").exit_code == 0
    assert json.loads(out.read_text())["equal"] is True


def altered(run_rtl: Callable[..., Trace], neuron: tuple[int, ...] = (0, 2, 1, 3, 4)) -> Callable[..., Trace]:
    """Return a run of the Verilog in which one potential is wrong."""

    def wrong(*arguments: Any, **options: Any) -> Trace:
        trace = run_rtl(*arguments, **options)
        potentials = [p.copy() for p in trace.potentials or ()]
        potentials[0][neuron] += 1
        return replace(trace, potentials=tuple(potentials))

    return wrong


def test_a_difference_is_status_1_and_is_named(build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spikefold.hw.bench import cosim

    monkeypatch.setattr(cosim, "run_rtl", altered(cosim.run_rtl))
    result = spikefold("verify", build, "--samples", "1", "--out", tmp_path / "result.json")
    assert result.exit_code == 1
    assert "potentials: sample 0, timestep 2, layer 'conv[1]', neuron (1, 3, 4)" in " ".join(result.stdout.split())
    assert json.loads((tmp_path / "result.json").read_text())["reference_vs_rtl"]["differences"] == 1


def test_a_build_whose_verilog_was_changed_is_run_as_it_is(build: Path, tmp_path: Path) -> None:
    changed = tmp_path / "build"
    shutil.copytree(build, changed)
    (changed / "rtl" / "more.v").write_text("")
    weights = changed / "mem" / "layer0_weights.hex"
    first, *others = weights.read_text().splitlines()
    weights.write_text("\n".join([f"{int(first, 16) ^ 1:0{len(first)}x}", *others]) + "\n")
    ended = spikefold("verify", changed, "--samples", "2", "--out", tmp_path / "result.json")
    assert ended.exit_code == 1
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["changed"] == ["mem/layer0_weights.hex", "rtl/more.v"]
    assert not result["equal"]


def test_a_change_that_no_sample_reaches_is_a_warning_and_with_strict_status_1(build: Path, tmp_path: Path) -> None:
    changed, name = tmp_path / "build", "mem/layer0_weights.hex"
    shutil.copytree(build, changed)
    # A comment changes the file, and nothing that is run.
    (changed / name).write_text("// edited\n" + (changed / name).read_text())
    ended = spikefold("verify", changed, "--samples", "1")
    assert ended.exit_code == 0
    assert f"warning: {changed}: not as it was generated: {name}; " in ended.stderr
    assert "file that is not as it was generated" in ended.stdout
    assert name in ended.stdout
    strict = spikefold("verify", changed, "--samples", "1", "--strict", "--json")
    assert (strict.exit_code, json.loads(strict.stdout)["changed"], json.loads(strict.stdout)["equal"]) == (1, [name], True)
    assert spikefold("verify", build, "--samples", "1", "--strict").exit_code == 0


def test_a_build_of_another_name_is_verified(net: Path, tmp_path: Path) -> None:
    ended_badly(spikefold("generate", net, "--top", "2nd", "--out", tmp_path / "build"), "top module '2nd': it must be at most 64 letters")
    assert spikefold("generate", net, "--top", "second", "--out", tmp_path / "build").exit_code == 0
    (tmp_path / "build").rename(tmp_path / "moved")
    assert spikefold("verify", tmp_path / "moved", "--samples", "1").exit_code == 0
    manifest = tmp_path / "moved" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"top": "second"', '"top": 2'))
    ended_badly(spikefold("verify", tmp_path / "moved"), "manifest.json top: 2; it must be the name of the top module")


def test_a_build_that_is_not_whole_is_refused(build: Path, tmp_path: Path) -> None:
    changed = tmp_path / "build"
    shutil.copytree(build, changed)
    (changed / "rtl" / "spikefold.v").unlink()
    ended_badly(spikefold("verify", changed), "rtl/spikefold.v", "missing")
    manifest = json.loads((changed / "manifest.json").read_text())
    for content, words in (
        ("{", "not JSON"),
        ("[]", "must be a JSON object"),
        ("{}", "it must hold the chip"),
        (json.dumps({**manifest, "chip": {"wheels": 4}}), "manifest.json chip: unknown key 'wheels'"),
        (json.dumps({**manifest, "sha256": {"../x": "", **manifest["sha256"]}}), "must be a file of the build"),
    ):
        (changed / "manifest.json").write_text(content)
        ended_badly(spikefold("verify", changed), "manifest.json", words)


def test_a_simulator_that_is_not_installed(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    ended_badly(spikefold("verify", build, "--samples", "1"), "simulator 'icarus': it is not installed")
