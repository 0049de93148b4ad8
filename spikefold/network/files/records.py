"""Frozen dataclasses to a JSON table and tensors, and back, by their type annotations: every field, no other field, the exact types.

Arrays become tensors named by their place, such as ``populations.0.threshold``; everything else stays in the table.
"""

import dataclasses
import operator
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_origin

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import NetworkError, SpikefoldError
from spikefold.network.files.tensor_file import shown
from spikefold.network.schedule import Schedule

__all__ = ["pack", "unpack"]

T = TypeVar("T")
INTEGER_MAX = (1 << 63) - 1


def pack(record: Any) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Return the JSON table and the tensors of a dataclass instance."""
    tensors: dict[str, npt.NDArray[Any]] = {}
    table = _pack(type(record), record, "", tensors)
    return table, tensors


def _pack(hint: Any, value: Any, name: str, tensors: dict[str, npt.NDArray[Any]]) -> Any:
    if _array_type(hint) is not None:
        tensors[name] = value.values if isinstance(value, Schedule) else value
        return None
    if dataclasses.is_dataclass(hint):
        hints, prefix = typing.get_type_hints(hint), f"{name}." if name else ""
        packed = {f.name: _pack(hints[f.name], getattr(value, f.name), prefix + f.name, tensors) for f in dataclasses.fields(hint)}
        # An array is in the tensors alone; an optional one that is there leaves its mark.
        return {key: item for key, item in packed.items() if _array_type(hints[key]) is None}
    inner = _optional(hint)
    if inner is not None and _array_type(inner) is None:
        return None if value is None else _pack(inner, value, name, tensors)
    if inner is not None:
        return value is not None and (_pack(inner, value, name, tensors) or True)
    if get_origin(hint) is tuple:
        element = get_args(hint)[0]
        return [_pack(element, item, f"{name}.{i}", tensors) for i, item in enumerate(value)]
    if get_origin(hint) is Mapping:
        return dict(value)
    return _scalar_type(hint)(operator.index(value) if hint is int else value)


def unpack(cls: type[T], table: Any, tensors: Mapping[str, npt.NDArray[Any]]) -> T:
    """Return the dataclass instance that :func:`pack` took apart.

    An unknown or missing field or tensor, another type or dtype, and whatever the class itself refuses is a NetworkError with its place.
    """
    used: set[str] = set()
    record = _unpack_record(cls, table, "", "", tensors, used)
    for name in sorted(tensors):
        if name not in used:
            raise NetworkError(f"tensor {name!r}: no field refers to it; tensors must be those of the fields")
    return typing.cast(T, record)


def _unpack_record(cls: Any, table: Any, name: str, place: str, tensors: Mapping[str, npt.NDArray[Any]], used: set[str]) -> Any:
    if not isinstance(table, dict):
        raise NetworkError(f"{place}: {shown(table)}; it must be a table of fields")
    label = next((table[key] for key in ("name", "id", "target") if isinstance(table.get(key), str)), None)
    place = place if label is None or not place else f"{place} {shown(label)}"
    hints = typing.get_type_hints(cls)
    expected = [f.name for f in dataclasses.fields(cls) if _array_type(hints[f.name]) is None]
    for key in table:
        if key not in expected:
            raise NetworkError(f"{place} {shown(key)}: unknown field; the fields are {', '.join(expected)}".strip())
    values = {}
    for field in dataclasses.fields(cls):
        where, full = f"{place} {field.name}".strip(), f"{name}.{field.name}" if name else field.name
        dtype = _array_type(hints[field.name])
        if dtype is not None:
            values[field.name] = _tensor(dtype, full, where, tensors, used)
        elif field.name not in table:
            raise NetworkError(f"{where}: the field is missing; every field must be there")
        else:
            values[field.name] = _unpack(hints[field.name], table[field.name], full, where, tensors, used)
    try:
        return cls(**values)
    except SpikefoldError as error:
        raise NetworkError(f"{place}: {error}" if place else str(error)) from error


def _unpack(hint: Any, value: Any, name: str, place: str, tensors: Mapping[str, npt.NDArray[Any]], used: set[str]) -> Any:
    if dataclasses.is_dataclass(hint):
        return _unpack_record(hint, value, name, place, tensors, used)
    inner = _optional(hint)
    if inner is not None:
        dtype = _array_type(inner)
        if dtype is None:
            return None if value is None else _unpack(inner, value, name, place, tensors, used)
        if type(value) is not bool:
            raise NetworkError(f"{place}: {shown(value)}; it must be true or false, for whether the tensor {name!r} is there")
        return _tensor(dtype, name, place, tensors, used) if value else None
    if get_origin(hint) is tuple:
        arguments = get_args(hint)
        counted = arguments[-1] is not Ellipsis
        if not isinstance(value, list) or (counted and len(value) != len(arguments)):
            raise NetworkError(f"{place}: {shown(value)}; it must be a list{f' of {len(arguments)}' if counted else ''}")
        return tuple(_unpack(arguments[0], item, f"{name}.{i}", f"{place}[{i}]", tensors, used) for i, item in enumerate(value))
    if get_origin(hint) is Mapping:
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise NetworkError(f"{place}: {shown(value)}; it must be a table of texts")
        return value
    scalar: Any = _scalar_type(hint)
    if type(value) is not scalar or (scalar is int and abs(value) > INTEGER_MAX):
        raise NetworkError(f"{place}: {shown(value)}; it must be {SCALARS[scalar]}")
    return value


def _tensor(dtype: np.dtype[Any], name: str, place: str, tensors: Mapping[str, npt.NDArray[Any]], used: set[str]) -> npt.NDArray[Any]:
    if name not in tensors:
        raise NetworkError(f"{place}: the tensor {name!r} is missing; every field must be there")
    if tensors[name].dtype != dtype:
        raise NetworkError(f"{place}: dtype {tensors[name].dtype}; it must be {dtype}")
    used.add(name)
    return tensors[name]


SCALARS = {int: "an integer of 64 bits", bool: "true or false", float: "a number with a point", str: "a text"}


def _scalar_type(hint: Any) -> type:
    if get_origin(hint) is typing.Literal:
        return str
    if hint in SCALARS:
        return typing.cast(type, hint)
    raise TypeError(f"no rule for the field type {hint}")


def _array_type(hint: Any) -> np.dtype[Any] | None:
    if hint is Schedule:
        return np.dtype(np.int64)
    if get_origin(hint) is np.ndarray:
        return typing.cast(np.dtype[Any], np.dtype(get_args(get_args(hint)[1])[0]))
    return None


def _optional(hint: Any) -> Any:
    """Return X of ``X | None``, or None."""
    if get_origin(hint) in (types.UnionType, typing.Union):
        return next(a for a in get_args(hint) if a is not type(None))
    return None
