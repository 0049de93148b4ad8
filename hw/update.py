"""The update engine: sweeps a core's neurons ``lanes`` a cycle, clears the currents it used, and hands on spikes or scores."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from spikefold.hw.layer import LayerConfig
from spikefold.hw.memory import Ram
from spikefold.hw.neuron import NeuronStep
from spikefold.quantize.widths import address_bits

__all__ = ["UpdateEngine", "update_layout"]


def update_layout(layer: LayerConfig) -> data.StructLayout:
    """Return what the sweep of one word gives: its place, and each lane's spike, potential and (in the last layer) score."""
    channel, y, x = (unsigned(address_bits(size)) for size in layer.plan.shape)
    fields = {
        "word": unsigned(layer.word_bits),
        "channel": channel,
        "y": y,
        "x": x,
        "fired": layer.lanes,
        "potential": layer.lanes_of(layer.potential_shape),
    }
    if layer.is_last:
        fields |= {"score": layer.lanes_of(layer.score_shape), "final": 1}
    return data.StructLayout(fields)


class UpdateEngine(wiring.Component):
    """Members: ``start`` (pulse) with ``first`` (this timestep is the inference's first), the port to the bank of currents being used, ``swept``
    (a stream without back-pressure: whoever listens has room for every word) and ``quiet``.

    Word ``w`` is read in cycle ``1 + w`` after the start and leaves five cycles later: a cycle for the memories, one for the registers behind them,
    and the neuron step.
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
                "swept": Out(stream.Signature(update_layout(layer), always_ready=True)),
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
        running, first = Signal(), Signal()
        word, group = Signal(layer.word_bits), Signal(range(max(2, groups)))
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
        stages = Signal(2 + NeuronStep.LATENCY)
        m.d.sync += stages.eq((stages << 1) | running)
        m.d.sync += [self.clear.eq(running), self.clear_address.eq(word)]
        m.d.comb += self.quiet.eq(~running & (stages == 0))

        out = self.swept.payload
        m.d.comb += self.swept.valid.eq(stages[-1])
        out_group = self.place(m)
        for lane in range(layer.lanes):
            m.submodules[f"lane_{lane}"] = step = NeuronStep(layer)
            initial = schedule.value("initial", lane, registered)
            m.d.comb += [step.current.eq(current[lane]), step.previous.eq(Mux(first, initial, previous[lane]))]
            m.d.comb += [getattr(step, key).eq(schedule.value(key, lane, registered)) for key in schedule.neuron_ports]
            # Lanes past the last channel hold no neuron.
            present = (out_group != groups - 1) if (groups - 1) * layer.lanes + lane >= plan.shape[0] else 1
            m.d.comb += [out.fired[lane].eq(step.fired & present), out.potential[lane].eq(Mux(present, step.potential, 0))]
        m.d.comb += [potentials.write.eq(self.swept.valid), potentials.write_address.eq(out.word), potentials.write_data.eq(out.potential)]
        if layer.is_last:
            self.read_out(m, registered, first, timestep, word)
        return m

    def place(self, m: Module) -> Signal:
        """Count the place of the words that come out, behind the sweep; return their channel group."""
        plan, out = self.layer.plan, self.swept.payload
        word, group = Signal(self.layer.word_bits), Signal(range(max(2, plan.groups)))
        channel, y, x = (Signal(range(max(2, size))) for size in plan.shape)
        m.d.comb += [out.word.eq(word), out.channel.eq(channel), out.y.eq(y), out.x.eq(x)]
        with m.If(self.start):
            m.d.sync += [word.eq(0), group.eq(0), channel.eq(0), y.eq(0), x.eq(0)]
        with m.Elif(self.swept.valid):
            m.d.sync += [word.eq(word + 1), group.eq(group + 1), channel.eq(channel + self.layer.lanes)]
            with m.If(group == plan.groups - 1):
                m.d.sync += [group.eq(0), channel.eq(0), x.eq(x + 1)]
                with m.If(x == plan.shape[2] - 1):
                    m.d.sync += [x.eq(0), y.eq(y + 1)]
        return group

    def read_out(self, m: Module, registered: dict[str, Any], first: Signal, timestep: Signal, word: Signal) -> None:
        """Add the readout: the spike counts where they decide, the offsets, and the mark of the final timestep."""
        layer, out = self.layer, self.swept.payload
        decoded = out.potential
        if layer.network.readout.decode == "spike_count":
            shape = layer.lanes_of(unsigned(layer.network.timesteps.bit_length()))
            m.submodules.counts = counts = Ram(shape, layer.plan.words)
            decoded = Signal(shape, name="count")
            m.d.comb += [counts.read_address.eq(word), counts.write.eq(self.swept.valid)]
            m.d.comb += [counts.write_address.eq(out.word), counts.write_data.eq(decoded)]
            count = self.delayed(m, counts.read_data, 1 + NeuronStep.LATENCY, "counted")
            for lane in range(layer.lanes):
                m.d.comb += decoded[lane].eq(Mux(first, 0, count[lane]) + out.fired[lane])
        for lane in range(layer.lanes):
            offset = self.delayed(m, layer.schedule.value("offset", lane, registered), NeuronStep.LATENCY, f"offset_{lane}")
            m.d.comb += out.score[lane].eq(decoded[lane] + offset)
        m.d.comb += out.final.eq(timestep == layer.network.timesteps - 1)

    @staticmethod
    def delayed(m: Module, value: Any, cycles: int, name: str) -> Any:
        """Return ``value`` some cycles later."""
        for n in range(cycles):
            later = Signal(value.shape(), name=f"{name}_{n}", reset_less=True)
            m.d.sync += later.eq(value)
            value = later
        return value
