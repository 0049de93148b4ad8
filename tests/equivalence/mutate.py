"""Run the kept mutations: each must make its comparison find a difference, or its test fail.

``python -m tests.equivalence.mutate [--target reference|kernel|rtl|other] [--only NAME] [--list]``. A mutation is
*killed* when the check prints a difference and exits with 1, or when an assertion of its test does not hold. A check that
passes (*survived*), a text that is not in its file exactly once (*stale*), and a check that ends in any other way
(*invalid*: a crash proves nothing) make this command fail; so does an equivalent mutation that is killed.
"""

import argparse
import itertools
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

import spikefold
from spikefold.network import reference
from spikefold.network.schedule import Schedule
from spikefold.quantize.fold import fold
from tests.cases import CASES
from tests.chips import chip_of
from tests.equivalence.mutations import MUTATIONS, Mutation
from tests.float_networks import CELLS, Cell, random_events, random_float_network
from tests.random_networks import Case, random_case

__all__ = ["Outcome", "cases_for", "main", "run_mutation"]

PACKAGE = Path(spikefold.__file__).parent
TESTS = Path(__file__).parent.parent
BESIDE = ("benchmarks", "examples")
CHECK_OF_TARGET = {"reference": "reference", "kernel": "simulator", "rtl": "rtl"}
RTL_CASES = (
    "threshold -1, 0, +1, soft", "drive ties by an odd and a negative gain, shift 2", "soft resets beyond both ends",
    "sums at, and one beyond, both ends", "leak by shift 2", "leak by multiplication, 2 fraction bits", "schedules, hard", "no reset, firing",
    "schedules over several words, soft", "schedules over several words, hard", "schedules of gain, shift and leak",
    "three inferences start alike", "corners, padding 1, stride 2", "corners, padding 1, stride 1", "pooled payloads that cancel, and graded ones",
    "every field at its ends, soft", "scores of 33 bits",
)  # fmt: skip
GRAPHS = (*itertools.product(("residual", "hybrid"), ("none", "bntt", "psp-bn")), ("pooled", "psp-ln"), ("pooled", "psp-ln-eq15"))
"""Topologies and normalisations of the cells for what no core runs."""
SECONDS_MAX = 600
REPORT = "report.xml"
ASSERTIONS = ("AssertionError", "assert ", "Failed: DID NOT RAISE")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """``result`` is killed, survived, stale or invalid; ``detail`` the difference or what went wrong."""

    mutation: Mutation
    result: str
    detail: str

    @property
    def good(self) -> bool:
        """Whether it ended as it must."""
        return self.result == ("killed" if self.mutation.equivalent is None else "survived")


def cases_for(check: str) -> list[Case]:
    """Return the cases of a check: the boundary vectors and random networks, few and lively ones for the hardware."""
    if check == "rtl":
        return [*(next(c for c in CASES if c.name == name) for name in RTL_CASES), *(random_case(seed, small=True) for seed in (1, 6))]
    if check == "graph":
        kept = [cell for cell in CELLS if (cell.topology, cell.norm) in GRAPHS and cell.coding == "poisson"]
        return [graph_case(cell) for cell in kept]
    return [*CASES, *(random_case(seed, small=True) for seed in range(20 if check == "reference" else 10))]


def graph_case(cell: Cell) -> Case:
    """Return a folded network of ``cell``, small and lively; a first layer of srm neurons has a threshold that one of them just reaches."""
    rng = np.random.default_rng(1)
    network = random_float_network(rng, cell, timesteps=6)
    integer, events = fold(network).network, random_events(rng, network, samples=2)
    index = next((i for i, population in enumerate(integer.populations) if population.neuron == "srm" and not population.scale), None)
    if index is not None:
        # Nothing has fired before timestep 1, so there the potential does not depend on the threshold.
        potentials = reference.run(integer, events, potentials=True).potentials
        assert potentials is not None
        reached = Schedule.constant(max(1, int(potentials[index][:, 1].max())))
        populations = list(integer.populations)
        populations[index] = replace(populations[index], threshold=reached)
        integer = replace(integer, populations=tuple(populations))
    return Case(name=str(cell), network=integer, chip=chip_of(name="none"), events=events)


def cases_file(folder: Path, mutation: Mutation) -> Path:
    """Return the file in ``folder`` that holds the cases of a mutation's check; it is made once."""
    check = mutation.check or CHECK_OF_TARGET[mutation.target]
    path = folder / check
    if not path.exists():
        path.write_bytes(pickle.dumps(cases_for(check)))
    return path


def run_mutation(mutation: Mutation, cases: Path | None = None) -> Outcome:
    """Copy the package and the tests, mutate the copy, and run the mutation's test, or its check on ``cases``."""
    with tempfile.TemporaryDirectory(prefix="spikefold-") as name:
        root = Path(name)
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PACKAGE, root / "spikefold", ignore=ignore)
        shutil.copytree(TESTS, root / "tests", ignore=ignore)
        # No mutation touches what only tests read.
        for folder in BESIDE:
            (root / folder).symlink_to(TESTS.parent / folder)
        path = root / "spikefold" / mutation.file
        text = path.read_text(encoding="utf-8")
        if text.count(mutation.old) != 1:
            return Outcome(mutation=mutation, result="stale", detail=f"{mutation.old!r} is in {mutation.file} {text.count(mutation.old)} times")
        path.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
        # The kernels are tiny here: running them as Python is faster than compiling each mutant.
        environment = os.environ | {"PYTHONPATH": name, "NUMBA_DISABLE_JIT": "1", "PYTHONWARNINGS": "ignore"}
        if mutation.test:
            # Without the repository's settings, which are not in the copy.
            command = ["pytest", "-q", "-x", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", name, "--junitxml", REPORT, mutation.test]
        else:
            command = ["tests.equivalence.check", mutation.check or CHECK_OF_TARGET[mutation.target], str(cases)]
        try:
            done = subprocess.run(
                [sys.executable, "-m", *command], cwd=root, env=environment, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
            )
        except subprocess.TimeoutExpired:
            return Outcome(mutation=mutation, result="invalid", detail=f"no end after {SECONDS_MAX} s")
        if done.returncode == 0:
            return Outcome(mutation=mutation, result="survived", detail="no difference")
        difference = broken_assertion(root / REPORT) if mutation.test else printed_difference(done.stdout)
    if done.returncode == 1 and difference is not None:
        return Outcome(mutation=mutation, result="killed", detail=difference)
    errors = (done.stderr or done.stdout).strip().splitlines()
    return Outcome(mutation=mutation, result="invalid", detail=f"exit status {done.returncode}: {errors[-1] if errors else 'no message'}")


def printed_difference(output: str) -> str | None:
    """Return the difference that a check printed last, or None."""
    lines = output.strip().splitlines()
    return lines[-1].removeprefix("difference: ") if lines and lines[-1].startswith("difference: ") else None


def broken_assertion(report: Path) -> str | None:
    """Return the test of pytest's ``report`` whose assertion does not hold, and the assertion.

    None if there is none: an exception of any other kind is a crash.
    """
    for case in ElementTree.parse(report).iter("testcase") if report.exists() else ():
        for failure in case.iter("failure"):
            message = failure.get("message", "")
            if message.startswith(ASSERTIONS):
                return f"{case.get('name')}: {' '.join(message.split())[:200]}"
    return None


def main(arguments: Sequence[str] | None = None, mutations: Sequence[Mutation] = MUTATIONS) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.equivalence.mutate", description="Run the kept mutations; each must be noticed.")
    parser.add_argument("--target", choices=(*sorted(CHECK_OF_TARGET), "other"), help="only mutations of this execution, or of none")
    parser.add_argument("--only", metavar="NAME", help="only this mutation")
    parser.add_argument("--list", action="store_true", help="list the mutations and run none")
    options = parser.parse_args(arguments)
    chosen = [m for m in mutations if options.target in (None, m.target) and options.only in (None, m.name)]
    if not chosen:
        print("no mutation has that name or target", file=sys.stderr)
        return 2
    if options.list:
        for m in chosen:
            print(f"{m.name:32} {m.tag:8} {m.file:24} {m.why}")
        return 0
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="spikefold-") as name:
        for m in chosen:
            outcomes.append(run_mutation(m, None if m.test else cases_file(Path(name), m)))
            print(f"{outcomes[-1].result:8} {m.name:32} {m.why}: {outcomes[-1].detail}", flush=True)
    wanted = [o for o in outcomes if o.mutation.equivalent is None]
    print(f"{sum(o.result == 'killed' for o in wanted)} of {len(wanted)} mutations killed")
    for o in outcomes:
        if o.mutation.equivalent is not None:
            print(f"equivalent: {o.mutation.name}: {o.mutation.equivalent}")
        if not o.good:
            print(f"FAILED: {o.mutation.name} {o.result}: {o.detail}")
    return 0 if all(o.good for o in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
