"""What a fold comes to: the integer network, what was made of each layer, and what its counts mean."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from spikefold.network.network import Network
from spikefold.quantize.schedules import Form

__all__ = ["CHANNEL_LOST_MOST", "CountUnits", "FoldResult", "LayerReport"]

Float = npt.NDArray[np.float64]
LOST_MOST = 0.9
"""The share of a layer's weights that may become 0 without a warning: of 2 bits, the examples' networks have up to 0.88."""
CHANNEL_LOST_MOST = 0.75
"""The share of a channel's weights that may become 0: of 4 bits, the examples' networks have up to 0.64."""
CHANNEL_BITS_LEAST = 4
"""Fewer bits make most weights of some channels 0 in any network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerReport:
    """What the fold made of a layer.

    ``step`` is the coarsest channel's step of the potential as a fraction of the threshold (of the largest weight in an integrating
    readout); ``weight_error`` the rounding of the weights, as a fraction of their root mean square; ``gain_error`` and ``leak_error`` the
    largest rounding errors of gain and leak, relative to the largest gain and absolute.

    ``weights_lost`` is the share of the weights other than 0 that became 0. Of the layer's ``channels``, ``channels_lost`` lost
    more than three quarters of their weights, and ``channels_empty`` have no weight but 0, ``channels_emptied`` of these by
    rounding. ``channels_without_gain`` have weights, and gains that all became 0.
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
    weights_lost: float
    channels: int
    channels_lost: int
    channels_empty: int
    channels_emptied: int
    channels_without_gain: int

    @property
    def warnings(self) -> tuple[str, ...]:
        """What rounding took from the layer that may silence it, in words."""
        place, found = f"layer {self.name!r}", list[str]()
        if self.weights_lost > LOST_MOST or (self.channels_lost and self.weight_bits >= CHANNEL_BITS_LEAST):
            found.append(
                f"{place}: {self.weights_lost:.1%} of its weights became 0 in {self.weight_bits} bits, more than three quarters in "
                f"{self.channels_lost} of {self.channels} channels; the largest weight of a channel sets its step"
            )
        if self.channels_empty:
            rounded = f", {self.channels_emptied} of them by rounding to {self.weight_bits} bits" if self.channels_emptied else ""
            found.append(f"{place}: {self.channels_empty} of {self.channels} channels have no weight but 0{rounded}")
        if self.channels_without_gain:
            found.append(f"{place}: the gains of {self.channels_without_gain} of {self.channels} channels became 0; more gain_bits would keep them")
        return tuple(found)


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

    @property
    def warnings(self) -> tuple[str, ...]:
        """Those of all layers."""
        return tuple(warning for layer in self.layers for warning in layer.warnings)
