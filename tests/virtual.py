"""The virtual chip as tests make it: of any network, timed or not."""

from spikefold.chip.config import ChipConfig
from spikefold.chip.placement import place
from spikefold.network.network import Network
from spikefold.sim.engine import Chip

__all__ = ["virtual"]


def virtual(network: Network, chip: ChipConfig) -> Chip:
    """Return a network on a chip; one that no core runs is executed and not timed."""
    return Chip(place(network, chip, untimed=True))
