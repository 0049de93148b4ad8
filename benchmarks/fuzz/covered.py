"""Which share of a reader's branches its cases reach, by coverage.py: in a process of its own, as tracing is slow and must begin before any import.

``python -m benchmarks.fuzz.covered READER SEED CASES`` prints one JSON object: branches, reached ones, and those that were missed.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["branches", "is_installed"]

CASES_MIN = 10


def is_installed() -> bool:
    """Return whether coverage.py is there."""
    return find_spec("coverage") is not None


def branches(name: str, seed: int, cases: int) -> dict[str, Any]:
    """Return how many branches the modules of a reader have, how many of them its first ``cases`` reach, and the others as texts."""
    command = [sys.executable, "-m", "benchmarks.fuzz.covered", name, str(seed), str(cases)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name}: the coverage could not be measured: {done.stderr.strip().splitlines()[-1:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _measure(name: str, seed: int, cases: int) -> dict[str, Any]:
    import coverage

    with tempfile.TemporaryDirectory() as temporary:
        tracer = coverage.Coverage(branch=True, data_file=None, source_pkgs=["spikefold"], config_file=False)
        tracer.start()
        from benchmarks.fuzz.measure import run_case
        from benchmarks.fuzz.readers import reader_of

        reader = reader_of(name)
        for number in range(cases):
            folder = Path(temporary) / str(number)
            folder.mkdir()
            run_case(reader, seed, number, folder)
        tracer.stop()
        report = Path(temporary) / "report.json"
        places = {str(Path(sys.modules[module].__file__ or "").resolve()): names for module, names in reader.covers.items()}
        tracer.json_report(outfile=str(report), include=list(places))
        files = json.loads(report.read_text())["files"]
    return _sums({str(Path(place).resolve()): file for place, file in files.items()}, places)


def _sums(files: Mapping[str, Any], places: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """Add up the functions of the files whose names begin with one of their ``places``' names; the rest of a module runs when it is imported."""
    count = reached = 0
    missed = []
    for place, names in places.items():
        for function, found in files[place]["functions"].items():
            if function and (not names or function.split(".")[0].startswith(names)):
                count += found["summary"]["num_branches"]
                reached += found["summary"]["covered_branches"]
                missed += [f"{Path(place).name}:{function} {start}->{stop}" for start, stop in found["missing_branches"]]
    return {"branches": count, "reached": reached, "missed": missed}


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], int(sys.argv[2]), max(CASES_MIN, int(sys.argv[3])))))
