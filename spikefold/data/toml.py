"""TOML files, read strictly and bounded: whatever is wrong with one is a DataError of one line."""

import tomllib
from pathlib import Path
from typing import Any

from spikefold.data.errors import DataError
from spikefold.data.files import read_whole
from spikefold.data.shown import shortened, shown

__all__ = ["BYTES_MAX", "DEPTH_MAX", "parse_toml", "read_toml", "read_toml_text"]

BYTES_MAX = 1 << 18
"""256 KiB: the parser takes about 10 seconds for 1 MiB of the worst."""
DEPTH_MAX = 16
"""Tables and lists within one another: a recipe has 4."""
DOTS_MAX = 64


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file says."""
    return parse_toml(read_toml_text(path), str(path))


def read_toml_text(path: Path) -> str:
    """Return the text of a TOML file: a regular file of at most ``BYTES_MAX`` bytes of UTF-8.

    A byte order mark is passed over.
    """
    try:
        return read_whole(path, BYTES_MAX).decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a TOML file: {error}") from error


def parse_toml(text: str, place: str) -> dict[str, Any]:
    """Return what ``text`` says; ``place`` names it in errors. Integers have 64 bits, as TOML has them."""
    # Not splitlines(), which ends lines at characters that a key may have.
    for number, line in enumerate(text.split("\n"), 1):
        # The parser takes memory in the square of a dotted key's length: gigabytes for 100 KB.
        if line.count(".") > DOTS_MAX:
            raise DataError(f"{place}: line {number}: {line.count('.')} dots; a line may have {DOTS_MAX}")
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Not TOMLDecodeError alone: a number of thousands of digits and an impossible date are other ValueErrors.
        raise DataError(f"{place}: not a TOML file: {shortened(' '.join(str(error).split()))}") from error
    waiting: list[tuple[tuple[str, ...], Any]] = [((), table)]
    while waiting:
        keys, value = waiting.pop()
        if isinstance(value, dict | list):
            if len(keys) == DEPTH_MAX:
                raise DataError(f"{place}: {_named(keys)}: more than {DEPTH_MAX} tables and lists within one another")
            # Not joined yet: a long key would be copied for each of a thousand others in it.
            pairs = value.items() if isinstance(value, dict) else ((f"[{i}]", x) for i, x in enumerate(value))
            waiting += [((*keys, name), x) for name, x in pairs]
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise DataError(f"{place}: {_named(keys)}: a number of {value.bit_length()} bits; an integer of TOML has at most 64")
    return table


def _named(keys: tuple[str, ...]) -> str:
    """Return where a value stands, for an error message: as it is where that can be printed."""
    name = shortened(".".join(keys).replace(".[", "["))
    return name if name.isprintable() else shown(name)
