"""What a fold may use."""

from dataclasses import dataclass

__all__ = ["FoldOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldOptions:
    """The widths that a fold may use; ``gain_terms`` is how many powers of two a gain may be the sum of, 0: any integer."""

    weight_bits: int
    gain_bits: int
    gain_terms: int
    graded_bits: int
    saturate_bits: int | None
    timesteps: int
