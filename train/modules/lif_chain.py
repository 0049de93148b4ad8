"""LIF layers in a row, the chain that integer training and a run's float network share, as typed layers."""

from collections.abc import Iterator
from dataclasses import dataclass

from spikefold.train.errors import TrainError
from spikefold.train.modules.layers import AveragePool, Integrate, SpikeCount, Synapses
from spikefold.train.modules.network import SpikingNetwork
from spikefold.train.modules.neurons import LIF
from spikefold.train.modules.norm import CurrentNorm

__all__ = ["LIFLayer", "is_lif_chain", "lif_layers"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LIFLayer:
    """The modules of a layer. Its neurons are None if it is an integrating readout.

    ``pool`` is the side of the windows before the weights. ``place`` is what errors call the neurons or the readout.
    """

    place: str
    pool: int
    synapses: Synapses
    norm: CurrentNorm | None
    neurons: LIF | None


def is_lif_chain(network: SpikingNetwork) -> bool:
    """Return whether all parts are those of LIF layers, each stands in one place, and none is added to another one."""
    parts = list(network.chain)
    known = all(isinstance(part, AveragePool | Synapses | CurrentNorm | LIF | Integrate | SpikeCount) for part in parts)
    return known and not network.adds and len(set(parts)) == len(parts)


def lif_layers(network: SpikingNetwork, user: str) -> Iterator[LIFLayer]:
    """Yield the layers of a chain of LIF layers.

    A residual connection or another part is a TrainError that says what ``user`` takes. Layers before it are yielded.
    """
    if network.adds:
        raise TrainError(f"network: a layer is added to another one; {user} takes layers in a row")
    pool, synapses, norm = 1, None, None
    for number, part in enumerate(network.chain):
        place = f"network chain.{number} ({type(part).__name__})"
        if isinstance(part, AveragePool):
            pool *= part.side
        elif isinstance(part, Synapses):
            synapses = part
        elif isinstance(part, CurrentNorm):
            norm = part
        elif isinstance(part, LIF | Integrate) and synapses is not None:
            neurons = part if isinstance(part, LIF) else None
            yield LIFLayer(place=place, pool=pool, synapses=synapses, norm=norm, neurons=neurons)
            pool, synapses, norm = 1, None, None
        elif not isinstance(part, SpikeCount):
            raise TrainError(f"{place}: {user} takes pooling, weights, a norm of the current and LIF neurons")
