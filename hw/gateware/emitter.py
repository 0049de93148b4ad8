"""What leaves a core: a spike's event at a time, or in the last layer a class's score at a time."""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from spikefold.hw.gateware.layer import LayerConfig
from spikefold.hw.gateware.memory import Queue

__all__ = ["ScoreEmitter", "SpikeEmitter", "score_layout", "scores_layout", "spikes_layout"]


def spikes_layout(layer: LayerConfig) -> data.StructLayout:
    """Return a word in which a neuron fired: the lanes that did, and the place of the first lane."""
    return data.StructLayout({"lanes": layer.lanes, **{name: layer.spike_events[name].shape for name in ("channel", "y", "x")}})


def scores_layout(layer: LayerConfig) -> data.StructLayout:
    """Return a word of classes: the lanes that hold one, from the first on, and each lane's score."""
    return data.StructLayout({"lanes": layer.lanes, "score": layer.lanes_of(layer.score_shape)})


def score_layout(layer: LayerConfig) -> data.StructLayout:
    """Return one class's score; with the last one the predicted class is valid."""
    return data.StructLayout({"score": layer.score_shape, "label": unsigned(layer.label_bits), "last": 1})


class Emitter(wiring.Component):
    """Turns words into one item a cycle, lowest lane first, in the order of the sweep.

    Its queue holds as many words as the core has, so the update never waits. Fetching a word takes two cycles.
    """

    def __init__(self, layer: LayerConfig, waiting: data.StructLayout, output: data.StructLayout) -> None:
        self.layer, self.waiting = layer, waiting
        super().__init__({"words": In(stream.Signature(waiting, always_ready=True)), "output": Out(stream.Signature(output)), "quiet": Out(1)})

    def sequence(self, m: Module) -> tuple[Queue, Signal, Signal, Signal]:
        """Build the queue and the fetch sequence; return the queue, its word being loaded, the lanes still to send and whether one was sent."""
        m.submodules.queue = queue = Queue(self.waiting, self.layer.plan.words)
        m.d.comb += [queue.push.valid.eq(self.words.valid), queue.push.payload.eq(self.words.payload)]
        lanes = Signal(self.layer.lanes)
        loading = Signal()
        sent = Signal()
        rest = Signal(self.layer.lanes)
        m.d.comb += [rest.eq(lanes & (lanes - 1)), sent.eq(self.output.valid & self.output.ready)]
        with m.FSM():
            with m.State("FETCH"):
                m.d.comb += [queue.take.eq(queue.available), self.quiet.eq(~queue.available)]
                with m.If(queue.available):
                    m.next = "LOAD"
            with m.State("LOAD"):
                m.d.comb += loading.eq(1)
                m.d.sync += lanes.eq(queue.data.lanes)
                m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += self.output.valid.eq(1)
                with m.If(sent):
                    m.d.sync += lanes.eq(rest)
                    with m.If(rest == 0):
                        m.next = "FETCH"
        return queue, loading, lanes, sent


class SpikeEmitter(Emitter):
    """Members: ``words`` (in which a neuron fired), ``output`` (events out) and ``quiet``."""

    def __init__(self, layer: LayerConfig) -> None:
        super().__init__(layer, spikes_layout(layer), layer.spike_events)

    def elaborate(self, platform: object) -> Module:
        """Send the spikes of each word."""
        m = Module()
        queue, loading, lanes, _ = self.sequence(m)
        lane = Signal(range(max(2, self.layer.lanes)))
        for n in reversed(range(self.layer.lanes)):
            with m.If(lanes[n]):
                m.d.comb += lane.eq(n)
        place = Signal(self.layer.spike_events)
        with m.If(loading):
            m.d.sync += [place[name].eq(queue.data[name]) for name in ("channel", "y", "x")]
        event = self.output.payload
        m.d.comb += [event.channel.eq(place.channel + lane), event.y.eq(place.y), event.x.eq(place.x)]
        return m


class ScoreEmitter(Emitter):
    """Members: ``words`` (of the final timestep), ``output`` (scores out, in the order of the classes) and ``quiet``."""

    def __init__(self, layer: LayerConfig) -> None:
        super().__init__(layer, scores_layout(layer), score_layout(layer))

    def elaborate(self, platform: object) -> Module:
        """Send the scores of each word, and keep the greatest so far."""
        m = Module()
        classes, score_bits = self.layer.plan.shape[0], self.layer.score_shape.width
        queue, loading, _, sent = self.sequence(m)
        # The lanes of a word hold classes without a hole, so the next score is always the lowest.
        scores = Signal(self.layer.lanes_of(self.layer.score_shape))
        with m.If(loading):
            m.d.sync += scores.eq(queue.data.score)
        with m.Elif(sent):
            m.d.sync += scores.eq(scores.as_value()[score_bits:])

        out = self.output.payload
        label = Signal.like(out.label)
        best = Signal(self.layer.score_shape)
        best_label = Signal.like(out.label)
        # Ties go to the lowest class: only a greater score takes the lead.
        leads = (label == 0) | (scores[0] > best)
        m.d.comb += [out.score.eq(scores[0]), out.last.eq(label == classes - 1), out.label.eq(Mux(leads, label, best_label))]
        with m.If(sent):
            m.d.sync += label.eq(Mux(out.last, 0, label + 1))
            with m.If(leads):
                m.d.sync += [best.eq(scores[0]), best_label.eq(label)]
        return m
