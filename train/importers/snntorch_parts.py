"""What snnTorch's neurons are (read from its version 1.0.0).

``Leaky`` computes ``U = beta U + I`` and fires on ``U > threshold``. By default the reset comes with the next timestep, after the decay:
``U = beta U + I - S threshold``, which is a subtraction of ``threshold / beta`` in this timestep.
"""

from typing import Any, Literal

import numpy as np
import torch

from spikefold.train.importers.errors import SourceError
from spikefold.train.importers.parts import Float, Neurons
from spikefold.train.importers.torch_parts import array

__all__ = ["REFUSED", "heaviside", "leaky"]

SUBTRACT, ZERO, NONE = 0, 1, 2
REFUSED = {
    "Synaptic": "it has a synaptic current beside the potential, for which a float network has no place; use Leaky",
    "Alpha": "it has synaptic currents beside the potential, for which a float network has no place; use Leaky",
    "RLeaky": "its layer feeds itself, for which a float network has no place; use Leaky",
    "RSynaptic": "its layer feeds itself, for which a float network has no place; use Leaky",
    "Lapicque": "where it is reset to zero it throws away the next input too; use Leaky",
}


def heaviside(place: str, function: Any, *, at_zero: bool) -> None:
    """Check that a surrogate's forward pass is 0 below zero, 1 above, and as ``at_zero`` says there."""
    probe = torch.tensor([-1e30, -1.0, -1e-9, 0.0, 1e-9, 1.0, 1e30], dtype=torch.float64)
    with torch.no_grad():
        found = function(probe)
    expected = (probe >= 0 if at_zero else probe > 0).to(found.dtype)
    if not torch.equal(found, expected):
        raise SourceError(f"{place}: its surrogate fires with {found.tolist()} at {probe.tolist()}; it must be a step from 0 to 1 at 0")


def leaky(place: str, module: Any, shape: tuple[int, ...]) -> Neurons:
    """Return ``Leaky`` neurons that send spikes of ``shape`` (channels first); what this package's neurons cannot do is a SourceError."""
    for name in ("inhibition", "state_quant"):
        if getattr(module, name):
            raise SourceError(f"{place} {name}: {getattr(module, name)!r}; it must be False, a float network has nothing like it")
    if not (array(module.graded_spikes_factor) == 1).all():
        raise SourceError(f"{place} graded_spikes_factor: {module.graded_spikes_factor.tolist()}; it must be 1, scale the next weights instead")
    heaviside(place, module.spike_grad, at_zero=False)
    beta, threshold = _vector(f"{place} beta", module.beta.clamp(0, 1), shape), _vector(f"{place} threshold", module.threshold, shape)
    if (threshold < 0).any():
        raise SourceError(f"{place} threshold: {threshold.min():g}; below 0, snnTorch resets before the first timestep, so it must be at least 0")
    mechanism = int(module.reset_mechanism_val)
    reset: Literal["soft", "hard", "none"] = "soft"
    decrement: Float | None = threshold
    if mechanism == SUBTRACT and module.reset_delay:
        if (beta == 0).any():
            raise SourceError(
                f"{place} beta: 0; with reset_mechanism 'subtract' and reset_delay it must be above 0: the potential is gone, its reset not"
            )
        decrement = np.asarray(threshold / beta)
    elif mechanism == ZERO:
        reset, decrement = "hard", None
    elif mechanism == NONE:
        reset, decrement = "none", None
    return Neurons(
        leak=beta, threshold=threshold, fires_at_threshold=False, reset=reset, decrement=decrement,
        at_once=mechanism == SUBTRACT and not module.reset_delay,
    )  # fmt: skip


def _vector(place: str, tensor: torch.Tensor, shape: tuple[int, ...]) -> Float:
    """Return a parameter as a number or [C], as torch broadcasts it to ``shape``; it must be the same in every pixel of a channel."""
    values = array(tensor)
    if values.size == 1:
        return values.reshape(1)
    try:
        rows = np.broadcast_to(values, shape).reshape(shape[0], -1)
    except ValueError as error:
        raise SourceError(f"{place}: shape {list(values.shape)}; it must fit neurons of {list(shape)}") from error
    if (rows != rows[:, :1]).any():
        raise SourceError(f"{place}: it differs between the pixels of a channel; one value a channel, [C, 1, 1], is expected")
    return np.asarray(rows[:, 0])
