"""What the hardware of one layer is made of: its widths, its event format and its schedule, all from the network and the plan."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from amaranth.hdl import Const, Shape, Value, signed, unsigned
from amaranth.lib import data

from spikefold.hw.memory import Rom, address_bits
from spikefold.quantize.network import Connection, Int, Network, Population
from spikefold.quantize.placement import CorePlan
from spikefold.quantize.widths import bits_for

__all__ = ["LayerConfig", "Schedule", "event_layout"]


def event_layout(shape: tuple[int, int, int], payload_bits: int) -> data.StructLayout:
    """Return the address of one event in a source of ``shape`` and its signed payload, low bits first; spikes (0 bits) have none."""
    fields: dict[str, Any] = {name: unsigned(address_bits(size)) for name, size in zip(("channel", "y", "x"), shape, strict=True)}
    if payload_bits:
        fields["payload"] = signed(payload_bits)
    return data.StructLayout(fields)


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerConfig:
    """One layer as hardware sees it: network, plan and queue depth. Every width of a core is taken from here."""

    network: Network
    plan: CorePlan
    queue_depth: int

    @property
    def connection(self) -> Connection:
        """The synapses into the layer."""
        return self.network.connections[self.plan.index]

    @property
    def population(self) -> Population:
        """The layer's neurons."""
        return self.network.populations[self.plan.index]

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
        """A class's score: the potential or the spike count, plus its offset."""
        offset = self.network.readout.offset
        low, high = int(offset.min()), int(offset.max())
        if self.network.readout.decode == "potential":
            reach = 1 << (self.population.potential_bits - 1)
            return signed(bits_for(min(0, low) - reach, max(0, high) + reach - 1))
        return signed(bits_for(min(0, low), max(0, high) + self.network.timesteps))

    @cached_property
    def schedule(self) -> "Schedule":
        """The parameters of the neuron step."""
        c, p = self.connection, self.population
        arrays = {"threshold": p.threshold, "initial": p.initial[None]}
        if not c.unit_gain:
            arrays |= {"gain": c.gain, "gain_shift": c.gain_shift}
        if p.leak_kind == "multiply":
            arrays["leak"] = p.leak
        if p.reset == "soft":
            arrays["decrement"] = p.decrement
        if p.reset == "hard":
            arrays["load"] = p.load
        if self.is_last:
            arrays["offset"] = self.network.readout.offset[None]
        return Schedule(f"layer{self.plan.index}", arrays, self)


class Schedule:
    """Where each parameter of the neuron step lives: a constant, or a memory by timestep, by channel group, or by both.

    ``roms`` maps the axes ("t", "c", "tc") to memories; :meth:`value` is a parameter of a lane once the memories' outputs are there.
    """

    def __init__(self, name: str, arrays: dict[str, Int], layer: LayerConfig) -> None:
        self.layer = layer
        self.arrays = {key: self._collapsed(array) for key, array in arrays.items()}
        self.shapes = {key: self._shape(array) for key, array in self.arrays.items()}
        self.roms: dict[str, Rom] = {}
        for axes in ("t", "c", "tc"):
            keys = [key for key, array in self.arrays.items() if self._axes(array) == axes]
            if keys:
                lanes = {key: layer.lanes_of(self.shapes[key]) if "c" in axes else self.shapes[key] for key in keys}
                self.roms[axes] = Rom(f"{name}_schedule_{axes}", data.StructLayout(lanes), self._words(keys, axes))

    def constant(self, key: str) -> int | None:
        """Return a parameter that is the same for every timestep and channel, else None."""
        array = self.arrays[key]
        return int(array[0, 0]) if array.size == 1 else None

    @property
    def neuron_ports(self) -> dict[str, Shape]:
        """The parameters that reach the neuron step on ports."""
        return {key: shape for key, shape in self.shapes.items() if key not in ("initial", "offset") and self.constant(key) is None}

    @staticmethod
    def _collapsed(array: Int) -> Int:
        """Return the schedule without an axis along which nothing changes."""
        for axis in (0, 1):
            first = array[:1] if axis == 0 else array[:, :1]
            if (array == first).all():
                array = first
        return array

    @staticmethod
    def _axes(array: Int) -> str:
        return ("t" if array.shape[0] > 1 else "") + ("c" if array.shape[1] > 1 else "")

    @staticmethod
    def _shape(array: Int) -> Shape:
        low, high = int(array.min()), int(array.max())
        return signed(bits_for(low, high)) if low < 0 else unsigned(max(1, high.bit_length()))

    def _words(self, keys: list[str], axes: str) -> list[int]:
        """Pack the parameters of every word: timestep by timestep, and group by group within one."""
        lanes, groups = (self.layer.lanes, self.layer.plan.groups) if "c" in axes else (1, 1)
        words = []
        for t in range(max(self.arrays[key].shape[0] for key in keys)):
            for g in range(groups):
                word = offset = 0
                for key in keys:
                    array, width = self.arrays[key], self.shapes[key].width
                    for lane in range(lanes):
                        channel = g * lanes + lane
                        if channel < array.shape[1]:
                            word |= (int(array[t, channel]) & ((1 << width) - 1)) << offset
                        offset += width
                words.append(word)
        return words

    def value(self, key: str, lane: int, registered: dict[str, Any]) -> Value:
        """Return parameter ``key`` of ``lane``; ``registered`` maps axes to the memories' (registered) outputs."""
        constant = self.constant(key)
        if constant is not None:
            return Const(constant, self.shapes[key])
        axes = self._axes(self.arrays[key])
        field = registered[axes][key]
        return field[lane] if "c" in axes else field
