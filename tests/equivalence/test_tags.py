"""The neuron is written three times; its tagged lines are there once each, and in the same order."""

import re
from pathlib import Path

import pytest

import spikefold
from tests.equivalence.mutations import GRAPH_TAGS, TAGS

PACKAGE = Path(spikefold.__file__).parent
FILES = ("network/reference.py", "sim/kernels.py", "hw/gateware/neuron.py")


@pytest.mark.parametrize("name", FILES)
def test_each_execution_has_every_line_in_order(name: str):
    text = (PACKAGE / name).read_text(encoding="utf-8")
    assert tuple(re.findall(r"# \[(LIF\.\d\w?)\]$", text, re.MULTILINE)) == TAGS


@pytest.mark.parametrize("name", FILES[:2])
def test_what_no_core_runs_has_every_line_in_order_too(name: str):
    text = (PACKAGE / name).read_text(encoding="utf-8")
    assert tuple(re.findall(r"# \[(LINEAR|(?:ROOT|SRM)\.\d\w?)\]$", text, re.MULTILINE)) == GRAPH_TAGS


def test_the_page_has_these_lines_too():
    page = (PACKAGE.parent / "docs" / "folding.md").read_text(encoding="utf-8")
    found = re.findall(r" \[(LINEAR|(?:ROOT|SRM)\.\d\w?)\]$", page, re.MULTILINE)
    assert sorted(set(found)) == sorted(set(GRAPH_TAGS))
    for kind in ("SRM", "ROOT"):
        tags = [tag for tag in found if tag.startswith(kind)]
        assert tags == sorted(tags)


def test_nothing_else_carries_a_tag():
    tagged = {
        str(path.relative_to(PACKAGE))
        for folder in PACKAGE.iterdir()
        for path in folder.glob("**/*.py")
        if re.search(r"\[(LINEAR|(LIF|ROOT|SRM)\.\d\w?)\]$", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert tagged == set(FILES)
