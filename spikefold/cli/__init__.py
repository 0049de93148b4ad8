"""The command line: the only part of Spikefold that prints."""

from spikefold.cli.app import main

__all__ = ["main"]
