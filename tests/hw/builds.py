"""Builds for tests, with the simulated trace as their vectors, and the programs that run on them."""

import subprocess
from pathlib import Path

from spikefold.chip.placement import place
from spikefold.hw.emit.generate import generate
from spikefold.hw.gateware.interface import TOP
from spikefold.sim.engine import Chip
from tests.random_networks import Case

__all__ = ["build", "run", "self_check"]

SELF_CHECK = "iverilog -g2005 -Wall -s selfcheck -o selfcheck.vvp -f spikefold.f tb/selfcheck.v"


def build(case: Case, folder: Path, top: str = TOP) -> Path:
    """Generate ``case`` into a new ``folder`` and return it."""
    folder.mkdir()
    placement = place(case.network, case.chip)
    generate(placement, folder, case.events, Chip(placement).run(case.events, potentials=True), top=top)
    return folder


def run(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command.split(), cwd=folder, capture_output=True, text=True, check=False)


def self_check(folder: Path) -> subprocess.CompletedProcess[str]:
    """Compile the self-checking bench, without a warning, and run it."""
    compiled = run(folder, SELF_CHECK)
    assert (compiled.returncode, compiled.stdout + compiled.stderr) == (0, "")
    return run(folder, "vvp -N selfcheck.vvp")
