"""A module of the user's from a Python file, which is executed for it."""

import contextlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from torch import nn

from spikefold.train.importers.errors import SourceError

__all__ = ["load_module", "reason"]

NAME = "spikefold_imported"
"""What the user's file is called while it runs: not ``__main__``, so that it does not train."""


def load_module(path: Path, name: str) -> nn.Module:
    """Execute a Python file and return its module ``name``, or what a function or class of that name returns without arguments.

    The file's folder is where it finds its imports, as when it is run; what it prints goes to stderr. Whatever goes wrong in it is a SourceError.
    """
    if not path.is_file():
        raise SourceError(f"{path}: there is no such file")
    spec = importlib.util.spec_from_file_location(NAME, path)
    if path.suffix != ".py" or spec is None or spec.loader is None:
        raise SourceError(f"{path}: it is no Python file; its name must end in .py")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = loaded
    sys.path.insert(0, str(path.resolve().parent))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            spec.loader.exec_module(loaded)
            found = _named(loaded, path, name)
            if not isinstance(found, nn.Module) and callable(found):
                found = found()
    except SourceError:
        raise
    except (Exception, SystemExit) as error:
        raise SourceError(f"{path}: {reason(error, path)}") from error
    finally:
        sys.path.remove(str(path.resolve().parent))
        sys.modules.pop(NAME, None)
    if not isinstance(found, nn.Module):
        raise SourceError(
            f"{path}: {name} is of the type {type(found).__name__}; it must be a torch module, or give one when called without arguments"
        )
    return found


def _named(loaded: Any, path: Path, name: str) -> Any:
    if not hasattr(loaded, name):
        known = ", ".join(key for key in vars(loaded) if not key.startswith("_")) or "none"
        raise SourceError(f"{path}: it has no {name!r}; its names are {known}")
    return getattr(loaded, name)


def reason(error: BaseException, path: Path | None = None) -> str:
    """Return what is wrong with the user's code in one line, and the last line of ``path`` that led there."""
    line, trace = "", error.__traceback__
    while trace is not None:
        if path is not None and Path(trace.tb_frame.f_code.co_filename) == path:
            line = f", in line {trace.tb_lineno}"
        trace = trace.tb_next
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}{line}" if words else f"{type(error).__name__}{line}"
