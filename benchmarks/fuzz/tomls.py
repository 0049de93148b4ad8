"""Recipes, tables of papers and chips: TOML changed line by line, in values, keys, tables, order and encoding."""

import dataclasses
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from benchmarks.fuzz.cases import Case, Random, Reader, cut_or_grown, flipped, numbers, odd_entries, some
from spikefold.chip.config import load_chip
from spikefold.train.papers.tables import list_tables, load_table
from spikefold.train.recipes.recipe import list_recipes, load_recipe
from tests.train.paper_tables import RATES, TABLE
from tests.train.recipes import recipe_text

__all__ = ["CHIP", "RECIPE", "TABLE_OF_A_PAPER", "text_changed"]

TOML = {"spikefold.data.toml": ()}
STRUCTURE = {"spikefold.train.recipes.structure": ()}
LARGEST = 6000
"""Characters of the shipped files that cases begin with; the others are alike."""
WORDS = ("lif", "if", "srm", "hard", "bntt", "bn", "tdbn", "none", "psp-bn", "psp-ln", "conv2d", "dense", "relu", "spike_count", "potential",
"stdp",
         "conversion", "direct", "frames", "sequence", "poisson", "adam", "adamw", "stochmax", "alpha", "exponential", "output", "first", "input",
         "digits",
         "no such thing", "VGG9", "VGG99", "4c3-p2-{classes}", "{4c3}@2-10", "4c3-[4c3]-10", "n4c3-10", "4c3n-10", "9", "4c3-", "p2-p2-3",
         "{" * 20, "(4c3",
         "99999999c9-10", "4c3*3", "{9}*9999-10", "6r-10", "0c3", "4c99-10", "7x7-10", "8x8x1-10", "test_accuracy", "BNTT", "name|", "../..",
         "")  # fmt: skip


SETTINGS = {
    "": ('architecture = "4c3-p2-{classes}"', 'architecture = "VGG3"', 'architecture = "4x4x4-5r-{classes}"', 'architecture = "4c3-n10"',
    'architecture = "7x7-10"',
         'architecture = "4c3-p2-10"', "classes = 7", 'readout = "spike_count"', 'name = "a\\u0007"', "timesteps = 4096"),
    "[data]": ('name = "mine"', "size = 16"),
    "[neuron]": ('kind = "if"', 'kind = "srm"', 'kind = "lif"', "leak = 1.0", "leak = 0.0", "learn_leak = true", 'reset = "hard"', "tau_s = 3.0",
    "tau_r = 3.0",
                 'refractory = "alpha"', 'surrogate = "exponential"', "surrogate_scale = 2.0", "surrogate_width = 0.5"),
    "[norm]": ('kind = "none"', 'kind = "bn"', 'kind = "tdbn"', 'kind = "psp-bn"', 'kind = "psp-ln"', "beta = true", "lam = 0.5", "alpha = 2.0"),
    "[[layers]]": ('neuron = "relu"', "threshold = 2.0", 'add = "first"', 'add = "dense2"', 'add_from = "output"', 'weights = "first"',
    'weights = "dense2"',
                   'name = "first"', 'name = "input"', 'name = "dense2"', "kernel = 3", "kernel = 9", "pool = 3", "pool = 9", "bias = true",
                   'kind = "conv2d"',
                   'kind = "dense"', "padding = 1", "stride = 2", "norm = false"),
    "[train]": ('method = "stdp"', 'method = "conversion"', 'loss = "spike_count"', 'classifier = "stochmax"', "amsgrad = true",
    'optimizer = "adam"',
                "false_rate = 0.5", "augment_crop = 8", "augment_crop = 2", "label_smoothing = 0.1", "init = 'torch'",
                'method = "quantize"', 'start = "../base"', 'start = "a\\u0000"'),
    "[conversion]": ("percentile = 99.9", "balance_samples = 10"),
    "[quantize]": ("weight_bits = 2", "weight_bits = 9", "layer_bits = {}", "layer_bits = { first = 3 }", "layer_bits = { first = 9 }",
    "layer_bits = { dense2 = 2, dense3 = 8 }", 'layer_bits = { "\\u001b[2J" = 9 }', 'layer_bits = { nowhere = "a" }', "layer_bits = [['first', 3]]",
                   "layer_bits = { first = { a = 1 } }", "gain_bits = 16", "gain_terms = 2", "gain_terms = 3", 'form = "C"', "calibrate = 0"),
    "[quantize.layer_bits]": ("first = 4", "dense3 = 1", "dense3 = true", "a.b = 3"),
    "[stdp]": ("pool = 2", "stages = [{ out = 4, kernel = 3, padding = 1, threshold = 2.0 }]", "rule = 'binary'", "weight_min = 2.0", "drop = 0.5"),
}  # fmt: skip
"""What recipes say, by the line above it: put together, they meet what one part of a recipe demands of another."""


def text_changed(rng: Random, text: str) -> tuple[str, str]:
    """Return a TOML text changed in one way, and which in words."""
    way = some(rng, WAYS)
    return way(rng, text), way.__name__.strip("_").replace("_", " ")


def _value(rng: Random) -> str:
    word = rng.choice(WORDS)
    return rng.choice((
        f'"{word}"', f'"{word}"', f'"{word}"', str(numbers(rng)),
        str(rng.randint(0, 70)), str(rng.random()), str(rng.choice((0.5, 0.05, 0.95, 1.0, 2.0, 100.0))),
        rng.choice(("true", "false")), rng.choice(("nan", "inf", "-inf", "1e400", "1e-400", "-0.0", "0x7fff_ffff", "1_0", "+1")),
        "[]", "[1, 8, 8]", "[[1]]",
        "{}", "{ a = 1 }", "2000-01-01", "07:30:00", '"\\u001b[2J"', '"a\\nb"', "'''a\nb'''", '"\u2028\u202e"', f'"{"x" * 5000}"', "9" * 5000,
        "[" * 20 + "]" * 20, "0x" + "f" * 40, "[ 1,\n 2 ]",
    ))  # fmt: skip


def _assignments(lines: Sequence[str]) -> list[int]:
    return [i for i, line in enumerate(lines) if " = " in line and not line.startswith("#")]


def _one_value(rng: Random, text: str) -> str:
    lines = text.split("\n")
    at = rng.choice(_assignments(lines) or [0])
    key, _, old = lines[at].partition(" = ")
    number = old.replace(".", "", 1).replace("-", "", 1).isdigit()
    near = rng.choice(("-", "1", "0", "")) + old if number and rng.random() < 0.5 else _value(rng)
    lines[at] = f"{key} = {near}"
    return "\n".join(lines)


def _two_values(rng: Random, text: str) -> str:
    return _one_value(rng, _one_value(rng, text))


def _a_line_moved(rng: Random, text: str) -> str:
    lines = text.split("\n")
    at, to = rng.randrange(len(lines)), rng.randrange(len(lines))
    line = lines[at]
    if rng.random() < 0.7:
        del lines[at]
    lines.insert(to, line)
    return "\n".join(lines)


def _a_line_less(rng: Random, text: str) -> str:
    lines = text.split("\n")
    del lines[rng.randrange(len(lines))]
    return "\n".join(lines)


def _a_key(rng: Random, text: str) -> str:
    lines = text.split("\n")
    at = rng.choice(_assignments(lines) or [0])
    key, _, old = lines[at].partition(" = ")
    other = rng.choice(
        (key + "_", f'"{key}"', f"{key}.a", f"a.{key}", '"\\u001b"', '""', "é", key.upper(), "a." * 70 + "a", '"\u2028".' * 70 + "a", "x" * 9999)
    )
    lines[at] = f"{other} = {old}"
    return "\n".join(lines)


def _a_line_more(rng: Random, text: str) -> str:
    lines = text.split("\n")
    known = [lines[i].partition(" = ")[0] for i in _assignments(lines)] or ["a"]
    keys = (*known, "name", "seed", "bias", "norm", "add", "weights", "add_from", "threshold", "classes", "size", "learn_leak", "tau_s", "lam",
    "alpha", "beta",
            "surrogate_width", "amsgrad", "label_smoothing", "residual", "unroll", "best", "label", "lanes", "method", "loss", "classifier",
            "start", "weight_bits", "layer_bits", "gain_bits", "gain_terms", "form", "calibrate",
            "augment_crop",
            "more", "__class__")  # fmt: skip
    lines.insert(rng.randint(0, len(lines)), f"{rng.choice(keys)} = {_value(rng)}")
    return "\n".join(lines)


def _a_table(rng: Random, text: str) -> str:
    """Change, add or take away the line that begins a table."""
    lines = text.split("\n")
    begins = [i for i, line in enumerate(lines) if line.startswith("[")] or [0]
    at = rng.choice(begins)
    lines[at] = rng.choice((
        "", lines[at] + "\n" + lines[at], f"[{lines[at]}]", lines[at].replace("[[", "[").replace("]]", "]"), lines[at][:-1], "[more]",
        "[quantize]\nlayer_bits = { first = 4 }\n" + lines[at],
        "[conversion]\npercentile = 99.0\n" + lines[at], "[stdp]\n[[stdp.stages]]\nout = 2\nkernel = 3\nthreshold = 1.0\n" + lines[at],
        "[[layers]]\nkind = 'dense'\nout = 5\n" + lines[at], "[[layers]]\n" * rng.choice((1, 300)) + lines[at], "[a." * 70 + "a]",
    ))  # fmt: skip
    return "\n".join(lines)


def _settings(rng: Random, text: str) -> str:
    """Say two to five things of a recipe otherwise, each in its own table."""
    if rng.random() < 0.3 and "[[layers]]" in text and "[train]" in text:
        start = text.index("[[layers]]")
        text = text[:start] + text[text.index("[train]") :] if start < text.index("[train]") else text
        text = f"{rng.choice(SETTINGS[''])}\n{text}"
    for _ in range(rng.randint(2, 5)):
        table = rng.choice(sorted(SETTINGS))
        text = _said(rng, text, table, rng.choice(SETTINGS[table]))
    return text


def _said(rng: Random, text: str, table: str, line: str) -> str:
    """Put a line into one of the tables of a name, or into a new one; its key is taken out of there first."""
    lines, key = text.split("\n"), line.partition(" = ")[0]
    begins = [i for i, other in enumerate(lines) if other == table]
    if not begins and table:
        return f"{text}\n{table}\n{line}\n"
    begin = rng.choice(begins) if table else -1
    end = next((i for i in range(begin + 1, len(lines)) if lines[i].startswith("[")), len(lines))
    return "\n".join([*lines[: begin + 1], line, *(x for x in lines[begin + 1 : end] if not x.startswith(f"{key} =")), *lines[end:]])


def _architecture(rng: Random, text: str) -> str:
    """Put an architecture in the place of the layers: pieces of the notation, most of them where they may stand."""
    if "[[layers]]" in text and text.find("[train]") > text.index("[[layers]]"):
        text = text[: text.index("[[layers]]")] + text[text.index("[train]") :]
    else:
        text = "\n".join(line for line in text.split("\n") if not line.startswith("architecture"))
    notation = "-".join([*_pieces(rng, 0), rng.choice(("10", "10", "{classes}", "10n", "n10", "p2", ""))])
    return f'architecture = "{notation}"\n{text}'


def _pieces(rng: Random, depth: int) -> list[str]:
    pieces = []
    for _ in range(rng.randint(1, 3)):
        out, side = rng.choice((4, 4, 6, 0, 70000)), rng.choice(("", "", "", "n"))
        layer = f"{side}{out}c{rng.choice((3, 3, 3, 1, 99))}{rng.choice(('', '', 's2', 'p0'))}{rng.choice(('', '', 'n'))}{rng.choice(('', 'r'))}"
        block = rng.choice(("[]", "()", "{}"))
        inside = "-".join(_pieces(rng, depth + 1)) if depth < 3 and rng.random() < 0.3 else "4c3"
        count = rng.choice(("*2", "*2", "@2", "*0", "*9999", "")) if block == "{}" else rng.choice(("", "", "*2", "@2"))
        closing = block[1] if rng.random() < 0.95 else ""
        pieces.append(
            rng.choice((layer, layer, f"{block[0]}{inside}{closing}{count}", "p2", rng.choice(("8x8", "p1", "p99", "{" * 10 + "4", "x", ""))))
        )
    return pieces


def _a_part_twice(rng: Random, text: str) -> str:
    lines = text.split("\n")
    start = rng.randrange(len(lines))
    stop = min(len(lines), start + rng.randint(1, 8))
    return "\n".join(lines[:stop] + lines[start:])


WAYS: list[tuple[float, Callable[[Random, str], str]]] = [
    (30, _one_value), (12, _two_values), (6, _a_line_moved), (6, _a_line_less), (6, _a_key), (14, _a_line_more), (10, _a_table), (4,
    _a_part_twice), (30, _settings), (14, _architecture),
]  # fmt: skip


def _bytes_changed(rng: Random, content: bytes) -> tuple[bytes, str]:
    return rng.choice((
        (flipped(rng, content), "bytes changed"), (cut_or_grown(rng, content), "cut or grown"), (b"\xef\xbb\xbf" + content, "a byte order mark"),
        (content.replace(b"\n", b"\r\n"), "lines of Windows"), (content.replace(b"\n", b"\r", 3), "lines of an old Mac"), (content.replace(b"a",
        b"\xe9", 1), "Latin 1"),
        (content.decode().encode("utf-16"), "UTF-16"), (content + b"\0", "a NUL"), (content + b"# \xff", "no UTF-8 in a remark"),
        (rng.randbytes(60), "noise"),
        (content + b"#" * (1 << 18), "a long remark"), (b"\x80\x04\x95" + content, "a pickle's beginning"),
    ))  # fmt: skip


def _case(texts: Callable[[], Sequence[str]], rng: Random) -> Case:
    text, chance = rng.choice(texts()), rng.random()
    if chance < 0.01:
        return odd_entries(rng, {"file.toml": text.encode()})
    if chance < 0.04:
        return Case(what="as written", files={"file.toml": text.encode()}, expect="accepted")
    text, what = text_changed(rng, text)
    content = text.encode("utf-8", "surrogatepass")
    if chance < 0.12:
        content, what = _bytes_changed(rng, content)
    return Case(what=what, files={"file.toml": content})


def _table(case: Case) -> dict[str, Any]:
    return tomllib.loads(case.content("file.toml").decode("utf-8-sig"))


def _is_toml(case: Case) -> bool:
    try:
        return isinstance(_table(case), dict)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def _compared(said: Any, found: Any, place: str) -> str:
    """Return where what a file says is not what was read, or "": each value has its field and its type, but that 1 may be read as 1.0."""
    if isinstance(said, dict) and dataclasses.is_dataclass(found):
        for key, value in said.items():
            if not hasattr(found, key):
                return f"{place}.{key}: there is no such field"
            if where := _compared(value, getattr(found, key), f"{place}.{key}"):
                return where
        return ""
    if isinstance(said, list) and isinstance(found, tuple):
        if len(said) != len(found):
            return f"{place}: {len(said)} in the file, {len(found)} as read"
        return next((where for i, (a, b) in enumerate(zip(said, found, strict=True)) if (where := _compared(a, b, f"{place}[{i}]"))), "")
    whole = type(said) is int and type(found) is float and said == found
    return "" if whole or (type(said) is type(found) and repr(said) == repr(found)) else f"{place}: {said!r:.200} in the file, {found!r:.200} as read"


def _differs(case: Case, result: Any) -> str:
    return _compared(_table(case), result, "")


@cache
def _recipes() -> tuple[str, ...]:
    shipped = [path.read_text() for path in list_recipes()]
    kinds = [recipe_text(norm=norm) for norm in ("bntt", "bn", "tdbn", "none")] + [recipe_text(readout="spike_count")]
    srm = recipe_text(norm="psp-bn").replace("leak = 0.9", 'kind = "srm"\ntau_s = 2.0')
    started = recipe_text().replace("epochs", 'method = "quantize"\nstart = "base"\nepochs', 1)
    quantized = f"{started}[quantize]\nweight_bits = 3\ngain_terms = 1\n[quantize.layer_bits]\nfirst = 5\ndense3 = 8\n"
    return (*kinds * 10, *[srm, quantized] * 10, *(text for text in shipped if len(text) < LARGEST))


@cache
def _tables() -> tuple[str, ...]:
    small = (TABLE, TABLE.replace("[[paper]]", f"{RATES}\n[[paper]]"))
    return (*small * 30, *(text for path in list_tables() if len(text := path.read_text()) < LARGEST))


@cache
def _chips() -> tuple[str, ...]:
    folder = Path(__file__).parents[2] / "examples" / "chips"
    return tuple(path.read_text() for path in sorted(folder.glob("*.toml")))


def _rows_too(path: Path) -> Any:
    """Read a table, and make its rows where that can be done: a recipe that is none is refused only then."""
    table = load_table(path)
    for scale in ("small", "full"):
        table.rows(scale)
    return table


def _reader(name: str, texts: Callable[[], Sequence[str]], read: Callable[[Path], Any], covers: Mapping[str, tuple[str, ...]]) -> Reader:
    return Reader(
        name=name, case=partial(_case, texts), read=lambda folder: read(folder / "file.toml"), differs=_differs, past_header=_is_toml,
        covers={**TOML, **covers}
    )  # fmt: skip


RECIPE = _reader("recipe", _recipes, load_recipe, {
    **STRUCTURE, "spikefold.train.recipes.recipe": ("load", "parse", "Recipe", "check", "_earlier"), "spikefold.train.recipes.sections": (),
    "spikefold.train.recipes.notation": ("_Parser",),
})  # fmt: skip
TABLE_OF_A_PAPER = _reader("table", _tables, _rows_too, {**STRUCTURE, "spikefold.train.papers.tables": ()})
CHIP = _reader("chip", _chips, load_chip, {"spikefold.chip.config": (), "spikefold.chip.limits": ()})
