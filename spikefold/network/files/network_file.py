"""The file of an integer network: every field of :mod:`spikefold.network.network` with its exact type, and nothing else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy.typing as npt

from spikefold.data.errors import NetworkError
from spikefold.network.files import tensor_file
from spikefold.network.files.records import pack, unpack
from spikefold.network.network import FORMAT_VERSION, Network

__all__ = ["KIND", "dumps", "from_parts", "load", "loads", "save"]

KIND = "network"
KINDS = {KIND: "an integer network", "float_network": "a float network"}


def save(network: Network, path: Path) -> None:
    """Write ``network`` to ``path``: the same bytes for the same network, the whole file or nothing; failures are NetworkErrors."""
    table, tensors = pack(network)
    tensor_file.write(path, tensors, {"kind": KIND, KIND: table})


def load(path: Path) -> Network:
    """Read a network; whatever is wrong with the file is a NetworkError that names the layer, the field, the value and the limit."""
    return from_parts(*tensor_file.read(path), str(path))


def dumps(network: Network, place: str = "network") -> bytes:
    """Return the bytes that :func:`save` writes; ``place`` names the file in errors."""
    table, tensors = pack(network)
    return tensor_file.dumps(tensors, {"kind": KIND, KIND: table}, place)


def loads(content: bytes, place: str = "network") -> Network:
    """Return the network in the bytes of a file; ``place`` names it in errors."""
    return from_parts(*tensor_file.loads(content, place), place)


def from_parts(header: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]], place: str) -> Network:
    """Return the network in a file's header and tensors."""
    table = body(header, KIND, place)
    # The version comes first: another version may well have other fields.
    check_version(table.get("format_version"), FORMAT_VERSION, "fold the float network again", place)
    try:
        return unpack(Network, table, tensors)
    except NetworkError as error:
        raise NetworkError(f"{place}: {error}") from error


def body(header: Mapping[str, Any], kind: str, place: str) -> dict[str, Any]:
    """Return the table of a file of ``kind``, or say which kind of file it is."""
    given = header.get("kind")
    if given != kind:
        what = KINDS.get(given) if isinstance(given, str) else None
        _fail(place, f"kind {tensor_file.shown(given)}{f', {what}' if what else ''}; {KINDS[kind]} ({kind!r}) is expected here")
    unknown = sorted(set(header) - {"kind", kind})
    table = header.get(kind)
    if unknown or not isinstance(table, dict):
        _fail(place, f"header: keys {tensor_file.shown(sorted(header))}; it must hold 'kind' and the table {kind!r}")
    return table


def check_version(given: Any, supported: int, remedy: str, place: str) -> None:
    """Refuse another version of the format; ``remedy`` says how the file is made anew."""
    if type(given) is not int or given != supported:
        _fail(place, f"format_version: {tensor_file.shown(given)}; this version of spikefold reads {supported}; {remedy}")


def _fail(place: str, what: str) -> NoReturn:
    raise NetworkError(f"{place}: {what}")
