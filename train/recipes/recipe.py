"""Recipes: a TOML file that says everything about a training run. No torch here."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import spikefold
from spikefold.data.coding import InputCoding
from spikefold.data.errors import DataError
from spikefold.data.files import RECIPE
from spikefold.data.info import DATASETS
from spikefold.data.toml import parse_toml, read_toml_text
from spikefold.network.connection import INPUT
from spikefold.network.fields import TIMESTEPS_MAX
from spikefold.network.windows import Shape
from spikefold.quantize.float_file import load_float
from spikefold.train.errors import RecipeError
from spikefold.train.recipes.architectures import CLASSES, expand_architecture, resolve_architecture
from spikefold.train.recipes.sections import (
    ConversionRecipe,
    DataRecipe,
    LayerRecipe,
    NeuronRecipe,
    NormRecipe,
    PlacedLayer,
    QuantizeSettings,
    TrainSettings,
    check_range,
    default_name,
    place_layers,
)  # fmt: skip
from spikefold.train.recipes.shipped import find_shipped
from spikefold.train.recipes.stdp_settings import StdpSettings, feature_shape
from spikefold.train.recipes.structure import structure

__all__ = [
    "ConversionRecipe", "DataRecipe", "LayerRecipe", "NeuronRecipe", "NormRecipe", "QuantizeSettings", "Recipe", "TrainSettings", "default_name",
    "find_recipe", "list_recipes", "load_recipe", "parse_recipe", "trained_widths",
]  # fmt: skip

# The folder spikefold/examples, beside spikefold/train.
SHIPPED = Path(spikefold.__file__).parent / "examples" / "recipes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A training run. The last layer is the readout: it integrates without neurons or norm (``potential``), or its spikes are counted.

    ``architecture`` is a notation (:mod:`spikefold.train.recipes.notation`) or a name in ``ARCHITECTURES``; ``layers`` are then what it says,
    with ``classes`` neurons (0: as many as the data set has classes) for its ``{classes}``. A file has one of the two; a recipe made
    of another one (``dataclasses.replace``) may have other layers than its architecture. With the method ``stdp``, the layers are the
    classifier's, behind the features of ``[stdp]``.
    """

    name: str
    seed: int
    timesteps: int
    readout: Literal["potential", "spike_count"] = "potential"
    architecture: str = ""
    classes: int = 0
    data: DataRecipe
    input: InputCoding
    neuron: NeuronRecipe = field(default_factory=NeuronRecipe)
    norm: NormRecipe = field(default_factory=NormRecipe)
    layers: tuple[LayerRecipe, ...] = ()
    train: TrainSettings
    conversion: ConversionRecipe | None = None
    stdp: StdpSettings | None = None
    quantize: QuantizeSettings | None = None

    def __post_init__(self) -> None:
        check_range("seed", self.seed, 0, 2**63 - 1)
        check_range("timesteps", self.timesteps, 1, TIMESTEPS_MAX)
        for key, text in (("name", self.name), ("train start", self.train.start)):
            # What a run leaves repeats both.
            if not text.isprintable():
                raise RecipeError(f"{key}: {text!r}; it must have no control characters")
        for method, table in (("conversion", self.conversion), ("stdp", self.stdp), ("quantize", self.quantize)):
            if (self.train.method == method) != (table is not None):
                raise RecipeError(f"train method: {self.train.method!r}; the table [{method}] belongs to the method {method!r}, and to no other")
        if self.architecture and not self.layers:
            self._expand()
        elif self.classes and not self.architecture:
            raise RecipeError(f"classes: {self.classes}; only an architecture takes it")
        if not self.layers:
            raise RecipeError("layers: there are none; at least 1 is needed, or an architecture")
        self._check_sections()
        check_references(self.layers, self.source)

    @property
    def source(self) -> Shape:
        """What the first of the layers receives, (channels, height, width): the input, or the features of ``[stdp]``."""
        return self.input.shape if self.stdp is None else feature_shape(self.stdp, self.input.shape)

    def _expand(self) -> None:
        """Put the architecture's layers in their place."""
        classes = self.classes
        if CLASSES in resolve_architecture(self.architecture):
            if not classes and self.data.name not in DATASETS:
                raise RecipeError(f"classes: they are missing, and there is no data set {self.data.name!r} to take them from")
            classes = classes or DATASETS[self.data.name].classes
        elif classes:
            raise RecipeError(f"classes: {classes}; the architecture {self.architecture!r} has no {CLASSES}")
        said = expand_architecture(self.architecture, classes)
        if said.shape not in (None, self.source):
            raise RecipeError(f"architecture: its input is {said.shape}, and here it is {self.source}")
        if said.side and said.side != self.norm.side:
            here = f"which stands {self.norm.side} them" if self.norm.side else "which stands nowhere"
            raise RecipeError(f"architecture: its 'n' is {said.side} the weights; the norm is {self.norm.kind!r}, {here}")
        object.__setattr__(self, "layers", said.layers)

    def _check_sections(self) -> None:
        """Hold the tables against each other."""
        if self.norm.before and self.neuron.kind != "srm":
            raise RecipeError(f"norm kind: {self.norm.kind!r}; only srm neurons have a postsynaptic potential, these are {self.neuron.kind}")
        if self.train.loss == "spike_count" and self.readout != "spike_count":
            raise RecipeError(f"train loss: 'spike_count'; the readout must be 'spike_count' too, it is {self.readout!r}")
        if self.train.classifier == "stochmax" and self.readout != "potential":
            raise RecipeError(f"train classifier: 'stochmax'; the readout must be 'potential', it is {self.readout!r}")
        if self.readout == "spike_count" and self.layers[-1].neuron == "relu":
            raise RecipeError(f"layers[{len(self.layers) - 1}].neuron: 'relu'; the last layer's spikes are counted, so it must be 'spiking'")
        if self.train.augment_crop >= min(self.input.shape[1:]) and self.train.augment_crop:
            raise RecipeError(f"train augment_crop: {self.train.augment_crop}; it must be below the input's height and width, {self.input.shape[1:]}")
        if self.quantize is not None:
            self._check_quantize(self.quantize)
        if self.train.start and self.train.method not in ("bptt", "quantize"):
            raise RecipeError(f"train start: {self.train.start!r}; the method {self.train.method!r} starts from nothing")
        if self.train.method == "stdp":
            if self.norm.kind == "bntt":
                raise RecipeError("norm kind: 'bntt'; the classifier behind [stdp] runs in one timestep, so 'none' or 'bn' is needed")
            spiking = next((i for i, layer in enumerate(self.layers[:-1]) if layer.neuron != "relu"), None)
            if spiking is not None or self.readout != "potential":
                where = f"readout: {self.readout!r}" if spiking is None else f"layers[{spiking}].neuron: 'spiking'"
                raise RecipeError(f"{where}; the layers behind [stdp] are a classifier of relu neurons with the readout 'potential'")

    def _check_quantize(self, settings: QuantizeSettings) -> None:
        """Refuse what training through the fold does not take."""
        names = [layer.name or default_name(layer.kind, i + 1) for i, layer in enumerate(self.layers)]
        if unknown := sorted(set(settings.layer_bits) - set(names)):
            raise RecipeError(f"quantize layer_bits: {unknown[0]!r}; there is no such layer; the layers are {', '.join(map(repr, names))}")
        if self.neuron.kind == "srm" or self.neuron.learn_leak:
            raise RecipeError("quantize: neurons that are srm, or learn their leak; training through the fold takes lif neurons of a given leak")
        if self.train.classifier == "stochmax":
            raise RecipeError("quantize: the classifier 'stochmax'; training through the fold takes 'softmax'")
        for i, layer in enumerate(self.layers):
            if layer.neuron == "relu" or layer.add:
                found = f"add: {layer.add!r}" if layer.add else "neuron: 'relu'"
                raise RecipeError(f"layers[{i}].{found}; training through the fold takes spiking layers in a row")


def check_references(layers: tuple[LayerRecipe, ...], source: Shape) -> None:
    """Refuse, before any training, names that no network may have, windows that leave nothing, and layers that do not fit each other."""
    earlier: dict[str, PlacedLayer] = {}
    for i, placed in enumerate(place_layers(layers, source)):
        place, layer = f"layers[{i}]", placed.layer
        if placed.name == INPUT or not placed.name.isprintable():
            raise RecipeError(f"{place}.name: {placed.name!r}; it must be printable, and {INPUT!r} is taken")
        if placed.name in earlier:
            raise RecipeError(f"{place}.name: {placed.name!r}; layers[{list(earlier).index(placed.name)}] has that name too")
        if layer.weights:
            other = _earlier(f"{place}.weights", layer.weights, earlier)
            if other.layer.weights:
                raise RecipeError(f"{place}.weights: {layer.weights!r}; that layer uses those of {other.layer.weights!r}, so name this one")
            if (other.weights, other.layer.bias) != (placed.weights, layer.bias):
                theirs, ours = (f"{list(one.weights)}, bias {one.layer.bias}" for one in (other, placed))
                raise RecipeError(f"{place}.weights: {layer.weights!r}; its weights are {theirs}; here they must be {ours}")
        if layer.add and (other := _earlier(f"{place}.add", layer.add, earlier)).shape != placed.shape:
            raise RecipeError(f"{place}.add: {layer.add!r}; its shape is {list(other.shape)}, and here it must be {list(placed.shape)}")
        earlier[placed.name] = placed


def _earlier(place: str, name: str, earlier: Mapping[str, PlacedLayer]) -> PlacedLayer:
    if name not in earlier:
        raise RecipeError(f"{place}: {name!r}; no earlier layer has that name; those before are {', '.join(earlier) or 'none'}")
    return earlier[name]


def list_recipes() -> tuple[Path, ...]:
    """Return the recipes that come with Spikefold, in the order of their names."""
    return tuple(sorted(SHIPPED.rglob("*.toml"), key=lambda path: path.stem))


def find_recipe(recipe: str | Path) -> Path:
    """Return the path of a recipe that is given by its path, or by its name if it is one that comes with Spikefold."""
    return find_shipped(recipe, list_recipes(), "recipe")


def load_recipe(path: Path) -> Recipe:
    """Read a recipe; a missing, unknown or bad key is a RecipeError that names the file and the key."""
    try:
        text = read_toml_text(path)
    except DataError as error:
        raise RecipeError(str(error)) from error
    return parse_recipe(text, str(path))


def trained_widths(run: Path) -> dict[str, Any]:
    """Return what the recipe of a run says of its integers, as ``fold`` takes it; nothing where it was not trained through the fold.

    ``run`` is a run's folder, or its float network: a file beside the recipe that it was trained by.
    """
    path = (run if run.is_dir() else run.parent) / RECIPE
    if not path.is_file():
        return {}
    recipe = load_recipe(path)
    if run.is_dir() or recipe.quantize is None:
        return {} if recipe.quantize is None else recipe.quantize.widths
    trained_by = load_float(run).provenance.get("recipe_sha256")
    return recipe.quantize.widths if trained_by == hashlib.sha256(read_toml_text(path).encode()).hexdigest() else {}


def parse_recipe(text: str, place: str) -> Recipe:
    """Return the recipe that ``text`` says; ``place`` names it in errors."""
    try:
        table = parse_toml(text, place)
    except DataError as error:
        raise RecipeError(str(error)) from error
    if "architecture" in table and "layers" in table:
        raise RecipeError(f"{place}: architecture: there are layers too; one of the two is needed")
    return structure(table, Recipe, place)
