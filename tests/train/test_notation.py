"""The notation of architectures: what it means, held against an expansion written from its grammar, and that it is written as it is read."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikefold.train.errors import RecipeError
from spikefold.train.recipes.notation import Notation, parse_architecture, print_architecture
from spikefold.train.recipes.sections import LayerRecipe


def conv(out: int, kernel: int = 3, **keys: Any) -> LayerRecipe:
    return LayerRecipe(**({"kind": "conv2d", "out": out, "kernel": kernel, "padding": kernel // 2} | keys))


def dense(out: int, **keys: Any) -> LayerRecipe:
    return LayerRecipe(kind="dense", out=out, **keys)


def test_the_papers_own_line() -> None:
    said = parse_architecture("34x34x2-n16c3-{n32c3}*5-p2-1024-10")
    plain = {"norm": False}
    expected = (conv(16), *5 * (conv(32),), dense(1024, pool=2, **plain), dense(10, **plain))
    assert said == Notation(layers=expected, shape=(2, 34, 34), side="before")


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ("10", [dense(10)]),
        ("16c3s2-12c5p0-4c4-10r", [conv(16, stride=2), conv(12, 5, padding=0), conv(4, 4), dense(10, neuron="relu")]),
        ("p3-8c1r-p2-10", [conv(8, 1, pool=3, neuron="relu"), dense(10, pool=2)]),
        ("8c3-8c3n-10n", [conv(8, norm=False), conv(8), dense(10)]),
        ("8c3n-8c3nr-10", [conv(8), conv(8, neuron="relu"), dense(10, norm=False)]),
        ("8c3-{p2-8c3}*2", [conv(8), conv(8, pool=2), conv(8, pool=2)]),
        ("8c3-p2-{8c3}*2", [conv(8), conv(8, pool=2), conv(8)]),
        ("8c3-p2-{8c3-4c3-8c3}@2", [conv(8), conv(8, pool=2), conv(4), conv(8), *(conv(o, weights=f"conv{n}") for o, n in ((8, 2), (4, 3), (8, 4)))]),
        ("{8c3}@3", [conv(8), conv(8, weights="conv1"), conv(8, weights="conv1")]),
        ("{{8c3}@2}*2", [conv(8), conv(8, weights="conv1"), conv(8), conv(8, weights="conv3")]),
        ("8c3-[8c3-8c3]*2", [conv(8), conv(8), conv(8, add="conv1"), conv(8), conv(8, add="conv3")]),
        ("6-(8-6)", [dense(6), dense(8), dense(6, add="dense1", add_from="output")]),
        ("8c3-{[8c3]}@2", [conv(8), conv(8, add="conv1"), conv(8, weights="conv2", add="conv2")]),
        ("8c3-[{8c3}@2]", [conv(8), conv(8), conv(8, weights="conv2", add="conv1")]),
        ("8c3-[(8c3)-8c3]", [conv(8), conv(8, add="conv1", add_from="output"), conv(8, add="conv1")]),
    ],
)
def test_meaning(text: str, layers: list[LayerRecipe]) -> None:
    assert parse_architecture(text).layers == tuple(layers)
    assert parse_architecture(print_architecture(layers)).layers == tuple(layers)


def test_input_and_side() -> None:
    assert parse_architecture("28x30-n10-5") == Notation(layers=(dense(10), dense(5, norm=False)), shape=(1, 28, 30), side="before")
    assert parse_architecture("10n-5").side == "after"
    assert (parse_architecture("10-5").side, parse_architecture("10-5").shape) == ("", None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "position 1: 'the end'; expected: a layer such as 16c3"),
        ("8c3-", "position 5: 'the end'; expected: a layer such as"),
        ("8c", "position 2: 'c'; expected: '-' or the end"),
        ("8c3x-10", "position 4: 'x-10'; expected: '-' or the end"),
        ("8c3)", r"position 4: '\)'; expected: '-' or the end"),
        ("8c3-{4", "position 7: 'the end'; expected: '-' or '}'"),
        ("8c3-[4}", r"position 7: '}'; expected: '-' or ']'"),
        ("8c3-{4}", r"position 8: 'the end'; expected: '\*' or '@' and a number"),
        ("8c3-{4}@0", "position 8: '@0'; expected: 1 or more times"),
        ("8c3-[4]@2", r"position 8: '@2'; expected: '\*' and a number, or '-'; only braces"),
        ("[8c3]-4", r"position 1: '\[8c3\]-4'; expected: a layer in front of the residual block"),
        ("4-[(4)]", "position 3: .*; expected: a residual block that does not end with another"),
        ("{{4}@2-4}@2", "position 1: .*; expected: no block with '@' inside another"),
        ("4-p2", "position 5: 'the end'; expected: '-' and a layer behind the pooling"),
        ("p2-p2-4", "position 4: 'p2-4'; expected: a layer behind the pooling"),
        ("p1-4", "position 1: 'p1-4'; expected: pooling by 2..16"),
        ("p17-4", "position 1: 'p17-4'; expected: pooling by 2..16"),
        ("p2-{p2-4}*2", "position 4: .*; expected: a layer that is not pooled already"),
        ("n4n", "position 4: 'the end'; expected: 'n' on one side"),
        ("n4-4n", "position 4: '4n'; expected: 'n' on one side"),
        ("0", "position 1: layer out: 0; it must be in 1..65536"),
        ("8c17", "position 1: layer kernel: 17; it must be in 1..16"),
        ("8c3p16", "position 1: layer padding: 16; it must be in 0..15"),
        ("0x4-4", "position 1: '0x4-4'; expected: an input of at least 1x1x1"),
        ("4-{4}*4097", "position 3: .*; expected: at most 4096 layers, not 4097"),
        ("{{{4}*99}*99}*99", "position 2: .*; expected: at most 4096 layers, not 9801"),
        ("4-" + "[" * 9 + "4" + "]" * 9, "position 11: .*; expected: no more than 8 blocks inside each other"),
        ("9" * 5000, r"architecture '9{100}\.\.\.', position 1: layer out: 999999; it must be in"),
        ("٣c3", "position 1: '٣c3'; expected: a layer"),
    ],
)
def test_errors_say_position_and_what_was_expected(text: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words) as caught:
        parse_architecture(text)
    assert "\n" not in str(caught.value)


def test_4096_layers_pass() -> None:
    assert len(parse_architecture("4-{{4}*91}*45").layers) == 4096


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ((conv(16), *5 * (conv(32),), dense(10, pool=2)), "16c3-{32c3}*5-p2-10"),
        ((dense(8), dense(8), dense(8, norm=False)), "8n-8n-8"),
        ((conv(4), *52 * (conv(4), conv(4)), dense(2)), "{4c3}*105-2"),
    ],
)
def test_canonical(layers: tuple[LayerRecipe, ...], text: str) -> None:
    assert print_architecture(layers) == text


def test_long_residual_networks_print_short() -> None:
    text = "34x34x2-n16c3s2-[n16c3-n16c3]*52-10"
    said = parse_architecture(text)
    assert print_architecture(said.layers, shape=said.shape, side="before") == text


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ((dense(4, bias=True),), r"layers\[0\]: the notation has no name, bias or threshold; here they are '', True and None"),
        ((dense(4), dense(4, threshold=2.0)), r"layers\[1\]: .* here they are '', False and 2\.0"),
        ((dense(4, name="a"),), r"layers\[0\]: .* here they are 'a'"),
        ((dense(4, norm=False),), r"layers\[0\]: the notation has no way to say it"),
        ((dense(4), dense(5), dense(4, weights="dense1")), r"layers\[\d\]: the notation has no way to say it"),
        ((dense(4), dense(4), dense(4, add="dense1"), dense(4, add="dense2")), r"layers\[\d\]: the notation has no way to say it"),
        ((dense(4, weights="nowhere"),), r"layers\[0\]: the notation has no way to say it"),
    ],
)
def test_what_has_no_notation_is_refused(layers: tuple[LayerRecipe, ...], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        print_architecture(layers)


@dataclass(frozen=True)
class Block:
    """A block of the notation: '*' copies, '@' unrolls; residual blocks are '[' or '('."""

    opening: str
    items: tuple["Layer | Block", ...]
    sign: str
    count: int

    def text(self) -> str:
        inside = "-".join(item.text() for item in self.items)
        closing = {"{": "}", "[": "]", "(": ")"}[self.opening]
        return f"{self.opening}{inside}{closing}{self.sign}{self.count}"


@dataclass(frozen=True)
class Layer:
    recipe: LayerRecipe
    mark: str

    def text(self) -> str:
        layer = self.recipe
        said = f"p{layer.pool}-" if layer.pool > 1 else ""
        said += f"{layer.out}" + (f"c{layer.kernel}s{layer.stride}p{layer.padding}" if layer.kind == "conv2d" else "")
        return said + ("n" if self.mark else "") + ("r" if layer.neuron == "relu" else "")


@dataclass
class Expanded:
    """The layers of an expansion; weights and add are numbers of layers."""

    layers: list[LayerRecipe] = field(default_factory=list)
    weights: dict[int, int] = field(default_factory=dict)
    adds: dict[int, tuple[int, str]] = field(default_factory=dict)

    def put(self, item: Layer | Block) -> None:
        if isinstance(item, Layer):
            self.layers.append(replace(item.recipe, norm=bool(item.mark)))
            return
        first = len(self.layers)
        for _ in range(item.count):
            start = len(self.layers)
            for inner in item.items:
                self.put(inner)
            if item.sign == "@" and start > first:
                self.weights |= {i: first + i - start for i in range(start, len(self.layers))}
            if item.opening != "{":
                self.adds[len(self.layers) - 1] = (start - 1, "drive" if item.opening == "[" else "output")

    def finished(self) -> tuple[LayerRecipe, ...]:
        names = [f"{'conv' if layer.kind == 'conv2d' else 'dense'}{i + 1}" for i, layer in enumerate(self.layers)]
        unmarked = not any(layer.norm for layer in self.layers)
        out = []
        for i, layer in enumerate(self.layers):
            keys: dict[str, Any] = {"norm": layer.norm or unmarked}
            if i in self.weights:
                keys["weights"] = names[self.weights[i]]
            if i in self.adds:
                keys |= {"add": names[self.adds[i][0]], "add_from": self.adds[i][1]}
            out.append(replace(layer, **keys))
        return tuple(out)


@st.composite
def any_layers(draw: st.DrawFn) -> Layer:
    kind = draw(st.sampled_from(["conv2d", "dense"]))
    keys: dict[str, Any] = {"kind": kind, "out": draw(st.integers(1, 5)), "pool": draw(st.sampled_from([1, 1, 1, 2]))}
    if kind == "conv2d":
        keys |= {"kernel": draw(st.integers(1, 4)), "stride": draw(st.integers(1, 2)), "padding": draw(st.integers(0, 2))}
    return Layer(LayerRecipe(**keys, neuron=draw(st.sampled_from(["spiking", "relu"]))), draw(st.sampled_from(["", "n"])))


@st.composite
def any_items(draw: st.DrawFn, depth: int, unroll: bool, plain_end: bool = False) -> tuple[Layer | Block, ...]:
    items: list[Layer | Block] = [draw(any_item(depth, unroll)) for _ in range(draw(st.integers(0 if plain_end else 1, 3)))]
    return (*items, draw(any_layers())) if plain_end else tuple(items)


@st.composite
def any_item(draw: st.DrawFn, depth: int, unroll: bool) -> Layer | Block:
    kind = draw(st.sampled_from(["layer", "layer", *(["{*", "[*", "(*"] if depth else []), *(["{@"] if depth and unroll else [])]))
    if kind == "layer":
        return draw(any_layers())
    opening, sign = kind
    # A residual block ends with a layer that is not a residual block's last already.
    return Block(opening, draw(any_items(depth - 1, unroll and sign != "@", opening != "{")), sign, draw(st.integers(1, 3)))


@settings(deadline=None, max_examples=50)
@given(any_layers(), any_items(3, True))
def test_any_notation_means_its_expansion_and_prints_as_itself(first: Layer, items: tuple[Layer | Block, ...]) -> None:
    expanded = Expanded()
    for item in (first, *items):
        expanded.put(item)
    said = parse_architecture("-".join(item.text() for item in (first, *items)))
    assert said.layers == expanded.finished()
    for side in ("before", "after"):
        printed = print_architecture(said.layers, shape=(2, 3, 4), side=side)
        again = parse_architecture(printed)
        assert (again.layers, again.shape) == (said.layers, (2, 3, 4))
        assert again.side in ("", side)
        assert print_architecture(again.layers, shape=(2, 3, 4), side=side) == printed
