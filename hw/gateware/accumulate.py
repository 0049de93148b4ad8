"""The accumulate engine: takes events, walks their fan-out ``lanes`` neurons a cycle, and adds weights into the next step's currents."""

from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from spikefold.hw.gateware.layer import LayerConfig
from spikefold.hw.gateware.memory import Queue, Rom
from spikefold.network.fields import Int, address_bits

__all__ = ["AccumulateEngine"]


class AccumulateEngine(wiring.Component):
    """Members: ``events`` (stream in), the port to the bank of currents being filled, and ``quiet``: nothing waits or is under way.

    An event taken in cycle c is popped in c + 1 at the earliest; its words are read from three cycles after that on, one a cycle; a word is
    written back three cycles after its weight was read. The three cycles between two events' walks are what keeps a word from
    being read before it was written; the words of one event are distinct.
    """

    def __init__(self, layer: LayerConfig) -> None:
        self.layer, plan = layer, layer.plan
        name = f"layer{plan.index}"
        self.rows = Rom(f"{name}_rows", table_layout(plan.rows), table_words(plan.rows))
        self.columns = Rom(f"{name}_columns", table_layout(plan.columns), table_words(plan.columns))
        bits = layer.weight_bits
        mask = (1 << bits) - 1
        words = [sum((int(w) & mask) << (bits * lane) for lane, w in enumerate(word)) for word in plan.weights]
        self.weights = Rom(f"{name}_weights", layer.lanes_of(signed(bits)), words)
        currents = layer.lanes_of(layer.current_shape)
        address = layer.word_bits
        super().__init__(
            {
                "events": In(stream.Signature(layer.source_events)),
                "read_address": Out(address),
                "read_data": In(currents),
                "write": Out(1),
                "write_address": Out(address),
                "write_data": Out(currents),
                "quiet": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the queue, the walk and the adder pipeline."""
        m = Module()
        layer, plan = self.layer, self.layer.plan
        m.submodules.queue = queue = Queue(layer.source_events, layer.architecture.event_queue_depth)
        m.submodules.rows, m.submodules.columns, m.submodules.weights = self.rows, self.columns, self.weights
        wiring.connect(m, wiring.flipped(self.events), queue.push)
        event = queue.data

        # Where the walk is: the next word, and where its row and its pixel began.
        neuron = Signal(layer.word_bits)
        weight = Signal(address_bits(len(plan.weights)))
        row_neuron = Signal.like(neuron)
        row_weight = Signal.like(weight)
        pixel_neuron = Signal.like(neuron)
        pixel_weight = Signal.like(weight)
        rows_left = Signal.like(self.rows.data.count)
        columns_left = Signal.like(self.columns.data.count)
        columns_in_row = Signal.like(self.columns.data.count)
        groups_left = Signal(range(max(2, plan.groups)))
        channel_weight = Signal.like(weight)
        payload = Signal(signed(layer.event_payload_bits), name="payload") if layer.event_payload_bits else None
        walking = Signal()
        idle = Signal()
        first_neuron = (self.rows.data.neuron + self.columns.data.neuron)[: len(neuron)]
        first_weight = (self.rows.data.weight + self.columns.data.weight + channel_weight)[: len(weight)]

        def go_to(word: object, weight_word: object) -> list[object]:
            """Begin a pixel's words."""
            return [
                neuron.eq(word), pixel_neuron.eq(word), weight.eq(weight_word), pixel_weight.eq(weight_word), groups_left.eq(plan.groups - 1)
            ]  # fmt: skip

        m.d.comb += [self.rows.address.eq(event.y), self.columns.address.eq(event.x), self.weights.address.eq(weight)]
        with m.FSM():
            with m.State("POP"):
                m.d.comb += [idle.eq(1), queue.take.eq(queue.available)]
                with m.If(queue.available):
                    m.next = "TABLE"
            with m.State("TABLE"):
                m.d.sync += channel_weight.eq(event.channel * plan.channel_step)
                if payload is not None:
                    m.d.sync += payload.eq(event.payload)
                m.next = "SUM"
            with m.State("SUM"):
                m.d.sync += go_to(first_neuron, first_weight)
                m.d.sync += [row_neuron.eq(first_neuron), row_weight.eq(first_weight)]
                m.d.sync += [rows_left.eq(self.rows.data.count - 1), columns_left.eq(self.columns.data.count - 1)]
                m.d.sync += columns_in_row.eq(self.columns.data.count - 1)
                m.next = "WALK"
                with m.If((self.rows.data.count == 0) | (self.columns.data.count == 0)):
                    m.next = "POP"
            with m.State("WALK"):
                m.d.comb += walking.eq(1)
                with m.If(groups_left != 0):
                    m.d.sync += [neuron.eq(neuron + 1), weight.eq(weight + 1), groups_left.eq(groups_left - 1)]
                with m.Elif(columns_left != 0):
                    m.d.sync += go_to(pixel_neuron + plan.column_step, pixel_weight - plan.column_weight_step)
                    m.d.sync += columns_left.eq(columns_left - 1)
                with m.Elif(rows_left != 0):
                    m.d.sync += go_to(row_neuron + plan.row_step, row_weight - plan.row_weight_step)
                    m.d.sync += [row_neuron.eq(row_neuron + plan.row_step), row_weight.eq(row_weight - plan.row_weight_step)]
                    m.d.sync += [rows_left.eq(rows_left - 1), columns_left.eq(columns_in_row)]
                with m.Else():
                    m.next = "POP"

        # The weight's read, a register behind it, the product, the sum.
        reading = Signal()
        multiplying = Signal()
        adding = Signal()
        reading_at = Signal.like(neuron)
        multiplying_at = Signal.like(neuron)
        adding_at = Signal.like(neuron)
        m.d.sync += [reading.eq(walking), multiplying.eq(reading), adding.eq(multiplying)]
        m.d.sync += [reading_at.eq(neuron), multiplying_at.eq(reading_at), adding_at.eq(multiplying_at)]
        m.d.comb += [self.read_address.eq(reading_at), self.write.eq(adding), self.write_address.eq(adding_at)]
        for lane in range(layer.lanes):
            read = Signal(signed(layer.weight_bits), name=f"weight_{lane}", reset_less=True)
            m.d.sync += read.eq(self.weights.data[lane])
            product = read if payload is None else read * payload
            term = Signal(product.shape(), name=f"term_{lane}", reset_less=True)
            current = Signal(layer.current_shape, name=f"current_{lane}", reset_less=True)
            m.d.sync += [term.eq(product), current.eq(self.read_data[lane])]
            m.d.comb += self.write_data[lane].eq((current + term)[: layer.current_shape.width])
        m.d.comb += self.quiet.eq(idle & ~queue.available & ~(reading | multiplying | adding))
        return m


def table_layout(table: Int) -> data.StructLayout:
    """Return the layout of a fan-out table: first neuron word, first weight word, count."""
    names = ("neuron", "weight", "count")
    return data.StructLayout({name: unsigned(max(1, int(table[:, i].max()).bit_length())) for i, name in enumerate(names)})


def table_words(table: Int) -> list[int]:
    """Return a fan-out table's image."""
    layout = table_layout(table)
    return [layout.const(dict(zip(("neuron", "weight", "count"), (int(v) for v in row), strict=True))).as_bits() for row in table]
