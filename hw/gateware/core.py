"""A core: two engines that run at the same time on two banks of currents, and an emitter."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from spikefold.hw.gateware.accumulate import AccumulateEngine
from spikefold.hw.gateware.emitter import ScoreEmitter, SpikeEmitter, score_layout
from spikefold.hw.gateware.layer import LayerConfig
from spikefold.hw.gateware.memory import Ram, Rom
from spikefold.hw.gateware.update import UpdateEngine, swept_layout

__all__ = ["Core"]


class Core(wiring.Component):
    """One layer. Members: ``events`` (stream in), ``output`` (stream out: events, or scores of the last layer), ``start`` (pulse: a step begins) with
    ``run`` (this core has a timestep to work on) and ``first`` (the inference's first), ``swept`` (for tracing) and ``quiet``.

    In each step the accumulate engine fills one bank and the update engine uses and clears the other; the start swaps
    them. A core that does not run in a step goes on with the bank that it fills: its source did not run in the step
    before, so the bank is empty, or holds what a host sent before an idle tick. After reset both banks are cleared, word
    by word, before the core is quiet for the first time.
    """  # noqa: D205

    def __init__(self, layer: LayerConfig) -> None:
        self.layer = layer
        self.accumulate, self.update = AccumulateEngine(layer), UpdateEngine(layer)
        super().__init__(
            {
                "events": In(stream.Signature(layer.source_events)),
                "output": Out(stream.Signature(score_layout(layer) if layer.is_last else layer.spike_events)),
                "start": In(1),
                "run": In(1),
                "first": In(1),
                "swept": Out(stream.Signature(swept_layout(layer), always_ready=True)),
                "quiet": Out(1),
            }
        )

    @property
    def roms(self) -> list[Rom]:
        """The memories that have an image."""
        return [self.accumulate.rows, self.accumulate.columns, self.accumulate.weights, *self.layer.schedule.roms.values()]

    def elaborate(self, platform: object) -> Module:
        """Connect the engines to the banks and the emitter."""
        m = Module()
        layer, words = self.layer, self.layer.plan.words
        accumulate, update = self.accumulate, self.update
        emitter = ScoreEmitter(layer) if layer.is_last else SpikeEmitter(layer)
        m.submodules.accumulate, m.submodules.update, m.submodules.emitter = accumulate, update, emitter
        wiring.connect(m, wiring.flipped(self.events), accumulate.events)
        wiring.connect(m, emitter.output, wiring.flipped(self.output))
        wiring.connect(m, update.swept, wiring.flipped(self.swept))
        wiring.connect(m, update.words, emitter.words)
        m.d.comb += [update.start.eq(self.start & self.run), update.first.eq(self.first)]

        filling = Signal()
        with m.If(update.start):
            m.d.sync += filling.eq(~filling)
        clearing = Signal(init=1)
        clear_word = Signal(layer.word_bits)
        with m.If(clearing):
            m.d.sync += [clear_word.eq(clear_word + 1), clearing.eq(clear_word != words - 1)]
        m.d.comb += self.quiet.eq(~clearing & accumulate.quiet & update.quiet & emitter.quiet)

        banks = [Ram(layer.lanes_of(layer.current_shape), words) for _ in range(2)]
        for number, bank in enumerate(banks):
            m.submodules[f"bank_{number}"] = bank
            filled = filling == number
            m.d.comb += bank.read_address.eq(Mux(filled, accumulate.read_address, update.read_address))
            with m.If(clearing):
                m.d.comb += [bank.write.eq(1), bank.write_address.eq(clear_word)]
            with m.Elif(filled):
                m.d.comb += [
                    bank.write.eq(accumulate.write),
                    bank.write_address.eq(accumulate.write_address),
                    bank.write_data.eq(accumulate.write_data),
                ]
            with m.Else():
                m.d.comb += [bank.write.eq(update.clear), bank.write_address.eq(update.clear_address)]
        m.d.comb += [
            accumulate.read_data.eq(Mux(filling, banks[1].read_data.as_value(), banks[0].read_data.as_value())),
            update.read_data.eq(Mux(filling, banks[0].read_data.as_value(), banks[1].read_data.as_value())),
        ]
        return m
