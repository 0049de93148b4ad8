"""Tables of papers: what a good file says, and one line for everything that can be wrong with a bad one."""

import subprocess
import sys
from pathlib import Path

import pytest

from spikefold.train.errors import RecipeError
from spikefold.train.papers.tables import find_table, list_tables, load_table
from spikefold.train.recipes.recipe import parse_recipe
from tests.train.paper_tables import RATES, write_table

NAMES = (
    "backres", "bntt-early-exit", "conversion", "hybrid", "psp-figure-8", "psp-figure-9", "psp-table-2", "psp-table-3", "stdp", "stochmax",
)  # fmt: skip


def test_rows_are_the_base_with_changes(tmp_path: Path) -> None:
    table = load_table(write_table(tmp_path))
    small = [parse_recipe(row.recipe, "r") for row in table.rows("small")]
    full = [parse_recipe(row.recipe, "r") for row in table.rows("full")]
    assert [row.name for row in table.rows("small")] == ["bntt", "none-at-all"]
    assert [recipe.name for recipe in small] == ["tiny bntt", "tiny none-at-all"]
    assert [recipe.norm.kind for recipe in small] == [recipe.norm.kind for recipe in full] == ["bntt", "none"]
    assert [(recipe.train.subset, recipe.train.epochs, recipe.timesteps) for recipe in small] == [(400, 2, 3), (400, 1, 3)]
    assert [(recipe.train.subset, recipe.train.epochs, recipe.timesteps) for recipe in full] == [(0, 2, 3), (0, 2, 4)]
    # What no change names stays.
    assert all((recipe.seed, recipe.train.batch_size, recipe.input.std) == (5, 64, 8.0) for recipe in small + full)
    assert [dict(row.paper) for row in table.rows("full")] == [{"test_accuracy": "90.5 %"}, {}]


def test_axes_multiply_the_last_one_fastest(tmp_path: Path) -> None:
    table = load_table(write_table(tmp_path, more=RATES))
    rows = table.rows("small")
    assert [row.labels for row in rows] == [("BNTT", "0.1"), ("BNTT", "1000"), ("None at all", "0.1"), ("None at all", "1000")]
    assert tuple(row.labels for row in rows) == table.labels()
    assert [row.name for row in rows] == ["bntt_0.1", "bntt_1000", "none-at-all_0.1", "none-at-all_1000"]
    assert [parse_recipe(row.recipe, "r").train.learning_rate for row in rows] == [0.1, 1000, 0.1, 1000]
    # A figure is of all rows that the best is chosen from.
    assert [dict(row.paper) for row in rows] == [{"test_accuracy": "90.5 %"}] * 2 + [{}] * 2
    assert table.group(("BNTT", "1000")) == ("BNTT",)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({'title = "': 'titel = "'}, "title: the key is missing"),
        ({'name = "tiny"': "name = 7"}, "name: 7; it must be a text"),
        ({'name = "tiny"': 'name = "../x"'}, "name: '../x'; it must be of the characters"),
        ({'"early_exit"': '"early exit"'}, r"columns\[1\]: 'early exit'; it must be one of 'test_accuracy', "),
        ({'"early_exit", ': '"parameters", '}, r"columns: \[.*\]; at least one is needed, and no two"),
        ({"test_samples = 40": "test_samples = -1"}, "small: test_samples: -1; it must be in 0"),
        ({"test_samples = 40": "test_samples = true"}, "small.test_samples: True; it must be an integer"),
        ({"seed = 5\n": ""}, "recipe: it must have a seed, and no name"),
        ({"seed = 5\n": 'seed = 5\nname = "x"\n'}, "recipe: it must have a seed, and no name"),
        ({'label = "BNTT"': 'label = "None at all"'}, r"axes\[0\]: axis 'normalisation': the labels are .*no two may be the same"),
        ({'label = "BNTT"': f'label = "{"x" * 101}"'}, r"axes\[0\].choices\[0\]: label: 'x+'; .* of 1\.\.100 characters"),
        ({'name = "tiny"': f'name = "{"x" * 101}"'}, "name: 'x+'; .*, of at most 100"),
        ({"seed = 5\n": '"\\u001b" = 5\n'}, r"its keys are \['\\x1b', "),
        ({'label = "BNTT"': 'label = "B|NTT"'}, r"axes\[0\].choices\[0\]: label: 'B\|NTT'; it must be printable"),
        ({'label = "BNTT"': 'label = "BNTT"\nlable = 1'}, r"axes\[0\].choices\[0\]: unknown key 'lable'; the keys are label, changes"),
        ({'row = ["BNTT"]': 'row = ["BN"]'}, r"paper\[0\].row: \['BN'\]; it must have a label of each axis"),
        ({'row = ["BNTT"]': 'row = "BNTT"'}, r"paper\[0\].row: it must be a list of texts"),
        ({'not_given = ["Everything."]': 'not_given = "Everything."'}, "not_given: it must be a list of texts"),
        ({'not_given = ["Everything."]': "not_given = { a = 1 }"}, "not_given: it must be a list of texts"),
        ({'column = "test_accuracy"': 'column = "seconds"'}, r"paper\[0\].column: 'seconds'; the table's columns are test_accuracy, "),
        ({"[full]": "[full"}, "not a TOML file"),
    ],
)
def test_bad_tables_are_refused_in_one_line(tmp_path: Path, changes: dict[str, str], words: str) -> None:
    with pytest.raises(RecipeError, match=words) as error:
        load_table(write_table(tmp_path, changes=changes))
    assert str(tmp_path / "tiny.toml") in str(error.value)
    assert "\n" not in str(error.value).split("not a TOML")[0]


def test_a_bad_recipe_names_its_row_and_scale(tmp_path: Path) -> None:
    table = load_table(write_table(tmp_path, changes={"full = { timesteps = 4 }": "full = { timesteps = 0 }"}))
    assert len(table.rows("small")) == 2
    with pytest.raises(RecipeError, match="table 'tiny', row 'none-at-all' at scale full: top level: timesteps: 0; it must be in 1"):
        table.rows("full")
    table = load_table(write_table(tmp_path, changes={'kind = "none" } }': 'kin = "none" } }'}))
    with pytest.raises(RecipeError, match="row 'none-at-all' at scale small: norm: unknown key 'kin'"):
        table.rows("small")


def test_rows_whose_folders_would_be_one_are_refused(tmp_path: Path) -> None:
    table = load_table(write_table(tmp_path, changes={'label = "BNTT"': 'label = "none at all!"', 'row = ["BNTT"]': 'row = ["none at all!"]'}))
    with pytest.raises(RecipeError, match="both be called 'none-at-all'"):
        table.rows("small")


def test_tables_that_come_with_spikefold() -> None:
    assert tuple(path.stem for path in list_tables()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_table_of_ours_has_recipes_at_both_scales(name: str) -> None:
    table = load_table(find_table(name))
    assert table.name == name
    for scale in ("small", "full"):
        recipes = [parse_recipe(row.recipe, row.name) for row in table.rows(scale)]
        assert len({row.recipe.partition("\n")[2] for row in table.rows(scale)}) == len(recipes), "two rows are the same run"
    # Small: seconds to minutes of a CPU, from data that can be had without an account.
    small = [parse_recipe(row.recipe, row.name) for row in table.rows("small")]
    assert {recipe.data.name for recipe in small} <= {"fashion-mnist", "digits"}
    assert all(0 < recipe.train.subset <= 10_000 for recipe in small)
    assert 0 < table.small.test_samples <= 2000
    assert table.full.test_samples == 0


def test_find_table_takes_a_path_or_a_name(tmp_path: Path) -> None:
    path = write_table(tmp_path)
    assert find_table(path) == path
    assert find_table("stochmax").name == "stochmax.toml"
    with pytest.raises(RecipeError, match=r"psp-table2: there is no such file, and no table of that name; the nearest are .*psp-table-2"):
        find_table("psp-table2")
    with pytest.raises(RecipeError, match="No such file"):
        load_table(find_table(tmp_path / "gone.toml"))


def test_tables_need_no_torch() -> None:
    code = "import sys; from spikefold.train.papers.tables import *; [load_table(p) for p in list_tables()]; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
