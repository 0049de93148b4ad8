"""A live module of snnTorch or SpikingJelly as a float network that gives the same spikes in float64."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from spikefold.data.coding import InputCoding
from spikefold.data.provenance import versions
from spikefold.quantize.float_evaluation import evaluate
from spikefold.quantize.float_network import FloatNetwork
from spikefold.train.importers.chain import Readout, layers_of
from spikefold.train.importers.checking import Flips, check_flow, check_result, compare_trace, count_flips, source_spikes
from spikefold.train.importers.errors import SourceError
from spikefold.train.importers.kinds import framework_of
from spikefold.train.importers.parts import Float, Identity, Neurons, Part
from spikefold.train.importers.readers import read_part
from spikefold.train.importers.recording import Forward, Recording, choose_forward, prepared, record

__all__ = ["Imported", "import_module", "random_events"]

SAMPLES = 8
"""Of random events; also how many samples are run at a time."""
SHARE = 0.35
Events = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Imported:
    """The float network; ``compared`` are the spikes that were found equal in float64, ``rates`` the share of them that fired, by layer.

    ``flips`` are those that float32 changes in the source framework.
    """

    network: FloatNetwork
    forward: Forward
    samples: int
    compared: tuple[int, ...]
    rates: tuple[float, ...]
    flips: tuple[Flips, ...]


def random_events(rng: np.random.Generator, coding: InputCoding, timesteps: int, samples: int) -> Events:
    """Return payloads [N, T, C, H, W] of every size, a third of them not 0; with direct coding the same in all timesteps."""
    shape = (samples, 1 if coding.coding == "direct" else timesteps, *coding.shape)
    payloads = rng.integers(coding.payload_min, coding.payload_max, shape, endpoint=True) * (rng.random(shape) < SHARE)
    return np.broadcast_to(payloads, (samples, timesteps, *coding.shape)).astype(np.int8)


def import_module(
    module: nn.Module,
    *,
    coding: InputCoding,
    timesteps: int,
    class_names: Sequence[str] | None = None,
    forward: Forward | Literal["auto"] = "auto",
    readout: Readout | Literal["auto"] = "auto",
    events: Events | None = None,
    provenance: Mapping[str, str] | None = None,
) -> Imported:
    """Return the float network that ``module`` is in evaluation mode.

    Its parts are taken in the order in which a run of it calls them. The run is in float64, on random events and on ``events`` [N, T, C, H, W],
    and the float network must give the same spikes in every layer and the same scores; whatever cannot be carried over, and any difference, is
    a SourceError. ``module`` keeps its parameters; the states of its neurons are dropped. ``forward`` is how it is called (see
    :func:`spikefold.train.importers.recording.record`); ``readout`` is ``spike_count`` where it ends with spiking neurons and none is given.
    """
    forward = choose_forward(module) if forward == "auto" else forward
    if forward == "image" and coding.coding != "direct":
        raise SourceError(f"forward: 'image'; the input coding is {coding.coding!r}, and only 'direct' is the same in every timestep")
    probe = random_events(np.random.default_rng(0), coding, timesteps, SAMPLES)
    run = _Run(module, coding, forward)
    network: FloatNetwork | None = None
    compared, fired, flips = [], [], []
    for batch in [probe] if events is None else [probe, *(events[i : i + SAMPLES] for i in range(0, len(events), SAMPLES))]:
        padded = _padded(batch)
        recording, x = run(padded, torch.float64)
        parts = [read_part(slot) for slot in recording.slots]
        check_flow(recording, parts, x)
        if network is None:
            network = _network(recording, parts, coding, class_names, readout, dict(provenance or {}))
        trace = evaluate(network, padded)
        spikes = [layer[: len(batch)] for layer in source_spikes(recording, parts, network)]
        compared.append(compare_trace(spikes, trace, network))
        check_result(recording, network, trace)
        fired.append([int(layer.sum()) for layer in spikes])
        narrow = source_spikes(run(padded, torch.float32)[0], parts, network)
        flips.append(count_flips([layer[: len(batch)] for layer in narrow], trace, network))
    if network is None:
        raise SourceError("events: there are none")
    totals = np.sum(compared, 0)
    return Imported(
        network=network, forward=forward, samples=SAMPLES + (0 if events is None else len(events)), compared=tuple(map(int, totals)),
        rates=tuple(map(float, np.sum(fired, 0) / totals)), flips=tuple(_total(layer) for layer in zip(*flips, strict=True)),
    )  # fmt: skip


def _padded(events: Events) -> Events:
    """Return events with so many samples that no axis can be taken for another: more than one, and not as many as timesteps."""
    while len(events) in (1, events.shape[1]):
        events = np.concatenate((events, events[:1]))
    return events


class _Run:
    """Runs copies of a module, one for each type of number."""

    def __init__(self, module: nn.Module, coding: InputCoding, forward: Forward) -> None:
        self.twins = {dtype: prepared(module, dtype) for dtype in (torch.float64, torch.float32)}
        self.coding, self.forward = coding, forward

    def __call__(self, events: Events, dtype: torch.dtype) -> tuple[Recording, Float]:
        """Return what a run on events [N, T, C, H, W] recorded, and its input [T, N, C, H, W]."""
        x = np.ascontiguousarray(np.moveaxis(events.astype(np.float64) / self.coding.scale, 0, 1))
        return record(self.twins[dtype], x, self.forward, dtype), x


def _network(
    recording: Recording, parts: Sequence[Part], coding: InputCoding, class_names: Sequence[str] | None, readout: Readout | Literal["auto"],
    provenance: dict[str, str],
) -> FloatNetwork:  # fmt: skip
    """Return the float network of recorded parts."""
    placed = [(slot.place, part) for slot, part in zip(recording.slots, parts, strict=True) if not isinstance(part, Identity)]
    if not any(isinstance(part, Neurons) for _, part in placed):
        raise SourceError("network: no neurons of snnTorch or SpikingJelly were called in its forward; at least one layer of them is needed")
    if readout == "auto":
        readout = "spike_count" if isinstance(placed[-1][1], Neurons) else "potential"
    layers = layers_of(placed, coding, readout)
    frameworks = sorted({framework_of(slot.modules[0]) for slot in recording.slots})
    return FloatNetwork(
        timesteps=len(recording.slots[0].sent), input=coding, layers=layers, readout=readout,
        class_names=tuple(map(str, range(len(layers[-1].weights)))) if class_names is None else tuple(class_names),
        provenance={**provenance, **versions(*frameworks)},
    )  # fmt: skip


def _total(batches: Sequence[Flips]) -> Flips:
    """Return the sum of the flips that one layer had in several batches."""
    return Flips(
        layer=batches[0].layer, spikes=sum(b.spikes for b in batches), flipped=sum(b.flipped for b in batches), margin=max(b.margin for b in batches)
    )
