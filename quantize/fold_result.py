"""What a fold comes to: the integer network, what was made of each layer, and what its counts mean."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from spikefold.quantize.network import Network
from spikefold.quantize.schedules import Form

__all__ = ["CountUnits", "FoldResult", "LayerReport"]

Float = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerReport:
    """What the fold made of a layer.

    ``step`` is the coarsest channel's step of the potential as a fraction of the threshold (of the largest weight in an integrating
    readout); ``weight_error`` the rounding of the weights, as a fraction of their root mean square; ``gain_error`` and ``leak_error`` the
    largest rounding errors of gain and leak, relative to the largest gain and absolute.
    """

    name: str
    form: Form
    reason: str
    weight_bits: int
    current_bits: int
    gain_bits: int
    unit_gain: bool
    leak_kind: Literal["none", "shift", "multiply"]
    potential_bits: int
    proven_bits: int
    saturate: bool
    step: float
    weight_error: float
    gain_error: float
    leak_error: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CountUnits:
    """What a count of a layer's current is in the float layer: of the weighted sum, before its normalisation, [C], and of the drive, [T, C]."""

    current: Float
    drive: Float


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldResult:
    """The integer network, a report a layer, and what the counts of each layer mean, by its name."""

    network: Network
    layers: tuple[LayerReport, ...]
    units: Mapping[str, CountUnits]
