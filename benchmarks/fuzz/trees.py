"""JSON as trees that may hold a key twice: taken apart, changed in one place, and written again."""

import json
from typing import Any

from benchmarks.fuzz.cases import Random, numbers

__all__ = ["Pairs", "Raw", "TwiceError", "changed", "parse", "plain", "text"]


class Pairs(list[tuple[str, Any]]):
    """An object of JSON: its keys and values in order, a key as often as it stands there."""


class Raw(str):
    """A value that is written as it stands."""


class TwiceError(ValueError):
    """A key that is there twice, or a number that is none."""


def parse(content: str) -> Any:
    """Return the tree of a JSON text."""
    return json.loads(content, object_pairs_hook=Pairs)


def text(tree: Any) -> str:
    """Return the JSON text of a tree."""
    if isinstance(tree, Raw):
        return str(tree)
    if isinstance(tree, Pairs):
        return "{" + ",".join(f"{json.dumps(key)}:{text(value)}" for key, value in tree) + "}"
    if isinstance(tree, list):
        return "[" + ",".join(map(text, tree)) + "]"
    return json.dumps(tree)


def plain(content: str) -> Any:
    """Return what a JSON text says, by Python's own reader; a key that is there twice and a number that is not finite are a TwiceError."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise TwiceError("a key is there twice")
        return dict(pairs)

    def refused(constant: str) -> float:
        raise TwiceError(constant)

    def real(number: str) -> float:
        return float(number) if abs(float(number)) < float("inf") else refused(number)

    return json.loads(content, object_pairs_hook=once, parse_constant=refused, parse_float=real)


def changed(rng: Random, tree: Any) -> tuple[Any, str]:
    """Return a tree with one place of it changed, and where and how in words."""
    places = list(_places(tree, ()))
    place = rng.choice(places)
    return _replaced(rng, tree, place, ""), f"at {'.'.join(map(str, place)) or 'the top'}"


def _places(tree: Any, place: tuple[int, ...]) -> Any:
    yield place
    items = [value for _, value in tree] if isinstance(tree, Pairs) else tree if isinstance(tree, list) else []
    for i, value in enumerate(items):
        yield from _places(value, (*place, i))


def _replaced(rng: Random, tree: Any, place: tuple[int, ...], key: str) -> Any:
    if not place:
        return _other(rng, tree)
    at, rest = place[0], place[1:]
    if isinstance(tree, Pairs):
        pairs = Pairs(tree)
        name, value = pairs[at]
        if not rest and rng.random() < 0.4:
            action = rng.randrange(5)
            if action == 0:
                del pairs[at]
            elif action == 1:
                pairs.insert(rng.randint(0, len(pairs)), (name, value))
            elif action == 2:
                pairs[at] = (rng.choice((name + "_", name.upper(), "", "__proto__", "\ud800", "a\nb", name[:-1])), value)
            elif action == 3:
                pairs.append((rng.choice(("more", "name", "dtype", "é", "x" * 300)), _value(rng)))
            else:
                rng.shuffle(pairs)
            return pairs
        pairs[at] = (name, _replaced(rng, value, rest, name))
        return pairs
    items = list(tree)
    if not rest and rng.random() < 0.4:
        action = rng.randrange(4)
        if action == 0:
            del items[at]
        elif action == 1:
            items.insert(at, items[at])
        elif action == 2:
            items.append(_value(rng))
        else:
            items.reverse()
        return items
    items[at] = _replaced(rng, items[at], rest, key)
    return items


def _other(rng: Random, value: Any) -> Any:
    """Return a value of the same kind, more often than of another one."""
    if rng.random() < 0.35:
        return _value(rng)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice((value + 1, value - 1, -value, numbers(rng), float(value), value * 2))
    if isinstance(value, float):
        return rng.choice((-value, value * 2, value + 1e-9, 1e308, 5e-324, -0.0, round(value), 0.0, 1.0, Raw("1e999"), Raw("NaN")))
    if isinstance(value, str):
        return rng.choice(
            (value + " ", value[:-1], value.upper(), "", value * 2, "none", "soft", "hard", "dense", "input", "out", "é\u202e", "a\nb", "y" * 70000)
        )
    return _value(rng)


def _value(rng: Random) -> Any:
    return rng.choice((
        None, True, False, 0, 1, -1, numbers(rng), 0.5, -0.0, "", "1", "\ud800", "\x1b[2J", [], [1], [[]], Pairs(), Pairs([("a", 1), ("a", 2)]),
        Pairs([("name", "s")]), Raw("NaN"), Raw("-Infinity"), Raw("1e999"), Raw("1" * 5000), Raw("[" * 40 + "]" * 40), Raw('"\\ud800"'),
        Raw("01"), Raw("'x'"),
    ))  # fmt: skip
