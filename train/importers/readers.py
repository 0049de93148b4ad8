"""Which module of which framework is what part of a layer; what is not here is refused by name."""

from collections.abc import Callable

from spikefold.train.importers import snntorch_parts, spikingjelly_parts, torch_parts
from spikefold.train.importers.errors import SourceError
from spikefold.train.importers.parts import Part
from spikefold.train.importers.recording import Slot

__all__ = ["READERS", "read_part"]

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


def read_part(slot: Slot) -> Part:
    """Return what a slot is, or raise a SourceError that names it and what would have to change."""
    if slot.kind in READERS:
        return READERS[slot.kind](slot)
    framework = slot.kind.partition(".")[0]
    known = ", ".join(name.partition(".")[2] for name in READERS if name.startswith(f"{framework}."))
    reason = REFUSED.get(slot.kind, f"nothing in a float network is the same; those of {framework} that are: {known or 'none'}")
    raise SourceError(f"{slot.place}: {reason}")
