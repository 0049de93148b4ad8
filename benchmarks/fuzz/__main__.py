"""``python -m benchmarks.fuzz [READER ...] [--cases 20000] [--seed 0] [--json FILE]``: hostile files for every reader of files.

Exit status: 0 where every limit is met, 1 where one is not (the first such case is shown with the command that makes it again), 2 where it
could not be run.
"""

import argparse
import datetime
import json
import platform
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.fuzz.covered import branches, is_installed
from benchmarks.fuzz.measure import CLEAR_REFS, Outcome, outcomes, run_case
from benchmarks.fuzz.readers import READERS, reader_of
from spikefold.data.files import write_text
from spikefold.data.shown import percent

HEADER_SHARE_MIN, BRANCH_SHARE_MIN = 0.5, 0.9
REPORT_EVERY_SECONDS = 10.0
SHOWN_MAX = 5
TITLES = ("reader", "cases", "past the header", "accepted", "refused", "slowest s", "most MB", "branches", "offences")

Row = dict[str, Any]


def fuzz(name: str, seed: int, cases: int, covered: int) -> Row:
    """Run the cases of one reader and return its row."""
    past = accepted = offences = done = 0
    slowest, memory, shown, last = 0.0, 0, list[Outcome](), time.monotonic()
    for outcome in outcomes(name, seed, range(cases)):
        done, past, accepted = done + 1, past + outcome.past_header, accepted + outcome.accepted
        slowest, memory = max(slowest, outcome.seconds), max(memory, outcome.memory)
        if outcome.offence:
            offences += 1
            if len(shown) < SHOWN_MAX:
                shown.append(outcome)
                print(f"{name}: case {outcome.number} ({outcome.what}): {outcome.offence}", file=sys.stderr, flush=True)
        if time.monotonic() - last > REPORT_EVERY_SECONDS:
            last = time.monotonic()
            print(f"{name}: {done} of {cases} cases, {offences} offences", file=sys.stderr, flush=True)
    found = branches(name, seed, min(covered, cases))
    return {
        "reader": name, "seed": seed, "cases": done, "past_header": past / done, "accepted": accepted, "refused": done - accepted,
        "slowest_s": slowest,
        "most_bytes": memory, **found, "offences": offences, "first": shown[0].number if shown else None,
    }  # fmt: skip


def failures(row: Row) -> list[str]:
    """Return in words which limits a reader misses."""
    again = f"python -m benchmarks.fuzz {row['reader']} --seed {row['seed']} --case {row['first']}"
    found = [f"{row['offences']} cases broke a limit; the first of them again: {again}"] if row["offences"] else []
    if row["past_header"] < HEADER_SHARE_MIN:
        found.append(f"{percent(row['past_header'], 0)} of the cases got past the header; at least {percent(HEADER_SHARE_MIN, 0)} must")
    if row["reached"] < BRANCH_SHARE_MIN * row["branches"]:
        found.append(
            f"{row['reached']} of {row['branches']} branches were reached, at least {percent(BRANCH_SHARE_MIN, 0)} must be; missed: {row['missed']}"
        )
    return found


def shown_row(row: Row) -> str:
    """Return a row of the Markdown table."""
    cells = (
        row["reader"],
        f"{row['cases']:,}", f"{percent(row['past_header'], 0)}", f"{row['accepted']:,}", f"{row['refused']:,}", f"{row['slowest_s']:.2f}",
        f"{row['most_bytes'] / (1 << 20):.0f}", f"{percent(row['reached'] / max(1, row['branches']), 0)} of {row['branches']}", str(row["offences"]),
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def one(name: str, seed: int, number: int) -> int:
    """Run one case in this process, leave its files, and say what became of it."""
    folder = Path(tempfile.mkdtemp(prefix=f"spikefold-fuzz-{name}-{number}-"))
    outcome = run_case(reader_of(name), seed, number, folder)
    print(f"{name}, seed {seed}, case {number}: {outcome.what}\nfiles: {folder}")
    print(
        f"{'accepted' if outcome.accepted else 'refused'}, past the header: {outcome.past_header}, {outcome.seconds:.3f} s, {outcome.memory >> 10} KB"
    )
    print(outcome.message or "no error")
    print(f"offence: {outcome.offence}" if outcome.offence else "no limit is broken")
    return 1 if outcome.offence else 0


def machine() -> dict[str, str]:
    """Return the processor and the versions that the figures belong to."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    found = {"cpu": names[0] if names else platform.machine(), "python": platform.python_version()}
    for name in ("spikefold", "numpy", "safetensors", "cattrs", "pillow", "h5py", "torch", "coverage"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def parsed() -> argparse.Namespace:
    """Return the options; those that make no sense end the program with status 2."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description="Hostile files for every reader of files.")
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"of {', '.join(READERS)} (all)")
    parser.add_argument("--cases", type=int, default=20_000, metavar="N", help="cases of each reader (20000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another number, other cases (0)")
    parser.add_argument("--covered", type=int, default=4_000, metavar="N", help="how many of the cases the branches are counted in (4000)")
    parser.add_argument("--case", type=int, metavar="N", help="run this case of one reader alone, and leave its files")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows as JSON too")
    options = parser.parse_args()
    if unknown := sorted(set(options.readers) - set(READERS)):
        parser.error(f"{unknown[0]}: there is no such reader; they are {', '.join(READERS)}")
    if options.cases < 1 or options.covered < 1:
        parser.error(f"--cases {options.cases}, --covered {options.covered}: they must be at least 1")
    if options.case is not None and len(options.readers) != 1:
        parser.error("--case: it is a case of one reader, which must be given")
    if options.json is not None and not options.json.parent.is_dir():
        parser.error(f"--json {options.json}: the folder {options.json.parent} does not exist")
    if not CLEAR_REFS.exists():
        parser.error(f"{CLEAR_REFS} is not there: memory can be measured on Linux alone")
    if options.case is None and not is_installed():
        parser.error("coverage.py is not installed: pip install -c constraints.txt -e '.[dev]'")
    return options


def main() -> int:
    """Run what is asked for; return the exit status."""
    options = parsed()
    if options.case is not None:
        return one(options.readers[0], options.seed, options.case)
    report = {"date": datetime.date.today().isoformat(), "seed": options.seed, "cases": options.cases, **machine()}
    rows = []
    for name in options.readers or READERS:
        try:
            rows.append(fuzz(name, options.seed, options.cases, options.covered))
        except (RuntimeError, ImportError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
    print(", ".join(f"{key} {value}" for key, value in report.items()) + "\n")
    print(f"| {' | '.join(TITLES)} |\n|{'---|' * len(TITLES)}")
    for row in rows:
        print(shown_row(row))
    missed = [f"{row['reader']}: {words}" for row in rows for words in failures(row)]
    print("\n" + ("\n".join(missed) if missed else "every limit is met"))
    if options.json is not None:
        write_text(options.json, json.dumps({**report, "rows": rows}, indent=1) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
