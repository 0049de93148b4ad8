"""Comparisons of two executions: their tables, and their exit status."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spikefold.network.trace import Comparison

__all__ = ["COMPARISON_COLUMNS", "DIFFERENT", "compared_values", "comparison_rows"]

DIFFERENT = 1
"""The exit status if a comparison found a difference."""
COMPARISON_COLUMNS = ("compared with", "what", "values compared", "differing", "first difference")
COMPARED_VALUES = {"clamps": "counts of clamps", "sops": "counts of synaptic operations", "cycles": "steps to the cycle"}
"""The kinds of compared values whose own names would be taken for what they count."""


def comparison_rows(name: str, comparison: "Comparison") -> list[tuple[object, ...]]:
    """Return a row a kind of value that was compared."""
    first = comparison.first
    # Of events, the kind of a difference says which field and number too.
    kind_of_first = None if first is None else first.kind.partition(",")[0]
    return [
        (name, compared_values(kind), count, comparison.differing[kind], str(first) if kind_of_first == kind else "")
        for kind, count in comparison.compared.items()
    ]


def compared_values(kind: str) -> str:
    """Return the name of values of ``kind`` in a table. Clamps and operations are compared as counts."""
    return COMPARED_VALUES.get(kind, kind)
