"""The readers that are fuzzed, by name. Another format is a module that makes a :class:`Reader`, and a line here."""

from importlib import import_module

from benchmarks.fuzz.cases import Reader

__all__ = ["READERS", "reader_of"]

READERS = {
    "network": "tensors:NETWORK",
    "float-network": "tensors:FLOAT_NETWORK",
    "run": "runs:RUN",
    "nir": "graphs:NIR",
    "recipe": "tomls:RECIPE",
    "table": "tomls:TABLE_OF_A_PAPER",
    "chip": "tomls:CHIP",
    "idx": "images:IDX",
    "cifar": "images:CIFAR",
    "pictures": "pictures:PICTURES",
    "n-mnist": "recordings:N_MNIST",
    "cifar10-dvs": "recordings:CIFAR10_DVS",
}


def reader_of(name: str) -> Reader:
    """Return a reader; what it needs is imported now."""
    module, attribute = READERS[name].split(":")
    found: Reader = getattr(import_module(f"benchmarks.fuzz.{module}"), attribute)
    return found
