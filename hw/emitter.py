"""What leaves a core: a spike's event at a time, or in the last layer a class's score at a time."""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from spikefold.hw.layer import LayerConfig
from spikefold.hw.memory import Queue
from spikefold.hw.update import update_layout

__all__ = ["ScoreEmitter", "SpikeEmitter", "score_layout"]


def score_layout(layer: LayerConfig) -> data.StructLayout:
    """Return one class's score; with the last one the predicted class is valid."""
    return data.StructLayout({"score": layer.score_shape, "label": unsigned(layer.label_bits), "last": 1})


class Emitter(wiring.Component):
    """Turns words into one item a cycle, lowest lane first, in the order of the sweep.

    Its queue holds as many words as the core has, so the update never waits. Fetching a word takes two cycles.
    """

    def __init__(self, layer: LayerConfig, waiting: data.StructLayout, output: data.StructLayout) -> None:
        self.layer, self.waiting = layer, waiting
        super().__init__(
            {"swept": In(stream.Signature(update_layout(layer), always_ready=True)), "output": Out(stream.Signature(output)), "quiet": Out(1)}
        )

    def sequence(self, m: Module, push: object) -> tuple[Queue, Signal, Signal]:
        """Build the queue and the fetch sequence; return the queue, the lanes still to send and the lowest of them."""
        m.submodules.queue = queue = Queue(self.waiting, self.layer.plan.words)
        m.d.comb += queue.push.valid.eq(push)
        lanes = Signal(self.layer.lanes)
        lane = Signal(range(max(2, self.layer.lanes)))
        for n in reversed(range(self.layer.lanes)):
            with m.If(lanes[n]):
                m.d.comb += lane.eq(n)
        with m.FSM():
            with m.State("FETCH"):
                m.d.comb += [queue.take.eq(queue.available), self.quiet.eq(~queue.available)]
                with m.If(queue.available):
                    m.next = "LOAD"
            with m.State("LOAD"):
                m.d.sync += lanes.eq(queue.data.lanes)
                m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += self.output.valid.eq(1)
                with m.If(self.output.ready):
                    rest = lanes & (lanes - 1)
                    m.d.sync += lanes.eq(rest)
                    with m.If(rest[: self.layer.lanes] == 0):
                        m.next = "FETCH"
        return queue, lanes, lane


class SpikeEmitter(Emitter):
    """Members: ``swept`` (words in), ``output`` (events out) and ``quiet``."""

    def __init__(self, layer: LayerConfig) -> None:
        place = {name: layer.spike_events[name].shape for name in ("channel", "y", "x")}
        super().__init__(layer, data.StructLayout({"lanes": layer.lanes, **place}), layer.spike_events)

    def elaborate(self, platform: object) -> Module:
        """Queue the words in which a neuron fired."""
        m = Module()
        word = self.swept.payload
        queue, _, lane = self.sequence(m, self.swept.valid & (word.fired != 0))
        m.d.comb += queue.push.payload.lanes.eq(word.fired)
        base = Signal(data.StructLayout({name: self.layer.spike_events[name].shape for name in ("channel", "y", "x")}))
        loading = Signal()
        m.d.sync += loading.eq(queue.take)
        for name in ("channel", "y", "x"):
            m.d.comb += queue.push.payload[name].eq(word[name])
            with m.If(loading):
                m.d.sync += base[name].eq(queue.data[name])
        event = self.output.payload
        m.d.comb += [event.channel.eq(base.channel + lane), event.y.eq(base.y), event.x.eq(base.x)]
        return m


class ScoreEmitter(Emitter):
    """Members: ``swept`` (words in), ``output`` (scores out, in the order of the classes) and ``quiet``."""

    def __init__(self, layer: LayerConfig) -> None:
        scores = layer.lanes_of(layer.score_shape)
        super().__init__(layer, data.StructLayout({"lanes": layer.lanes, "score": scores}), score_layout(layer))

    def elaborate(self, platform: object) -> Module:
        """Queue the words of the final timestep, and keep the greatest score so far."""
        m = Module()
        word, classes = self.swept.payload, self.layer.plan.shape[0]
        queue, _, lane = self.sequence(m, self.swept.valid & word.final)
        present = Signal(self.layer.lanes)
        for n in range(self.layer.lanes):
            m.d.comb += present[n].eq(word.channel + n < classes)
        m.d.comb += [queue.push.payload.lanes.eq(present), queue.push.payload.score.eq(word.score)]
        scores = Signal(self.layer.lanes_of(self.layer.score_shape))
        loading = Signal()
        m.d.sync += loading.eq(queue.take)
        with m.If(loading):
            m.d.sync += scores.eq(queue.data.score)

        out = self.output.payload
        label = Signal.like(out.label)
        best, best_label = Signal(self.layer.score_shape), Signal.like(out.label)
        score = scores[lane]
        # Ties go to the lowest class: only a greater score takes the lead.
        leads = (label == 0) | (score > best)
        m.d.comb += [out.score.eq(score), out.last.eq(label == classes - 1), out.label.eq(Mux(leads, label, best_label))]
        with m.If(self.output.valid & self.output.ready):
            m.d.sync += label.eq(Mux(out.last, 0, label + 1))
            with m.If(leads):
                m.d.sync += [best.eq(score), best_label.eq(label)]
        return m
