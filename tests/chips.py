"""Chips as tests name them: by the fields that matter, wherever they are."""

from dataclasses import fields, replace
from typing import Any

from spikefold.chip.architecture import Architecture
from spikefold.chip.config import ChipConfig
from spikefold.chip.device import Device

__all__ = ["changed_chip", "chip_of"]


def chip_of(name: str = "default", **given: Any) -> ChipConfig:
    """Return the chip with these fields of architecture and device."""
    return changed_chip(ChipConfig(name=name), **given)


def changed_chip(chip: ChipConfig, **given: Any) -> ChipConfig:
    """Return ``chip`` with other values in these fields."""
    parts = {
        part: {f.name: given.pop(f.name) for f in fields(made_of) if f.name in given}
        for part, made_of in (("architecture", Architecture), ("device", Device))
    }
    architecture, device = replace(chip.architecture, **parts["architecture"]), replace(chip.device, **parts["device"])
    return replace(chip, architecture=architecture, device=device, **given)
