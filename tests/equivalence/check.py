"""One comparison of two executions on a case, and the command that runs it over cases from a file.

``python -m tests.equivalence.check reference|simulator|rtl CASES`` exits 0 where nothing differs, and prints ``difference: ...`` and
exits 1 at the first case that does. The cases are pickled by the process that starts it, so that what is checked does not make its own cases.
"""

import pickle
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from spikefold.quantize import reference
from spikefold.quantize.trace import Comparison, Trace, compare
from tests import oracle
from tests.random_networks import Case

__all__ = ["CHECKS", "check_reference", "check_rtl", "check_simulator", "describe_difference"]

Check = Callable[[Case], tuple[Comparison, Trace, Trace]]


def check_reference(case: Case) -> tuple[Comparison, Trace, Trace]:
    """The reference against the scalar oracle."""
    expected, got = oracle.run(case.network, case.events), reference.run(case.network, case.events, potentials=True)
    return compare(expected, got), expected, got


def check_simulator(case: Case) -> tuple[Comparison, Trace, Trace]:
    """The simulator against the reference."""
    from spikefold.sim.engine import Chip

    expected = reference.run(case.network, case.events, potentials=True)
    got = Chip(case.network, case.chip).run(case.events, potentials=True)
    return compare(expected, got), expected, got


def check_rtl(case: Case, *, simulator: str = "icarus", gaps: int | None = 0) -> tuple[Comparison, Trace, Trace]:
    """The emitted Verilog against the simulator, timing included; inferences follow each other at once."""
    from spikefold.hw.cosim import run_rtl
    from spikefold.hw.generate import generate
    from spikefold.sim.engine import Chip

    chip = Chip(case.network, case.chip)
    expected = chip.run(case.events, potentials=True, gaps=gaps)
    with tempfile.TemporaryDirectory(prefix="spikefold-") as name:
        generate(case.network, case.chip, Path(name), case.events, chip.run(case.events, potentials=True))
        got = run_rtl(Path(name), case.network, case.chip, case.events, simulator=simulator, gaps=gaps)
    return compare(expected, got), expected, got


CHECKS: dict[str, Check] = {"reference": check_reference, "simulator": check_simulator, "rtl": check_rtl}


def describe_difference(comparison: Comparison, expected: Trace, got: Trace) -> str | None:
    """Return the first difference in words, the counts of clamps and synaptic operations included; None where there is none."""
    if comparison.first is not None:
        return str(comparison.first)
    if expected.clamps is not None and got.clamps is not None and expected.clamps != got.clamps:
        return f"clamps: expected {expected.clamps}, got {got.clamps}"
    if expected.sops is not None and got.sops is not None and not np.array_equal(expected.sops, got.sops):
        return f"sops: expected {expected.sops.tolist()}, got {got.sops.tolist()}"
    return None


def main(name: str, path: str) -> int:
    check = CHECKS[name]
    for case in pickle.loads(Path(path).read_bytes()):
        difference = describe_difference(*check(case))
        if difference is not None:
            print(f"difference: case {case.name!r}: {difference}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
