"""Memories and queues, each with a registered read: the only storage that is not flip-flops.

The Verilog of the two memories is written by hand (``emit/templates/``), so that every vendor's tools infer block RAM from
it and images load by ``$readmemh``. For the platform SIMULATED they are Amaranth's own memories, which do the same.
"""

from typing import Any

from amaranth.hdl import ClockSignal, Instance, Module, Mux, Shape, ShapeCastable, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from spikefold.network.fields import address_bits

__all__ = ["SIMULATED", "Queue", "Ram", "Rom"]

SIMULATED = object()
"""The platform of hardware that Amaranth's simulator runs."""


class Rom(wiring.Component):
    """``words`` behind a synchronous read: ``data`` follows ``address`` by one cycle. Its image is the file ``<name>.hex`` in the build's ``mem``."""

    def __init__(self, name: str, shape: Any, words: list[int]) -> None:
        self.image_name, self.width, self.words = f"{name}.hex", Shape.cast(shape).width, words
        super().__init__({"address": In(address_bits(len(words))), "data": Out(shape)})

    @property
    def file(self) -> str:
        """The image's path in the build folder."""
        return f"mem/{self.image_name}"

    @property
    def image(self) -> str:
        """The image as text for ``$readmemh``."""
        digits = -(-self.width // 4)
        mask = (1 << self.width) - 1
        return "".join(f"{word & mask:0{digits}x}\n" for word in self.words)

    def elaborate(self, platform: object) -> Module:
        """Instantiate the memory."""
        m = Module()
        data = Signal(self.width)
        m.d.comb += self.data.eq(data)
        if platform is SIMULATED:
            mask = (1 << self.width) - 1
            m.submodules.memory = words = memory.Memory(shape=self.width, depth=len(self.words), init=[word & mask for word in self.words])
            port = words.read_port()
            m.d.comb += [port.addr.eq(self.address), data.eq(port.data)]
            return m
        m.submodules.memory = Instance(
            "spikefold_rom",
            p_WIDTH=self.width, p_DEPTH=len(self.words), p_ADDRESS=address_bits(len(self.words)), p_INIT=self.image_name,
            i_clk=ClockSignal(), i_address=self.address, o_data=data,
        )  # fmt: skip
        return m


class Ram(wiring.Component):
    """``depth`` words of ``shape`` with one read and one write port; what is read in the cycle of a write there is not used."""

    def __init__(self, shape: Any, depth: int) -> None:
        self.depth, self.width = depth, Shape.cast(shape).width
        address = address_bits(depth)
        super().__init__(
            {
                "read_address": In(address),
                "read_data": Out(shape),
                "write": In(1),
                "write_address": In(address),
                "write_data": In(shape),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Instantiate the memory."""
        m = Module()
        read_data = Signal(self.width)
        write_data = Signal(self.width)
        m.d.comb += [self.read_data.eq(read_data), write_data.eq(self.write_data)]
        if platform is SIMULATED:
            m.submodules.memory = words = memory.Memory(shape=self.width, depth=self.depth, init=[])
            read, write = words.read_port(), words.write_port()
            m.d.comb += [read.addr.eq(self.read_address), read_data.eq(read.data)]
            m.d.comb += [write.en.eq(self.write), write.addr.eq(self.write_address), write.data.eq(write_data)]
            return m
        m.submodules.memory = Instance(
            "spikefold_ram",
            p_WIDTH=self.width, p_DEPTH=self.depth, p_ADDRESS=address_bits(self.depth),
            i_clk=ClockSignal(), i_read_address=self.read_address, o_read_data=read_data,
            i_write=self.write, i_write_address=self.write_address, i_write_data=write_data,
        )  # fmt: skip
        return m


class Queue(wiring.Component):
    """A first-in first-out queue whose ``ready`` is a registered level.

    Members: ``push`` (stream in), ``available`` (something was there at the start of the cycle), ``take`` (remove the oldest) and ``data``,
    which is what was taken, in the cycle after ``take`` alone. Pushed in cycle c, available from c + 1.
    """

    def __init__(self, shape: ShapeCastable | Shape | int, depth: int) -> None:
        self.shape, self.depth = shape, depth
        super().__init__({"push": In(stream.Signature(shape)), "available": Out(1), "take": In(1), "data": Out(shape)})

    def elaborate(self, platform: object) -> Module:
        """Count the level and turn the two pointers."""
        m = Module()
        m.submodules.words = words = Ram(self.shape, self.depth)
        level = Signal(range(self.depth + 1))
        head = Signal(range(self.depth))
        tail = Signal(range(self.depth))
        pushed = Signal()
        m.d.comb += [
            self.push.ready.eq(level != self.depth),
            pushed.eq(self.push.valid & self.push.ready),
            self.available.eq(level != 0),
            words.write.eq(pushed),
            words.write_address.eq(tail),
            words.write_data.eq(self.push.payload),
            words.read_address.eq(head),
            self.data.eq(words.read_data),
        ]
        for moved, pointer in ((pushed, tail), (self.take, head)):
            with m.If(moved):
                m.d.sync += pointer.eq(Mux(pointer == self.depth - 1, 0, pointer + 1))
        m.d.sync += level.eq(level + pushed - self.take)
        return m
