"""Which bits the weights of each layer get: as given for all or by name, or as few as hold what lies on a grid."""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from spikefold.data.errors import FoldError
from spikefold.quantize.float_network import FloatLayer, FloatNetwork
from spikefold.quantize.grids import held_bits

__all__ = ["WEIGHT_BITS", "Bits", "given_bits", "kept_bits", "layer_bits"]

Bits = int | Literal["keep"]
WEIGHT_BITS = 8
"""Of layers that are not named."""


def given_bits(weight_bits: Bits | Mapping[str, Bits]) -> Mapping[str, Bits]:
    """Return the bits by layer; the name of all layers is empty."""
    return weight_bits if isinstance(weight_bits, Mapping) else {"": weight_bits}


def layer_bits(network: FloatNetwork, weight_bits: Bits | Mapping[str, Bits]) -> dict[str, int]:
    """Return the bits of each layer's weights.

    A name that no layer has, other bits for shared weights, and ``keep`` for weights on no grid are FoldErrors.
    """
    given = given_bits(weight_bits)
    names = [layer.name for layer in network.layers]
    if unknown := sorted(set(given) - {"", *names}):
        raise FoldError(f"weight_bits of {unknown[0]!r}: there is no such layer; the layers are {', '.join(names)}")
    bits = dict[str, int]()
    for layer in network.layers:
        asked = given.get(layer.name, given.get("", WEIGHT_BITS))
        bits[layer.name] = kept_bits(layer) if asked == "keep" else asked
        if layer.shared:
            if layer.name in given and bits[layer.name] != bits[layer.shared]:
                raise FoldError(
                    f"weight_bits of {layer.name!r}: {bits[layer.name]}; its weights are those of {layer.shared!r}, which have {bits[layer.shared]}"
                )
            bits[layer.name] = bits[layer.shared]
    return bits


def kept_bits(layer: FloatLayer) -> int:
    """Return the fewest bits that hold a layer's weights, which lie on a grid; a FoldError if they do not."""
    weights = layer.source_weights
    if (layer.drive_scale < 0).any():
        # A negative gain turns the lowest code into one that is too high.
        weights = np.concatenate([weights, -weights], axis=1)
    bits = held_bits(weights)
    if bits is None:
        factors = f", with the factors of {layer.norm.kind} in them," if (layer.source_weights != layer.weights).any() else ""
        raise FoldError(f"layer {layer.name!r} weights: keep; they{factors} lie on no grid that 8 bits hold, so weight_bits in 2..8 are needed")
    return bits
