"""TOML files, read strictly and bounded: whatever is wrong with one is a DataError of one line."""

import stat
import tomllib
from pathlib import Path
from typing import Any

from spikefold.data.errors import DataError

__all__ = ["BYTES_MAX", "DEPTH_MAX", "parse_toml", "read_toml", "read_toml_text"]

BYTES_MAX = 1 << 20
DEPTH_MAX = 16
"""Tables and lists within one another: a recipe has 4."""
DOTS_MAX = 64


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file says."""
    return parse_toml(read_toml_text(path), str(path))


def read_toml_text(path: Path) -> str:
    """Return the text of a TOML file: a regular file of at most ``BYTES_MAX`` bytes of UTF-8."""
    try:
        # A device or a pipe may have no end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"{path}: it is not a file")
        with path.open("rb") as file:
            content = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    if len(content) > BYTES_MAX:
        raise DataError(f"{path}: it is larger than {BYTES_MAX} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a TOML file: {error}") from error


def parse_toml(text: str, place: str) -> dict[str, Any]:
    """Return what ``text`` says; ``place`` names it in errors. Integers have 64 bits, as TOML has them."""
    for number, line in enumerate(text.splitlines(), 1):
        # The parser takes memory in the square of a dotted key's length: gigabytes for 100 KB.
        if line.count(".") > DOTS_MAX:
            raise DataError(f"{place}: line {number}: {line.count('.')} dots; a line may have {DOTS_MAX}")
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Not TOMLDecodeError alone: a number of thousands of digits and an impossible date are other ValueErrors.
        raise DataError(f"{place}: not a TOML file: {error}") from error
    waiting: list[tuple[str, int, Any]] = [("", 0, table)]
    while waiting:
        key, depth, value = waiting.pop()
        if isinstance(value, dict | list):
            if depth == DEPTH_MAX:
                raise DataError(f"{place}: {key}: more than {DEPTH_MAX} tables and lists within one another")
            pairs = value.items() if isinstance(value, dict) else ((f"{key}[{i}]", x) for i, x in enumerate(value))
            waiting += [(f"{key}.{name}" if key and isinstance(value, dict) else name, depth + 1, x) for name, x in pairs]
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise DataError(f"{place}: {key}: a number of {value.bit_length()} bits; an integer of TOML has at most 64")
    return table
