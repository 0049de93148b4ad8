"""The file of a float network: every field of :mod:`spikefold.quantize.float_network`, read as strictly as an integer network.

A tensor whose values are all exact in float32, as those of a network trained in it are, is kept in that; it comes back as the
same float64 values.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import NetworkError
from spikefold.network.files import tensor_file
from spikefold.network.files.network_file import body, check_version
from spikefold.network.files.records import pack, unpack
from spikefold.quantize.float_network import FloatNetwork

__all__ = ["FLOAT_FORMAT_VERSION", "KIND", "float_from_parts", "load_float", "save_float"]

KIND = "float_network"
FLOAT_FORMAT_VERSION = 2


def save_float(network: FloatNetwork, path: Path) -> None:
    """Write ``network`` to ``path``: the same bytes for the same network, the whole file or nothing; failures are NetworkErrors."""
    table, tensors = pack(network)
    tensor_file.write(
        path, {name: _narrow(tensor) for name, tensor in tensors.items()}, {"kind": KIND, KIND: {"format_version": FLOAT_FORMAT_VERSION, **table}}
    )


def _narrow(tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
    with np.errstate(over="ignore"):
        narrow = tensor.astype(np.float32)
    return narrow if np.array_equal(narrow, tensor) else tensor


def load_float(path: Path) -> FloatNetwork:
    """Read a float network; whatever is wrong with the file is a NetworkError that names the layer, the field and the value."""
    return float_from_parts(*tensor_file.read(path), str(path))


def float_from_parts(header: Mapping[str, Any], tensors: dict[str, npt.NDArray[Any]], place: str) -> FloatNetwork:
    """Return the float network in a file's header and tensors; of these, what is in float32 is replaced by float64."""
    table = dict(body(header, KIND, place))
    check_version(table.pop("format_version", None), FLOAT_FORMAT_VERSION, "train or import the network again", place)
    for name, tensor in tensors.items():
        if tensor.ndim == 0:
            raise NetworkError(f"{place}: tensor {name!r} shape: []; it must have at least 1 axis")
        if tensor.dtype == np.float32:
            # In its place, so that not both are kept: the network's own copy is the third.
            tensors[name] = tensor.astype(np.float64)
    try:
        return unpack(FloatNetwork, table, tensors)
    except NetworkError as error:
        raise NetworkError(f"{place}: {error}") from error
