"""NIR graphs in HDF5: nodes, edges and this package's text, what HDF5 itself can say of them, and the bytes of the file.

A case is a file of h5py with what a tree says otherwise put into it by h5py. It is read in this process, which is what is measured: to start Python
and h5py for each would take hours. What was changed in its bytes is read in a forked process first, under the limits of the one that reads users'
files, since libhdf5 may end with it; some cases are read as users' files are.
"""

import os
import resource
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks.fuzz.cases import Case, Random, Reader, cut_or_grown, flipped, is_there, odd_entries, some
from benchmarks.fuzz.graph_changes import TEXT, WAYS
from benchmarks.fuzz.graph_meaning import difference_of
from benchmarks.fuzz.graph_samples import FOREIGN, RULES, SHAPES, TIMESTEPS, Tree, coding_of, exported, foreign
from benchmarks.fuzz.measure import SECONDS_MAX
from spikefold.data.files import read_whole
from spikefold.quantize.float_network import FloatNetwork
from spikefold.train.importers import hdf5_child
from spikefold.train.importers.errors import SourceError
from spikefold.train.importers.hdf5_file import FILE_BYTES_MAX, decoded
from spikefold.train.importers.nir_export import exported_network
from spikefold.train.importers.nir_graph import NirChain, chain_of, read_chain
from spikefold.train.importers.nir_import import network_of

__all__ = ["NIR"]

PROCESS, RAW = "process", "raw"
"""Of a name: it is read by a process of its own, as users' files are; its bytes were changed."""


@cache
def _written(ours: bool, number: int, compressed: bool) -> bytes:
    """Return a graph as a file."""
    buffer = BytesIO()
    with h5py.File(buffer, "w") as file:
        _put(file, {}, (exported if ours else foreign)(number)[1], compressed)
    return buffer.getvalue()


def _put(group: Any, there: Tree, tree: Tree, compressed: bool) -> None:
    """Put into a group what the tree says otherwise than the one that is there."""
    options = {"compression": "gzip"} if compressed else {}
    for name in [name for name in there if name not in tree]:
        del group[name]
    for name, value in tree.items():
        old = there.get(name)
        if old is value:
            continue
        if isinstance(old, dict) and isinstance(value, dict):
            _put(group[name], old, value, compressed)
            continue
        if name in there:
            del group[name]
        if callable(value):
            value(group, name)
        elif isinstance(value, dict):
            _put(group.create_group(name), {}, value, compressed)
        elif isinstance(value, str | bytes | list):
            group.create_dataset(name, data=value, dtype=TEXT)
        else:
            group.create_dataset(name, data=value, **(options if np.ndim(value) else {}))


def _copied(tree: Tree) -> Tree:
    return {name: _copied(value) if isinstance(value, dict) else value for name, value in tree.items()}


def _case(rng: Random) -> Case:
    ours, number, compressed, chance = rng.random() < 0.4, rng.randrange(FOREIGN), rng.random() < 0.5, rng.random()
    name, tree = (exported if ours else foreign)(number)
    content = _written(ours, number, compressed)
    if chance < 0.01:
        return odd_entries(rng, {name: content})
    if chance < 0.04:
        return Case(what="as written", files={f"{name}-{PROCESS}" if rng.random() < 0.1 else name: content}, expect="accepted")
    words: list[str] = []
    if chance < 0.85:
        content, words = _tree_changed(rng, content, tree, compressed)
    if chance >= 0.85 or rng.random() < 0.02:
        content, more = _bytes_changed(rng, content)
        name, words = f"{name}-{RAW}", [*words, more]
    return Case(what=", ".join(words), files={f"{name}-{PROCESS}" if rng.random() < 0.005 else name: content})


def _tree_changed(rng: Random, content: bytes, tree: Tree, compressed: bool) -> tuple[bytes, list[str]]:
    """Return a file changed in one way or two that h5py can write."""
    while True:
        other, words = _copied(tree), []
        for _ in range(rng.choice((1, 1, 1, 2))):
            way = some(rng, WAYS)
            try:
                words.append(f"{way.__name__.strip('_').replace('_', ' ')} {way(rng, other)}")
            except (KeyError, TypeError, IndexError, AttributeError, ValueError, OverflowError):
                # The way before took away what this one needs.
                continue
        buffer = BytesIO(content)
        try:
            with h5py.File(buffer, "r+") as file:
                _put(file, tree, other, compressed)
        except (ValueError, TypeError, KeyError, OSError, RuntimeError, OverflowError):
            # It is no file that can be written.
            continue
        return buffer.getvalue(), words


def _bytes_changed(rng: Random, content: bytes) -> tuple[bytes, str]:
    """Change bytes behind the first 96, which are HDF5's own header, more often than any."""
    return some(rng, [
        (8, (flipped(rng, content, 96), "bytes changed")), (2, (flipped(rng, content[:96]) + content[96:], "bytes of the header changed")),
        (2, (cut_or_grown(rng, content), "cut or grown")), (1, (bytes(512) + content, "behind a block of a user's")),
        (0.3, (rng.randbytes(60), "noise")), (0.3, (content[:8] + rng.randbytes(200), "noise behind the magic")),
    ])  # fmt: skip


REFUSED = 2


def _read(folder: Path) -> Any:
    path = next((path for path in map(folder.joinpath, _names()) if is_there(path)), folder / _names()[0])
    shape, rules, *marks = path.name.split("-")
    # What is no file is refused before any process would be started.
    chain = _chain(path, raw=RAW in marks) if PROCESS not in marks and path.is_file() else read_chain(path)
    if chain.metadata:
        return exported_network(chain, str(path))
    return network_of(chain, coding_of(SHAPES[shape]), TIMESTEPS, RULES[rules], None, {})


@cache
def _names() -> tuple[str, ...]:
    marks = ("", f"-{RAW}", f"-{PROCESS}", f"-{RAW}-{PROCESS}")
    return tuple(f"{shape}-{rules}{mark}" for shape in SHAPES for rules in RULES for mark in marks)


def _chain(path: Path, *, raw: bool) -> NirChain:
    """Return the graph in a file, as ``read_chain`` does."""
    content = read_whole(path, FILE_BYTES_MAX)
    if raw:
        status = os.waitstatus_to_exitcode(_forked(content))
        if status:
            # Without its limits, libhdf5 may take gigabytes before it refuses.
            raise SourceError(f"{path}: the process that read it {'refused it' if status == REFUSED else f'ended with status {status}'}")
    return chain_of(decoded(b"".join(hdf5_child.written(hdf5_child.read(content))), str(path)), str(path))


def _forked(content: bytes) -> int:
    """Return how a process ended that reads a file as ``hdf5_child`` does."""
    if (pid := os.fork()) == 0:
        status = 1
        try:
            memory = hdf5_child.used_bytes() + hdf5_child.MEMORY_BYTES + 4 * len(content)
            resource.setrlimit(resource.RLIMIT_AS, (memory, resource.RLIM_INFINITY))
            resource.setrlimit(resource.RLIMIT_CPU, (int(SECONDS_MAX), int(SECONDS_MAX) + 1))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            result = hdf5_child.read(content)
            for _ in hdf5_child.written(result):
                pass
            status = REFUSED if "error" in result else 0
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1]


def _differs(case: Case, network: FloatNetwork) -> str:
    name = next(iter(case.files))
    shape, rules, *_ = name.split("-")
    return difference_of(case.content(name), SHAPES[shape], RULES[rules], network)


def _past_header(case: Case) -> bool:
    """Return whether h5py opens the file, and a graph is in it."""
    name, content = next(iter(case.files.items()), ("", None))
    if not isinstance(content, bytes) or (RAW in name and _forked(content)):
        return False
    try:
        with h5py.File(BytesIO(content)) as file:
            return "node" in file and len(file["node"]) > 0
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, OverflowError):
        # h5py turns what libhdf5 finds into errors of many types.
        return False


NIR = Reader(
    name="nir", case=_case, read=_read, differs=_differs, past_header=_past_header,
    covers={
        "spikefold.train.importers.hdf5_child": ("_Reader", "read", "written"), "spikefold.train.importers.hdf5_file": ("decoded", "_value"),
        "spikefold.train.importers.nir_graph": (), "spikefold.train.importers.nir_import": ("network_of", "_"),
        "spikefold.train.importers.nir_export": ("exported_network", "_exact", "_data"),
    },
)  # fmt: skip
