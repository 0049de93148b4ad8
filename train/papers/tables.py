"""Tables of results to reproduce: a TOML file says which runs make a table of a paper, and what the paper says of each. No torch here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, Literal

import spikefold
from spikefold.data.errors import DataError
from spikefold.data.shown import shown
from spikefold.data.toml import read_toml
from spikefold.train.errors import RecipeError
from spikefold.train.recipes.recipe import parse_recipe
from spikefold.train.recipes.sections import check_range
from spikefold.train.recipes.shipped import find_shipped
from spikefold.train.recipes.structure import structure

__all__ = ["Axis", "Choice", "Column", "Detail", "Figure", "PaperTable", "Row", "Scale", "ScaleSettings", "find_table", "list_tables", "load_table"]

SHIPPED = Path(spikefold.__file__).parent / "examples" / "tables"
ROWS_MAX = 1000
LENGTH_MAX = 100
"""Characters of a name or a label, which become parts of a folder's name."""

Changes = dict[str, Any]
Scale = Literal["small", "full"]
Column = Literal[
    "test_accuracy", "validation_accuracy", "firing_rate", "efficiency_int32", "efficiency_float32", "spiking_efficiency_int32", "parameters",
    "compression", "early_exit", "early_exit_accuracy", "seconds",
]  # fmt: skip
Detail = Literal["accuracy_after_timesteps", "firing_rates"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleSettings:
    """``[small]`` or ``[full]``: what the scale changes in the recipe, said in words too.

    ``test_samples`` is how many samples of the test split are read, its first ones (0: all).
    """

    says: str
    test_samples: int = 0
    changes: Changes = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_range("test_samples", self.test_samples, 0, 10**9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One value of an axis: what it is called, what it changes in the recipe, and what else at one scale alone."""

    label: str
    changes: Changes = field(default_factory=dict)
    small: Changes = field(default_factory=dict)
    full: Changes = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= len(self.label) <= LENGTH_MAX or not self.label.isprintable() or "|" in self.label:
            raise RecipeError(f"label: {shown(self.label)}; it must be printable, with no |, and of 1..{LENGTH_MAX} characters")

    def at(self, scale: Scale) -> tuple[Changes, Changes]:
        """Return what is changed at a scale, in order."""
        return self.changes, self.small if scale == "small" else self.full


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """Choices that the rows differ in. ``best``: of these rows, that with the best validation accuracy stands for all, beside the table."""

    name: str
    choices: tuple[Choice, ...]
    best: bool = False

    def __post_init__(self) -> None:
        labels = [choice.label for choice in self.choices]
        if not labels or len(set(labels)) < len(labels):
            raise RecipeError(f"axis {self.name!r}: the labels are {labels}; at least one is needed, and no two may be the same")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What the paper says: the value of a ``column``, in its own words, of the row with a label from every axis that is not ``best``."""

    row: tuple[str, ...]
    column: Column
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A run of the table: a label of every axis, the name of its folder, its recipe as TOML, and the paper's figures by column."""

    labels: tuple[str, ...]
    name: str
    recipe: str
    paper: Mapping[Column, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperTable:
    """A table of a paper: its rows are all combinations of the axes' choices, each a base ``recipe`` with changes.

    ``source`` is the paper and its table; ``not_given`` says what the paper leaves open and what is chosen here. ``columns`` are the
    figures that are shown, ``details`` what is shown beside them.
    """

    name: str
    title: str
    source: str
    not_given: tuple[str, ...]
    columns: tuple[Column, ...]
    details: tuple[Detail, ...] = ()
    recipe: Changes
    small: ScaleSettings
    full: ScaleSettings
    axes: tuple[Axis, ...]
    paper: tuple[Figure, ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", self.name) or len(self.name) > LENGTH_MAX:
            raise RecipeError(f"name: {shown(self.name)}; it must be of the characters a-z, 0-9 and -, of at most {LENGTH_MAX}")
        for key, values in (("columns", self.columns), ("axes", tuple(axis.name for axis in self.axes))):
            if not values or len(set(values)) < len(values):
                raise RecipeError(f"{key}: {list(values)}; at least one is needed, and no two may be the same")
        for key in ("name", "seed"):
            if (key in self.recipe) != (key == "seed"):
                raise RecipeError(f"recipe: it must have a seed, and no name, which is that of the row; its keys are {shown(list(self.recipe))}")
        if (count := prod(len(axis.choices) for axis in self.axes)) > ROWS_MAX:
            raise RecipeError(f"axes: they make {count} rows; at most {ROWS_MAX} are allowed")
        groups = set(product(*([choice.label for choice in axis.choices] for axis in self.axes if not axis.best)))
        for i, figure in enumerate(self.paper):
            if figure.row not in groups:
                raise RecipeError(f"paper[{i}].row: {list(figure.row)}; it must have a label of each axis that is not best, in their order")
            if figure.column not in self.columns:
                raise RecipeError(f"paper[{i}].column: {figure.column!r}; the table's columns are {', '.join(self.columns)}")

    def scale(self, scale: Scale) -> ScaleSettings:
        """Return what a scale is."""
        return self.small if scale == "small" else self.full

    def group(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        """Return a row's labels without those of the axes that are ``best``."""
        return tuple(label for label, axis in zip(labels, self.axes, strict=True) if not axis.best)

    def labels(self) -> tuple[tuple[str, ...], ...]:
        """Return the labels of every row, the last axis running fastest."""
        return tuple(product(*([choice.label for choice in axis.choices] for axis in self.axes)))

    def figures(self, labels: tuple[str, ...]) -> tuple[Figure, ...]:
        """Return what the paper says of a row."""
        return tuple(figure for figure in self.paper if figure.row == self.group(labels))

    def rows(self, scale: Scale) -> tuple[Row, ...]:
        """Return the rows at a scale, the last axis running fastest; a recipe that is none is a RecipeError that names its row."""
        rows: dict[str, Row] = {}
        for choices in product(*(axis.choices for axis in self.axes)):
            labels = tuple(choice.label for choice in choices)
            name = "_".join(map(_slug, labels))
            if name in rows:
                raise RecipeError(f"table {self.name!r}: the rows {shown(rows[name].labels)} and {shown(labels)} would both be called {shown(name)}")
            recipe = {"name": f"{self.name} {name}", **self.recipe}
            for changes in (self.scale(scale).changes, *(changes for choice in choices for changes in choice.at(scale))):
                recipe = _changed(recipe, changes)
            paper = {figure.column: figure.value for figure in self.figures(labels)}
            rows[name] = Row(labels=labels, name=name, recipe=_text(recipe, f"table {self.name!r}, row {shown(name)} at scale {scale}"), paper=paper)
        return tuple(rows.values())


def _slug(label: str) -> str:
    """Return a label as a part of a folder's name."""
    return re.sub(r"[^a-z0-9.]+", "-", label.lower()).strip("-.") or "row"


def _changed(recipe: Changes, changes: Changes) -> Changes:
    """Return ``recipe`` with ``changes``: tables are merged, whatever else is replaced."""
    return recipe | {
        key: _changed(recipe[key], value) if isinstance(value, dict) and isinstance(recipe.get(key), dict) else value
        for key, value in changes.items()
    }


def _text(recipe: Changes, place: str) -> str:
    # Imported here: tables can be listed without the extra that trains.
    import tomli_w

    text = tomli_w.dumps(recipe)
    parse_recipe(text, place)
    return text


def list_tables() -> tuple[Path, ...]:
    """Return the tables that come with Spikefold, in the order of their names."""
    return tuple(sorted(SHIPPED.glob("*.toml"), key=lambda path: path.stem))


def find_table(table: str | Path) -> Path:
    """Return the path of a table that is given by its path, or by its name if it is one that comes with Spikefold."""
    return find_shipped(table, list_tables(), "table")


def load_table(path: Path) -> PaperTable:
    """Read a table; a missing, unknown or bad key is a RecipeError that names the file and the key."""
    try:
        content = read_toml(path)
    except DataError as error:
        raise RecipeError(str(error)) from error
    return structure(content, PaperTable, str(path))
