"""The chip: a chain of cores in barrier-synchronised steps between two AXI4-Stream ports."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from spikefold.hw.gateware.core import Core
from spikefold.hw.gateware.interface import EVENT, TICK, Interface
from spikefold.hw.gateware.memory import Rom

__all__ = ["SpikingChip", "TracedChip"]


class TracedChip(wiring.Component):
    """The chip with its trace ports.

    ``s_axis`` takes beats (``Interface.beat``): the events of a timestep, then its tick; TLAST marks the tick that ends an inference. Inferences
    may follow each other at once. A result leaves when the last timestep has gone through all cores, so a host that has no more timesteps sends
    an idle beat a core. ``m_axis`` gives a beat a class: its score, sign-extended, with TLAST and, in TUSER, the predicted class on the last.

    A step begins with a start pulse and ends when the tick was taken and all cores are quiet. In step k the core at depth d works on the timestep
    that came in in step k - d - 1.
    """

    def __init__(self, interface: Interface) -> None:
        self.interface = interface
        self.cores = [Core(layer) for layer in interface.layers]
        super().__init__({port.name: (In if port.is_input else Out)(port.width) for port in (*interface.streams, *interface.traces)})
        for port in interface.traces:
            # Nothing but a bench reads it.
            getattr(self, port.name).attrs["keep"] = 1

    @property
    def roms(self) -> list[Rom]:
        """The memories that have an image."""
        return [rom for core in self.cores for rom in core.roms]

    def elaborate(self, platform: object) -> Module:
        """Chain the cores and build the barrier."""
        m = Module()
        start = Signal()
        ticked = Signal()
        quiet = Signal()
        open_ = Signal()
        first = Signal(init=1)
        run = Signal(len(self.cores))
        firsts = Signal(len(self.cores))

        for d, core in enumerate(self.cores):
            m.submodules[f"core_{d}"] = core
            m.d.comb += [core.start.eq(start), core.run.eq(run[d]), core.first.eq(firsts[d])]
            if d:
                wiring.connect(m, self.cores[d - 1].output, core.events)
            m.d.comb += [
                getattr(self, f"trace_{d}_event_valid").eq(core.events.valid & core.events.ready),
                getattr(self, f"trace_{d}_event").eq(core.events.payload),
                getattr(self, f"trace_{d}_swept_valid").eq(core.swept.valid),
                getattr(self, f"trace_{d}_word").eq(core.swept.payload.word),
                getattr(self, f"trace_{d}_fired").eq(core.swept.payload.fired),
                getattr(self, f"trace_{d}_potential").eq(core.swept.payload.potential),
            ]
        m.d.comb += self.trace_start.eq(start)

        beat = Signal(self.interface.beat)
        events, output = self.cores[0].events, self.cores[-1].output
        taken = Signal()
        m.d.comb += [
            beat.eq(self.s_axis_tdata[: self.interface.beat.size]),
            # Ready must not depend on what is offered, so ticks wait for the event queue too.
            self.s_axis_tready.eq(open_ & events.ready),
            taken.eq(self.s_axis_tvalid & self.s_axis_tready),
            # What lies outside the input's shape is taken and dropped: the fan-out tables hold nothing for it.
            events.valid.eq(self.s_axis_tvalid & open_ & (beat.kind == EVENT) & self.inside(beat.event)),
            events.payload.eq(beat.event),
            self.m_axis_tvalid.eq(output.valid),
            output.ready.eq(self.m_axis_tready),
            self.m_axis_tdata.eq(output.payload.score),
            self.m_axis_tuser.eq(output.payload.label),
            self.m_axis_tlast.eq(output.payload.last),
        ]

        # One cycle behind, so that the cores' flags meet in a register.
        m.d.sync += [quiet.eq(Cat(core.quiet for core in self.cores).all()), start.eq(0)]
        next_run = Signal()
        next_first = Signal()
        with m.If(taken & (beat.kind != EVENT)):
            m.d.sync += [open_.eq(0), ticked.eq(1), next_run.eq(beat.kind == TICK), next_first.eq(first)]
            with m.If(beat.kind == TICK):
                m.d.sync += first.eq(self.s_axis_tlast)
        with m.If(start):
            m.d.sync += open_.eq(1)
        begun = Signal()
        with m.If(quiet & (ticked | ~begun)):
            m.d.sync += [start.eq(1), begun.eq(1), ticked.eq(0)]
            m.d.sync += [run.eq(Cat(next_run & begun, run)[: len(self.cores)]), firsts.eq(Cat(next_first, firsts)[: len(self.cores)])]
        return m

    def inside(self, event: data.View) -> Value:
        """Return whether an event lies in the input's shape; an axis of a power of two has nothing outside."""
        checks = [event[axis] < size for axis, size in zip(("channel", "y", "x"), self.interface.network.input.shape, strict=True)
                  if size < 1 << len(event[axis])]  # fmt: skip
        return Cat(checks).all()


class SpikingChip(wiring.Component):
    """The chip without its trace ports: what is put on a device."""

    def __init__(self, interface: Interface) -> None:
        self.traced = TracedChip(interface)
        super().__init__({port.name: (In if port.is_input else Out)(port.width) for port in self.traced.interface.streams})

    def elaborate(self, platform: object) -> Module:
        """Leave the trace ports open."""
        m = Module()
        m.submodules.traced = self.traced
        for port in self.traced.interface.streams:
            inner, outer = getattr(self.traced, port.name), getattr(self, port.name)
            m.d.comb += inner.eq(outer) if port.is_input else outer.eq(inner)
        return m
