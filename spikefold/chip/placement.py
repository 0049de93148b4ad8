"""Placing layers on cores: memory layout, fan-out tables and images, and the errors of a network that is too large.

A core keeps its neurons in words of ``lanes``: word ``(y * width + x) * groups + g`` holds the channels
``g * lanes .. (g + 1) * lanes`` of pixel (y, x). An event at (channel, y, x) reaches, for every output row and column that its kernel
covers, ``groups`` consecutive words; the two tables say where, so that no division is needed, for any stride, padding and pooling.
A dense layer is the convolution whose kernel covers the whole (pooled) source.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spikefold.chip.config import ChipConfig
from spikefold.chip.resources import block_rams, core_memories, multipliers
from spikefold.data.errors import ChipError
from spikefold.network.connection import INPUT, Connection
from spikefold.network.fields import Int
from spikefold.network.network import Network
from spikefold.network.power_terms import term_count

__all__ = ["CorePlan", "beyond_cores", "place", "plan_connection"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CorePlan:
    """One layer on one core.

    ``rows`` and ``columns`` are int64 [source height, 3] and [source width, 3]: (first neuron word, first weight word, count). From one
    output row to the next the neuron word grows by ``row_step`` and the weight word shrinks by ``row_weight_step``; likewise for columns.
    Channel ``c`` adds ``c * channel_step`` to the weight word. ``weights`` is the image, int8 [words, lanes].
    """

    index: int
    name: str
    source_shape: tuple[int, int, int]
    shape: tuple[int, int, int]
    lanes: int
    groups: int
    rows: Int
    columns: Int
    row_step: int
    column_step: int
    row_weight_step: int
    column_weight_step: int
    channel_step: int
    weights: npt.NDArray[np.int8]

    @property
    def words(self) -> int:
        """The number of neuron words."""
        return self.shape[1] * self.shape[2] * self.groups

    def fan_out(self) -> Int:
        """Return the words that an event at each (y, x) of the source reaches, [height, width]."""
        return np.asarray(np.outer(self.rows[:, 2], self.columns[:, 2]) * self.groups)


def axis_table(source: int, kernel: int, stride: int, padding: int, pool: int, out: int) -> Int:
    """Return, for each source coordinate, (first output, kernel position there, count) along one axis, int64 [source, 3]."""
    table = np.zeros((source, 3), np.int64)
    for raw in range(source):
        at = raw // pool
        if at >= source // pool:
            continue  # It fills no pooling window, so it reaches nothing.
        first = max(0, -(-(at + padding - kernel + 1) // stride))
        last = min(out - 1, (at + padding) // stride)
        if last >= first:
            table[raw] = first, at + padding - first * stride, last - first + 1
    return table


def plan_connection(network: Network, connection: Connection, lanes: int) -> CorePlan:
    """Lay out the neurons that a connection with weights feeds, and its fan-out, for a core of ``lanes`` lanes."""
    index, population = next((i, p) for i, p in enumerate(network.populations) if p.name == connection.target)
    source = network.source(connection).shape
    tensor = network.weights_of(connection).tensor
    height, width = source[1] // connection.pool, source[2] // connection.pool
    if connection.kind == "dense":
        tensor = tensor.reshape(tensor.shape[0], source[0], height, width)
    channels, _, kernel_y, kernel_x = tensor.shape
    groups = -(-channels // lanes)
    padded = np.zeros((groups * lanes, *tensor.shape[1:]), np.int8)
    padded[:channels] = tensor
    stride, padding = connection.stride, connection.padding
    row_step, column_step = population.shape[2] * groups, groups
    row_weight, column_weight = kernel_x * groups, groups
    return CorePlan(
        index=index,
        name=population.name,
        source_shape=source,
        shape=population.shape,
        lanes=lanes,
        groups=groups,
        rows=axis_table(source[1], kernel_y, stride, padding, connection.pool, population.shape[1]) * (row_step, row_weight, 1),
        columns=axis_table(source[2], kernel_x, stride, padding, connection.pool, population.shape[2]) * (column_step, column_weight, 1),
        row_step=row_step,
        column_step=column_step,
        row_weight_step=stride * row_weight,
        column_weight_step=stride * column_weight,
        channel_step=kernel_y * kernel_x * groups,
        # [groups, lanes, in, ky, kx] to words (in, ky, kx, group) of lanes.
        weights=np.ascontiguousarray(padded.reshape(groups, lanes, *tensor.shape[1:]).transpose(2, 3, 4, 0, 1).reshape(-1, lanes)),
    )


def check_limits(chip: ChipConfig, layer: str, needs: dict[str, int]) -> None:
    """Raise a ChipError where ``layer`` needs more of anything than a core of ``chip`` has."""
    for name, need in needs.items():
        if need > getattr(chip, name):
            raise ChipError(f"layer {layer!r} {name}: {need} needed; chip {chip.name!r} has {getattr(chip, name)}")


def beyond_cores(network: Network) -> str:
    """Return what of ``network`` the cores of this version cannot run, empty where they can: layers in a row of integrate-and-fire neurons.

    Weights that several layers share are stored in the core of each.
    """
    before = INPUT
    for index, population in enumerate(network.populations):
        connections, place = network.into(index), f"layer {population.name!r}"
        if population.neuron != "lif":
            return f"{place} neuron: {population.neuron!r}; cores run 'lif' neurons"
        if len(connections) != 1 or connections[0].source != before or connections[0].kind == "identity":
            return f"{place} connections: {', '.join(f'{c.kind} from {c.source!r}' for c in connections)}; a core has one, from the layer before"
        before = population.name
    return ""


def place(network: Network, chip: ChipConfig) -> tuple[CorePlan, ...]:
    """Give each layer its core, or raise a ChipError that names the layer and the limit."""
    if reason := beyond_cores(network):
        raise ChipError(f"{reason} in this version")
    if len(network.populations) > chip.cores:
        raise ChipError(f"network: {len(network.populations)} layers, one core each; chip {chip.name!r} has {chip.cores} cores")
    plans = []
    shared = {"block_rams": 0, "multipliers": 0}
    for connection, population in zip(network.connections, network.populations, strict=True):
        channels, height, width = population.shape
        if chip.gain_terms and (need := term_count(connection.gain.values)) > chip.gain_terms:
            raise ChipError(
                f"layer {population.name!r} gain: a sum of {need} powers of two; chip {chip.name!r} shifts and adds {chip.gain_terms}, "
                f"so fold with gain_terms (--gain-terms) {chip.gain_terms}"
            )
        # Before the plan, whose tables and images grow with the layer.
        neurons = height * width * -(-channels // chip.lanes) * chip.lanes
        check_limits(chip, population.name, {"axons_per_core": math.prod(network.source(connection).shape), "neurons_per_core": neurons})
        plan = plan_connection(network, connection, chip.lanes)
        memories = core_memories(network, plan, chip)
        needs = {
            "weight_bits_per_core": plan.weights.size * network.weights_of(connection).bits,
            "schedule_bits_per_core": sum(m.words * m.bits for m in memories if m.name.startswith("schedule")),
            "potential_bits": population.potential_bits,
            "current_bits": connection.current_bits,
        }
        check_limits(chip, population.name, needs)
        shared["block_rams"] += sum(block_rams(memory, chip) for memory in memories)
        shared["multipliers"] += multipliers(network, plan, chip)
        for name, need in shared.items():
            limit = getattr(chip, name)
            if 0 < limit < need:
                raise ChipError(f"layer {population.name!r} {name}: {need} needed up to here (estimated); chip {chip.name!r} has {limit}")
        plans.append(plan)
    return tuple(plans)
