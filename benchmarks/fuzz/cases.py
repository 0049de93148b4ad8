"""What a case is: the files of one reading, and what may become of them."""

import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeVar

__all__ = [
    "Case",
    "Expect",
    "Odd",
    "Random",
    "Reader",
    "cut_or_grown",
    "flipped",
    "is_there",
    "numbers",
    "odd_entries",
    "rng_of",
    "some",
    "write_case",
]

Random = random.Random
T = TypeVar("T")
Expect = Literal["accepted", "refused", "either"]
NUMBERS = (0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 64, 100, 127, 128, 129, 255, 256, 257, 4096, 65535, 65536, 65537, 2**31 - 1, 2**31, 2**32 - 1, 2**32,
           2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30)  # fmt: skip


class Odd(Enum):
    """What may stand in the place of a file."""

    PIPE = "a pipe that nobody writes to"
    LOOP = "a link to itself"
    ENDLESS = "a link to /dev/zero"
    FOLDER = "a folder"
    DANGLING = "a link to nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The files of one reading by their path in its folder, what was done to them in words, and what must become of them.

    ``known`` is what the maker of the case knows of its meaning, for its reader alone.
    """

    what: str
    files: Mapping[str, bytes | Odd]
    expect: Expect = "either"
    known: Any = None

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(len(content) for content in self.files.values() if isinstance(content, bytes))

    def content(self, name: str) -> bytes:
        """Return the bytes of a file; a TypeError where no file stands there."""
        if not isinstance(content := self.files.get(name), bytes):
            raise TypeError(f"{name}: {content}")
        return content


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A reader and its cases.

    ``case`` makes one from a generator of random numbers alone; ``read`` reads it in its folder; ``differs`` says in what the result differs
    from what the bytes say ("" where it does not: it decodes them by itself, as simply as it can, and may raise where they say nothing);
    ``past_header`` says whether the header of a case is sound. ``covers`` are the modules whose branches the cases must reach, each with the
    beginnings of the names of its functions (none: all).
    """

    name: str
    case: Callable[[Random], Case]
    read: Callable[[Path], Any]
    differs: Callable[[Case, Any], str]
    past_header: Callable[[Case], bool]
    covers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def rng_of(reader: str, seed: int, number: int) -> Random:
    """Return the generator of one case: it depends on these three alone, whatever else is run."""
    return random.Random(f"{reader} {seed} {number}")


def some(rng: Random, choices: Sequence[tuple[float, T]]) -> T:
    """Return one of the choices, each as often as its weight says."""
    return rng.choices([choice for _, choice in choices], [weight for weight, _ in choices])[0]


def numbers(rng: Random) -> int:
    """Return a whole number at which something may break."""
    return rng.choice(NUMBERS) * rng.choice((1, 1, 1, -1)) + rng.choice((0, 0, 0, -1, 1))


def flipped(rng: Random, content: bytes, start: int = 0) -> bytes:
    """Return ``content`` with one to four bytes changed, at ``start`` or behind."""
    changed = bytearray(content)
    if start < len(content):
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(start, len(content))
            changed[at] = rng.choice((changed[at] ^ 1 << rng.randrange(8), rng.randrange(256)))
    return bytes(changed)


def cut_or_grown(rng: Random, content: bytes) -> bytes:
    """Return ``content`` cut short, or with more bytes behind it or in it; never as it was."""
    at = rng.randrange(len(content)) if content else 0
    more = rng.choice((b"\0", b"\n", rng.randbytes(rng.randint(1, 9)), content[: rng.randint(1, 64)] or b"x"))
    return some(rng, [(3, content[:at]), (2, content + more), (1, content[:at] + more + content[at:])]) if content else more


def odd_entries(rng: Random, files: Mapping[str, bytes | Odd]) -> Case:
    """Return a case in which one of the files, all of which are needed, is no file, or missing."""
    name, odd = rng.choice(sorted(files)), rng.choice((None, *Odd))
    left = {path: content for path, content in files.items() if path != name}
    if odd is None:
        return Case(what=f"{name} is missing", files=left, expect="refused")
    return Case(what=f"{name} is {odd.value}", files=left | {name: odd}, expect="refused")


def is_there(path: Path) -> bool:
    """Return whether there is anything of that name, a link to nothing too."""
    return path.exists() or path.is_symlink()


def write_case(case: Case, folder: Path) -> None:
    """Put the files of a case into an empty folder."""
    for name, content in case.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is Odd.PIPE:
            os.mkfifo(path)
        elif content is Odd.FOLDER:
            path.mkdir(exist_ok=True)
        else:
            path.symlink_to({Odd.LOOP: path.name, Odd.ENDLESS: "/dev/zero", Odd.DANGLING: "nowhere"}[content])
