"""A trace as a file of named arrays."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spikefold.data.files import write_bytes
from spikefold.network.trace import Trace

__all__ = ["trace_arrays", "write_trace"]


def trace_arrays(trace: Trace) -> dict[str, npt.NDArray[Any]]:
    """Return a trace as named arrays, for ``np.savez``: ``spikes_0`` is that of the first of ``populations``, and so on."""
    arrays: dict[str, npt.NDArray[Any]] = {"populations": np.array(trace.populations), "scores": trace.scores}
    parts: dict[str, Any] = {"spikes": trace.spikes, "potentials": trace.potentials or ()}
    if trace.timing is not None:
        arrays |= {"cycles": trace.timing.cycles, "results": trace.timing.results}
        if trace.timing.core_cycles is not None:
            arrays["core_cycles"] = trace.timing.core_cycles
        parts["arrivals"] = trace.timing.arrivals
    if trace.sops is not None:
        arrays["sops"] = trace.sops
    if trace.clamps is not None:
        arrays["clamps"] = np.array(trace.clamps)
    return arrays | {f"{name}_{i}": array for name, layers in parts.items() for i, array in enumerate(layers)}


def write_trace(trace: Trace, path: Path) -> None:
    """Write a trace as a compressed .npz file of :func:`trace_arrays`; the same bytes for the same trace."""
    content = BytesIO()
    np.savez_compressed(content, **trace_arrays(trace))  # type: ignore[arg-type]
    write_bytes(path, content.getvalue())
