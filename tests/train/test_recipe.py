"""Recipes: what a good one says, and one line for everything that can be wrong with a bad one."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from spikefold.data.info import DATASETS
from spikefold.train.errors import RecipeError
from spikefold.train.recipes.architectures import expand_architecture
from spikefold.train.recipes.recipe import SHIPPED, ConversionRecipe, NeuronRecipe, find_recipe, list_recipes, load_recipe, parse_recipe
from tests.train.recipes import recipe_text


def test_reads_values_and_defaults() -> None:
    recipe = parse_recipe(recipe_text().replace("std = 8.0", "std = 8"), "r")
    assert (recipe.name, recipe.seed, recipe.timesteps, recipe.readout) == ("small", 5, 3, "potential")
    assert (recipe.input.shape, recipe.input.coding, recipe.input.std) == ((1, 8, 8), "ternary", 8.0)
    assert type(recipe.input.std) is float
    assert [(layer.kind, layer.out, layer.pool) for layer in recipe.layers] == [("conv2d", 4, 1), ("dense", 6, 2), ("dense", 10, 1)]
    assert (recipe.neuron.leak, recipe.neuron.reset, recipe.norm.eps, recipe.norm.momentum) == (0.9, "soft", 1e-4, 0.1)
    assert (recipe.train.optimizer, recipe.train.momentum, recipe.train.weight_decay, recipe.train.threads) == ("sgd", 0.9, 1e-4, 1)


def test_defaults_of_what_is_not_said() -> None:
    recipe = parse_recipe(recipe_text().replace("leak = 0.9\n", ""), "r")
    assert recipe.neuron == NeuronRecipe(kind="lif", leak=0.95, threshold=1.0, reset="soft", surrogate="triangular", tau_s=10, tau_r=10)
    assert (recipe.neuron.surrogate_scale, recipe.neuron.surrogate_width, recipe.neuron.learn_leak) == (None, None, False)
    assert all((layer.norm, layer.neuron, layer.threshold, layer.weights, layer.add) == (True, "spiking", None, "", "") for layer in recipe.layers)
    assert (recipe.norm.lam, recipe.norm.alpha, recipe.norm.before, recipe.norm.side) == (0.1, 1.0, False, "after")
    train = recipe.train
    assert (train.method, train.loss, train.classifier, train.init, train.weight_scale) == ("bptt", "cross_entropy", "softmax", "xavier", 1.0)
    # 60 and 10 spikes in 300 timesteps.
    assert (train.true_rate * 300, train.false_rate * 300) == (60, 10)
    assert (train.augment_crop, train.augment_flip, train.samples_per_epoch, train.subset, train.amp) == (0, False, 0, 0, False)
    assert (recipe.data.size, recipe.conversion, recipe.stdp, recipe.source) == (0, None, None, (1, 8, 8))


def test_kinds_of_neurons_have_their_leaks() -> None:
    assert [NeuronRecipe(kind=kind).leak for kind in ("lif", "if", "srm")] == [0.95, 1.0, 0.0]
    assert replace(NeuronRecipe(kind="if"), threshold=2.0).leak == 1.0
    with pytest.raises(RecipeError, match="neuron leak: nan; it must be in"):
        NeuronRecipe(leak=float("nan"))


def architecture_text(architecture: str, **changes: str) -> str:
    """Return the small recipe with an architecture in the place of its layers; ``changes`` are of its texts, with _ for a blank."""
    text = recipe_text(norm="none")
    text = text[: text.index("[[layers]]")] + text[text.index("[train]") :]
    text = text.replace("timesteps = 3", f'timesteps = 3\narchitecture = "{architecture}"')
    for old, new in changes.items():
        assert old.replace("_", " ") in text
        text = text.replace(old.replace("_", " "), new, 1)
    return text


def test_an_architecture_stands_for_layers() -> None:
    recipe = parse_recipe(architecture_text("4c3-p2-6-{classes}"), "r")
    written = parse_recipe(recipe_text(norm="none").replace('name = "first"\n', ""), "r")
    assert recipe.layers == written.layers
    assert parse_recipe(architecture_text("4c3-p2-6-10"), "r").layers == written.layers
    assert parse_recipe(architecture_text("8x8-4c3-{classes}").replace("[data]", "classes = 7\n[data]"), "r").layers[-1].out == 7
    assert parse_recipe(architecture_text("VGG3"), "r").layers[0].out == 64


def test_a_recipe_may_be_changed_into_another_with_other_layers() -> None:
    recipe = parse_recipe(architecture_text("4c3-p2-6-{classes}"), "r")
    relu = tuple(replace(layer, neuron="relu") for layer in recipe.layers)
    assert replace(recipe, layers=relu).layers == relu
    assert replace(recipe, seed=9).layers == recipe.layers


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (architecture_text("4c3-10") + "[[layers]]\nkind = 'dense'\nout = 10", "r: architecture: there are layers too; one of the two is needed"),
        (architecture_text("4x4-4c3-10"), r"architecture: its input is \(1, 4, 4\), and here it is \(1, 8, 8\)"),
        (architecture_text("4c3-10").replace("[data]", "classes = 7\n[data]"), "classes: 7; the architecture '4c3-10' has no {classes}"),
        (recipe_text().replace("[data]", "classes = 7\n[data]"), "classes: 7; only an architecture takes it"),
        (architecture_text("4c3-{classes}").replace('"digits"', '"none"'), "classes: they are missing, and there is no data set 'none'"),
        (architecture_text("4c3-n10"), "its 'n' is before the weights; the norm is 'none', which stands nowhere"),
        (architecture_text("4c3-n10", kind_='kind = "bntt" #'), "its 'n' is before the weights; the norm is 'bntt', which stands after them"),
        (architecture_text("4c3-"), "architecture '4c3-', position 5"),
        (architecture_text("VGG12"), "architecture: 'VGG12'; it is no notation, and the nearest names are VGG"),
        (architecture_text("4c3-[5c3]-10"), r"layers\[1\]\.add: 'conv1'; its shape is \[4, 8, 8\], and here it must be \[5, 8, 8\]"),
        (
            architecture_text("4c3-{5c3}@2-10"),
            r"layers\[2\]\.weights: 'conv2'; its weights are \[5, 4, 3, 3\], .* must be \[5, 5, 3, 3\]",
        ),
        (architecture_text("4c3-p9-10"), r"layers\[1\]: pooling \(4, 8, 8\) by 9 leaves nothing"),
    ],
)
def test_bad_architectures(text: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        parse_recipe(text, "r")


STDP = """
[stdp]
pool = 2
[[stdp.stages]]
out = 4
kernel = 3
padding = 1
threshold = 2.0
"""


def test_layers_behind_stdp_receive_its_features() -> None:
    text = architecture_text("4x4x4-5r-{classes}", epochs="method = 'stdp'\nepochs") + STDP
    recipe = parse_recipe(text, "r")
    assert recipe.source == (4, 4, 4)
    assert recipe.stdp is not None
    assert recipe.stdp.stages[0].threshold == 2.0
    with pytest.raises(RecipeError, match=r"layers\[0\]\.neuron: 'spiking'; the layers behind \[stdp\] are a classifier of relu neurons"):
        parse_recipe(text.replace("5r", "5"), "r")
    with pytest.raises(RecipeError, match=r"stdp\.stages\[0\]: unknown key 'foo'"):
        parse_recipe(text.replace("kernel = 3", "kernel = 3\nfoo = 1"), "r")


def test_conversion_is_read() -> None:
    text = recipe_text(norm="none").replace("epochs", "method = 'conversion'\nepochs")
    recipe = parse_recipe(text + "[conversion]\npercentile = 99.9", "r")
    assert recipe.conversion == ConversionRecipe(balance_samples=256, percentile=99.9)


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
        ('kind = "dense"', 'kind = "dense"\nweights = "third"', r"layers\[1\]\.weights: 'third'; no earlier layer .* those before are first"),
        ('name = "first"', 'name = "first"\nadd = "first"', r"layers\[0\]\.add: 'first'; no earlier layer has that name; those before are none"),
        ("out = 6", 'out = 6\nweights = "first"', r"layers\[1\]\.weights: 'first'; its weights are \[4, 1, 3, 3\], .* must be \[6, 64\]"),
        ("out = 6", 'out = 6\nadd = "first"', r"layers\[1\]\.add: 'first'; its shape is \[4, 8, 8\], and here it must be \[6, 1, 1\]"),
        ("out = 6", 'out = 6\nadd_from = "output"', r"layers\[1\]: layer add_from: 'output'; .* add is missing"),
        ("out = 6", "out = 6\nthreshold = 0", r"layers\[1\]: layer threshold: 0\.0; it must be in 0\.001"),
        ("out = 6", 'out = 6\nneuron = "relu"\nthreshold = 2', r"layers\[1\]: layer threshold: 2\.0; relu neurons have none"),
        ("leak = 0.9", 'kind = "if"\nleak = 0.9', r"neuron: neuron leak: 0\.9; only lif neurons take a leak, these are if"),
        ("leak = 0.9", 'kind = "if"\nleak = 0.95', r"neuron leak: 0\.95; only lif"),
        ("leak = 0.9", 'kind = "srm"\nleak = 0.9', r"neuron leak: 0\.9; only lif neurons take a leak, these are srm"),
        ("leak = 0.9", 'kind = "if"\nlearn_leak = true', "neuron learn_leak: true; only lif neurons have a leak to learn"),
        ("leak = 0.9", 'kind = "srm"\nreset = "hard"', "neuron reset: 'hard'; srm neurons have a refractory response"),
        ("leak = 0.9", "tau_s = 5", r"neuron tau_s 5\.0, tau_r 10\.0, refractory 'exponential': only srm neurons take them, these are lif"),
        ("leak = 0.9", "surrogate_scale = 0", r"neuron surrogate_scale: 0\.0"),
        ("leak = 0.9", "surrogate_width = 2", r"neuron surrogate_width: 2\.0; the surrogate 'triangular' has none"),
        ('kind = "bntt"', 'kind = "psp-bn"', "norm kind: 'psp-bn'; only srm neurons have a postsynaptic potential, these are lif"),
        ('kind = "bntt"', 'kind = "bn"\nlam = 0.2', r"norm lam: 0\.2; only the psp kinds take it, this is 'bn'"),
        ('kind = "bntt"', 'kind = "bn"\nalpha = 0.2', r"norm alpha: 0\.2; only tdbn takes it, this is 'bn'"),
        ('kind = "bntt"', 'kind = "psp-ln"\nbeta = true', "norm beta: true; 'psp-ln' has what its equation has"),
        ("epochs = 3", 'epochs = 3\nloss = "spike_count"', "train loss: 'spike_count'; the readout must be 'spike_count' too, it is 'potential'"),
        ("epochs = 3", 'epochs = 3\nloss = "spike_count"\nclassifier = "stochmax"', "label_smoothing and the classifier 'stochmax' belong to"),
        ("epochs = 3", "epochs = 3\namsgrad = true", "train amsgrad: true; only adam and adamw take it, this is sgd"),
        ("epochs = 3", "epochs = 3\nfalse_rate = 0.2", r"train false_rate: 0\.2; it must be below true_rate, 0\.2"),
        ("learning_rate = 0.1", "learning_rate = 9007199254740993", r"train\.learning_rate: 9007199254740993; it must be a number"),
        ("epochs = 3", "epochs = 3\nlabel_smoothing = 1", r"train label_smoothing: 1\.0"),
        ("epochs = 3", 'epochs = 3\nmethod = "stdp"', r"train method: 'stdp'; the table \[stdp\] belongs to the method 'stdp'"),
        ("epochs = 3", 'epochs = 3\nmethod = "conversion"', r"train method: 'conversion'; the table \[conversion\] belongs"),
        ("[train]", "[conversion]\n[train]", r"train method: 'bptt'; the table \[conversion\] belongs"),
        ("[train]", "[conversion]\npercentile = 101\n[train]", r"conversion: conversion percentile: 101\.0; it must be in 50\.\.100"),
        ('name = "digits"', 'name = "digits"\nsize = 2000', r"data: data size: 2000; it must be in 0\.\.1024"),
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


def test_what_the_readout_excludes() -> None:
    counts = recipe_text(readout="spike_count")
    with pytest.raises(RecipeError, match="train classifier: 'stochmax'; the readout must be 'potential', it is 'spike_count'"):
        parse_recipe(counts.replace("epochs = 3", 'epochs = 3\nclassifier = "stochmax"'), "r")
    with pytest.raises(RecipeError, match=r"layers\[2\]\.neuron: 'relu'; the last layer's spikes are counted, so it must be 'spiking'"):
        parse_recipe(counts.replace("out = 10", 'out = 10\nneuron = "relu"'), "r")


def test_layers_that_use_weights_again_name_their_owner() -> None:
    text = recipe_text()
    again = "[[layers]]\nkind = 'conv2d'\nkernel = 3\npadding = 1\nout = 4\nweights = '{}'\nname = '{}'\n"
    second, third = "[[layers]]\nkind = 'conv2d'\nkernel = 3\npadding = 1\nout = 4\nname = 'own'\n", again.format("own", "copy")
    place = '[[layers]]\nkind = "dense"\nout = 6'
    recipe = parse_recipe(text.replace(place, second + third + place, 1), "r")
    assert [layer.weights for layer in recipe.layers] == ["", "", "own", "", ""]
    with pytest.raises(RecipeError, match=r"layers\[3\]\.weights: 'copy'; that layer uses those of 'own', so name this one"):
        parse_recipe(text.replace(place, second + third + again.format("copy", "more") + place, 1), "r")
    with pytest.raises(RecipeError, match=r"layers\[2\]\.weights: 'own'; .* bias False; here they must be .* bias True"):
        parse_recipe(text.replace(place, second + third + "bias = true\n" + place, 1), "r")


PAPERS = """
bntt_cifar10_vgg9 bntt_cifar100_vgg11 bntt_tiny_imagenet_vgg11 bntt_cifar10_dvs_vgg7 bntt_sequential_mnist_fc bn_n_mnist_scnn12
bntt_n_mnist_scnn12 tdbn_n_mnist_scnn12 psp_bn_n_mnist_scnn12 psp_ln_n_mnist_scnn12 none_n_mnist_scnn12 bn_fashion_mnist_scnn12
bntt_fashion_mnist_scnn12 tdbn_fashion_mnist_scnn12 psp_bn_fashion_mnist_scnn12 psp_ln_fashion_mnist_scnn12 none_fashion_mnist_scnn12
psp_bn_fashion_mnist_scnn12_lam0001 psp_bn_eq12_fashion_mnist_scnn12 psp_bn_eq15_fashion_mnist_scnn12 psp_ln_eq12_fashion_mnist_scnn12
psp_ln_eq15_fashion_mnist_scnn12 none_fashion_mnist_scnn12_tau1 none_fashion_mnist_scnn12_tau5 psp_bn_fashion_mnist_scnn12_tau1
psp_bn_fashion_mnist_scnn12_tau5 psp_ln_fashion_mnist_scnn12_tau1 psp_ln_fashion_mnist_scnn12_tau5 psp_bn_n_mnist_pre_resnet106
psp_bn_n_mnist_post_resnet106 psp_ln_n_mnist_pre_resnet106 psp_ln_n_mnist_post_resnet106 psp_bn_fashion_mnist_pre_resnet106
psp_bn_fashion_mnist_post_resnet106 psp_ln_fashion_mnist_pre_resnet106 psp_ln_fashion_mnist_post_resnet106 conversion_cifar10_vgg7
conversion_cifar10_vgg2x4 conversion_cifar10_vgg3x2_v1 conversion_imagenet_vgg16 conversion_imagenet_vgg11x2 stdp_cifar10_resnet2
stdp_cifar10_resnet2x2 stdp_cifar10_resnet3 stdp_cifar10_resnet2_convnn stdp_cifar10_resnet2x2_convnn stdp_cifar10_resnet3_convnn
agd_cifar10_vgg3 agd_cifar10_vgg5 agd_cifar10_vgg3x2_v2 agd_cifar10_vgg7 agd_cifar10_vgg3x4 agd_stochmax_cifar10_vgg3
agd_stochmax_cifar10_vgg5 agd_stochmax_cifar10_vgg3x2_v2 hybrid_cifar10_vgg9 hybrid_cifar10_vgg8x2 hybrid_imagenet_vgg13
"""


MODELS = """
digits fashion_mnist fashion_mnist_bntt fashion_mnist_ecp5 fashion_mnist_srm fashion_mnist_ternary
fashion_mnist_bntt_shift fashion_mnist_bntt_w2 fashion_mnist_bntt_w2_mixed fashion_mnist_bntt_w4_mixed
fashion_mnist_ternary_shift fashion_mnist_ternary_w2 fashion_mnist_ternary_w4
"""
"""Recipes whose networks come with the project."""


def test_every_system_of_the_papers_has_a_recipe() -> None:
    names = [path.stem for path in list_recipes()]
    assert names == sorted([*MODELS.split(), *PAPERS.split()])


@pytest.mark.parametrize("path", list_recipes(), ids=lambda path: path.stem)
def test_shipped_recipes_load_and_fit_their_data(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    info = DATASETS[recipe.data.name]
    assert recipe.input.fits(info.shape_at(recipe.data.size or None), recipe.timesteps)
    assert recipe.layers[-1].out == info.classes
    assert info.events == (recipe.input.coding == "frames")
    # A direct image's largest value is not clipped.
    if recipe.input.coding in ("direct", "sequence") and recipe.name not in ("digits", "fashion_mnist"):
        extreme = max(abs(value - recipe.input.mean) for value in (0, 255)) / recipe.input.std
        assert 0.9 * recipe.input.payload_max < extreme * recipe.input.scale <= recipe.input.payload_max + 0.5


@pytest.mark.parametrize("name", ["ResNet2", "ResNet2x2", "ResNet3"])
def test_stages_of_stdp_are_those_of_the_architecture(name: str) -> None:
    recipe = load_recipe(find_recipe(f"stdp_cifar10_{name.lower()}"))
    assert recipe.stdp is not None
    runs = [(stage.out, stage.kernel, stage.padding, stage.residual) for stage in recipe.stdp.stages for _ in range(stage.unroll)]
    layers = expand_architecture(name, 10).layers
    assert runs == [(layer.out, layer.kernel, layer.padding, bool(layer.add)) for layer in layers if layer.kind == "conv2d"]
    assert len(recipe.stdp.stages) == sum(layer.kind == "conv2d" and not layer.weights for layer in layers)


def test_find_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_recipe("digits").name == "digits.toml"
    assert load_recipe(find_recipe("bntt_cifar10_vgg9")).timesteps == 25
    # A file of that name comes first; what looks like a path stays one.
    (tmp_path / "digits").write_text("")
    assert find_recipe("digits") == Path("digits")
    for path in ("mine.toml", "here/digits", tmp_path / "digits"):
        assert find_recipe(path) == Path(path)
    with pytest.raises(RecipeError, match="digit: there is no such file, and no recipe of that name; the nearest are digits"):
        find_recipe("digit")
    with pytest.raises(RecipeError) as error:
        find_recipe("zzzz")
    where = f"the {len(list_recipes())} that come with Spikefold are in {SHIPPED}"
    assert str(error.value) == f"zzzz: there is no such file, and no recipe of that name; {where}"
    (tmp_path / "mine" / "deep.toml").mkdir(parents=True)
    (tmp_path / "stochmax").mkdir()
    for path in ("mine", ".", "mine/deep.toml", tmp_path / "mine"):
        with pytest.raises(RecipeError, match=rf"^{re.escape(str(Path(path)))}: it is a folder; a recipe's file is needed$"):
            find_recipe(path)
    # A folder does not hide a recipe's name.
    (tmp_path / "fashion_mnist").mkdir()
    assert find_recipe("fashion_mnist").name == "fashion_mnist.toml"


def test_recipes_load_without_torch() -> None:
    code = "import sys; from spikefold.train.recipes.recipe import *; [load_recipe(p) for p in list_recipes()[:3]]; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


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
