"""The error of importing and exporting."""

from spikefold.train.errors import TrainError

__all__ = ["SourceError"]


class SourceError(TrainError):
    """A network that cannot be carried over exactly, or that cannot be run; the message names the part and what would have to change."""
