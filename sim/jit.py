"""The one set of JIT options that every kernel uses."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

__all__ = ["kernel"]

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile ``function`` in nopython mode, cached on disk; it must allocate nothing and read no globals."""
    return cast(Function, numba.njit(cache=True, nogil=True, boundscheck=False)(function))
