"""How fields of a chip are held against their ranges."""

from collections.abc import Mapping

from spikefold.data.errors import ChipError
from spikefold.data.shown import shown

__all__ = ["check_limits"]


def check_limits(record: object, limits: Mapping[str, tuple[int, int]], place: str) -> None:
    """Raise a ChipError unless each field of ``record`` is an integer in its range, both ends included."""
    for field, (low, high) in limits.items():
        value = getattr(record, field)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ChipError(f"{place} {field}: {shown(value)}; it must be an integer in {low}..{high}")
