"""Parts in a row as the layers of a float network."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from spikefold.data.coding import InputCoding
from spikefold.quantize.float_network import FloatLayer, Norm
from spikefold.train.importers.errors import SourceError
from spikefold.train.importers.parts import Float, Identity, Neurons, Part, Pool, Scale, Weights, scaled

__all__ = ["Placed", "Readout", "layers_of"]

Readout = Literal["potential", "spike_count"]
Placed = tuple[str, Part]
"""A part and what errors call it: the name of its module, and the type in brackets."""
ROW = "[AvgPool2d], Linear or Conv2d, [a batch normalisation], spiking neurons"


def layers_of(parts: Sequence[Placed], coding: InputCoding, readout: Readout) -> tuple[FloatLayer, ...]:
    """Return the layers that parts in a row are; a part in a place where none can stand is a SourceError.

    Under ``potential`` the last layer integrates: its currents where it has no neurons, else the potentials of neurons without a reset.
    """
    chain = _Chain(coding, len(parts), readout)
    for i, (place, part) in enumerate(parts):
        chain.take(i, place, part)
    return chain.end()


class _Chain:
    """Takes parts one after the other."""

    def __init__(self, coding: InputCoding, count: int, readout: Readout) -> None:
        self.layers: list[FloatLayer] = []
        self.count, self.readout = count, readout
        self.low, self.high = coding.payload_min / coding.scale, coding.payload_max / coding.scale
        self.pool, self.gain = 1, np.ones(1)
        self.place = ""
        self.weights: Weights | None = None
        self.norm: Norm | None = None

    def take(self, index: int, place: str, part: Part) -> None:
        between = self.weights is None
        if isinstance(part, Identity):
            return
        if isinstance(part, Pool | Scale) and between:
            self.pool *= part.side if isinstance(part, Pool) else 1
            self.gain = self.gain * part.gain
        elif isinstance(part, Scale) and self.weights is not None:
            self.norm = scaled(self.norm or Norm.none(len(self.weights.weights)), part.gain)
        elif isinstance(part, Weights) and between:
            self.weights, self.place = part, place
        elif isinstance(part, Norm) and not between and self.norm is None:
            self.norm = part
        elif isinstance(part, Neurons) and not between:
            self.close(place, part, last=index == self.count - 1)
        else:
            raise SourceError(f"{place}: it cannot stand here; a layer is {ROW}, in this order")

    def end(self) -> tuple[FloatLayer, ...]:
        """Return the layers, the last of them closed."""
        if self.weights is not None:
            if self.readout != "potential":
                raise SourceError(f"{self.place}: it has no neurons whose spikes could be counted; the readout must be 'potential'")
            one = np.ones(1)
            self.close(self.place, Neurons(leak=one, threshold=one, fires_at_threshold=False, reset="none"), last=True)
        elif self.pool != 1 or (self.gain != 1).any():
            raise SourceError("network: it ends with a pooling or scaling of what the last neurons send; weights must come behind it")
        elif self.readout == "potential" and self.layers and self.layers[-1].reset != "none":
            raise SourceError(f"{self.layers[-1].name}: its neurons are reset; the potential can be read of neurons without a reset alone")
        if not self.layers:
            raise SourceError(f"network: it ends without a layer; the last one is {ROW}, or Linear alone")
        return tuple(self.layers)

    def close(self, place: str, neurons: Neurons, *, last: bool) -> None:
        """End a layer with its neurons."""
        weights = self.weights
        if weights is None:
            raise SourceError(f"{place}: neurons without weights")
        reads_potential = last and self.readout == "potential"
        norm = scaled(self.norm or Norm.none(len(weights.weights)), neurons.gain, neurons.offset)
        reset, decrement = neurons.reset, neurons.decrement
        if reset == "none" and not reads_potential:
            # Neurons that fire without consequence.
            reset, decrement = "soft", np.zeros(1)
        values = weights.weights * _of_inputs(self.gain, weights)
        layer = FloatLayer(
            name=self.place.partition(" (")[0], kind=weights.kind, weights=values, bias=weights.bias, stride=weights.stride, padding=weights.padding,
 pool=self.pool, norm=norm, leak=neurons.leak, threshold=neurons.threshold,
            fires_at_threshold=neurons.fires_at_threshold, reset=reset, decrement=decrement, load=np.atleast_1d(neurons.load),
            initial=np.atleast_1d(neurons.initial),
        )  # fmt: skip
        if neurons.at_once:
            self.prove_at_once(place, layer)
        self.layers.append(layer)
        self.pool, self.gain, self.weights, self.norm = 1, np.ones(1), None, None
        self.low, self.high = 0.0, 1.0

    def prove_at_once(self, place: str, layer: FloatLayer) -> None:
        """Check that no drive brings the potential above twice the threshold, so that it is never above it after the reset."""
        axes = tuple(range(1, layer.weights.ndim))
        # Padding is 0, and so is what did not spike.
        most: Float = np.maximum(np.maximum(layer.weights * self.low, layer.weights * self.high), 0).sum(axes)
        least: Float = np.minimum(np.minimum(layer.weights * self.low, layer.weights * self.high), 0).sum(axes)
        scale = layer.drive_scale
        drive = (np.maximum(scale * most, scale * least) + layer.drive_shift).max(0)
        limit = (2 - layer.leak) * layer.threshold
        # A little less, for the rounding of both.
        if (drive > limit * (1 - 1e-9)).any():
            worst = int(np.argmax(drive - limit))
            raise SourceError(
                f"{place} reset_delay: False, and channel {worst} of {layer.name!r} can be driven by {drive[worst]:.4g}, above "
                f"(2 - beta) threshold = {np.broadcast_to(limit, drive.shape)[worst]:.4g}: snnTorch then subtracts once more before the next "
                "firing; use reset_delay=True"
            )


def _of_inputs(gain: Float, weights: Weights) -> Float:
    """Return factors of channels in front of weights as factors of the weights."""
    if weights.kind == "conv2d":
        return gain[:, None, None]
    return gain if gain.size == 1 else np.repeat(gain, weights.weights.shape[1] // gain.size)
