"""Comparisons of the batches of a data set, put together to one of the whole, and as JSON."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from spikefold.network.trace import Comparison

__all__ = ["comparison_table", "merge", "shifted"]


def shifted(comparison: Comparison, start: int) -> Comparison:
    """Return the comparison of a batch with its samples counted as in the whole split."""
    if comparison.first is None or comparison.first.sample is None:
        return comparison
    return replace(comparison, first=replace(comparison.first, sample=comparison.first.sample + start))


def merge(comparisons: Iterable[Comparison]) -> Comparison:
    """Return the sum of several comparisons; the first difference is that of the first comparison that has one."""
    compared: dict[str, int] = {}
    differing: dict[str, int] = {}
    omitted: dict[str, None] = {}
    first = None
    for comparison in comparisons:
        omitted |= dict.fromkeys(comparison.omitted)
        for kind, count in comparison.compared.items():
            compared[kind] = compared.get(kind, 0) + count
            differing[kind] = differing.get(kind, 0) + comparison.differing[kind]
        first = first or comparison.first
    return Comparison(compared=compared, differing=differing, first=first, omitted=tuple(omitted))


def comparison_table(comparison: Comparison, samples: int) -> dict[str, Any]:
    """Return a comparison as JSON has it: ``spikes_compared`` and so on, what was ``omitted``, and ``differences`` in all."""
    return {
        "samples": samples,
        **{f"{kind}_compared": count for kind, count in comparison.compared.items()},
        "omitted": list(comparison.omitted),
        "differences": sum(comparison.differing.values()),
        "first_difference": None if comparison.first is None else str(comparison.first),
    }
