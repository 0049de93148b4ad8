"""The way from a trained network to a checked chip, in functions: what the command line does, for use from Python.

Long runs go through a data set in batches that fit in memory. ``progress`` is called with (what is being done, done, in all).
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spikefold.chip.config import ChipConfig
from spikefold.chip.placement import beyond_cores
from spikefold.data.coding import encode
from spikefold.data.datasets import DATASETS, Dataset, load_dataset
from spikefold.data.errors import DataError
from spikefold.data.files import write_bytes
from spikefold.data.resize import SIZE_MAX
from spikefold.network import reference
from spikefold.network.fields import Int
from spikefold.network.network import Network
from spikefold.network.trace import Comparison, Trace, compare
from spikefold.quantize import float_evaluation
from spikefold.quantize.float_network import FloatNetwork
from spikefold.sim.engine import Chip

__all__ = [
    "Progress",
    "ReferenceCheck",
    "Simulation",
    "compare_with_reference",
    "comparison_table",
    "data_for",
    "estimate_bytes",
    "events_of",
    "float_accuracy",
    "inference_cycles",
    "merge",
    "sample_count",
    "shifted",
    "simulate",
    "trace_arrays",
    "write_trace",
]

Progress = Callable[[str, int, int], None]
BATCH_BYTES = 64 << 20
WORKING_COPIES = 3
"""How often what a batch leaves is in memory at the peak: the trace itself, and what it is made from."""
REFERENCE_BYTES_PER_SYNAPSE = 24
"""What the reference keeps of every synapse and timestep of a sample: the window's payload and its event in int64, and a copy."""


def events_of(network: Network | FloatNetwork, data: Dataset, samples: range) -> npt.NDArray[np.int8]:
    """Return the events of some samples of a split, int8 [N, T, C, H, W], keyed by their index in the split as everywhere.

    Those that training made: a network that ends after fewer timesteps gets the first of them.
    """
    sample_count(network, data, samples.stop)
    events = encode(data.images[samples.start : samples.stop], network.input, _timesteps_trained(network), samples)
    return np.ascontiguousarray(events[:, : network.timesteps])


def sample_count(network: Network | FloatNetwork, data: Dataset, samples: int | None) -> int:
    """Return ``samples`` (None: all of the split), or raise a DataError where the data does not fit the network or has fewer."""
    coding, timesteps = network.input, _timesteps_trained(network)
    shape = data.images.shape[1:]
    if coding.coding == "frames":
        fits, expected = shape == (timesteps, *coding.shape), str([timesteps, *coding.shape])
    else:
        fits, expected = len(shape) == 3 and coding.fits(data.shape, timesteps), coding.expected(timesteps)
    if not fits:
        raise DataError(f"data set {data.name!r}: images of {list(shape)}; the network takes {expected}")
    if len(data.class_names) != len(network.class_names):
        raise DataError(f"data set {data.name!r}: {len(data.class_names)} classes; the network has {len(network.class_names)}")
    count = len(data) if samples is None else samples
    if not 1 <= count <= len(data):
        raise DataError(f"data set {data.name!r}: {count} samples are asked for; it has {len(data)}, and at least 1 is needed")
    return count


def data_for(network: Network | FloatNetwork, name: str | None, split: str, data_dir: Path | None = None) -> Dataset:
    """Return a split of the data set ``name`` (None: the one that the network was trained on, by its provenance).

    It is as training had it: events in as many frames, and images resized where those that the network was trained on were.
    """
    trained_on = network.provenance.get("data")
    chosen = trained_on if name is None else name
    if chosen is None:
        raise DataError("data set: the network's provenance names none, so it must be given")
    # What the network was not trained on is not made to fit: that it does not is worth knowing.
    size = _size_trained(network, chosen) if chosen == trained_on else None
    return load_dataset(chosen, split, data_dir, size=size, timesteps=_timesteps_trained(network))


def _timesteps_trained(network: Network | FloatNetwork) -> int:
    """Return how many timesteps a sample had in training; after an early exit, the network itself has fewer."""
    return max(network.timesteps, network.timesteps_trained) if isinstance(network, Network) else network.timesteps


def _size_trained(network: Network | FloatNetwork, name: str) -> int | None:
    """Return the size that training gave to the images of the data set ``name``; None where it left them as they are, or cannot have resized them."""
    info, coding, timesteps = DATASETS.get(name), network.input, _timesteps_trained(network)
    if info is None or info.events or coding.fits(info.shape, timesteps):
        return None
    side = math.isqrt(timesteps * coding.shape[2]) if coding.coding == "sequence" else coding.shape[2]
    return side if side <= SIZE_MAX and coding.fits(info.shape_at(side), timesteps) else None


def batches(samples: int, bytes_per_sample: int) -> Iterator[range]:
    """Yield ranges of samples whose work fits in ``BATCH_BYTES``."""
    size = max(1, BATCH_BYTES // max(1, bytes_per_sample))
    for start in range(0, samples, size):
        yield range(start, min(samples, start + size))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Simulation:
    """What the simulated chip did with samples 0..N of a split, each inference on its own.

    ``predictions`` int64 [N]; ``spikes`` int64 [T] a layer, summed over samples and neurons; ``cycles`` int64 [N] an inference; ``sops``
    int64 [N, connections]; ``clamps`` a count a layer. ``trace`` holds everything about the first samples.
    """

    network: Network
    chip: ChipConfig
    data: Dataset
    predictions: Int
    spikes: tuple[Int, ...]
    cycles: Int | None
    sops: Int
    clamps: tuple[int, ...]
    trace: Trace

    @property
    def accuracy(self) -> float:
        """The share of samples that were put in their class."""
        return _accuracy(self.predictions, self.data)

    def _population_sops(self) -> Iterator[int]:
        """Yield the synaptic operations into each population."""
        sums = iter(self.sops.sum(0).tolist())
        for index in range(len(self.network.populations)):
            yield sum(next(sums) for _ in self.network.into(index))

    def firing_rates(self) -> tuple[float, ...]:
        """Return the spikes per neuron and timestep of each layer."""
        each = len(self.predictions) * self.network.timesteps
        return tuple(float(s.sum()) / (each * p.size) for s, p in zip(self.spikes, self.network.populations, strict=True))

    def summary(self) -> dict[str, Any]:
        """Return the figures as JSON has them."""
        labels = self.data.labels[: len(self.predictions)]
        classes = {
            name: {"samples": int((labels == i).sum()), "correct": int(((labels == i) & (self.predictions == i)).sum())}
            for i, name in enumerate(self.data.class_names)
        }
        layers = [
            {"name": p.name, "neurons": p.size, "spikes": int(s.sum()), "firing_rate": rate, "sops": int(sops), "clamps": clamps}
            for p, s, rate, sops, clamps in zip(
                self.network.populations, self.spikes, self.firing_rates(), self._population_sops(), self.clamps, strict=True
            )
        ]  # fmt: skip
        return {
            "data": self.data.name,
            "samples": len(self.predictions),
            "accuracy": self.accuracy,
            "classes": classes,
            "layers": layers,
            "cycles_per_inference": None
            if self.cycles is None
            else {"least": int(self.cycles.min()), "mean": float(self.cycles.mean()), "most": int(self.cycles.max())},
            "untimed": beyond_cores(self.network),
            "sops_per_inference": float(self.sops.sum(1).mean()),
            "clamps": sum(self.clamps),
            "chip": self.chip.to_dict(),
        }


def simulate(
    network: Network,
    chip: ChipConfig,
    data: Dataset,
    *,
    samples: int | None = None,
    trace_samples: int = 10,
    potentials: bool = False,
    strict: bool = False,
    progress: Progress | None = None,
) -> Simulation:
    """Run the first ``samples`` of a split (None: all) on the simulated chip, and keep the trace of the first ``trace_samples``.

    Nothing is timed where no core runs the network. Raises a ChipError where it does not fit the chip or, with ``strict``, a potential
    is clamped, and a DataError where the data does not fit the network.
    """
    virtual, count = Chip(network, chip), sample_count(network, data, samples)
    timing = not virtual.untimed
    if trace_samples < 1:
        raise DataError(f"trace samples: {trace_samples}; it must be at least 1")
    first = virtual.run(events_of(network, data, range(min(count, trace_samples))), potentials=potentials, timing=timing)
    predictions, cycles, sops = np.empty(count, np.int64), np.empty(count, np.int64), np.empty((count, len(network.connections)), np.int64)
    spikes = [np.zeros(network.timesteps, np.int64) for _ in network.populations]
    clamps = np.zeros(len(network.populations), np.int64)
    for batch in batches(count, virtual.estimate_bytes(1)):
        trace = virtual.run(events_of(network, data, batch), timing=timing, strict=strict)
        part = slice(batch.start, batch.stop)
        predictions[part], sops[part] = trace.predictions, _sops(trace)
        if timing:
            cycles[part] = inference_cycles(trace, len(batch))
        clamps += np.array(trace.clamps)
        for total, layer in zip(spikes, trace.spikes, strict=True):
            total += layer.sum((0, 2, 3, 4))
        if progress is not None:
            progress("simulate", batch.stop, count)
    return Simulation(
        network=network, chip=chip, data=data, predictions=predictions, spikes=tuple(spikes), cycles=cycles if timing else None, sops=sops,
        clamps=tuple(map(int, clamps)), trace=first,
    )  # fmt: skip


def inference_cycles(trace: Trace, samples: int) -> Int:
    """Return the clock cycles of each inference of a run with isolated inferences, int64 [N]."""
    if trace.timing is None:
        raise DataError("trace: it was recorded without timing")
    return np.asarray(trace.timing.cycles.reshape(samples, -1).sum(1))


def estimate_bytes(network: Network, chip: ChipConfig, *, samples: int, trace_samples: int, potentials: bool) -> int:
    """Return about how much memory :func:`simulate` takes at its peak: the kept trace, and the batch at work."""
    virtual = Chip(network, chip)
    batch = min(samples, max(1, BATCH_BYTES // virtual.estimate_bytes(1)))
    return virtual.estimate_bytes(min(samples, trace_samples), potentials=potentials) + WORKING_COPIES * virtual.estimate_bytes(batch)


def float_accuracy(network: FloatNetwork, data: Dataset, *, samples: int | None = None, progress: Progress | None = None) -> float:
    """Return the share of samples that the float network puts in their class, on the events that the integer network sees."""
    # float64 windows, and the same order of work as the reference.
    per_sample = _reference_bytes(
        network.timesteps, [(shape, layer.weights.shape) for layer, shape in zip(network.layers, network.shapes(), strict=True)]
    )
    return float_evaluation.float_accuracy(
        network, data, samples=sample_count(network, data, samples), batch=max(1, BATCH_BYTES // max(1, per_sample)),
        progress=None if progress is None else partial(progress, "evaluate float network"),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReferenceCheck:
    """The simulator held against the reference on samples 0..N of a split, potentials included; predictions int64 [N] of the reference."""

    samples: int
    comparison: Comparison
    accuracy: float


def compare_with_reference(
    network: Network, chip: ChipConfig, data: Dataset, *, samples: int | None = None, progress: Progress | None = None
) -> ReferenceCheck:
    """Run reference and simulated chip on the first ``samples`` of a split (None: all) and compare every spike, potential and score."""
    virtual, count = Chip(network, chip), sample_count(network, data, samples)
    weighted = [(p.shape, network.weights_of(c).tensor.shape) for i, p in enumerate(network.populations) for c in network.into(i) if c.weights]
    per_sample = max(virtual.estimate_bytes(1, potentials=True), _reference_bytes(network.timesteps, weighted))
    comparisons, predictions = [], np.empty(count, np.int64)
    for batch in batches(count, per_sample):
        events = events_of(network, data, batch)
        expected = reference.run(network, events, potentials=True)
        comparisons.append(shifted(compare(expected, virtual.run(events, potentials=True, timing=False)), batch.start))
        predictions[batch.start : batch.stop] = expected.predictions
        if progress is not None:
            progress("compare with reference", batch.stop, count)
    return ReferenceCheck(samples=count, comparison=merge(comparisons), accuracy=_accuracy(predictions, data))


def shifted(comparison: Comparison, start: int) -> Comparison:
    """Return the comparison of a batch with its samples counted as in the whole split."""
    if comparison.first is None or comparison.first.sample is None:
        return comparison
    return replace(comparison, first=replace(comparison.first, sample=comparison.first.sample + start))


def merge(comparisons: Iterable[Comparison]) -> Comparison:
    """Return the sum of several comparisons; the first difference is that of the first comparison that has one."""
    compared: dict[str, int] = {}
    differing: dict[str, int] = {}
    omitted: dict[str, None] = {}
    first = None
    for comparison in comparisons:
        omitted |= dict.fromkeys(comparison.omitted)
        for kind, count in comparison.compared.items():
            compared[kind] = compared.get(kind, 0) + count
            differing[kind] = differing.get(kind, 0) + comparison.differing[kind]
        first = first or comparison.first
    return Comparison(compared=compared, differing=differing, first=first, omitted=tuple(omitted))


def comparison_table(comparison: Comparison, samples: int) -> dict[str, Any]:
    """Return a comparison as JSON has it: ``spikes_compared`` and so on, what was ``omitted``, and ``differences`` in all."""
    return {
        "samples": samples,
        **{f"{kind}_compared": count for kind, count in comparison.compared.items()},
        "omitted": list(comparison.omitted),
        "differences": sum(comparison.differing.values()),
        "first_difference": None if comparison.first is None else str(comparison.first),
    }


def trace_arrays(trace: Trace) -> dict[str, npt.NDArray[Any]]:
    """Return a trace as named arrays, for ``np.savez``: ``spikes_0`` is that of the first of ``populations``, and so on."""
    arrays: dict[str, npt.NDArray[Any]] = {"populations": np.array(trace.populations), "scores": trace.scores}
    parts: dict[str, Any] = {"spikes": trace.spikes, "potentials": trace.potentials or ()}
    if trace.timing is not None:
        arrays |= {"cycles": trace.timing.cycles, "results": trace.timing.results}
        if trace.timing.core_cycles is not None:
            arrays["core_cycles"] = trace.timing.core_cycles
        parts["arrivals"] = trace.timing.arrivals
    if trace.sops is not None:
        arrays["sops"] = trace.sops
    if trace.clamps is not None:
        arrays["clamps"] = np.array(trace.clamps)
    return arrays | {f"{name}_{i}": array for name, layers in parts.items() for i, array in enumerate(layers)}


def write_trace(trace: Trace, path: Path) -> None:
    """Write a trace as a compressed .npz file of :func:`trace_arrays`; the same bytes for the same trace."""
    content = BytesIO()
    np.savez_compressed(content, **trace_arrays(trace))  # type: ignore[arg-type]
    write_bytes(path, content.getvalue())


def _sops(trace: Trace) -> Int:
    if trace.sops is None:
        raise DataError("trace: it was recorded without synaptic operations")
    return trace.sops


def _accuracy(predictions: Int, data: Dataset) -> float:
    return float((predictions == data.labels[: len(predictions)]).mean())


def _reference_bytes(timesteps: int, weighted: Iterable[tuple[tuple[int, int, int], tuple[int, ...]]]) -> int:
    """Return about what the windows of the largest layer take for one sample, from the shapes of layers and of their weights."""
    windows = max(shape[1] * shape[2] * math.prod(tensor[1:]) for shape, tensor in weighted)
    return timesteps * windows * REFERENCE_BYTES_PER_SYNAPSE
