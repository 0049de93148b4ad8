"""The update engine: sweeps a core's neurons ``lanes`` a cycle, clears the currents it used, and hands on spikes or scores."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from spikefold.chip.cycles import NEURON_STEP, UPDATE
from spikefold.hw.gateware.emitter import scores_layout, spikes_layout
from spikefold.hw.gateware.layer import LayerConfig
from spikefold.hw.gateware.memory import Ram
from spikefold.hw.gateware.neuron import NeuronStep
from spikefold.network.fields import address_bits

__all__ = ["UpdateEngine", "swept_layout"]


def swept_layout(layer: LayerConfig) -> data.StructLayout:
    """Return what the sweep of one word gives: its address, and each lane's spike and potential."""
    return data.StructLayout({"word": unsigned(layer.word_bits), "fired": layer.lanes, "potential": layer.lanes_of(layer.potential_shape)})


class UpdateEngine(wiring.Component):
    """Members: ``start`` (pulse) with ``first`` (this timestep is the inference's first), the port to the bank of currents being used, ``swept``
    (every word, for tracing), ``words`` (for the emitter, which has room for all: those with a spike, or in the last layer those of the final
    timestep) and ``quiet``.

    Word ``w`` is read in cycle ``FIRST + w`` after the start and leaves ``UPDATE`` cycles later: a cycle for the memories, one for the registers
    behind them, and the neuron step.
    """  # noqa: D205

    def __init__(self, layer: LayerConfig) -> None:
        self.layer = layer
        currents = layer.lanes_of(layer.current_shape)
        address = layer.word_bits
        super().__init__(
            {
                "start": In(1),
                "first": In(1),
                "read_address": Out(address),
                "read_data": In(currents),
                "clear": Out(1),
                "clear_address": Out(address),
                "swept": Out(stream.Signature(swept_layout(layer), always_ready=True)),
                "words": Out(stream.Signature(scores_layout(layer) if layer.is_last else spikes_layout(layer), always_ready=True)),
                "quiet": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the sweep, the memories, a neuron step a lane, and the place of what comes out."""
        m = Module()
        layer, plan, schedule = self.layer, self.layer.plan, self.layer.schedule
        groups = plan.groups
        m.submodules.potentials = potentials = Ram(layer.lanes_of(layer.potential_shape), plan.words)

        # The sweep: one word a cycle, its channel group and its timestep's place in the schedules.
        running = Signal()
        first = Signal()
        word = Signal(layer.word_bits)
        group = Signal(range(max(2, groups)))
        timestep = Signal(range(max(2, layer.network.timesteps)))
        next_timestep = Signal.like(timestep)
        # A host that sends more timesteps than the network has stays in the last.
        held = Mux(timestep == layer.network.timesteps - 1, timestep, timestep + 1)
        m.d.comb += next_timestep.eq(Mux(self.first, 0, held))
        row = Signal(address_bits(layer.network.timesteps * groups))
        with m.If(self.start):
            m.d.sync += [running.eq(1), first.eq(self.first), word.eq(0), group.eq(0), timestep.eq(next_timestep), row.eq(next_timestep * groups)]
        with m.Elif(running):
            m.d.sync += [word.eq(word + 1), group.eq(Mux(group == groups - 1, 0, group + 1))]
            m.d.sync += running.eq(word != plan.words - 1)
        m.d.comb += [self.read_address.eq(word), potentials.read_address.eq(word)]
        addresses = {"t": timestep, "c": group, "tc": row + group}
        registered = {}
        for axes, rom in schedule.roms.items():
            m.submodules[f"schedule_{axes}"] = rom
            m.d.comb += rom.address.eq(addresses[axes])
            registered[axes] = Signal(rom.data.shape(), name=f"schedule_{axes}_data", reset_less=True)
            m.d.sync += registered[axes].eq(rom.data)
        current = Signal(self.read_data.shape(), reset_less=True)
        previous = Signal(potentials.read_data.shape(), reset_less=True)
        m.d.sync += [current.eq(self.read_data), previous.eq(potentials.read_data)]

        # Which stages hold a word: memories, registers, the three of the neuron step.
        stages = Signal(UPDATE)
        m.d.sync += stages.eq((stages << 1) | running)
        m.d.sync += [self.clear.eq(running), self.clear_address.eq(word)]
        m.d.comb += self.quiet.eq(~running & (stages == 0))

        out = self.swept.payload
        out_word = Signal.like(word)
        out_group = Signal.like(group)
        with m.If(self.start):
            m.d.sync += [out_word.eq(0), out_group.eq(0)]
        with m.Elif(self.swept.valid):
            m.d.sync += [out_word.eq(out_word + 1), out_group.eq(Mux(out_group == groups - 1, 0, out_group + 1))]
        m.d.comb += [self.swept.valid.eq(stages[-1]), out.word.eq(out_word)]
        fired = Signal(layer.lanes)
        m.d.comb += out.fired.eq(fired)

        def present(lane: int) -> Value:
            """Return whether a lane holds a neuron: not past the last channel."""
            return (out_group != groups - 1) if (groups - 1) * layer.lanes + lane >= plan.shape[0] else Const(1)

        for lane in range(layer.lanes):
            m.submodules[f"lane_{lane}"] = step = NeuronStep(layer)
            initial = schedule.value("initial", lane, registered)
            m.d.comb += [step.current.eq(current[lane]), step.previous.eq(Mux(first, initial, previous[lane]))]
            m.d.comb += [getattr(step, key).eq(schedule.value(key, lane, registered)) for key in schedule.neuron_ports]
            m.d.comb += [fired[lane].eq(step.fired & present(lane)), out.potential[lane].eq(Mux(present(lane), step.potential, 0))]
        m.d.comb += [potentials.write.eq(self.swept.valid), potentials.write_address.eq(out_word), potentials.write_data.eq(out.potential)]
        if layer.is_last:
            m.d.comb += [
                self.words.valid.eq(self.swept.valid & (timestep == layer.network.timesteps - 1)),
                self.words.payload.lanes.eq(Cat(present(lane) for lane in range(layer.lanes))),
            ]
            self.read_out(m, registered, first, word)
        else:
            m.d.comb += [self.words.valid.eq(self.swept.valid & (fired != 0)), self.words.payload.lanes.eq(fired)]
            self.place(m, out_group)
        return m

    def place(self, m: Module, group: Signal) -> None:
        """Count the place of the words that come out, behind the sweep; ``group`` is their channel group."""
        plan, out = self.layer.plan, self.words.payload
        channel = Signal.like(out.channel)
        y = Signal.like(out.y)
        x = Signal.like(out.x)
        m.d.comb += [out.channel.eq(channel), out.y.eq(y), out.x.eq(x)]
        with m.If(self.start):
            m.d.sync += [channel.eq(0), y.eq(0), x.eq(0)]
        with m.Elif(self.swept.valid):
            m.d.sync += channel.eq(channel + self.layer.lanes)
            with m.If(group == plan.groups - 1):
                m.d.sync += [channel.eq(0), x.eq(x + 1)]
                with m.If(x == plan.shape[2] - 1):
                    m.d.sync += [x.eq(0), y.eq(y + 1)]

    def read_out(self, m: Module, registered: dict[str, Any], first: Signal, word: Signal) -> None:
        """Add the readout: the spike counts where they decide, and the offsets."""
        layer, out = self.layer, self.swept.payload
        decoded = out.potential
        if layer.network.readout.decode == "spike_count":
            shape = layer.lanes_of(unsigned(layer.network.timesteps.bit_length()))
            m.submodules.counts = counts = Ram(shape, layer.plan.words)
            decoded = Signal(shape, name="count")
            m.d.comb += [counts.read_address.eq(word), counts.write.eq(self.swept.valid)]
            m.d.comb += [counts.write_address.eq(out.word), counts.write_data.eq(decoded)]
            count = self.delayed(m, counts.read_data, 1 + NEURON_STEP, "counted")
            for lane in range(layer.lanes):
                m.d.comb += decoded[lane].eq(Mux(first, 0, count[lane]) + out.fired[lane])
        for lane in range(layer.lanes):
            offset = self.delayed(m, layer.schedule.value("offset", lane, registered), NEURON_STEP, f"offset_{lane}")
            m.d.comb += self.words.payload.score[lane].eq(decoded[lane] + offset)

    @staticmethod
    def delayed(m: Module, value: Any, cycles: int, name: str) -> Any:
        """Return ``value`` some cycles later."""
        for n in range(cycles):
            later = Signal(value.shape(), name=f"{name}_{n}", reset_less=True)
            m.d.sync += later.eq(value)
            value = later
        return value
