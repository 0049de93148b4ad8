"""Recipes: a TOML file that says everything about a training run. No torch here."""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import cattrs
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError

from spikefold.data.coding import InputCoding
from spikefold.data.errors import DataError, SpikefoldError
from spikefold.data.toml import parse_toml, read_toml_text
from spikefold.quantize.network import INPUT, TIMESTEPS_MAX
from spikefold.quantize.windows import KERNEL_MAX, PADDING_MAX, POOL_MAX, STRIDE_MAX, layer_shape, pooled_shape
from spikefold.train.errors import RecipeError

__all__ = ["DataRecipe", "LayerRecipe", "NeuronRecipe", "NormRecipe", "Recipe", "TrainSettings", "default_name", "load_recipe", "parse_recipe"]


def _within(place: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise RecipeError(f"{place}: {value}; it must be in {low}..{high}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRecipe:
    """``[data]``: the data set by its name."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuronRecipe:
    """``[neuron]``: the neurons of every layer that fires."""

    leak: float = 0.95
    threshold: float = 1.0
    reset: Literal["soft", "hard"] = "soft"

    def __post_init__(self) -> None:
        _within("neuron leak", self.leak, 0, 1)
        _within("neuron threshold", self.threshold, 1e-3, 1e3)


@dataclass(frozen=True, slots=True, kw_only=True)
class NormRecipe:
    """``[norm]``: the normalisation of every layer that fires; BNTT has no beta unless asked."""

    kind: Literal["none", "bn", "bntt"] = "bntt"
    beta: bool = False
    eps: float = 1e-4
    momentum: float = 0.1

    def __post_init__(self) -> None:
        _within("norm eps", self.eps, 1e-12, 0.1)
        _within("norm momentum", self.momentum, 1e-6, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRecipe:
    """One of ``[[layers]]``: ``out`` neurons or channels, the incoming spikes averaged over ``pool`` by ``pool`` windows."""

    kind: Literal["dense", "conv2d"]
    out: int
    name: str = ""
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    pool: int = 1
    bias: bool = False

    def __post_init__(self) -> None:
        for key, low, high in (
            ("out", 1, 65536),
            ("kernel", 1, KERNEL_MAX),
            ("stride", 1, STRIDE_MAX),
            ("padding", 0, PADDING_MAX),
            ("pool", 1, POOL_MAX),
        ):
            _within(f"layer {key}", getattr(self, key), low, high)
        if self.kind == "dense" and (self.kernel, self.stride, self.padding) != (1, 1, 0):
            raise RecipeError(f"layer kernel {self.kernel}, stride {self.stride}, padding {self.padding}: a dense layer takes none of them")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """``[train]``: the optimiser and its schedule.

    ``learning_rate`` falls along half a cosine to 0, or to a tenth after 5, 7 and 9 tenths of the epochs (``step``), or not at all.
    ``validation`` is the share of the training split that chooses the epoch. ``threads`` belongs here because it changes
    the order of sums, so the last bits of the result.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: Literal["sgd", "adam"] = "sgd"
    momentum: float = 0.9
    weight_decay: float = 1e-4
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    validation: float = 0.1
    threads: int = 1

    def __post_init__(self) -> None:
        for key, low, high in (
            ("epochs", 1, 100_000), ("batch_size", 2, 65536), ("learning_rate", 1e-9, 1e3), ("momentum", 0, 1), ("weight_decay", 0, 1),
            ("validation", 0.001, 0.9), ("threads", 1, 256),
        ):  # fmt: skip
            _within(f"train {key}", getattr(self, key), low, high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A training run. The last layer is the readout: it integrates without neurons or norm (``potential``), or its spikes are counted."""

    name: str
    seed: int
    timesteps: int
    readout: Literal["potential", "spike_count"] = "potential"
    data: DataRecipe
    input: InputCoding
    neuron: NeuronRecipe = NeuronRecipe()
    norm: NormRecipe = NormRecipe()
    layers: tuple[LayerRecipe, ...]
    train: TrainSettings

    def __post_init__(self) -> None:
        _within("seed", self.seed, 0, 2**63 - 1)
        _within("timesteps", self.timesteps, 1, TIMESTEPS_MAX)
        if not self.layers:
            raise RecipeError("layers: there are none; at least 1 is needed")
        if not self.name.isprintable():
            raise RecipeError(f"name: {self.name!r}; it must have no control characters")
        self._check_layers()

    def _check_layers(self) -> None:
        """Refuse, before any training, names that no network may have and windows that leave nothing."""
        names: dict[str, int] = {}
        shape = self.input.shape
        for i, layer in enumerate(self.layers):
            name = layer.name or default_name(layer.kind, i + 1)
            if name == INPUT or not name.isprintable():
                raise RecipeError(f"layers[{i}].name: {name!r}; it must be printable, and {INPUT!r} is taken")
            if name in names:
                raise RecipeError(f"layers[{i}].name: {name!r}; layers[{names[name]}] has that name too")
            names[name] = i
            pooled = pooled_shape(shape, layer.pool)
            weights = (layer.out, prod(pooled)) if layer.kind == "dense" else (layer.out, pooled[0], layer.kernel, layer.kernel)
            shape = layer_shape(f"layers[{i}]", layer.kind, shape, layer.pool, weights, layer.stride, layer.padding)


def default_name(kind: str, number: int) -> str:
    """Return what a layer without a name is called; ``number`` counts all layers from 1."""
    return f"{kind.removesuffix('2d')}{number}"


def load_recipe(path: Path) -> Recipe:
    """Read a recipe; a missing, unknown or bad key is a RecipeError that names the file and the key."""
    try:
        text = read_toml_text(path)
    except DataError as error:
        raise RecipeError(str(error)) from error
    return parse_recipe(text, str(path))


def parse_recipe(text: str, place: str) -> Recipe:
    """Return the recipe that ``text`` says; ``place`` names it in errors."""
    try:
        table = parse_toml(text, place)
    except DataError as error:
        raise RecipeError(str(error)) from error
    try:
        recipe: Recipe = _converter().structure(table, Recipe)
    except ClassValidationError as error:
        first = cattrs.transform_error(error, path="recipe", format_exception=_reason)[0]
        reason, _, where = first.rpartition(" @ ")
        raise RecipeError(f"{place}: {where.removeprefix('recipe').removeprefix('.') or 'top level'}: {reason}") from error
    return recipe


def _converter() -> Any:
    """Return a converter that takes only what TOML itself says is a number, a text or a truth value."""
    converter = cattrs.Converter(forbid_extra_keys=True)
    for kind, words in ((int, "an integer"), (str, "a text"), (bool, "true or false"), (float, "a number")):
        converter.register_structure_hook(kind, _exactly(kind, words))
    return converter


def _exactly(kind: type[Any], words: str) -> Callable[[object, object], object]:
    def hook(value: object, _: object) -> object:
        # Not isinstance: true is an int to Python. A number without a point is a float's value too.
        if type(value) is kind or (kind is float and type(value) is int):
            return kind(value)
        raise RecipeError(f"{value!r}; it must be {words}")

    return hook


def _reason(error: BaseException, kind: Any) -> str:
    """Say in words what cattrs found; ``kind`` is the type that was expected."""
    if isinstance(error, ForbiddenExtraKeysError):
        unknown = ", ".join(repr(key) for key in sorted(error.extra_fields))
        return f"unknown key {unknown}; the keys are {', '.join(field.name for field in fields(error.cl))}"
    if isinstance(error, KeyError):
        return "the key is missing"
    if isinstance(error, SpikefoldError):
        return str(error)
    if get_origin(kind) is Literal:
        value = str(error).partition(" not in literal")[0]
        return f"{value!r}; it must be one of {', '.join(map(repr, get_args(kind)))}"
    if get_origin(kind) is tuple:
        length = "tables" if get_args(kind)[-1] is ... else f"{len(get_args(kind))} integers"
        return f"it must be a list of {length}"
    if is_dataclass(kind):
        return "it must be a table"
    return str(error)
