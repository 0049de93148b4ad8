"""The device that a chip must fit: an FPGA's block RAMs and multipliers. Only estimates read it."""

from dataclasses import dataclass

from spikefold.chip.limits import check_limits

__all__ = ["Device"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Block RAMs and multipliers of a whole device; 0 means no such limit.

    A block RAM holds ``block_ram_bits`` and is at most ``block_ram_width`` wide.
    """

    block_rams: int = 0
    block_ram_bits: int = 18432
    block_ram_width: int = 36
    multipliers: int = 0

    def __post_init__(self) -> None:
        limits = {
            "block_rams": (0, 1 << 20), "block_ram_bits": (256, 1 << 20), "block_ram_width": (1, 256),
            "multipliers": (0, 1 << 20),
        }  # fmt: skip
        check_limits(self, limits, "device")
