"""What the hardware of one layer is made of: its widths, its event format and its schedule, all from the network and the plan."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from amaranth.hdl import Const, Shape, Value, signed, unsigned
from amaranth.lib import data

from spikefold.chip.architecture import Architecture
from spikefold.chip.core import CorePlan
from spikefold.chip.parameters import NEURON_PARAMETERS, layer_parameters
from spikefold.hw.gateware.memory import Rom
from spikefold.network.connection import Connection
from spikefold.network.fields import address_bits
from spikefold.network.network import Network
from spikefold.network.population import Population
from spikefold.network.power_terms import TermCode
from spikefold.network.schedule import Schedule

__all__ = ["LayerConfig", "ScheduleMemories", "event_layout"]


def event_layout(shape: tuple[int, int, int], payload_bits: int) -> data.StructLayout:
    """Return the address of one event in a source of ``shape`` and its signed payload, low bits first; spikes (0 bits) have none."""
    fields: dict[str, Any] = {name: unsigned(address_bits(size)) for name, size in zip(("channel", "y", "x"), shape, strict=True)}
    if payload_bits:
        fields["payload"] = signed(payload_bits)
    return data.StructLayout(fields)


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerConfig:
    """One layer as hardware sees it: network, plan and architecture. Every width of a core is taken from here."""

    network: Network
    plan: CorePlan
    architecture: Architecture

    @property
    def connection(self) -> Connection:
        """The synapses into the layer."""
        return self.network.connections[self.plan.index]

    @property
    def population(self) -> Population:
        """The layer's neurons."""
        return self.network.populations[self.plan.index]

    @property
    def gain_code(self) -> TermCode | None:
        """How the memories hold the gains where the chip shifts and adds; None where it multiplies."""
        return TermCode.of(self.connection.gain.values, self.architecture.gain_terms) if self.architecture.gain_terms else None

    @property
    def is_last(self) -> bool:
        """Whether the layer is read out."""
        return self.plan.index == len(self.network.populations) - 1

    @property
    def lanes(self) -> int:
        """Neurons a cycle."""
        return self.plan.lanes

    @property
    def weight_bits(self) -> int:
        """Width of a synaptic weight."""
        return self.network.weights_of(self.connection).bits

    @property
    def event_payload_bits(self) -> int:
        """Width of an arriving event's payload; 0 where the source is a core, whose spikes are always 1."""
        return self.connection.payload_bits if self.plan.index == 0 else 0

    @property
    def source_events(self) -> data.StructLayout:
        """The events that arrive."""
        return event_layout(self.plan.source_shape, self.event_payload_bits)

    @property
    def spike_events(self) -> data.StructLayout:
        """The events that leave."""
        return event_layout(self.plan.shape, 0)

    def lanes_of(self, shape: Any) -> data.ArrayLayout:
        """Return one value a lane, the first lane in the low bits."""
        return data.ArrayLayout(shape, self.lanes)

    @property
    def word_bits(self) -> int:
        """Width of a neuron word's address."""
        return address_bits(self.plan.words)

    @property
    def label_bits(self) -> int:
        """Width of a class's number."""
        return address_bits(self.plan.shape[0])

    @property
    def current_shape(self) -> Shape:
        """A neuron's current."""
        return signed(self.connection.current_bits)

    @property
    def potential_shape(self) -> Shape:
        """A neuron's membrane potential."""
        return signed(self.population.potential_bits)

    @cached_property
    def score_shape(self) -> Shape:
        """A class's score."""
        return signed(self.network.score_bits)

    @cached_property
    def schedule(self) -> "ScheduleMemories":
        """The parameters of the neuron step."""
        return ScheduleMemories(self)


class ScheduleMemories:
    """Where each parameter of the layer lives: a constant, or a memory by timestep, by channel group, or by both.

    ``roms`` maps the axes ("t", "c", "tc") to memories; :meth:`value` is a parameter of a lane once the memories' outputs are there.
    """

    def __init__(self, layer: LayerConfig) -> None:
        self.layer = layer
        self.parameters = layer_parameters(layer.network, layer.plan.index, layer.architecture.gain_terms)
        self.roms: dict[str, Rom] = {}
        for axes in ("t", "c", "tc"):
            held = {name: parameter for name, parameter in self.parameters.items() if parameter.axes == axes}
            if held:
                fields = {name: layer.lanes_of(self.shape(name)) if "c" in axes else self.shape(name) for name in held}
                self.roms[axes] = Rom(f"layer{layer.plan.index}_schedule_{axes}", data.StructLayout(fields), self._words(held, axes))

    def shape(self, name: str) -> Shape:
        """Return the shape of one value of a parameter."""
        parameter = self.parameters[name]
        return signed(parameter.bits) if parameter.signed else unsigned(parameter.bits)

    def constant(self, name: str) -> int | None:
        """Return a parameter that is the same for every timestep and channel, else None."""
        return self.parameters[name].value

    @property
    def neuron_ports(self) -> dict[str, Shape]:
        """The parameters that reach the neuron step on ports."""
        return {name: self.shape(name) for name in NEURON_PARAMETERS if name in self.parameters and self.constant(name) is None}

    def value(self, name: str, lane: int, registered: dict[str, Any]) -> Value:
        """Return a parameter of ``lane``; ``registered`` maps axes to the memories' (registered) outputs."""
        constant = self.constant(name)
        if constant is not None:
            return Const(constant, self.shape(name))
        axes = self.parameters[name].axes
        field = registered[axes][name]
        return field[lane] if "c" in axes else field

    def _words(self, held: dict[str, Schedule], axes: str) -> list[int]:
        """Pack the parameters of every word: timestep by timestep, and group by group within one."""
        lanes, groups = (self.layer.lanes, self.layer.plan.groups) if "c" in axes else (1, 1)
        words = []
        for t in range(self.layer.network.timesteps if "t" in axes else 1):
            for g in range(groups):
                word = offset = 0
                for parameter in held.values():
                    for lane in range(lanes):
                        channel = g * lanes + lane
                        if channel < parameter.values.shape[1]:
                            word |= (int(parameter.values[t, channel]) & ((1 << parameter.bits) - 1)) << offset
                        offset += parameter.bits
                words.append(word)
        return words
