"""The named architectures: their layers, and their weights counted by hand."""

import re

import pytest

from spikefold.data.errors import NetworkError
from spikefold.train.errors import RecipeError
from spikefold.train.recipes.architectures import ARCHITECTURES, CLASSES, Parameters, expand_architecture, parameters, resolve_architecture
from spikefold.train.recipes.notation import print_architecture
from spikefold.train.recipes.sections import LayerRecipe, place_layers

IMAGENET = ("VGG11x2", "VGG13-hybrid", "VGG16")

# Channels x side of every layer's neurons; r: ReLU, =n: the weights of the n-th layer, +n: the drive and ~n: the output of the n-th is added.
LAYERS = {
    "FC": "256x1 256x1 10x1",
    "VGG3": "64x32 256x1 10x1",
    "VGG5": "64x32 64x16 64x16 1024x1 10x1",
    "VGG3x2-v2": "64x32 64x16 64x16=2 1024x1 10x1",
    "VGG3x4": "64x32 64x16 64x16=2 64x16 64x16=4 1024x1 10x1",
    "VGG7": "64x32 64x16 64x16 64x16 64x16 1024x1 10x1",
    "VGG2x4": "64x32 64x16 64x16=2 64x16=2 64x16=2 1024x1 10x1",
    "VGG3x2-v1": "64x32 64x16 64x16 64x16=2 64x16=3 1024x1 10x1",
    "VGG7-DVS": "64x48 128x24 256x12 256x12 256x6 1024x1 10x1",
    "VGG9": "64x32 64x32 128x16 128x16 256x8 256x8 256x8 1024x1 10x1",
    "VGG8x2": "64x32 64x32 128x16 128x16 256x8 256x8 256x8=6 1024x1 10x1",
    "VGG9-hybrid": "64x32r 64x32r 128x16 128x16 256x8 256x8 256x8 1024x1 10x1",
    "VGG8x2-hybrid": "64x32r 64x32r 128x16 128x16 256x8 256x8 256x8=6 1024x1 10x1",
    "VGG11": "64x32 128x16 256x8 256x8 512x4 512x4 512x2 512x2 4096x1 10x1",
    "VGG11-tiny": "64x64 128x32 256x16 256x16 512x8 512x8 512x4 512x4 4096x1 10x1",
    "VGG11x2": "64x224 128x112 256x56 256x56 256x56=4 256x56=4 512x28 512x28 512x28=8 512x14 512x14 512x14=10 512x14=11 4096x1 4096x1 1000x1",
    "VGG13-hybrid": "64x224r 64x224r 128x112r 128x112r 256x56 256x56 512x28r 512x28r 512x14r 512x14r 4096x1r 4096x1r 1000x1",
    "VGG16": "64x224 64x224 128x112 128x112 256x56 256x56 256x56 512x28 512x28 512x28 512x14 512x14 512x14 4096x1 4096x1 1000x1",
    "ResNet2": "32x32 32x32~1 256x1r 10x1",
    "ResNet2x2": "32x32 32x32~1 32x32=2~2 256x1r 10x1",
    "ResNet3": "32x32 32x32~1 32x32~2 256x1r 10x1",
    "STDP-FC": "256x1r 10x1",
    "STDP-ConvNN": "64x8r 64x8r 128x4r 10x1",
    **{f"SCNN12-N{side}": "8x17" + " 16x17" * 5 + " 16x9" + " 32x9" * 5 + " 10x1" for side in ("", "-after", "-none")},
    **{f"SCNN12-F{side}": "16x17" + " 32x17" * 5 + " 32x9" + " 64x9" * 5 + " 10x1" for side in ("", "-after", "-none")},
    **{
        f"{kind}-{depth}": "16x17" + "".join(f" 16x17 16x17{sign}{i}" for i in range(1, depth - 2, 2)) + " 10x1"
        for kind, sign in (("PreResNet", "+"), ("PostResNet", "~"))
        for depth in (10, 20, 50, 106)
    },
}

VGG_A = 9 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 256 + 256 * 512 + 512 * 512 + 512 * 512 + 512 * 512)
IMAGENET_HEAD = 512 * 7 * 7 * 4096 + 4096 * 4096 + 4096 * 1000
CONV64, HEAD64 = 9 * 64 * 64, 64 * 8 * 8 * 1024 + 1024 * 10

# Unique weights, and logical ones where they differ.
WEIGHTS = {
    "FC": (1 * 256 + 256 * 256 + 256 * 10,),
    "VGG3": (9 * 3 * 64 + 64 * 8 * 8 * 256 + 256 * 10,),
    "VGG5": (9 * 3 * 64 + 2 * CONV64 + HEAD64,),
    "VGG3x2-v2": (9 * 3 * 64 + CONV64 + HEAD64, 9 * 3 * 64 + 2 * CONV64 + HEAD64),
    "VGG3x4": (9 * 3 * 64 + 2 * CONV64 + HEAD64, 9 * 3 * 64 + 4 * CONV64 + HEAD64),
    "VGG7": (9 * 3 * 64 + 4 * CONV64 + HEAD64,),
    "VGG2x4": (9 * 3 * 64 + CONV64 + HEAD64, 9 * 3 * 64 + 4 * CONV64 + HEAD64),
    "VGG3x2-v1": (9 * 3 * 64 + 2 * CONV64 + HEAD64, 9 * 3 * 64 + 4 * CONV64 + HEAD64),
    "VGG7-DVS": (9 * (2 * 64 + 64 * 128 + 128 * 256 + 256 * 256 + 256 * 256) + 256 * 3 * 3 * 1024 + 1024 * 10,),
    "VGG9": (5_938_880,),
    "VGG8x2": (5_938_880 - 9 * 256 * 256, 5_938_880),
    "VGG9-hybrid": (5_938_880,),
    "VGG8x2-hybrid": (5_938_880 - 9 * 256 * 256, 5_938_880),
    "VGG11": (VGG_A + 512 * 4096 + 4096 * 10,),
    "VGG11-tiny": (VGG_A + 512 * 4096 + 4096 * 10,),
    "VGG11x2": (VGG_A + IMAGENET_HEAD, VGG_A + IMAGENET_HEAD + 9 * (2 * 256 * 256 + 3 * 512 * 512)),
    # Known counts of the networks with biases, less these.
    "VGG13-hybrid": (133_047_848 - (2 * 64 + 2 * 128 + 2 * 256 + 4 * 512 + 2 * 4096 + 1000),),
    "VGG16": (138_357_544 - (2 * 64 + 2 * 128 + 3 * 256 + 6 * 512 + 2 * 4096 + 1000),),
    "ResNet2": (9 * (3 * 32 + 32 * 32) + 32 * 8 * 8 * 256 + 256 * 10,),
    "ResNet2x2": (9 * (3 * 32 + 32 * 32) + 32 * 8 * 8 * 256 + 256 * 10, 9 * (3 * 32 + 2 * 32 * 32) + 32 * 8 * 8 * 256 + 256 * 10),
    "ResNet3": (9 * (3 * 32 + 2 * 32 * 32) + 32 * 8 * 8 * 256 + 256 * 10,),
    "STDP-FC": (64 * 8 * 8 * 256 + 256 * 10,),
    "STDP-ConvNN": (9 * (2 * 64 * 64 + 64 * 128) + 128 * 10,),
    **dict.fromkeys(("SCNN12-N", "SCNN12-N-after", "SCNN12-N-none"), (9 * (2 * 8 + 8 * 16 + 5 * 16 * 16 + 16 * 32 + 4 * 32 * 32) + 32 * 9 * 9 * 10,)),
    **dict.fromkeys(("SCNN12-F", "SCNN12-F-after", "SCNN12-F-none"), (9 * (16 + 16 * 32 + 5 * 32 * 32 + 32 * 64 + 4 * 64 * 64) + 64 * 9 * 9 * 10,)),
    **{
        f"{kind}-{depth}": (9 * (2 * 16 + (depth - 2) * 16 * 16) + 16 * 17 * 17 * 10,)
        for kind in ("PreResNet", "PostResNet")
        for depth in (10, 20, 50, 106)
    },
}


def classes_of(name: str) -> int:
    return 1000 if name in IMAGENET else 10


def test_every_architecture_is_checked() -> None:
    assert list(ARCHITECTURES) == list(LAYERS) == list(WEIGHTS)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_layers(name: str) -> None:
    placed = list(place_layers(expand_architecture(name, classes_of(name)).layers, ARCHITECTURES[name].shape))
    numbers = {one.name: str(i) for i, one in enumerate(placed, start=1)}
    texts = []
    for one in placed:
        channels, height, width = one.shape
        assert height == width
        layer = one.layer
        text = f"{channels}x{width}" + ("r" if layer.neuron == "relu" else "")
        text += f"={numbers[layer.weights]}" if layer.weights else ""
        text += ("+" if layer.add_from == "drive" else "~") + numbers[layer.add] if layer.add else ""
        texts.append(text)
    assert " ".join(texts) == LAYERS[name]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_weights(name: str) -> None:
    unique, logical = WEIGHTS[name][0], WEIGHTS[name][-1]
    counted = parameters(expand_architecture(name, classes_of(name)).layers, ARCHITECTURES[name].shape)
    assert counted == Parameters(unique=unique, logical=logical)
    assert counted.compression == logical / unique


def test_the_counts_that_the_code_of_bntt_gives() -> None:
    assert round(parameters(expand_architecture("VGG11", 100).layers, (3, 32, 32)).unique / 1e6, 2) == 11.72
    assert parameters(expand_architecture("VGG9", 10).layers, (3, 32, 32)).unique == 5_938_880


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_names_count_layers_with_weights(name: str) -> None:
    layers = expand_architecture(name, 10).layers
    unique = sum(not layer.weights for layer in layers)
    logical = {"VGG3x2-v2": 5, "VGG3x4": 7, "VGG2x4": 7, "VGG3x2-v1": 7, "VGG8x2": 9, "VGG8x2-hybrid": 9, "VGG11x2": 16}
    if name in logical:
        assert len(layers) == logical[name]
        assert unique == {"VGG3x4": 5, "VGG3x2-v1": 5, "VGG8x2": 8, "VGG8x2-hybrid": 8, "VGG11x2": 11}.get(name, 4)
    elif name.startswith("VGG11"):
        # The code's VGG11 has 10.
        assert len(layers) == unique == 10
    elif match := re.match(r"(?:VGG|PreResNet-|PostResNet-)(\d+)", name):
        assert len(layers) == unique == int(match[1])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_norm_stands_where_the_paper_has_it(name: str) -> None:
    said = expand_architecture(name, 10)
    side = "before" if name.startswith("P") or name in ("SCNN12-N", "SCNN12-F") else "after" if name.endswith("-after") else ""
    assert said.side == side
    assert [layer.norm for layer in said.layers] == [True] * (len(said.layers) - 1) + [not side]


def test_sources_reasons_and_round_trip() -> None:
    for name, architecture in ARCHITECTURES.items():
        assert CLASSES in architecture.notation
        assert architecture.source
        assert architecture.why.endswith(".")
        said = expand_architecture(name, 7)
        assert said.layers[-1].out == 7
        assert said.shape in (None, architecture.shape)
        assert expand_architecture(print_architecture(said.layers, side=said.side or "after"), 0).layers == said.layers


def test_biases_count_and_misfits_do_not() -> None:
    shared = LayerRecipe(kind="dense", out=4, bias=True, weights="first")
    layers = (LayerRecipe(kind="dense", out=4, bias=True, name="first"), shared, shared, LayerRecipe(kind="dense", out=2))
    assert parameters(layers, (1, 2, 2)) == Parameters(unique=4 * 4 + 4 + 4 * 2, logical=3 * (4 * 4 + 4) + 4 * 2)
    with pytest.raises(NetworkError, match=r"layers\[1\]: pooling \(4, 1, 1\) by 2 leaves nothing"):
        parameters(expand_architecture("4-p2-4", 0).layers, (3, 1, 1))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("vgg9", "'vgg9'; it is no notation, and the nearest names are VGG9"),
        ("SCNN12", "SCNN12-"),
        ("", "the nearest names are FC, "),
        ("qqq", "VGG9"),
    ],
)
def test_unknown_names(text: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        resolve_architecture(text)
