"""How arrays are handed to kernels: in one form, so that each kernel is compiled once."""

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["for_kernel"]

Scalar = TypeVar("Scalar", bound=np.generic)


def for_kernel(array: npt.NDArray[Any], dtype: type[Scalar]) -> npt.NDArray[Scalar]:
    """Return ``array`` as ``dtype``, contiguous and writable: itself if it is all that, a copy if not.

    Numba compiles a kernel anew for arrays that are read-only or strided, which takes seconds. A kernel writes only what its docstring names.
    """
    return np.require(array, dtype, ["C", "W"])
