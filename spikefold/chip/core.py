"""One core: how its neurons lie in words, and which of them an event reaches.

An event at (channel, y, x) reaches, for every output row and column that its kernel covers, ``groups`` consecutive
words; two tables say where, so that no division is needed, for any stride, padding and pooling. A dense layer is the
convolution whose kernel covers the whole (pooled) source.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spikefold.chip.words import WordMap
from spikefold.network.connection import Connection
from spikefold.network.fields import Int
from spikefold.network.network import Network

__all__ = ["CorePlan", "plan_connection"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CorePlan(WordMap):
    """One layer on one core.

    ``rows`` and ``columns`` are int64 [source height, 3] and [source width, 3]: (first neuron word, first weight word, count). From one
    output row to the next the neuron word grows by ``row_step`` and the weight word shrinks by ``row_weight_step``; likewise for columns.
    Channel ``c`` adds ``c * channel_step`` to the weight word. ``weights`` is the image, int8 [words, lanes].
    """

    index: int
    name: str
    source_shape: tuple[int, int, int]
    rows: Int
    columns: Int
    row_step: int
    column_step: int
    row_weight_step: int
    column_weight_step: int
    channel_step: int
    weights: npt.NDArray[np.int8]

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
