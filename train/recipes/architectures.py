"""The architectures of the papers by name, in the notation of :mod:`spikefold.train.recipes.notation`. No torch here.

The number in VGG and ResNet names counts the layers with weights; x2 or x4 says how often a layer runs (BackRes). Where a
paper does not give widths, strides or order, what is chosen here and why stands in ``why``.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from math import prod
from types import MappingProxyType

from spikefold.network.windows import Shape
from spikefold.train.errors import RecipeError
from spikefold.train.recipes.notation import Notation, parse_architecture
from spikefold.train.recipes.sections import LayerRecipe, place_layers

__all__ = ["ARCHITECTURES", "CLASSES", "Architecture", "Parameters", "expand_architecture", "parameters", "resolve_architecture"]

CLASSES = "{classes}"
"""What stands in a notation for the number of classes."""

NOTATION_BEGINS = re.compile(r"[np]?[0-9]|[\[({]")
KIM = "Kim and Panda 2021"
IKEGAWA = "Ikegawa 2022"
PANDA = "Panda, Aketi and Roy 2020"
AGD = "No widths in the text; 64 channels throughout, since a layer that runs again needs as many channels out as in."


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A network in the notation, the paper or code that it comes from, the input (channels, height, width) meant, and what was chosen."""

    notation: str
    source: str
    shape: Shape
    why: str


def _scnn(sides: tuple[str, str], narrow: int, shape: Shape) -> Architecture:
    before, after = sides
    size = f"{shape[1]}x{shape[2]}" + (f"x{shape[0]}" if shape[0] > 1 else "")
    first, middle, last = (f"{before}{narrow * factor}c3" for factor in (1, 2, 4))
    return Architecture(
        notation=f"{size}-{first}s2{after}-{{{middle}{after}}}*5-{middle}s2{after}-{{{last}{after}}}*5-{CLASSES}",
        source=f"{IKEGAWA}, table 2",
        shape=shape,
        why="Strides and padding are not given. Stride 2 where a group of equal layers begins: 34, 17 and 9 pixels wide.",
    )


def _resnet(opening: str, closing: str, blocks: int) -> Architecture:
    return Architecture(
        notation=f"n16c3s2-{opening}n16c3-n16c3{closing}*{blocks}-{CLASSES}",
        source=f"{IKEGAWA}, figure 3 and table 3",
        shape=(2, 34, 34),
        why="Only the name ResNet-106 is given. A stem, blocks of two convolutions and a dense layer have 2k + 2 layers: 106 with 52 blocks. "
        "One width, since h is added as it is; 16 channels and a stem of stride 2, the narrowest that table 2's networks begin with.",
    )  # fmt: skip


# fmt: off
ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType({
    "FC": Architecture(
        notation=f"256-256-{CLASSES}", source="The poster of the published reproduction of Kim and Panda 2021: 1*256, 256*256, 256*10",
        shape=(1, 1, 1), why="One pixel of the image in each timestep.",
    ),
    "VGG3": Architecture(
        notation=f"64c3-p4-256-{CLASSES}", source=f"{PANDA}, table 10", shape=(3, 32, 32),
        why="The text says that it is small and that FC2 is its last layer, so one convolution and two dense layers; widths are not given.",
    ),
    "VGG5": Architecture(
        notation=f"64c3-p2-{{64c3}}*2-p2-1024-{CLASSES}", source=f"{PANDA}, table 9", shape=(3, 32, 32), why=f"Three convolutions, two dense. {AGD}",
    ),
    "VGG3x2-v2": Architecture(
        notation=f"64c3-p2-{{64c3}}@2-p2-1024-{CLASSES}", source=f"{PANDA}, table 9", shape=(3, 32, 32),
        why=f"Logical depth 5, as VGG5: VGG3's three layers and one that runs twice. {AGD}",
    ),
    "VGG3x4": Architecture(
        notation=f"64c3-p2-{{64c3}}@2-{{64c3}}@2-p2-1024-{CLASSES}", source=f"{PANDA}, section 4.2 and table 9", shape=(3, 32, 32),
        why=f"Five layers that run as seven: two convolutions, each twice, four runs in all. {AGD}",
    ),
    "VGG7": Architecture(
        notation=f"64c3-p2-{{64c3}}*4-p2-1024-{CLASSES}", source=f"{PANDA}, tables 3 and 9", shape=(3, 32, 32),
        why=f"Five convolutions, two dense. {AGD}",
    ),
    "VGG2x4": Architecture(
        notation=f"64c3-p2-{{64c3}}@4-p2-1024-{CLASSES}", source=f"{PANDA}, section 8.1 and table 3", shape=(3, 32, 32),
        why=f"conv1, conv2 four times, and VGG7's dense layers, which hold most weights: the paper calls the saving minimal. {AGD}",
    ),
    "VGG3x2-v1": Architecture(
        notation=f"64c3-p2-{{64c3-64c3}}@2-p2-1024-{CLASSES}", source=f"{PANDA}, section 8.1 and table 3", shape=(3, 32, 32),
        why=f"conv1, then conv2 and conv3 twice, the pair as one block; the order is not in the text. {AGD}",
    ),
    "VGG7-DVS": Architecture(
        notation=f"64c3-p2-128c3-p2-256c3-256c3-p2-256c3-p2-1024-{CLASSES}", source=f"{KIM}, DVS-CIFAR10", shape=(2, 48, 48),
        why="Not in the code. Five convolutions and two dense layers in VGG9's widths; recordings of 128 x 128 resized to 48, so that the last "
        "map is 3 x 3.",
    ),
    "VGG9": Architecture(
        notation=f"64c3-64c3-p2-128c3-128c3-p2-{{256c3}}*3-p2-1024-{CLASSES}", source=f"{KIM}, code", shape=(3, 32, 32), why="As in the code.",
    ),
    "VGG8x2": Architecture(
        notation=f"64c3-64c3-p2-128c3-128c3-p2-256c3-{{256c3}}@2-p2-1024-{CLASSES}", source=f"{PANDA}, table 15", shape=(3, 32, 32),
        why="VGG9 without its last convolution, the one before it run twice: six convolutions, two dense, logical depth 9.",
    ),
    "VGG9-hybrid": Architecture(
        notation=f"64c3r-64c3r-p2-128c3-128c3-p2-{{256c3}}*3-p2-1024-{CLASSES}", source=f"{PANDA}, section 8.3 and table 15", shape=(3, 32, 32),
        why="conv1 and conv2 are ReLU, as the text says. Widths are not given; VGG9's of Kim and Panda 2021.",
    ),
    "VGG8x2-hybrid": Architecture(
        notation=f"64c3r-64c3r-p2-128c3-128c3-p2-256c3-{{256c3}}@2-p2-1024-{CLASSES}", source=f"{PANDA}, section 8.3 and table 15", shape=(3, 32, 32),
        why="VGG8x2 with conv1 and conv2 ReLU.",
    ),
    "VGG11": Architecture(
        notation=f"64c3-p2-128c3-p2-256c3-256c3-p2-512c3-512c3-p2-512c3-512c3-p2-4096-{CLASSES}", source=f"{KIM}, code", shape=(3, 32, 32),
        why="As in the code, which has 10 layers with weights; its pooling to 1 x 1 is p2 at 32 x 32 pixels.",
    ),
    "VGG11-tiny": Architecture(
        notation=f"64c3-p2-128c3-p2-256c3-256c3-p2-512c3-512c3-p2-512c3-512c3-p4-4096-{CLASSES}", source=f"{KIM}, Tiny-ImageNet", shape=(3, 64, 64),
        why="Not in the code: VGG11, whose pooling to 1 x 1 is p4 at 64 x 64 pixels.",
    ),
    "VGG11x2": Architecture(
        notation=f"64c3-p2-128c3-p2-256c3-{{256c3}}@3-p2-512c3-{{512c3}}@2-p2-{{512c3-512c3}}@2-p2-4096-4096-{CLASSES}",
        source=f"{PANDA}, section 8.1 and table 5", shape=(3, 224, 224),
        why="11 layers that run as VGG16's 16. Of the 11-layer VGG, the four convolutions with as many channels out as in run twice, which makes 15, "
        "and the one with the fewest weights a third time.",
    ),
    "VGG13-hybrid": Architecture(
        notation="64c3r-64c3r-p2-128c3r-128c3r-p2-256c3-256c3-p2-512c3r-512c3r-p2-512c3r-512c3r-p2-4096r-4096r-" + CLASSES,
        source=f"{PANDA}, section 8.3 and table 17", shape=(3, 224, 224),
        why="The 13-layer VGG. Two middle layers are LIF, the others ReLU; taken as the middle two of the ten convolutions.",
    ),
    "VGG16": Architecture(
        notation=f"64c3-64c3-p2-128c3-128c3-p2-{{256c3}}*3-p2-{{512c3}}*3-p2-{{512c3}}*3-p2-4096-4096-{CLASSES}", source=f"{PANDA}, table 5",
        shape=(3, 224, 224), why="The 16-layer VGG of Simonyan and Zisserman 2014, with average pooling.",
    ),
    "ResNet2": Architecture(
        notation=f"32c3-(32c3)-p4-256r-{CLASSES}", source=f"{PANDA}, section 8.1 and table 7", shape=(3, 32, 32),
        why="Two convolutions and the ReLU classifier FC1, FC2; widths are not given. This is the network to compare with; what STDP trains is in "
        "the recipe's [stdp], whose classifier sees the maps of all convolutions.",
    ),
    "ResNet2x2": Architecture(
        notation=f"32c3-{{(32c3)}}@2-p4-256r-{CLASSES}", source=f"{PANDA}, section 8.1 and table 7", shape=(3, 32, 32),
        why="ResNet2 whose second convolution runs twice, to ResNet3's logical depth.",
    ),
    "ResNet3": Architecture(
        notation=f"32c3-(32c3)-(32c3)-p4-256r-{CLASSES}", source=f"{PANDA}, section 8.1 and table 7", shape=(3, 32, 32),
        why="ResNet2 with a third convolution.",
    ),
    "STDP-FC": Architecture(
        notation=f"256r-{CLASSES}", source=f"{PANDA}, section 8.1", shape=(64, 8, 8),
        why="FC1 and FC2 of the classifier on the features of ResNet2, ResNet2x2 or ResNet3; widths are not given.",
    ),
    "STDP-ConvNN": Architecture(
        notation=f"64c3r-64c3r-p2-128c3r-p4-{CLASSES}", source=f"{PANDA}, section 8.3 and table 13", shape=(64, 8, 8),
        why="The larger classifier; its table is not in the text. Three convolutions and one dense layer on the mean of each map.",
    ),
    **{f"SCNN12-N{name}": _scnn(sides, 8, (2, 34, 34)) for name, sides in (("", ("n", "")), ("-after", ("", "n")), ("-none", ("", "")))},
    **{f"SCNN12-F{name}": _scnn(sides, 16, (1, 34, 34)) for name, sides in (("", ("n", "")), ("-after", ("", "n")), ("-none", ("", "")))},
    **{f"PreResNet-{2 * blocks + 2}": _resnet("[", "]", blocks) for blocks in (4, 9, 24, 52)},
    **{f"PostResNet-{2 * blocks + 2}": _resnet("(", ")", blocks) for blocks in (4, 9, 24, 52)},
})
# fmt: on


def resolve_architecture(text: str) -> str:
    """Return the notation that ``text`` names or is; a text that is neither is a RecipeError."""
    if text in ARCHITECTURES:
        return ARCHITECTURES[text].notation
    if NOTATION_BEGINS.match(text):
        return text
    names = {name.lower(): name for name in ARCHITECTURES}
    near = [names[name] for name in get_close_matches(text.lower(), names, cutoff=0.5)] or sorted(ARCHITECTURES)
    raise RecipeError(f"architecture: {text!r}; it is no notation, and the nearest names are {', '.join(near)}")


def expand_architecture(text: str, classes: int) -> Notation:
    """Return what a name or a notation says, with ``classes`` in the place of its ``{classes}``."""
    return parse_architecture(resolve_architecture(text).replace(CLASSES, str(classes)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """How many weights (and biases) a network has: ``unique`` ones are stored, ``logical`` ones are used, those of a layer at each run."""

    unique: int
    logical: int

    @property
    def compression(self) -> float:
        """How many times more weights the network would have if every run had its own (Panda et al. 2020, section 7)."""
        return self.logical / self.unique


def parameters(layers: Iterable[LayerRecipe], source: Shape) -> Parameters:
    """Count the parameters of layers behind an input of shape ``source``; layers that do not fit are a NetworkError."""
    unique = logical = 0
    for placed in place_layers(layers, source):
        count = prod(placed.weights) + placed.layer.bias * placed.layer.out
        logical += count
        unique += 0 if placed.layer.weights else count
    return Parameters(unique=unique, logical=logical)
