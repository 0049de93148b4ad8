"""Errors of training that a user can cause."""

from spikefold.data.errors import SpikefoldError

__all__ = ["DivergenceError", "ExportError", "FailedTrainingError", "RecipeError", "SilentLayerError", "TrainError"]


class RecipeError(SpikefoldError):
    """A recipe with an unknown key or a value out of range; the message names the file, the key, the value and the limit."""


class TrainError(SpikefoldError):
    """A module that is no chain of layers, or a run folder or checkpoint that cannot be used."""


class ExportError(TrainError):
    """A module that no float network can express; the message names the layer and what would have to change."""


class FailedTrainingError(TrainError):
    """A training that ran as it was told to and left no network that could be used: in a table, a result like others."""


class DivergenceError(FailedTrainingError):
    """A training whose loss, or what it learned, is no longer a number."""


class SilentLayerError(FailedTrainingError):
    """A trained layer whose currents leave no threshold that its neurons could be given."""
