"""Options that several verbs share: folders that are kept, and what their help says."""

from pathlib import Path

import pytest

from spikefold.data.datasets import DATASETS
from tests.command_line import ended_badly, spikefold


def test_an_existing_folder_is_not_replaced_unasked(net: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    for verb in ("simulate", "generate"):
        ended_badly(spikefold(verb, net, "--samples", "1", "--out", tmp_path / "mine"), "exists already", "--force")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"


def test_force_never_replaces_the_current_folder(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "summary.json").write_text("years")
    monkeypatch.chdir(tmp_path)
    assert "it is empty" in spikefold("simulate", net, "--samples", "1", "--out", "", "--force").stderr
    for out in (".", "..", tmp_path):
        ended_badly(spikefold("simulate", net, "--samples", "1", "--out", out, "--force"), "never replaced")
    assert [p.name for p in tmp_path.iterdir()] == ["summary.json"]


def test_every_data_set_is_named_in_the_help() -> None:
    # Lines may be broken at a hyphen.
    shown = "".join(spikefold("count", "--help").output.split())
    *names, last = DATASETS
    assert f"NAME{','.join(names)}or{last};bydefault" in shown


def test_the_examples_name_recipes_and_tables_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    from spikefold.train.papers.tables import find_table, load_table
    from spikefold.train.recipes.recipe import find_recipe, load_recipe

    monkeypatch.chdir(Path(__file__).parents[2])
    named = []
    for verb, load in (("train", lambda name: load_recipe(find_recipe(name))), ("reproduce", lambda name: load_table(find_table(name)))):
        for line in spikefold(verb, "--help").output.splitlines():
            _, called, rest = line.partition(f"  spikefold {verb} ")
            if called:
                load(rest.split()[0])
                named.append(rest.split()[0])
    assert {"bntt_cifar10_vgg9", "stochmax"} <= set(named)
