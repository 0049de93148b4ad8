"""A chip: an architecture for a device, and its TOML file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from spikefold.chip.architecture import Architecture
from spikefold.chip.device import Device
from spikefold.data.errors import ChipError, DataError
from spikefold.data.shown import shown
from spikefold.data.toml import read_toml

__all__ = ["ChipConfig", "chip_from_table", "load_chip"]

PARTS = {"architecture": Architecture, "device": Device}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipConfig:
    """A chip by its name: its architecture, and the device that it must fit."""

    name: str = "default"
    architecture: Architecture = field(default_factory=Architecture)
    device: Device = field(default_factory=Device)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or not self.name.isprintable():
            raise ChipError(f"chip name: {shown(self.name)}; it must be a text without control characters")

    def to_dict(self) -> dict[str, Any]:
        """Return name, architecture and device as tables, for manifests."""
        return asdict(self)


def chip_from_table(table: Mapping[str, Any]) -> ChipConfig:
    """Return the chip of a table such as :meth:`ChipConfig.to_dict` gives; every field is optional, and unknown ones are errors."""
    moved = {part: [key for key in table if key in {f.name for f in fields(made_of)}] for part, made_of in PARTS.items()}
    if any(moved.values()):
        where = "; ".join(f"{', '.join(keys)} to [{part}]" for part, keys in moved.items() if keys)
        raise ChipError(f"these keys have moved into tables: {where}")
    refuse_unknown(table, ["name", *PARTS], "key")
    parts: dict[str, Any] = {}
    for part, made_of in PARTS.items():
        given = table.get(part, {})
        if not isinstance(given, Mapping):
            raise ChipError(f"{part}: {shown(given)}; it must be a table")
        refuse_unknown(given, [f.name for f in fields(made_of)], f"{part} key")
        parts[part] = made_of(**given)
    return ChipConfig(**{"name": table["name"]} if "name" in table else {}, **parts)


def refuse_unknown(table: Mapping[str, Any], known: list[str], place: str) -> None:
    """Raise a ChipError for a key that is not known."""
    for key in table:
        if key not in known:
            raise ChipError(f"unknown {place} {shown(key)}; the keys are {', '.join(sorted(known))}")


def load_chip(path: Path) -> ChipConfig:
    """Read a chip's TOML file: its name, and the tables [architecture] and [device]."""
    try:
        return chip_from_table(read_toml(path))
    except DataError as error:
        raise ChipError(str(error)) from error
    except ChipError as error:
        raise ChipError(f"{path}: {error}") from error
