"""Recipes: what a good one says, and one line for everything that can be wrong with a bad one."""

from pathlib import Path

import pytest

from spikefold.train.errors import RecipeError
from spikefold.train.recipe import load_recipe, parse_recipe
from tests.train.recipes import recipe_text


def test_reads_values_and_defaults() -> None:
    recipe = parse_recipe(recipe_text().replace("std = 8.0", "std = 8"), "r")
    assert (recipe.name, recipe.seed, recipe.timesteps, recipe.readout) == ("small", 5, 3, "potential")
    assert (recipe.input.shape, recipe.input.coding, recipe.input.std) == ((1, 8, 8), "ternary", 8.0)
    assert type(recipe.input.std) is float
    assert [(layer.kind, layer.out, layer.pool) for layer in recipe.layers] == [("conv2d", 4, 1), ("dense", 6, 2), ("dense", 10, 1)]
    assert (recipe.neuron.leak, recipe.neuron.reset, recipe.norm.eps, recipe.norm.momentum) == (0.9, "soft", 1e-4, 0.1)
    assert (recipe.train.optimizer, recipe.train.momentum, recipe.train.weight_decay, recipe.train.threads) == ("sgd", 0.9, 1e-4, 1)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("epochs = 3", "epochs = 3\nfoo = 1", "train: unknown key 'foo'; the keys are epochs, batch_size, learning_rate"),
        ("seed = 5", "seed = 5\ncolour = 1", "top level: unknown key 'colour'"),
        ("epochs = 3\n", "", r"train\.epochs: the key is missing"),
        ('[data]\nname = "digits"\n', "", "data: the key is missing"),
        ("out = 4", "out = true", r"layers\[0\]\.out: True; it must be an integer"),
        ("out = 4", "out = 0", r"layers\[0\]: layer out: 0; it must be in 1\.\.65536"),
        ("out = 6", "out = 6\nkernel = 3", r"layers\[1\]: layer kernel 3, stride 1, padding 0: a dense layer takes none of them"),
        ('kind = "conv2d"', 'kind = "conv"', r"layers\[0\]\.kind: 'conv'; it must be one of 'dense', 'conv2d'"),
        ("mean = 0.0", 'mean = "0"', r"input\.mean: '0'; it must be a number"),
        ('coding = "ternary"', 'coding = "rate"', r"input\.coding: 'rate'; it must be one of 'ternary', 'poisson', 'direct'"),
        ("shape = [1, 8, 8]", "shape = [1, 8]", r"input\.shape: .*\[1, 8\]"),
        ("shape = [1, 8, 8]", "shape = 8", r"input\.shape: it must be a list of 3 integers"),
        ("std = 8.0", "std = -1", r"input: input std -1\.0"),
        ("timesteps = 3", "timesteps = 0", r"timesteps: 0; it must be in 1\.\.4096"),
        ("timesteps = 3", "timesteps = 3.5", r"timesteps: 3\.5; it must be an integer"),
        ("learning_rate = 0.1", "learning_rate = nan", r"train learning_rate: nan"),
        ("leak = 0.9", "leak = 1.5", r"neuron leak: 1\.5; it must be in 0\.\.1"),
        ("leak = 0.9", "leak = 0.9\nthreshold = 0", r"neuron threshold: 0\.0"),
        ('kind = "bntt"', 'kind = "bntt"\neps = 0.5', r"norm eps: 0\.5"),
        ('name = "small"', "name = 3", "name: 3; it must be a text"),
        ("seed = 5", "seed = -5", "seed: -5; it must be in 0"),
        ("seed = 5", "seed = ", "not a TOML file"),
        ("seed = 5", "seed = 1" + "0" * 400, "seed: a number of 1329 bits"),
        ("mean = 0.0", "mean = 1" + "0" * 400, r"input\.mean: a number of"),
        ("learning_rate = 0.1", "learning_rate = inf", "train learning_rate: inf"),
        ('name = "small"', 'name = "sm\\u001ball"', "name: 'sm.x1ball'; it must have no control characters"),
        ('name = "first"', 'name = "input"', r"layers\[0\]\.name: 'input'; it must be printable, and 'input' is taken"),
        ('name = "first"', 'name = "a\\nb"', r"layers\[0\]\.name: 'a.nb'; it must be printable"),
        ('name = "first"', 'name = "dense3"', r"layers\[2\]\.name: 'dense3'; layers\[0\] has that name too"),
        ("pool = 2", "pool = 9", r"layers\[1\]: pooling \(4, 8, 8\) by 9 leaves nothing"),
        ("kernel = 3\npadding = 1", "kernel = 9", r"layers\[0\] weights: kernel \[9, 9\] is larger than its padded source"),
    ],
)
def test_bad_recipes_say_file_key_value_and_limit(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = tmp_path / "bad.toml"
    assert old in recipe_text()
    path.write_text(recipe_text().replace(old, new, 1))
    with pytest.raises(RecipeError, match=words) as caught:
        load_recipe(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_unreadable_recipes(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.toml: No such file"):
        load_recipe(tmp_path / "none.toml")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match="bytes: not a TOML file"):
        load_recipe(tmp_path / "bytes")
    with pytest.raises(RecipeError, match="layers: there are none"):
        parse_recipe(
            recipe_text().split("[[layers]]")[0].replace("[data]", "layers = []\n[data]") + "[train]\nepochs=1\nbatch_size=2\nlearning_rate=1", "r"
        )
