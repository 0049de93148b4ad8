"""An HDF5 file from elsewhere as numbers and texts, read by a process of its own (see :mod:`spikefold.train.importers.hdf5_child`)."""

import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from spikefold.data.shown import shortened
from spikefold.train.importers.errors import SourceError

__all__ = ["FILE_BYTES_MAX", "decoded", "parse_hdf5"]

FILE_BYTES_MAX = 1 << 28
SECONDS = 120
REASON_MAX = 300
ARRAY = "/array"
"""As in the child, which must not be imported here."""


def parse_hdf5(content: bytes, path: str) -> dict[str, Any]:
    """Return what is in the bytes of a file, which ``path`` names in errors: tables of tables, arrays, texts and lists of texts.

    External storage, links, what stands in two places, unknown filters, other types than numbers and texts, values that are not finite, and more of
    anything than a network needs are SourceErrors that name the place; so is a file on which the reading process fails.
    """
    if importlib.util.find_spec("h5py") is None:
        raise ModuleNotFoundError("No module named 'h5py'", name="h5py")
    # HDF5 loads no plugin where this is "::".
    environment = {**os.environ, "HDF5_PLUGIN_PRELOAD": "::"}
    # -P: the current folder is no place to import from.
    command = [sys.executable, "-P", str(Path(__file__).with_name("hdf5_child.py"))]
    try:
        done = subprocess.run(command, input=content, capture_output=True, timeout=SECONDS, env=environment, check=False)
    except subprocess.TimeoutExpired as error:
        raise SourceError(f"{path}: reading it took more than {SECONDS} s") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise SourceError(f"{path}: the process that read it ended with status {done.returncode}: {shortened(said, REASON_MAX)}")
    return decoded(done.stdout, path)


def decoded(output: bytes, path: str) -> dict[str, Any]:
    """Return what the child wrote, with arrays in their places, or raise its error."""
    behind = output.index(b"\n") + 1
    result = json.loads(output[:behind])
    if "error" in result:
        raise SourceError(f"{path}: {shortened(_printable(result['error']), REASON_MAX)}")
    return {name: _value(item, output, behind) for name, item in result["content"].items()}


def _value(item: Any, output: bytes, behind: int) -> Any:
    if not isinstance(item, dict):
        return item
    if ARRAY in item:
        dtype, shape, begin = item[ARRAY]
        return np.frombuffer(output, np.dtype(dtype), math.prod(shape), behind + begin).reshape(shape)
    return {name: _value(child, output, behind) for name, child in item.items()}


def _printable(text: str) -> str:
    """Return ``text`` on one line, without what a terminal would obey: names in the file stand in it as they are."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))
