"""Recipes: a TOML file that says everything about a training run. No torch here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import cattrs
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError

from spikefold.data.coding import InputCoding
from spikefold.data.errors import DataError, SpikefoldError
from spikefold.data.toml import parse_toml, read_toml_text
from spikefold.quantize.network import INPUT, TIMESTEPS_MAX
from spikefold.quantize.windows import Shape, layer_shape, pooled_shape
from spikefold.train.errors import RecipeError
from spikefold.train.sections import ConversionRecipe, DataRecipe, LayerRecipe, NeuronRecipe, NormRecipe, TrainSettings, check_range

__all__ = [
    "ConversionRecipe", "DataRecipe", "LayerRecipe", "NeuronRecipe", "NormRecipe", "Recipe", "TrainSettings", "default_name", "load_recipe",
    "parse_recipe",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A training run. The last layer is the readout: it integrates without neurons or norm (``potential``), or its spikes are counted."""

    name: str
    seed: int
    timesteps: int
    readout: Literal["potential", "spike_count"] = "potential"
    data: DataRecipe
    input: InputCoding
    neuron: NeuronRecipe = field(default_factory=NeuronRecipe)
    norm: NormRecipe = field(default_factory=NormRecipe)
    layers: tuple[LayerRecipe, ...]
    train: TrainSettings
    conversion: ConversionRecipe | None = None

    def __post_init__(self) -> None:
        check_range("seed", self.seed, 0, 2**63 - 1)
        check_range("timesteps", self.timesteps, 1, TIMESTEPS_MAX)
        if not self.layers:
            raise RecipeError("layers: there are none; at least 1 is needed")
        if not self.name.isprintable():
            raise RecipeError(f"name: {self.name!r}; it must have no control characters")
        if self.norm.before and self.neuron.kind != "srm":
            raise RecipeError(f"norm kind: {self.norm.kind!r}; only srm neurons have a postsynaptic potential, these are {self.neuron.kind}")
        if self.train.loss == "spike_count" and self.readout != "spike_count":
            raise RecipeError(f"train loss: 'spike_count'; the readout must be 'spike_count' too, it is {self.readout!r}")
        if self.train.classifier == "stochmax" and self.readout != "potential":
            raise RecipeError(f"train classifier: 'stochmax'; the readout must be 'potential', it is {self.readout!r}")
        if (self.train.method == "conversion") != (self.conversion is not None):
            raise RecipeError(f"train method: {self.train.method!r}; the table [conversion] belongs to the method 'conversion', and to no other")
        if self.readout == "spike_count" and self.layers[-1].neuron == "relu":
            raise RecipeError(f"layers[{len(self.layers) - 1}].neuron: 'relu'; the last layer's spikes are counted, so it must be 'spiking'")
        self._check_layers()

    def _check_layers(self) -> None:
        """Refuse, before any training, names that no network may have, windows that leave nothing, and layers that do not fit each other."""
        earlier: dict[str, _Placed] = {}
        shape = self.input.shape
        for i, layer in enumerate(self.layers):
            place = f"layers[{i}]"
            name = layer.name or default_name(layer.kind, i + 1)
            if name == INPUT or not name.isprintable():
                raise RecipeError(f"{place}.name: {name!r}; it must be printable, and {INPUT!r} is taken")
            if name in earlier:
                raise RecipeError(f"{place}.name: {name!r}; layers[{earlier[name].number}] has that name too")
            pooled = pooled_shape(shape, layer.pool)
            weights = (layer.out, prod(pooled)) if layer.kind == "dense" else (layer.out, pooled[0], layer.kernel, layer.kernel)
            shape = layer_shape(place, layer.kind, shape, layer.pool, weights, layer.stride, layer.padding)
            if layer.weights:
                source = _earlier(f"{place}.weights", layer.weights, earlier)
                if source.layer.weights:
                    raise RecipeError(f"{place}.weights: {layer.weights!r}; that layer uses those of {source.layer.weights!r}, so name this one")
                if source.weights != weights or source.layer.bias != layer.bias:
                    raise RecipeError(
                        f"{place}.weights: {layer.weights!r}; its weights are {list(source.weights)}, bias {source.layer.bias}; "
                        f"here they must be {list(weights)}, bias {layer.bias}"
                    )
            if layer.add and (source := _earlier(f"{place}.add", layer.add, earlier)).shape != shape:
                raise RecipeError(f"{place}.add: {layer.add!r}; its shape is {list(source.shape)}, and here it must be {list(shape)}")
            earlier[name] = _Placed(number=i, layer=layer, weights=weights, shape=shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """A layer with what follows from those before it."""

    number: int
    layer: LayerRecipe
    weights: tuple[int, ...]
    shape: Shape


def _earlier(place: str, name: str, earlier: Mapping[str, _Placed]) -> _Placed:
    if name not in earlier:
        raise RecipeError(f"{place}: {name!r}; no earlier layer has that name; those before are {', '.join(earlier) or 'none'}")
    return earlier[name]


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
