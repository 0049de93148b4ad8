"""One comparison of two executions on a case, and the command that runs it over cases from a file.

``python -m tests.equivalence.check reference|simulator|graph|rtl CASES`` exits 0 where nothing differs, and prints ``difference: ...`` and
exits 1 at the first case that does. The cases are pickled by the process that starts it, so that what is checked does not make its own cases.
"""

import pickle
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from spikefold.network import reference
from spikefold.network.trace import Comparison, Trace, compare
from spikefold.workflow.comparison import merge
from tests import oracle
from tests.random_networks import Case

__all__ = ["CHECKS", "check_reference", "check_rtl", "check_simulator"]

RTL_INFERENCES = 4
Check = Callable[[Case], tuple[Comparison, Trace, Trace]]


def check_reference(case: Case) -> tuple[Comparison, Trace, Trace]:
    """The reference against the scalar oracle."""
    expected, got = oracle.run(case.network, case.events), reference.run(case.network, case.events, potentials=True)
    return compare(expected, got), expected, got


def check_simulator(case: Case) -> tuple[Comparison, Trace, Trace]:
    """The simulator against the reference."""
    from tests.virtual import virtual

    expected = reference.run(case.network, case.events, potentials=True)
    got = virtual(case.network, case.chip).run(case.events, potentials=True)
    return compare(expected, got), expected, got


def check_rtl(case: Case, *, simulator: Literal["icarus", "verilator"] = "icarus", stalled: bool = False) -> tuple[Comparison, Trace, Trace]:
    """The emitted Verilog against the simulator, timing included, on inferences that follow each other at once, with gaps, and isolated.

    With ``stalled`` the same again behind a host that is idle or blocks at random: then all but the timing is compared.
    """
    from spikefold.hw.bench.cosim import run_rtl
    from spikefold.hw.emit.generate import generate
    from tests.virtual import virtual

    chip = virtual(case.network, case.chip)
    events = np.resize(case.events, (max(RTL_INFERENCES, len(case.events)), *case.events.shape[1:]))
    gaps = [(0, 1, chip.depth, 0, chip.depth + 2)[n % 5] for n in range(len(events))]
    expected = chip.run(events, potentials=True, gaps=gaps)
    with tempfile.TemporaryDirectory(prefix="spikefold-") as name:
        build = Path(name)
        generate(chip.placement, build, events[:1], chip.run(events[:1], potentials=True))
        got = run_rtl(build, chip.placement, events, simulator=simulator, gaps=gaps)
        comparison = compare(expected, got)
        if stalled:
            other = run_rtl(build, chip.placement, events, simulator=simulator, gaps=gaps, idle=0.3, blocked=0.5, seed=len(events))
            comparison = merge([comparison, compare(expected, other)])
    return comparison, expected, got


def check_graph(case: Case) -> tuple[Comparison, Trace, Trace]:
    """The simulator against the reference on a network that no core runs, without timing."""
    from tests.virtual import virtual

    expected = reference.run(case.network, case.events, potentials=True)
    got = virtual(case.network, case.chip).run(case.events, potentials=True, timing=False)
    return compare(expected, got), expected, got


CHECKS: dict[str, Check] = {"reference": check_reference, "simulator": check_simulator, "graph": check_graph, "rtl": check_rtl}


def main(name: str, path: str) -> int:
    check = CHECKS[name]
    for case in pickle.loads(Path(path).read_bytes()):
        first = check(case)[0].first
        if first is not None:
            print(f"difference: case {case.name!r}: {first}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
