"""What classes of modules are called, and of which class of a framework a module is that is a subclass of it."""

from collections.abc import Container

from torch import nn

__all__ = ["FRAMEWORKS", "class_of", "framework_of", "kind_of", "own_methods", "type_name"]

FRAMEWORKS = ("torch", "snntorch", "spikingjelly", "norse", "brevitas")
PUBLIC = (
    "torch.nn.modules.", "snntorch.", "brevitas.nn.", "spikingjelly.activation_based.layer.", "spikingjelly.activation_based.neuron.",
    "spikingjelly.activation_based.ann2snn.",
)  # fmt: skip
"""Where the classes stand that users know by the framework's name and theirs; others, such as torch's quantised Linear,
are named in full.
"""
HARMLESS = {
    "__init__", "__module__", "__qualname__", "__doc__", "__annotations__", "__constants__", "__abstractmethods__", "_abc_impl", "__getstate__",
    "__setstate__", "__deepcopy__", "__repr__", "extra_repr", "reset_parameters",
}  # fmt: skip
"""What a subclass may have for itself and computes nothing else."""


def _name(kind: type) -> str:
    framework = kind.__module__.partition(".")[0]
    if framework not in FRAMEWORKS:
        return kind.__qualname__
    return f"{framework}.{kind.__name__}" if kind.__module__.startswith(PUBLIC) else f"{kind.__module__}.{kind.__name__}"


def type_name(module: nn.Module) -> str:
    """Return the framework and class of a module, such as ``torch.Linear``; of a class of the user's its own name."""
    return _name(type(module))


def framework_of(module: nn.Module) -> str:
    """Return which framework a module's class, or the nearest that it is a subclass of, is from."""
    names = (kind.__module__.partition(".")[0] for kind in type(module).__mro__)
    return next((name for name in names if name in FRAMEWORKS), "")


def kind_of(module: nn.Module, known: Container[str]) -> str:
    """Return the name in ``known`` of a module's class or the nearest one above it; of an unknown class its own name."""
    return next((name for name in map(_name, type(module).__mro__) if name in known), type_name(module))


def class_of(module: nn.Module, known: Container[str]) -> type:
    """Return the class of a module, or the nearest one above it, whose name is in ``known``."""
    return next(kind for kind in type(module).__mro__ if _name(kind) in known)


def own_methods(module: nn.Module, known: Container[str]) -> list[str]:
    """Return what a subclass of a known class does otherwise than that: the names that it defines anew."""
    found: set[str] = set()
    for kind in type(module).__mro__:
        if _name(kind) in known:
            return sorted(name for name in found - HARMLESS if hasattr(kind, name))
        found |= set(vars(kind))
    return []
