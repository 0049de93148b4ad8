"""A module of another framework against the float network that was made of it, on the same events: every spike of every layer, and the scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spikefold.quantize.float_evaluation import FloatTrace
from spikefold.quantize.float_network import FloatLayer, FloatNetwork
from spikefold.train.importers.errors import SourceError
from spikefold.train.importers.parts import Float, Identity, Neurons, Part
from spikefold.train.importers.recording import Recording

__all__ = ["Flips", "check_flow", "check_result", "compare_trace", "count_flips", "source_spikes"]

TOLERANCE = 1e-9
"""Of sums of float64, relative to the largest."""
RETURNED_TOLERANCE = 1e-5
"""Of what the module returns: the spikes of snnTorch are float32, and so is their mean."""
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips:
    """How many spikes of one layer differ in float32, of how many, and the largest ``|u - threshold|`` of those that began the differences."""

    layer: str
    spikes: int
    flipped: int
    margin: float


def check_flow(recording: Recording, parts: Sequence[Part], x: Float) -> None:
    """Check that each part receives what the one before it sent, the first the input: what was done between parts, by no part, shows here."""
    sent, sender = x, "the input"
    for slot, part in zip(recording.slots, parts, strict=True):
        if slot.received.size != sent.size or (slot.received.reshape(sent.shape) != sent).any():
            raise SourceError(f"{slot.place}: it receives something else than {sender}: {_difference(slot.received, sent)}; {_between(slot.unread)}")
        if isinstance(part, Neurons) and slot.held and len(x) > 1:
            raise SourceError(
                f"{slot.place}: it was called once in {len(x)} timesteps; neurons must be called in each (--forward says how forward works)"
            )
        if not isinstance(part, Identity):
            sent, sender = slot.sent, f"what {slot.name} sends"


def _difference(received: Float, sent: Float) -> str:
    """Return what is received for what was sent in words: the shapes, or if these are the same the values."""
    if received.size != sent.size:
        return f"the shape {list(received.shape[2:])} for {list(sent.shape[2:])}"
    differs = received.reshape(sent.shape) != sent
    first = tuple(np.argwhere(differs)[0])
    return f"{int(differs.sum())} of {differs.size} values differ, the first is {received.reshape(sent.shape)[first]:.6g} for {sent[first]:.6g}"


def _between(unread: Sequence[str]) -> str:
    """Return what may have happened between two parts, and what would have to change."""
    if unread:
        return f"between them comes {', '.join(unread)}, which cannot be read; use modules of the framework for what it does"
    return (
        "forward itself does something between the two, such as a pooling, a scaling or an addition; use modules of the "
        "framework for that, each in its turn"
    )


def source_spikes(recording: Recording, parts: Sequence[Part], network: FloatNetwork) -> list[Bool]:
    """Return the spikes of the framework's neurons, [N, T, C, H, W] a layer; of an integrating readout there are none."""
    fired = [slot.sent for slot, part in zip(recording.slots, parts, strict=True) if isinstance(part, Neurons)]
    shapes = network.shapes()[: len(network.layers) - (network.readout == "potential")]
    return [np.moveaxis(sent, 0, 1).reshape(sent.shape[1], sent.shape[0], *shape) > 0.5 for sent, shape in zip(fired, shapes, strict=False)]


def compare_trace(spikes: Sequence[Bool], trace: FloatTrace, network: FloatNetwork) -> list[int]:
    """Compare every spike of some first samples; return how many of each layer. The first difference, by timestep and layer, is a SourceError."""
    first: tuple[int, int] | None = None
    for i, (got, expected) in enumerate(zip(spikes, trace.spikes, strict=False)):
        times = np.flatnonzero((got != expected[: len(got)]).any((0, 2, 3, 4)))
        if len(times) and (first is None or (int(times[0]), i) < first):
            first = int(times[0]), i
    if first is not None:
        t, i = first
        layer = network.layers[i]
        differing = spikes[i][:, t] != trace.spikes[i][: len(spikes[i]), t]
        sample, c, y, x = np.argwhere(differing)[0]
        margin = _margins(layer, trace.potentials[i])[sample, t, c, y, x]
        sent, made = (("fired" if fired else "did not") for fired in (spikes[i][sample, t, c, y, x], trace.spikes[i][sample, t, c, y, x]))
        raise SourceError(
            f"layer {layer.name!r}: {int(differing.sum())} of {differing.size} spikes differ in timestep {t}, the first to differ: neuron "
            f"{(int(c), int(y), int(x))} of sample {sample} {sent} in the source framework and {made} here, |u - threshold| = {margin:.3g}"
        )
    return [got.size for got in spikes]


def _margins(layer: FloatLayer, potentials: Float) -> Float:
    return np.abs(potentials - layer.threshold[:, None, None])


def check_result(recording: Recording, network: FloatNetwork, trace: FloatTrace) -> None:
    """Check what the module returned: one of its tensors must be what its last part sent, in every timestep, or its sum or mean over them.

    And the sum of that, or with an integrating readout of neurons their last potential, must be the float network's scores.
    """
    last = recording.slots[-1]
    leaks = network.readout == "potential" and bool((network.layers[-1].leak != 1).any() or last.potentials is not None)
    outputs = last.potentials if leaks and last.potentials is not None else last.sent
    steps, samples = outputs.shape[:2]
    flat = outputs.reshape(steps, samples, -1)
    forms = (flat, flat.sum(0), flat.mean(0), flat[-1])
    pairs = ((result, form) for result in recording.returned for form in forms if result.size == form.size)
    if not any(_close(result.reshape(form.shape), form, RETURNED_TOLERANCE) for result, form in pairs):
        shapes = ", ".join(str(list(result.shape)) for result in recording.returned) or "no tensor"
        raise SourceError(
            f"network: its forward returns {shapes}; a tensor of what {last.place} sends in every timestep, or the sum or mean of that, is expected"
        )
    scores = flat[-1] if leaks else flat.sum(0)
    if not _close(scores, trace.scores, TOLERANCE):
        raise SourceError(f"network: the scores of the source framework and of the float network differ by {np.abs(scores - trace.scores).max():.3g}")


def _close(got: Float, expected: Float, tolerance: float) -> bool:
    return bool(np.abs(got - expected).max(initial=0) <= tolerance * max(1.0, float(np.abs(expected).max(initial=0))))


def count_flips(spikes: Sequence[Bool], trace: FloatTrace, network: FloatNetwork) -> list[Flips]:
    """Return the spikes of a float32 run that differ, and the margins of those that began it: of a sample's first timestep and layer with any."""
    flipped = [got != expected[: len(got)] for got, expected in zip(spikes, trace.spikes, strict=False)]
    began: dict[int, tuple[int, int]] = {}
    for i, differs in enumerate(flipped):
        for sample, t in np.argwhere(differs.any((2, 3, 4))):
            began[int(sample)] = min(began.get(int(sample), (int(t), i)), (int(t), i))
    found = []
    for i, (differs, layer) in enumerate(zip(flipped, network.layers, strict=False)):
        margins = _margins(layer, trace.potentials[i])
        own = [margins[n, t][differs[n, t]].max() for n, (t, first) in began.items() if first == i]
        found.append(Flips(layer=layer.name, spikes=differs.size, flipped=int(differs.sum()), margin=float(max(own, default=0.0))))
    return found
