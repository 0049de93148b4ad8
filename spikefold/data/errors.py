"""Errors that a user can cause; the command line prints them as one line and exits with status 2."""

__all__ = ["ChipError", "DataError", "FoldError", "NetworkError", "SpikefoldError"]


class SpikefoldError(Exception):
    """Bad input. The message is one line that names the place, the value and the limit."""


class DataError(SpikefoldError):
    """A data set, a data file or an input coding that cannot be used."""


class NetworkError(SpikefoldError):
    """A float or integer network, or its file, that breaks the contract."""


class FoldError(SpikefoldError):
    """A float network that has no exact integer form; the message says what would have to change."""


class ChipError(SpikefoldError):
    """A chip that cannot be, or a network that does not fit it."""
