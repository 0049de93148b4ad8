"""Which module of which framework is what part of a layer; what is not here is refused by name."""

from collections.abc import Callable

from torch import nn

from spikefold.train.importers import snntorch_parts, spikingjelly_parts, torch_parts
from spikefold.train.importers.errors import SourceError
from spikefold.train.importers.kinds import FRAMEWORKS, framework_of, kind_of, own_methods, type_name
from spikefold.train.importers.parts import Part
from spikefold.train.importers.slots import Slot

__all__ = ["READERS", "check_known", "is_part", "read_part"]

Reader = Callable[[Slot], Part]


def _one(read: Callable[..., Part]) -> Reader:
    """Return the reader of parts that are one module."""
    return lambda slot: read(slot.place, slot.modules[0])


def _norm(slot: Slot) -> Part:
    return torch_parts.batch_norm(slot.place, slot.modules)


TORCH: dict[str, Reader] = {
    "Linear": _one(torch_parts.linear),
    "Conv2d": _one(torch_parts.conv2d),
    "BatchNorm1d": _norm,
    "BatchNorm2d": _norm,
    "AvgPool2d": _one(torch_parts.average_pool),
    "Flatten": _one(torch_parts.identity),
    "Dropout": _one(torch_parts.identity),
    "Dropout2d": _one(torch_parts.identity),
}
SPIKINGJELLY: dict[str, Reader] = {
    "IFNode": _one(spikingjelly_parts.integrate_and_fire),
    "LIFNode": _one(spikingjelly_parts.leaky),
    "ParametricLIFNode": _one(spikingjelly_parts.parametric_leaky),
    "ThresholdDependentBatchNorm1d": _norm,
    "ThresholdDependentBatchNorm2d": _norm,
    "VoltageScaler": _one(spikingjelly_parts.scaling),
    "ChannelVoltageScaler": _one(spikingjelly_parts.scaling),
    "TemporalEffectiveBatchNorm1d": lambda slot: spikingjelly_parts.temporal_effective_norm(slot.place, slot.modules[0], len(slot.sent)),
    "TemporalEffectiveBatchNorm2d": lambda slot: spikingjelly_parts.temporal_effective_norm(slot.place, slot.modules[0], len(slot.sent)),
    "BatchNormThroughTime1d": lambda slot: spikingjelly_parts.bntt(slot.place, slot.modules[0], len(slot.sent)),
    "BatchNormThroughTime2d": lambda slot: spikingjelly_parts.bntt(slot.place, slot.modules[0], len(slot.sent)),
}
READERS: dict[str, Reader] = {
    **{f"torch.{name}": reader for name, reader in TORCH.items()},
    "torch.Identity": _one(torch_parts.identity),
    "snntorch.Leaky": lambda slot: snntorch_parts.leaky(slot.place, slot.modules[0], slot.sent.shape[2:]),
    **{f"spikingjelly.{name}": reader for name, reader in (TORCH | SPIKINGJELLY).items()},
}
REFUSED = {
    **{f"snntorch.{name}": reason for name, reason in snntorch_parts.REFUSED.items()},
    **{f"spikingjelly.{name}": reason for name, reason in spikingjelly_parts.REFUSED.items()},
    **{f"{framework}.MaxPool2d": "a maximum of spikes is no sum of them; use AvgPool2d" for framework in ("torch", "spikingjelly")},
}


KNOWN = {**READERS, **REFUSED}
BETWEEN_LAYERS = "it quantises what goes from layer to layer, for which a float network has no place; quantise the weights alone"
BY_PLACE = {
    "torch.ao.nn.quantized": "its numbers are integers already; import the module from before torch.ao.quantization.convert",
    "torch.ao": f"{BETWEEN_LAYERS}, by qat.Linear or qat.Conv2d",
    "brevitas": f"{BETWEEN_LAYERS}, by QuantLinear or QuantConv2d",
}
"""Of classes that are refused by where they stand, the reasons."""
NEURONS = ("snntorch._neurons.", "spikingjelly.activation_based.neuron.")
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def is_part(module: nn.Module) -> bool:
    """Return whether a module is taken as a whole.

    Others are entered: what the user wrote, and what has children and no reader.
    """
    if kind_of(module, KNOWN) in KNOWN or any(kind.__module__.startswith(NEURONS) for kind in type(module).__mro__):
        return True
    framework = type(module).__module__.partition(".")[0]
    if framework not in FRAMEWORKS or isinstance(module, CONTAINERS):
        return False
    return type(module).__module__.startswith(tuple(BY_PLACE)) or not any(True for _ in module.children())


def check_known(name: str, module: nn.Module) -> None:
    """Refuse a part that has no reader, or that does something else than its reader knows."""
    place, kind = f"{name} ({type_name(module)})", kind_of(module, KNOWN)
    if kind in REFUSED:
        raise SourceError(f"{place}: {REFUSED[kind]}")
    if kind not in READERS:
        framework = framework_of(module)
        known = ", ".join(name.partition(".")[2] for name in READERS if name.startswith(f"{framework}.")) or "none"
        by_place = (reason for prefix, reason in BY_PLACE.items() if type(module).__module__.startswith(prefix))
        raise SourceError(f"{place}: {next(by_place, f'nothing in a float network is the same; those of {framework} that are: {known}')}")
    if methods := own_methods(module, READERS):
        words = f"it has a {', '.join(methods)} of its own, so it is not known what it computes; use {kind} as it is"
        raise SourceError(f"{place}: {words}")


def read_part(slot: Slot) -> Part:
    """Return what a slot is, or raise a SourceError that names it and what would have to change."""
    return READERS[kind_of(slot.modules[0], READERS)](slot)
