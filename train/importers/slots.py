"""A place in a network of another framework, and what went through it in a run."""

from dataclasses import dataclass

from torch import nn

from spikefold.train.importers.kinds import type_name
from spikefold.train.importers.parts import Float

__all__ = ["Slot"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slot:
    """A place in a network: one module for all timesteps, or one for each.

    ``received`` and ``sent`` are [T, N, ...]; ``potentials``, of snnTorch's neurons, are those after the reset. ``held``:
    it was called once, for one timestep, and what it sent is held in all. ``unread`` are the user's own modules that were
    called between the part before and this one.
    """

    name: str
    modules: tuple[nn.Module, ...]
    received: Float
    sent: Float
    potentials: Float | None
    held: bool
    unread: tuple[str, ...]

    @property
    def place(self) -> str:
        """How errors name it."""
        return f"{self.name} ({type_name(self.modules[0])})"
