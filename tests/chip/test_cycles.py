from pathlib import Path

from spikefold.chip import cycles

PAGE = Path(__file__).parents[2] / "docs" / "chip.md"


def test_the_page_has_the_cycles_of_the_code() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [f"| {what} | {cycle} |" for what, cycle in cycles.table()]
    first = lines.index(rows[0])
    assert lines[first : first + len(rows) + 1] == [*rows, ""]
