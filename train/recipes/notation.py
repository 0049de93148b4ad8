"""The one-line notation of architectures, ``34x34x2-n16c3-{n32c3}*5-p2-1024-10``: read, and written again. No torch here.

It is that of Ikegawa (2022, table 2) with the blocks of the other papers added::

    architecture = [HxW[xC]-] items              the input, C = 1 where it is not said
    items        = item { - item }
    item         = [n]OUTcK[sS][pP][n][r]        convolution: OUT channels, K by K, stride S (1), padding P (K // 2)
                 | [n]OUT[n][r]                  dense: OUT neurons
                 | pK                            average pooling, K by K, in front of the layer behind it
                 | {items}*k                     k copies, each with weights of its own
                 | {items}@k                     k times with the same weights: BackRes, unrolled (Panda et al. 2020)
                 | [items] or [items]*k          pre-activation residual block: h + G(h) (Ikegawa 2022, eq. 8)
                 | (items) or (items)*k          post-activation residual block: F(h + G(h)) (eq. 9)

``n`` stands on the side of the weights where the layer is normalised; without any ``n``, every layer is. ``r``: ReLU neurons.
``h`` is of the layer in front of the block: what its neurons receive ([ ]) or send (( )) is added to what those of the block's
last layer receive. So ``k`` two-layer blocks after a stem, and a dense layer, have 2k + 2 layers with weights.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from spikefold.network.windows import POOL_MAX, Shape
from spikefold.train.errors import RecipeError
from spikefold.train.recipes.sections import LayerRecipe, default_name

__all__ = ["LAYERS_MAX", "Notation", "Side", "parse_architecture", "print_architecture"]

LAYERS_MAX = 4096
NESTING_MAX = 8
FOLD_FROM = 3
SHOWN_MAX = 100

Side = Literal["", "before", "after"]
"""Where ``n`` stands, seen from the weights; empty where none does."""

_INPUT = re.compile(r"(\d{1,6})x(\d{1,6})(?:x(\d{1,6}))?(?=-)", re.ASCII)
_LAYER = re.compile(r"(n?)(\d{1,6})(?:c(\d{1,3})(?:s(\d{1,3}))?(?:p(\d{1,3}))?)?(n?)(r?)", re.ASCII)
_POOL = re.compile(r"p(\d{1,3})", re.ASCII)
_COUNT = re.compile(r"([*@])(\d{1,4})", re.ASCII)
_CLOSING = {"{": "}", "[": "]", "(": ")"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notation:
    """What a text says: the layers, the input's (channels, height, width) where it is given, and the side of its ``n``."""

    layers: tuple[LayerRecipe, ...]
    shape: Shape | None = None
    side: Side = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    """A layer whose references are distances to earlier ones, so that it can be copied; 0: none. ``place`` is its position in the text."""

    layer: LayerRecipe
    side: Side
    place: int
    weights: int = 0
    add: int = 0
    add_from: Literal["drive", "output"] = "drive"


def parse_architecture(text: str) -> Notation:
    """Return what ``text`` says; where it says nothing, a RecipeError gives the position (from 1) and what was expected."""
    return _Parser(text).parse()


class _Parser:
    """Recursive descent over one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def parse(self) -> Notation:
        """Return the whole text's meaning."""
        shape: Shape | None = None
        if match := _INPUT.match(self.text):
            height, width, channels = (int(part or 1) for part in match.groups())
            if min(height, width, channels) < 1:
                raise self.error(0, "an input of at least 1x1x1")
            shape = (channels, height, width)
            self.at = match.end() + 1
        nodes = self.items(0)
        if self.at < len(self.text):
            raise self.error(self.at, "'-' or the end")
        sides: set[Side] = {node.side for node in nodes} - {""}
        if len(sides) > 1:
            raise self.error(next(node.place for node in nodes if node.side == "after"), "'n' on one side of the weights, before or after them")
        layers = tuple(self.finished(nodes, i, marked=bool(sides)) for i in range(len(nodes)))
        return Notation(layers=layers, shape=shape, side=sides.pop() if sides else "")

    def finished(self, nodes: list[_Node], i: int, *, marked: bool) -> LayerRecipe:
        """Return the i-th layer with names for distances; ``marked``: an ``n`` stands at every layer that is normalised."""
        node = nodes[i]
        if node.add > i:
            raise self.error(node.place, "a layer in front of the residual block")
        weights, add = (default_name(nodes[i - far].layer.kind, i - far + 1) if far else "" for far in (node.weights, node.add))
        return replace(node.layer, norm=bool(node.side) or not marked, weights=weights, add=add, add_from=node.add_from)

    def items(self, depth: int) -> list[_Node]:
        """Read items up to a closing bracket or the end."""
        nodes: list[_Node] = []
        pool: int | None = None
        while True:
            if match := _POOL.match(self.text, self.at):
                if pool is not None:
                    raise self.error(self.at, "a layer behind the pooling")
                if not 2 <= int(match[1]) <= POOL_MAX:
                    raise self.error(self.at, f"pooling by 2..{POOL_MAX}")
                pool, self.at = int(match[1]), match.end()
            else:
                start, found = self.at, self.item(depth)
                if pool is not None:
                    if found[0].layer.pool > 1:
                        raise self.error(start, "a layer that is not pooled already")
                    found[0] = replace(found[0], layer=replace(found[0].layer, pool=pool))
                pool = None
                nodes += found
                self.limit(len(nodes), start)
            if self.text[self.at : self.at + 1] != "-":
                if pool is not None:
                    raise self.error(self.at, "'-' and a layer behind the pooling")
                return nodes
            self.at += 1

    def item(self, depth: int) -> list[_Node]:
        """Read a layer or a block."""
        start = self.at
        opening = self.text[start : start + 1]
        if opening not in _CLOSING:
            return [self.layer()]
        if depth == NESTING_MAX:
            raise self.error(start, f"no more than {NESTING_MAX} blocks inside each other")
        self.at += 1
        nodes = self.items(depth + 1)
        if self.text[self.at : self.at + 1] != _CLOSING[opening]:
            raise self.error(self.at, f"'-' or {_CLOSING[opening]!r}")
        self.at += 1
        match = _COUNT.match(self.text, self.at)
        if match is None and opening == "{":
            raise self.error(self.at, "'*' or '@' and a number")
        if match is not None and match[1] == "@" and opening != "{":
            raise self.error(self.at, "'*' and a number, or '-'; only braces take '@'")
        if match is not None and int(match[2]) < 1:
            raise self.error(self.at, "1 or more times")
        if opening != "{":
            nodes = self.residual(nodes, start, post=opening == "(")
        if match is None:
            return nodes
        self.at = match.end()
        count = int(match[2])
        self.limit(count * len(nodes), start)
        if match[1] == "*":
            return nodes * count
        if any(node.weights for node in nodes):
            raise self.error(start, "no block with '@' inside another")
        return nodes + [replace(node, weights=copy * len(nodes)) for copy in range(1, count) for node in nodes]

    def residual(self, nodes: list[_Node], start: int, *, post: bool) -> list[_Node]:
        """Return the layers of a residual block: its last one adds the layer in front of it."""
        last = nodes[-1]
        if last.add:
            raise self.error(start, "a residual block that does not end with another")
        return [*nodes[:-1], replace(last, add=len(nodes), add_from="output" if post else "drive", place=start)]

    def layer(self) -> _Node:
        """Read one layer."""
        start = self.at
        match = _LAYER.match(self.text, start)
        if match is None:
            raise self.error(start, "a layer such as 16c3 or 10, pooling such as p2, or a block")
        before, out, kernel, stride, padding, after, relu = match.groups()
        if before and after:
            raise self.error(match.end(), "'n' on one side of the weights, before or after them")
        self.at = match.end()
        side: Side = "before" if before else "after" if after else ""
        return _Node(layer=self.checked(start, out, kernel, stride, padding, relu), side=side, place=start)

    def checked(self, start: int, out: str, kernel: str | None, stride: str | None, padding: str | None, relu: str) -> LayerRecipe:
        """Return a layer, or raise its own complaint with the position."""
        neuron: Literal["spiking", "relu"] = "relu" if relu else "spiking"
        try:
            if kernel is None:
                return LayerRecipe(kind="dense", out=int(out), neuron=neuron)
            around = int(kernel) // 2 if padding is None else int(padding)
            return LayerRecipe(kind="conv2d", out=int(out), kernel=int(kernel), stride=int(stride or 1), padding=around, neuron=neuron)
        except RecipeError as error:
            raise RecipeError(f"{self.where(start)}: {error}") from error

    def limit(self, count: int, start: int) -> None:
        """Refuse more layers than any recipe may have."""
        if count > LAYERS_MAX:
            raise self.error(start, f"at most {LAYERS_MAX} layers, not {count}")

    def where(self, at: int) -> str:
        """Return how an error begins."""
        shown = self.text if len(self.text) <= SHOWN_MAX else f"{self.text[:SHOWN_MAX]}..."
        return f"architecture {shown!r}, position {at + 1}"

    def error(self, at: int, expected: str) -> RecipeError:
        """Return the error for what stands at a position."""
        return RecipeError(f"{self.where(at)}: {self.text[at : at + 12] or 'the end'!r}; expected: {expected}")


def print_architecture(layers: Sequence[LayerRecipe], *, shape: Shape | None = None, side: Side = "after") -> str:
    """Return the notation of ``layers``; :func:`parse_architecture` gives back exactly these.

    ``n`` is written, on the given ``side``, only where some layers are normalised and others not. Layers that the notation cannot
    say (with a name, a bias, a threshold, or references that are not blocks) are a RecipeError.
    """
    for i, layer in enumerate(layers):
        if layer.name or layer.bias or layer.threshold is not None:
            said = f"{layer.name!r}, {layer.bias} and {layer.threshold}"
            raise RecipeError(f"layers[{i}]: the notation has no name, bias or threshold; here they are {said}")
    text = _Printer(layers, side).text()
    if shape is not None:
        text = f"{shape[1]}x{shape[2]}{f'x{shape[0]}' if shape[0] > 1 else ''}-{text}"
    read = parse_architecture(text).layers
    if read != tuple(layers):
        # The blocks were guessed from the references; what is no block shows here.
        i = next((i for i, (one, other) in enumerate(zip(layers, read, strict=False)) if one != other), min(len(layers), len(read)))
        raise RecipeError(f"layers[{i}]: the notation has no way to say it; the nearest is {text!r}")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """Layers ``start`` up to ``stop``, less that one; ``cell`` layers are unrolled ``times`` times, or a residual block is 1 time itself."""

    start: int
    stop: int
    brackets: str
    cell: int
    times: int = 1


class _Printer:
    """Finds the blocks of a list of layers by their references, and writes them outermost first."""

    def __init__(self, layers: Sequence[LayerRecipe], side: Side) -> None:
        self.layers = layers
        self.side = "" if all(layer.norm for layer in layers) else side
        self.places = {default_name(layer.kind, i + 1): i for i, layer in enumerate(layers)}
        unrolled = self.unrolled()
        # Longest first, and of two alike the residual one: where the unrolled one is outside, it is longer.
        self.blocks = sorted(self.residuals() + unrolled, key=lambda block: (block.start - block.stop, block.times))
        self.pooled_inside = {block.start for block in unrolled if self.layers[block.start + block.cell].pool > 1}
        self.done: set[int] = set()

    def text(self) -> str:
        """Return the notation."""
        return self.items(0, len(self.layers), self.blocks)

    def residuals(self) -> list[_Block]:
        """Return the residual blocks."""
        found = []
        for i, layer in enumerate(self.layers):
            if (start := self.places.get(layer.add, i) + 1) <= i:
                found.append(_Block(start=start, stop=i + 1, brackets="()" if layer.add_from == "output" else "[]", cell=i + 1 - start))
        return found

    def unrolled(self) -> list[_Block]:
        """Return the unrolled blocks: from a layer that is used again to the last one of its copies."""
        found: list[_Block] = []
        for i, layer in enumerate(self.layers):
            start = self.places.get(layer.weights, i)
            if start >= i or (found and i < found[-1].stop):
                continue
            cell, stop = i - start, i
            while stop < len(self.layers) and self.places.get(self.layers[stop].weights) == start + (stop - start) % cell:
                stop += 1
            found.append(_Block(start=start, stop=start + (stop - start) // cell * cell, brackets="{}", cell=cell, times=(stop - start) // cell))
        return found

    def items(self, start: int, stop: int, blocks: list[_Block]) -> str:
        """Return layers ``start`` up to ``stop``; ``blocks`` are those that may stand among them."""
        texts: list[str] = []
        while start < stop:
            inside = [block for block in blocks if block.start >= start and block.stop <= stop]
            here = next((block for block in inside if block.start == start), None)
            if self.layers[start].pool > 1 and start not in self.done and not (here and start in self.pooled_inside and self.unrolls(start, inside)):
                self.done.add(start)
                texts.append(f"p{self.layers[start].pool}")
            if here is None:
                texts.append(self.layer(self.layers[start]))
                start += 1
                continue
            text = self.items(start, start + here.cell, inside[inside.index(here) + 1 :])
            texts.append(here.brackets[0] + text + here.brackets[1] + (f"@{here.times}" if here.brackets == "{}" else ""))
            start = here.stop
        return "-".join(_fold(texts))

    def unrolls(self, start: int, blocks: list[_Block]) -> bool:
        """Return whether an unrolled block that is not open yet starts there."""
        return any(block.start == start and block.brackets == "{}" for block in blocks)

    def layer(self, layer: LayerRecipe) -> str:
        """Return one layer, without its pooling."""
        text = str(layer.out)
        if layer.kind == "conv2d":
            text += f"c{layer.kernel}" + (f"s{layer.stride}" if layer.stride > 1 else "")
            text += f"p{layer.padding}" if layer.padding != layer.kernel // 2 else ""
        marked = "n" if layer.norm and self.side else ""
        return (marked + text if self.side == "before" else text + marked) + ("r" if layer.neuron == "relu" else "")


def _fold(texts: list[str]) -> list[str]:
    """Return the items with runs of equal ones written once."""
    folded = []
    for text, run in groupby(texts):
        count = len(list(run))
        if count < FOLD_FROM:
            folded += [text] * count
        else:
            folded.append(f"{text if text[0] in '[(' else f'{{{text}}}'}*{count}")
    return folded
