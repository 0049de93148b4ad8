"""Placing a network on a chip: which core runs what, which links join them, and the errors of a network that is too large."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from spikefold.chip.config import ChipConfig
from spikefold.chip.core import CorePlan, plan_connection
from spikefold.chip.resources import block_rams, core_memories, multipliers
from spikefold.data.errors import ChipError
from spikefold.network.connection import INPUT
from spikefold.network.network import Network
from spikefold.network.power_terms import term_count

__all__ = ["Link", "Placement", "beyond_cores", "place"]


class Link(NamedTuple):
    """A stream of events from a core to another one; None as the source is the host."""

    source: int | None
    target: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placement:
    """A network on a chip: its cores, in the order in which events pass them, and the links into them.

    Made once, by :func:`place`, and handed to the simulator, to the hardware and to estimates. ``untimed`` says why no core
    runs the network; such a placement has no cores.
    """

    network: Network
    chip: ChipConfig
    cores: tuple[CorePlan, ...]
    links: tuple[Link, ...]
    untimed: str = ""


def check_core(chip: ChipConfig, layer: str, needs: dict[str, int]) -> None:
    """Raise a ChipError if ``layer`` needs more of anything than a core of ``chip`` has."""
    for name, need in needs.items():
        limit = getattr(chip.architecture, name)
        if need > limit:
            raise ChipError(f"layer {layer!r} {name}: {need} needed; chip {chip.name!r} has {limit}")


def beyond_cores(network: Network) -> str:
    """Return why the cores cannot run ``network``, or an empty text. Cores run a chain of LIF layers.

    Weights that several layers share are stored in the core of each.
    """
    before = INPUT
    for index, population in enumerate(network.populations):
        connections, layer = network.into(index), f"layer {population.name!r}"
        if population.neuron != "lif":
            return f"{layer} neuron: {population.neuron!r}; cores run 'lif' neurons"
        if len(connections) != 1 or connections[0].source != before or connections[0].kind == "identity":
            return f"{layer} connections: {', '.join(f'{c.kind} from {c.source!r}' for c in connections)}; a core has one, from the layer before"
        before = population.name
    return ""


def place(network: Network, chip: ChipConfig, *, untimed: bool = False) -> Placement:
    """Give each layer its core, or raise a ChipError that names the layer and the limit.

    With ``untimed``, a network that no core of this version runs is no error: it gets a placement without cores, which the
    simulator executes and does not time.
    """
    if reason := beyond_cores(network):
        if untimed:
            return Placement(network=network, chip=chip, cores=(), links=(), untimed=reason)
        raise ChipError(f"{reason} in this version")
    if len(network.populations) > chip.architecture.cores:
        raise ChipError(f"network: {len(network.populations)} layers, one core each; chip {chip.name!r} has {chip.architecture.cores} cores")
    cores: list[CorePlan] = []
    shared = {"block_rams": 0, "multipliers": 0}
    for index, population in enumerate(network.populations):
        core = place_layer(network, chip, index)
        shared["block_rams"] += sum(block_rams(memory, chip.device) for memory in core_memories(network, core, chip.architecture))
        shared["multipliers"] += multipliers(network, core, chip.architecture)
        for name, need in shared.items():
            limit = getattr(chip.device, name)
            if 0 < limit < need:
                raise ChipError(f"layer {population.name!r} {name}: {need} needed up to here (estimated); chip {chip.name!r} has {limit}")
        cores.append(core)
    links = tuple(Link(index - 1 if index else None, index) for index in range(len(cores)))
    return Placement(network=network, chip=chip, cores=tuple(cores), links=links)


def place_layer(network: Network, chip: ChipConfig, index: int) -> CorePlan:
    """Return the core of a layer, or raise a ChipError if it needs more than a core has."""
    architecture, connection, population = chip.architecture, network.connections[index], network.populations[index]
    channels, height, width = population.shape
    if architecture.gain_terms and (need := term_count(connection.gain.values)) > architecture.gain_terms:
        raise ChipError(
            f"layer {population.name!r} gain: a sum of {need} powers of two; chip {chip.name!r} shifts and adds {architecture.gain_terms}, "
            f"so fold with gain_terms (--gain-terms) {architecture.gain_terms}"
        )
    # Before the core, whose tables and images grow with the layer.
    neurons = height * width * -(-channels // architecture.lanes) * architecture.lanes
    check_core(chip, population.name, {"axons_per_core": math.prod(network.source(connection).shape), "neurons_per_core": neurons})
    core = plan_connection(network, connection, architecture.lanes)
    schedules = (memory for memory in core_memories(network, core, architecture) if memory.name.startswith("schedule"))
    needs = {
        "weight_bits_per_core": core.weights.size * network.weights_of(connection).bits,
        "schedule_bits_per_core": sum(memory.words * memory.bits for memory in schedules),
        "potential_bits": population.potential_bits,
        "current_bits": connection.current_bits,
    }
    check_core(chip, population.name, needs)
    return core
