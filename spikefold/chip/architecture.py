"""The architecture of a chip: its cores, their lanes, queues and widths. Simulator and hardware read it."""

from dataclasses import dataclass

from spikefold.chip.limits import check_limits
from spikefold.network.power_terms import TERMS_MAX

__all__ = ["Architecture"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Identical cores in a chain, one layer a core.

    ``lanes`` neurons are served in a clock cycle by each engine of a core; ``event_queue_depth`` events wait at its input.
    With ``gain_terms`` of 1 or 2 cores have so many shifters in the place of the gain's multiplier, and take gains that are
    sums of so many signed powers of two.
    """

    cores: int = 16
    lanes: int = 8
    event_queue_depth: int = 16
    axons_per_core: int = 65536
    neurons_per_core: int = 65536
    weight_bits_per_core: int = 8 * 1024 * 1024
    schedule_bits_per_core: int = 4 * 1024 * 1024
    potential_bits: int = 32
    current_bits: int = 32
    gain_terms: int = 0

    def __post_init__(self) -> None:
        limits = {
            "cores": (1, 4096), "lanes": (1, 64), "event_queue_depth": (1, 1024), "axons_per_core": (1, 1 << 24),
            "neurons_per_core": (1, 1 << 24), "weight_bits_per_core": (1, 1 << 40), "schedule_bits_per_core": (1, 1 << 40),
            "potential_bits": (2, 32), "current_bits": (1, 32), "gain_terms": (0, TERMS_MAX),
        }  # fmt: skip
        check_limits(self, limits, "architecture")
