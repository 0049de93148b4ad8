"""Files that are whole or not there: write beside the target, then rename."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spikefold.data.errors import SpikefoldError

__all__ = ["new_folder", "write_bytes", "write_text"]


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` by way of a temporary name in the same folder; an interrupt leaves the old file."""
    if not path.parent.is_dir():
        raise SpikefoldError(f"{path}: the folder {path.parent} does not exist")
    if path.is_dir():
        raise SpikefoldError(f"{path}: it is a folder; a file's name is needed")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_text(path: Path, content: str) -> None:
    """Write ``content`` as UTF-8 like :func:`write_bytes`."""
    write_bytes(path, content.encode())


@contextmanager
def new_folder(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield an empty folder to fill; it takes the name ``path`` only when the block ends well.

    An existing ``path`` is an error unless ``force``, which replaces it at the end.
    """
    if path.exists() and not force:
        raise SpikefoldError(f"{path}: it exists already; use --force to replace it, or another name")
    if path.exists() and not path.is_dir():
        raise SpikefoldError(f"{path}: it is a file; a folder's name is needed")
    path.parent.mkdir(parents=True, exist_ok=True)
    working = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield working
        umask = os.umask(0)
        os.umask(umask)
        working.chmod(0o777 & ~umask)
        if path.exists():
            shutil.rmtree(path)
        working.rename(path)
    except BaseException:
        shutil.rmtree(working, ignore_errors=True)
        raise
