"""TOML tables as frozen dataclasses: every key known, every value of its type. No torch here."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, cast, get_args, get_origin

import cattrs
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError

from spikefold.data.errors import SpikefoldError
from spikefold.data.shown import shortened
from spikefold.train.errors import RecipeError

__all__ = ["structure"]

T = TypeVar("T")
ROOT = "table"
REASON_MAX = 1000
"""Characters: all keys of a table must find place."""


def structure(table: Mapping[str, Any], kind: type[T], place: str) -> T:
    """Return ``table`` as the dataclass ``kind``; a missing, unknown or bad key is a RecipeError that names ``place`` and the key."""
    try:
        return cast(T, _converter().structure(table, kind))
    except ClassValidationError as error:
        first = cattrs.transform_error(error, path=ROOT, format_exception=_reason)[0]
        reason, _, where = first.rpartition(" @ ")
        # A key of a table within a table stands in it as it is.
        where = shortened(where.removeprefix(ROOT).removeprefix(".") or "top level")
        raise RecipeError(f"{place}: {where}: {shortened(reason, REASON_MAX)}") from error


FLOAT_EXACT = 1 << 53
"""Up to here every integer is a float."""


@cache
def _converter() -> Any:
    """Return a converter that takes only what TOML itself says is a number, a text, a truth value or a list."""
    converter = cattrs.Converter(forbid_extra_keys=True)
    for kind, words in ((int, "an integer"), (str, "a text"), (bool, "true or false"), (float, "a number")):
        converter.register_structure_hook(kind, _exactly(kind, words))
    several = converter.get_structure_hook(tuple[Any, ...])

    def listed(value: object, kind: Any) -> object:
        # To cattrs, a text is a sequence of texts, and a table one of its keys.
        if not isinstance(value, list):
            raise TypeError(value)
        return several(value, kind)

    converter.register_structure_hook_func(_is_tuple, listed)
    return converter


def _is_tuple(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _exactly(kind: type[Any], words: str) -> Callable[[object, object], object]:
    def hook(value: object, _: object) -> object:
        # Not isinstance: true is an int to Python. A number without a point is a float's value too, where a float can hold it.
        if type(value) is kind or (kind is float and type(value) is int and abs(value) <= FLOAT_EXACT):
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
        length = {str: "texts"}.get(get_args(kind)[0], "tables") if get_args(kind)[-1] is ... else f"{len(get_args(kind))} integers"
        return f"it must be a list of {length}"
    if is_dataclass(kind) or get_origin(kind) is dict:
        return "it must be a table"
    return str(error)
