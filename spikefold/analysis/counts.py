"""What an inference of an integer network costs, counted by NeuroBench's definitions, and beside them what these leave out.

Source of the definitions: NeuroBench (Yik et al. 2025, Nature Communications 16, 1545) and the metrics of its harness, version 2.3.0. A
population stands for a layer of neurons there, a connection with weights for a linear or convolutional module; one call of a module is one
timestep. An identity connection is an addition without a module: it has no synaptic operations there, and one an event on the chip.

NeuroBench looks at a module's input in one call, a whole batch in one timestep: where all that is not 0 is 1 or -1, its operations are ACs,
else MACs. So its figure depends on the batch. Here every sample decides for itself in every timestep, which is a batch of 1.

Left out there and counted here is the cost of normalisation. In floats it is a multiplication and an addition a neuron and timestep of a
layer that is *normalised*. That is read off what the fold left: a connection with weights whose gain is not 1, or a threshold or load that
changes over time. A bias that adds up, a leak in the schedules (form C), steps that differ by class and the responses that a readout of srm
neurons sums up leave the same traces and count too; what went without a trace into weights and a readout's offset is not seen. What remains is
a multiplication a neuron and timestep for each connection whose gain is not 1, and the memory of the schedules.

PSP-LN and eq. 15 scale by a root over all that a layer receives. In floats that is a multiply-add a pooled input and timestep for the squares and
one for the scaling. In integers a first pass takes two decays and a square for each, and the root multiplies every threshold and decrement.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from spikefold.analysis.drift import memory_bits
from spikefold.data.errors import DataError
from spikefold.network import reference
from spikefold.network.connection import INPUT, Connection
from spikefold.network.fields import SPIKE_PAYLOAD_BITS, Int
from spikefold.network.network import Network
from spikefold.network.population import Population
from spikefold.network.power_terms import term_count
from spikefold.network.schedule import Schedule
from spikefold.network.trace import Trace
from spikefold.network.windows import patches, pool, pooled_shape

__all__ = ["LayerCount", "NetworkCount", "count"]

Bool = npt.NDArray[np.bool_]
SCHEDULES = ("gain", "gain_shift", "threshold", "decrement", "load")
"""The parameters that normalisation becomes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCount:
    """What a population and the connections into it take; everything adds up over layers.

    ``weights``, those of them that are 0 (``zero_weights``), ``stored_bytes`` (the tensors as a network's file holds them) and
    ``memory_bits`` (at the network's own widths, by what they hold) count weights that several layers share where they are used first.

    In one inference, whatever the input: ``dense`` operations; ``norm_operations``, the multiply-adds that a normalisation takes in floats;
    ``gain_multiplications``; ``gain_terms``, the shifts and additions that could take their place, as many for each as there are powers of
    two in the connection's most complex gain; and ``root_multiplications``, those of a first pass and by its root.

    Over all samples: the values ``sent``, and those of them that are not 0, ``nonzero``; ``effective_macs`` and ``effective_acs``;
    ``chip_operations``, one an event and synapse with pooled events one by one, and those of them that multiply, since they are on graded
    payloads, ``chip_macs``; ``membrane_updates``, the potentials that a timestep left changed, and all of them in the first.
    """

    name: str
    neurons: int
    weights: int
    zero_weights: int
    stored_bytes: int
    memory_bits: Mapping[str, int]
    dense: int
    norm_operations: int
    gain_multiplications: int
    gain_terms: int
    root_multiplications: int
    sent: int
    nonzero: int
    effective_macs: int
    effective_acs: int
    chip_operations: int
    chip_macs: int
    membrane_updates: int

    def to_dict(self, samples: int) -> dict[str, Any]:
        """Return the figures as JSON has them, those of NeuroBench under its names; what depends on the input is the mean of the samples."""
        schedules = {kind: self.memory_bits[kind] for kind in SCHEDULES if kind in self.memory_bits}
        return {
            "neurobench": {
                "Footprint": self.stored_bytes,
                "ParameterCount": self.weights,
                "ConnectionSparsity": self.zero_weights / self.weights if self.weights else None,
                "ActivationSparsity": (self.sent - self.nonzero) / self.sent,
                "SynapticOperations": {
                    "Effective_MACs": self.effective_macs / samples,
                    "Effective_ACs": self.effective_acs / samples,
                    "Dense": self.dense,
                },
                "MembraneUpdates": self.membrane_updates / samples,
            },
            "chip": {
                "memory_bits": {**self.memory_bits, "all": sum(self.memory_bits.values())},
                "synaptic_operations": self.chip_operations / samples,
                "multiplications": self.chip_macs / samples,
            },
            "normalisation": {
                "float_multiply_adds": self.norm_operations,
                "gain_multiplications": self.gain_multiplications,
                "gain_terms": self.gain_terms,
                "root_multiplications": self.root_multiplications,
                "schedule_bits": {**schedules, "all": sum(schedules.values())},
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NetworkCount:
    """The counts of a network: its predictions, int64 [N], and every layer."""

    timesteps: int
    predictions: Int
    layers: tuple[LayerCount, ...]

    @property
    def samples(self) -> int:
        """How many samples were run."""
        return len(self.predictions)

    @property
    def total(self) -> LayerCount:
        """The sum of all layers."""
        kinds = dict.fromkeys(kind for layer in self.layers for kind in layer.memory_bits)
        memory = {kind: sum(layer.memory_bits.get(kind, 0) for layer in self.layers) for kind in kinds}
        numbers = [field.name for field in fields(LayerCount) if field.name not in ("name", "memory_bits")]
        return LayerCount(name="all", memory_bits=memory, **{name: sum(getattr(layer, name) for layer in self.layers) for name in numbers})

    def accuracy(self, labels: Int) -> float:
        """Return the share of samples that were put in the class of ``labels`` [N]."""
        return float((self.predictions == labels).mean())

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as JSON has them."""
        layers = [{"name": layer.name, "neurons": layer.neurons, **layer.to_dict(self.samples)} for layer in self.layers]
        return {"samples": self.samples, "timesteps": self.timesteps, **self.total.to_dict(self.samples), "layers": layers}


def count(network: Network, batches: Iterable[npt.NDArray[np.int8]]) -> NetworkCount:
    """Run ``network`` on ``batches`` of payloads, int8 [N, T, C, H, W] each, and count what that takes; how samples are batched changes nothing.

    Raises a DataError where there are no events or they do not fit.
    """
    work = np.zeros((len(network.populations), 6), np.int64)
    predictions: list[Int] = []
    for events in batches:
        trace = reference.run(network, events, potentials=True)
        sent = _payloads(network, events, trace)
        work += [_workload(network, index, sent, trace) for index in range(len(network.populations))]
        predictions.append(trace.predictions)
    if not predictions:
        raise DataError("count: there are no events; at least 1 sample is needed")
    every = np.concatenate(predictions)
    return NetworkCount(timesteps=network.timesteps, predictions=every, layers=tuple(_layers(network, work, len(every))))


def _layers(network: Network, work: Int, samples: int) -> Iterable[LayerCount]:
    """Yield the count of each population; ``work`` is [populations, 6], the columns of :func:`_workload`."""
    timesteps, memory, counted = network.timesteps, memory_bits(network, [p.name for p in network.populations]), set[str]()
    for index, population in enumerate(network.populations):
        incoming, every = network.into(index), population.size * timesteps
        weighted = [c for c in incoming if c.weights]
        first = {c.weights: network.weights_of(c).tensor for c in weighted if c.weights not in counted}
        counted |= first.keys()
        scaled = [c for c in incoming if not c.unit_gain]
        stored = sum(_array_bytes(record) for record in (population, *incoming)) + sum(tensor.nbytes for tensor in first.values())
        if index == len(network.populations) - 1:
            stored += _array_bytes(network.readout)
        nonzero, macs, acs, operations, multiplied, updates = work[index].tolist()
        # The first pass is over what the first connection brings.
        passed = timesteps * int(np.prod(_pooled(network, incoming[0]))) if population.scale else 0
        yield LayerCount(
            name=population.name, neurons=population.size, weights=sum(tensor.size for tensor in first.values()),
            zero_weights=sum(int((tensor == 0).sum()) for tensor in first.values()), stored_bytes=stored, memory_bits=memory[population.name],
            dense=timesteps * sum(_dense_operations(network, c) for c in weighted),
            norm_operations=2 * passed if population.scale else every * _is_normalised(population, weighted),
            gain_multiplications=every * len(scaled), gain_terms=every * sum(term_count(c.gain.values) for c in scaled),
            root_multiplications=3 * passed + (population.threshold.values.size + population.decrement.values.size if population.scale else 0),
            sent=every * samples, nonzero=nonzero, effective_macs=macs, effective_acs=acs,
            chip_operations=operations, chip_macs=multiplied, membrane_updates=updates,
        )  # fmt: skip


def _array_bytes(record: Any) -> int:
    """Return what the arrays among a record's fields take."""
    values = (getattr(record, field.name) for field in fields(record))
    arrays = (value.values if isinstance(value, Schedule) else value for value in values)
    return sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))


def _is_normalised(population: Population, weighted: list[Connection]) -> bool:
    """Whether the fold left traces of a normalisation, as the module says; ``weighted`` are the connections with weights into the population."""
    changes = any("t" in schedule.collapsed().axes for schedule in (population.threshold, population.load))
    return bool(weighted) and (changes or not all(c.unit_gain for c in weighted))


def _payloads(network: Network, events: npt.NDArray[np.int8], trace: Trace) -> dict[str, Int]:
    """Return what the input and every population sent, int64 [N, T, C, H, W]."""
    sent = {INPUT: events.astype(np.int64)}
    for population, spikes, potentials in zip(network.populations, trace.spikes, trace.potentials or (), strict=True):
        sent[population.name] = np.where(spikes, potentials, 0) if population.output == "graded" else spikes.astype(np.int64)
    return sent


def _workload(network: Network, index: int, sent: Mapping[str, Int], trace: Trace) -> tuple[int, ...]:
    """Return what a batch made of a population: payloads not 0, effective MACs and ACs, the chip's operations and MACs, membrane updates."""
    population, macs, acs, walked, multiplied = network.populations[index], 0, 0, 0, 0
    for connection in network.into(index):
        events = 0 if trace.sops is None else int(trace.sops[:, network.connections.index(connection)].sum())
        walked += events
        if connection.weights:
            operations, binary = _effective_operations(network, connection, sent[connection.source])
            macs, acs = macs + int(operations[~binary].sum()), acs + int(operations[binary].sum())
            multiplied += events * (connection.payload_bits > SPIKE_PAYLOAD_BITS)
    potentials = (trace.potentials or ())[index]
    changed = np.count_nonzero(potentials[:, 1:] != potentials[:, :-1]) + potentials[:, 0].size
    # Linear neurons keep no potential.
    updates = changed * (population.neuron != "linear")
    return int(np.count_nonzero(sent[population.name])), macs, acs, walked, multiplied, int(updates)


def _effective_operations(network: Network, connection: Connection, payload: Int) -> tuple[Int, Bool]:
    """Return a connection's operations on inputs and weights that are not 0, and whether all such inputs are 1 or -1, [N, T] both."""
    pooled = pool(payload, connection.pool)
    synapses = network.weights_of(connection).tensor != 0
    return _operations(connection, synapses, pooled != 0), (np.abs(pooled) <= 1).all((2, 3, 4))


def _dense_operations(network: Network, connection: Connection) -> int:
    """Return a connection's operations on all inputs and all weights in a timestep; what a kernel sees of the padding is no input."""
    shape = _pooled(network, connection)
    synapses = np.ones_like(network.weights_of(connection).tensor, np.bool_)
    return int(_operations(connection, synapses, np.ones((1, 1, *shape), np.bool_))[0, 0])


def _pooled(network: Network, connection: Connection) -> tuple[int, int, int]:
    return pooled_shape(network.source(connection).shape, connection.pool)


def _operations(connection: Connection, synapses: Bool, active: Bool) -> Int:
    """Return how often an ``active`` input, [N, T, C, H, W] after pooling, meets one of ``synapses``, shaped like the weights, [N, T]."""
    if connection.kind == "dense":
        synapses = synapses.reshape(len(synapses), *active.shape[2:])
    seen = patches(active, (synapses.shape[2], synapses.shape[3]), connection.stride, connection.padding)
    return np.asarray(np.einsum("ntcyx,cyx->nt", seen.sum((2, 3)), synapses.sum(0)))
