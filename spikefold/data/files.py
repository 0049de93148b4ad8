"""Files read whole and bounded; files and folders that are whole or not there: written beside the target, then renamed.

A process holds a lock on what it writes under a temporary name. The system releases it when the process ends, however it ends: what carries such a
name and can be locked was left by a process that was killed, and the next one that writes to the same folder removes it.
"""

import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from spikefold.data.errors import DataError, SpikefoldError
from spikefold.data.shown import shown

__all__ = [
    "EVALUATION",
    "FINAL_EVALUATION",
    "MANIFEST",
    "MODEL",
    "RECIPE",
    "SUMMARY",
    "WEIGHTS",
    "check_output",
    "check_replaceable",
    "new_folder",
    "read_whole",
    "write_bytes",
    "write_text",
]

RECIPE = "recipe.toml"
"""The recipe in the folder of a run, there from its beginning."""
MODEL = "model.safetensors"
"""The float network in the folder of a run."""
WEIGHTS = "weights.safetensors"
"""What is learned, in the folder of a run whose network no float network can express yet."""
EVALUATION, FINAL_EVALUATION = "evaluation.json", "evaluation_final.json"
"""What ``evaluate`` leaves in the folder of a run: on the samples that training held back, and on the test split."""
MANIFEST = "manifest.json"
"""What tells a build from other folders."""
SUMMARY = "summary.json"
"""What a finished run, simulation or demo leaves."""

TEMPORARY = re.compile(r"\.(?P<name>.+)\.spikefold-[a-z0-9_]{8}(?P<old>\.old)?", re.DOTALL)
"""Temporary names beside a target of that name; ``old`` is what a new folder replaces."""
NAME_BYTES_MAX = 200
"""Longer names are cut in temporary ones: a file system takes 255 bytes."""


def read_whole(path: Path, bytes_max: int) -> bytes:
    """Return what is in a regular file of at most ``bytes_max`` bytes.

    What is no file, larger, or changing while it is read is a DataError; what the system refuses is left an OSError, for words of the caller's.
    """
    try:
        status = path.stat()
    except ValueError as error:
        raise DataError(f"{shown(str(path))}: not a file name: {error}") from error
    # A device or a pipe may have no end.
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path}: it is not a file")
    if status.st_size > bytes_max:
        raise DataError(f"{path}: it is larger than {bytes_max} bytes, which is the limit")
    with path.open("rb") as file:
        # One byte more than there should be; not more than the limit, which would be set aside for the smallest file too.
        content = file.read(status.st_size + 1)
    if len(content) != status.st_size:
        raise DataError(f"{path}: it changed while it was read")
    return content


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` by way of a temporary name in the same folder; an interrupt leaves the old file.

    What cannot be written is a SpikefoldError that names ``path``.
    """
    if not path.parent.is_dir():
        raise SpikefoldError(f"{path}: the folder {path.parent} does not exist")
    if path.is_dir():
        raise SpikefoldError(f"{path}: it is a folder; a file's name is needed")
    with _refusals_of(path):
        _remove_leftovers(path.parent)
        with _held(lambda: tempfile.mkstemp(dir=path.parent, prefix=_prefix(path))) as (handle, temporary):
            try:
                with os.fdopen(handle, "wb", closefd=False) as file:
                    file.write(content)
                    file.flush()
                    os.fsync(handle)
                umask = os.umask(0)
                os.umask(umask)
                temporary.chmod(0o666 & ~umask)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise


def write_text(path: Path, content: str) -> None:
    """Write ``content`` as UTF-8 like :func:`write_bytes`."""
    write_bytes(path, content.encode())


def check_output(path: Path, *, force: bool, inputs: Iterable[Path] = ()) -> None:
    """Raise a DataError where :func:`write_bytes` cannot write to ``path``, or must not: for before a long run, not after it.

    An existing file is replaced only with ``force``; one of the ``inputs``, files that the run reads or folders whose content it reads, and
    what is no regular file, such as a device, never is. The folder is tried with a file that is gone at once.
    """
    if path.is_dir():
        raise DataError(f"{path}: it is a folder; a file's name is needed")
    if not path.parent.is_dir():
        raise DataError(f"{path}: the folder {path.parent} does not exist")
    # A link counts as what it leads to, and as a name in its folder, since that is what a rename replaces.
    targets = (Path(os.path.realpath(path)), Path(os.path.realpath(path.parent), path.name))
    for source in inputs:
        resolved = Path(os.path.realpath(source))
        if resolved in targets:
            raise DataError(f"{path}: it is a file that is read here, which is never replaced; choose another name")
        if any(resolved in target.parents for target in targets):
            raise DataError(f"{path}: it is in {source}, which is read here and stays as it is; choose another name")
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: it is not a file; choose another name")
    if os.path.lexists(path) and not force:
        raise DataError(f"{path}: it exists already; use --force to replace it, or another name")
    with _refusals_of(path), tempfile.TemporaryFile(dir=path.parent, prefix=_prefix(path)):
        pass


@contextmanager
def _refusals_of(path: Path) -> Iterator[None]:
    """Make what the system refuses to a temporary name an error about ``path``, the name that was asked for."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error


def _prefix(path: Path) -> str:
    """Return how the temporary name beside ``path`` begins."""
    name = path.name if len(os.fsencode(path.name)) <= NAME_BYTES_MAX else path.name[:40]
    return f".{name}.spikefold-"


@contextmanager
def _held(make: Callable[[], tuple[int, str]]) -> Iterator[tuple[int, Path]]:
    """Yield the descriptor and path of what ``make`` makes under a temporary name, locked until the block ends."""
    while True:
        handle, name = make()
        try:
            # A file system without locks has none for others either, so what is there stays.
            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX)
            # Before it was locked, another process may have taken it for a leftover.
            if os.path.exists(name):  # noqa: PTH110
                yield handle, Path(name)
                return
        finally:
            os.close(handle)


def _remove_leftovers(folder: Path) -> None:
    """Remove from ``folder`` what killed processes left under temporary names; a folder that was being replaced gets its name back."""
    names: list[str] = []
    # A folder may take files and yet not show them.
    with suppress(OSError):
        names = os.listdir(folder)  # noqa: PTH208
    for match in filter(None, map(TEMPORARY.fullmatch, names)):
        path = folder / match[0]
        # Of the two names of a running process, the lock is on the new folder's.
        lock = path.with_name(path.name.removesuffix(".old")) if match["old"] else path
        with suppress(OSError), ExitStack() as stack:
            if lock.exists():
                handle = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                stack.callback(os.close, handle)
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            target = path.with_name(match["name"])
            if match["old"] and not target.exists():
                path.rename(target)
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def check_replaceable(path: Path) -> None:
    """Raise a SpikefoldError where ``path`` is the current folder, the home folder, or a folder around either."""
    resolved = Path(os.path.realpath(path))
    # Not Path.home(), which raises where there is none.
    home = Path(os.path.realpath(os.path.expanduser("~")))  # noqa: PTH111
    for what, place in (("the current folder", Path.cwd()), ("the home folder", home)):
        if resolved == place or resolved in place.parents:
            raise SpikefoldError(f"{path}: it is or holds {what}, which is never replaced; choose another name")


@contextmanager
def new_folder(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield an empty folder to fill; it takes the name ``path`` only when the block ends well.

    An existing ``path`` is an error unless ``force``, which replaces it at the end: an empty folder, or one with a manifest or summary of
    ours at its top, and never the current folder, the home folder or one around them. The old folder is removed when the new one has its name.
    """
    target = Path(os.path.realpath(path))
    if target.parent.is_dir():
        _remove_leftovers(target.parent)
    _check_target(path, target, force=force)
    target.parent.mkdir(parents=True, exist_ok=True)

    def make() -> tuple[int, str]:
        with _refusals_of(path):
            name = tempfile.mkdtemp(dir=target.parent, prefix=_prefix(target))
            return os.open(name, os.O_RDONLY), name

    with _held(make) as (_, working):
        try:
            yield working
            umask = os.umask(0)
            os.umask(umask)
            working.chmod(0o777 & ~umask)
            # Again: the name may have been taken in the meantime.
            _check_target(path, target, force=force)
            with _refusals_of(path):
                _swap(working, target)
        except BaseException as error:
            shutil.rmtree(working, ignore_errors=True)
            said = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
            if isinstance(error, SpikefoldError | OSError) and str(working) in said:
                # The name that was asked for; the temporary one says nothing.
                raise SpikefoldError(said.replace(str(working), str(path))) from error
            raise


def _check_target(path: Path, target: Path, *, force: bool) -> None:
    check_replaceable(path)
    if not target.exists():
        return
    if not target.is_dir():
        raise SpikefoldError(f"{path}: it is a file; a folder's name is needed")
    if not force:
        raise SpikefoldError(f"{path}: it exists already; use --force to replace it, or another name")
    if any(target.iterdir()) and not any((target / name).is_file() for name in (MANIFEST, SUMMARY)):
        raise SpikefoldError(
            f"{path}: it has neither {MANIFEST} nor {SUMMARY}, so Spikefold did not make it and leaves it alone; choose another name"
        )
    if (target / MODEL).is_file():
        raise SpikefoldError(f"{path}: it is the folder of a training run, which only train --force replaces; choose another name")


def _swap(working: Path, target: Path) -> None:
    """Give ``working`` the name ``target``; at every moment what was there before is whole, or the new folder is in its place."""
    if not target.exists():
        working.rename(target)
        return
    aside = working.with_name(f"{working.name}.old")
    aside.mkdir()
    try:
        target.replace(aside)
        working.rename(target)
    except BaseException:
        if target.exists():
            aside.rmdir()
        else:
            aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)
