"""The chip's ports and formats, without its hardware: what benches, vectors and trace readers need."""

import re
from dataclasses import dataclass
from functools import cached_property

from amaranth.hdl import unsigned
from amaranth.lib import data

from spikefold.chip.placement import Placement
from spikefold.data.errors import ChipError
from spikefold.data.shown import shown
from spikefold.hw.gateware.layer import LayerConfig, event_layout

__all__ = ["EVENT", "IDLE", "TICK", "TOP", "Interface", "Port"]

TOP = "spikefold"
"""The top module's name by default. The names of all other modules of a chip begin with it."""
TOP_NAME = re.compile(r"(?!.*__|.*_r[ao]m$|selfcheck$|harness$)[A-Za-z]\w{0,62}[A-Za-z0-9]|[A-Za-z]", re.ASCII)
"""Names of top modules. No other module of any chip, and no bench, has such a name."""

EVENT, TICK, IDLE = 0, 1, 2
"""Kinds of a beat: an event; the end of a timestep; the end of a step without a timestep (to drain the chip, or a gap)."""

WATCHDOG_CYCLES = 200_000
EVENT_CYCLES = 8
"""More than an event takes beside the words that it reaches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port of the chip."""

    name: str
    width: int
    is_input: bool


class Interface:
    """The layers of a placed network, its top module's name, and what goes in and out.

    Raises a ChipError if ``top`` is not a name for a module.
    """

    def __init__(self, placement: Placement, top: str = TOP) -> None:
        if not TOP_NAME.fullmatch(top):
            raise ChipError(
                f"top module {shown(top)}: it must be at most 64 letters, digits and single underscores, begin with a letter, not end in _, _rom or "
                "_ram, and not be selfcheck or harness"
            )
        self.network, self.top = placement.network, top
        self.layers = [LayerConfig(network=placement.network, plan=core, architecture=placement.chip.architecture) for core in placement.cores]

    @property
    def depth(self) -> int:
        """The number of cores."""
        return len(self.layers)

    @property
    def watchdog_cycles(self) -> int:
        """Cycles that no step takes: twice those of the core that is busiest when every element of its source sends an event; at least 200,000."""
        plans = [layer.plan for layer in self.layers]
        busiest = max(plan.source_shape[0] * int((plan.fan_out() + EVENT_CYCLES).sum()) + plan.words for plan in plans)
        return max(WATCHDOG_CYCLES, 2 * busiest)

    @cached_property
    def beat(self) -> data.StructLayout:
        """The host's beat: its kind, then the event, low bits first."""
        return data.StructLayout({"kind": unsigned(2), "event": event_layout(self.network.input.shape, self.network.input.payload_bits)})

    @property
    def input_width(self) -> int:
        """Width of ``s_axis_tdata``: whole bytes."""
        return whole_bytes(self.beat.size)

    @property
    def score_width(self) -> int:
        """Width of ``m_axis_tdata``: whole bytes."""
        return whole_bytes(self.layers[-1].score_shape.width)

    @property
    def label_width(self) -> int:
        """Width of ``m_axis_tuser``."""
        return self.layers[-1].label_bits

    @cached_property
    def streams(self) -> list[Port]:
        """The two AXI4-Stream ports."""
        table = [
            ("s_axis_tdata", self.input_width, True), ("s_axis_tlast", 1, True), ("s_axis_tvalid", 1, True), ("s_axis_tready", 1, False),
            ("m_axis_tdata", self.score_width, False), ("m_axis_tuser", self.label_width, False), ("m_axis_tlast", 1, False),
            ("m_axis_tvalid", 1, False), ("m_axis_tready", 1, True),
        ]  # fmt: skip
        return [Port(name=name, width=width, is_input=is_input) for name, width, is_input in table]

    @cached_property
    def traces(self) -> list[Port]:
        """The trace ports: the start of a step, and of each core the events it takes and the words it updates."""
        table = [("trace_start", 1)]
        for d, layer in enumerate(self.layers):
            table += [
                (f"trace_{d}_event_valid", 1), (f"trace_{d}_event", layer.source_events.size), (f"trace_{d}_swept_valid", 1),
                (f"trace_{d}_word", layer.word_bits), (f"trace_{d}_fired", layer.lanes),
                (f"trace_{d}_potential", layer.lanes * layer.population.potential_bits),
            ]  # fmt: skip
        return [Port(name=name, width=width, is_input=False) for name, width in table]


def whole_bytes(bits: int) -> int:
    """Return a stream's data width."""
    return -(-bits // 8) * 8
