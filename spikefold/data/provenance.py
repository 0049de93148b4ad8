"""With which versions something was made."""

import platform
from importlib import metadata

import spikefold

__all__ = ["versions"]


def versions(*names: str, installed_only: bool = False) -> dict[str, str]:
    """Return the versions of the named packages, in their order; ``spikefold`` and ``python`` are names too.

    A package that is not installed is left out with ``installed_only``; without, it is an importlib.metadata.PackageNotFoundError.
    """
    found = {}
    for name in names:
        try:
            found[name] = _version(name)
        except metadata.PackageNotFoundError:
            if not installed_only:
                raise
    return found


def _version(name: str) -> str:
    if name == "spikefold":
        # The metadata of a clone may be of the day when it was installed.
        return spikefold.__version__
    return platform.python_version() if name == "python" else metadata.version(name)
