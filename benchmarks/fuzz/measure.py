"""Cases run in a process of their own, where each is measured, and may hang, take all memory or crash without an end to the others.

Time is the CPU time of the process during the reading; waiting shows as a case without an answer. Memory is how far the reading raises the peak
of the process's resident memory (``VmHWM``, which ``/proc/self/clear_refs`` sets back) above what it holds before: Linux alone has it. An
address space of ``ADDRESS_MAX`` more than at the start keeps a bomb from the machine.
"""

import multiprocessing
import multiprocessing.connection
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.fuzz.cases import Case, Reader, rng_of, write_case
from benchmarks.fuzz.readers import reader_of
from spikefold.data.errors import SpikefoldError

__all__ = ["CLEAR_REFS", "MEMORY_MAX", "SECONDS_MAX", "Outcome", "Spent", "excess", "not_a_line", "outcomes", "run_case"]

SECONDS_MAX = 2.0
MEMORY_MAX = 256 << 20
"""What a reading may take besides ``FILES_MAX`` times its files."""
FILES_MAX = 4
MESSAGE_MAX = 2000
ANSWER_SECONDS = 300.0
ADDRESS_MAX = 8 << 30
PEAK, CLEAR_REFS, CLEAR_PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs"), "5"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a case; ``offence`` says which limit it broke, "" where none."""

    number: int
    what: str
    past_header: bool
    accepted: bool
    seconds: float
    memory: int
    message: str
    offence: str


class Spent:
    """The CPU time, and the memory above what was held before, that a block takes: ``seconds`` and ``memory`` (bytes) when it is done."""

    seconds = 0.0
    memory = 0

    def __enter__(self) -> "Spent":
        CLEAR_REFS.write_text(CLEAR_PEAK)
        self._held, self._start = _kilobytes("VmRSS"), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds, self.memory = time.process_time() - self._start, max(0, _kilobytes("VmHWM") - self._held) << 10


def run_case(reader: Reader, seed: int, number: int, folder: Path) -> Outcome:
    """Read one case in the empty ``folder`` and judge it."""
    case = reader.case(rng_of(reader.name, seed, number))
    write_case(case, folder)
    result: Any = None
    error: BaseException | None = None
    with Spent() as spent:
        try:
            result = reader.read(folder)
        except Exception as caught:
            error = caught
    seconds, memory = spent.seconds, spent.memory
    offence = _offence(reader, case, result, error) or excess(case.size, seconds, memory)
    return Outcome(
        number=number, what=case.what, past_header=error is None or reader.past_header(case), accepted=error is None, seconds=seconds,
        memory=memory,
        message="" if error is None else f"{type(error).__name__}: {error}", offence=offence,
    )  # fmt: skip


def _offence(reader: Reader, case: Case, result: Any, error: BaseException | None) -> str:
    if error is None:
        if case.expect == "refused":
            return "it was accepted, and must be refused"
        try:
            found = reader.differs(case, result)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as problem:
            return f"it was accepted, and says nothing: {type(problem).__name__}: {problem}"
        return f"it was read as something else: {found}" if found else ""
    if not isinstance(error, SpikefoldError):
        return f"it raised {type(error).__name__}: {error}"
    message = str(error)
    if not_a_line(message):
        return f"its message is not one line that can be printed, of at most {MESSAGE_MAX} characters: {message[:MESSAGE_MAX]!r}"
    return f"it was refused, and is sound: {message}" if case.expect == "accepted" else ""


def not_a_line(message: str) -> bool:
    """Return whether an error's message is more than one short line that a terminal shows as it is."""
    return not message.isprintable() or len(message) > MESSAGE_MAX


def excess(size: int, seconds: float, memory: int) -> str:
    """Return which limit a reading of ``size`` bytes broke, or ""."""
    if seconds > SECONDS_MAX:
        return f"it took {seconds:.2f} s; the limit is {SECONDS_MAX:g}"
    if memory > (limit := MEMORY_MAX + FILES_MAX * size):
        return f"it took {memory >> 20} MB; the limit is {limit >> 20}"
    return ""


def _kilobytes(key: str) -> int:
    for line in PEAK.read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    raise OSError(f"{PEAK}: there is no {key}")


def outcomes(name: str, seed: int, numbers: range) -> Iterator[Outcome]:
    """Yield what became of each case of a reader, in order; one that hangs or ends its process is an offence too, and the others go on."""
    context, first = multiprocessing.get_context("spawn"), numbers.start
    while first < numbers.stop:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_child, args=(theirs, name, seed, first, numbers.stop), daemon=True)
        process.start()
        theirs.close()
        try:
            while first < numbers.stop:
                # The first answer waits for the imports too.
                answer = ours.recv() if ours.poll(ANSWER_SECONDS) else None
                if isinstance(answer, str):
                    raise RuntimeError(answer)
                yield answer or _lost(first, f"no answer for {ANSWER_SECONDS:g} s")
                first += 1
                if answer is None:
                    break
            else:
                # It has but its folder to remove.
                process.join(ANSWER_SECONDS)
        except EOFError:
            process.join()
            yield _lost(first, f"its process ended with {process.exitcode}")
            first += 1
        finally:
            process.kill()
            process.join()


def _lost(number: int, offence: str) -> Outcome:
    return Outcome(number=number, what="", past_header=False, accepted=False, seconds=0.0, memory=0, message="", offence=offence)


def _child(pipe: "multiprocessing.connection.Connection[Any, Any]", name: str, seed: int, start: int, stop: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="spikefold-fuzz-"))
    try:
        reader = reader_of(name)
        space = _kilobytes("VmSize") << 10
        resource.setrlimit(resource.RLIMIT_AS, (space + ADDRESS_MAX, resource.RLIM_INFINITY))
        for number in range(start, stop):
            place = folder / str(number)
            place.mkdir()
            outcome = run_case(reader, seed, number, place)
            shutil.rmtree(place)
            pipe.send(outcome)
    except Exception as error:
        # Of the reader there is none left here: what makes and judges the cases is at fault.
        pipe.send(f"{name}, case {number if 'number' in locals() else start}: {type(error).__name__}: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
