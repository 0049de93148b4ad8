"""The virtual chip: every limit in one place, and its TOML file. Simulator and hardware both read it."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path

from spikefold.data.errors import ChipError, DataError
from spikefold.data.shown import shown
from spikefold.data.toml import read_toml
from spikefold.network.power_terms import TERMS_MAX

__all__ = ["ChipConfig", "load_chip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipConfig:
    """A chip of identical cores in a chain, one layer a core.

    ``lanes`` neurons are served in a clock cycle by each engine of a core; ``event_queue_depth`` events wait at its input. Block RAMs
    and multipliers are those of the whole device (0: no such limit); a block RAM holds ``block_ram_bits`` and is at most ``block_ram_width`` wide.
    With ``gain_terms`` of 1 or 2 cores have so many shifters in the place of the gain's multiplier, and take gains that are sums of so many
    signed powers of two.
    """

    name: str = "default"
    cores: int = 16
    lanes: int = 8
    event_queue_depth: int = 16
    axons_per_core: int = 65536
    neurons_per_core: int = 65536
    weight_bits_per_core: int = 8 * 1024 * 1024
    schedule_bits_per_core: int = 4 * 1024 * 1024
    potential_bits: int = 32
    current_bits: int = 32
    block_rams: int = 0
    block_ram_bits: int = 18432
    block_ram_width: int = 36
    multipliers: int = 0
    gain_terms: int = 0

    def __post_init__(self) -> None:
        limits = {
            "cores": (1, 4096), "lanes": (1, 64), "event_queue_depth": (1, 1024), "axons_per_core": (1, 1 << 24), "neurons_per_core": (1, 1 << 24),
            "weight_bits_per_core": (1, 1 << 40), "schedule_bits_per_core": (1, 1 << 40), "potential_bits": (2, 32), "current_bits": (1, 32),
            "block_rams": (0, 1 << 20), "block_ram_bits": (256, 1 << 20), "block_ram_width": (1, 256), "multipliers": (0, 1 << 20),
            "gain_terms": (0, TERMS_MAX),
        }  # fmt: skip
        if not isinstance(self.name, str) or not self.name or not self.name.isprintable():
            raise ChipError(f"chip name: {shown(self.name)}; it must be a text without control characters")
        for field, (low, high) in limits.items():
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise ChipError(f"chip {shown(self.name)} {field}: {shown(value)}; it must be an integer in {low}..{high}")

    def to_dict(self) -> dict[str, str | int]:
        """Return the fields in order, for manifests."""
        return asdict(self)


def load_chip(path: Path) -> ChipConfig:
    """Read a chip's TOML file: a table of :class:`ChipConfig`'s fields, each optional; unknown keys are errors."""
    try:
        table = read_toml(path)
    except DataError as error:
        raise ChipError(str(error)) from error
    known = {field.name for field in fields(ChipConfig)}
    for key in table:
        if key not in known:
            raise ChipError(f"{path}: unknown key {shown(key)}; the keys are {', '.join(sorted(known))}")
    try:
        return ChipConfig(**table)
    except ChipError as error:
        raise ChipError(f"{path}: {error}") from error
