"""The fold: a trained float network to the integer network of the contract.

The mathematics is exact and lives in :mod:`spikefold.quantize.schedules`; here its real numbers become integers, and each layer gets
its form, its steps and its widths. What does not fold is refused by name. What the rounding costs is in :mod:`spikefold.quantize.fold_result`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import FoldError, NetworkError
from spikefold.network.connection import INPUT, Connection, Weights
from spikefold.network.fields import GRADED_BITS_MAX, POTENTIAL_BITS_MAX, SPIKE_PAYLOAD_BITS, TIMESTEPS_MAX, Int, bits_for, signed_range
from spikefold.network.network import Network, Readout
from spikefold.network.population import Population
from spikefold.network.power_terms import TERMS_MAX
from spikefold.network.windows import Shape
from spikefold.quantize.float_network import LN_NORMS, FloatLayer, FloatNetwork
from spikefold.quantize.fold_options import FoldOptions
from spikefold.quantize.fold_result import CHANNEL_LOST_MOST, CountUnits, FoldResult, LayerReport
from spikefold.quantize.folded_layer import (
    Incoming,
    Source,
    StoredWeights,
    check_finite,
    check_sharing,
    divisor_of,
    graded_population,
    identity,
    in_counts,
    neurons,
    store_shared,
    weighted,
)
from spikefold.quantize.layer_bits import WEIGHT_BITS, Bits, given_bits, layer_bits
from spikefold.quantize.rounding import LeakCode, integer_leak, to_int, weight_error, weight_steps
from spikefold.quantize.schedules import Form, Schedules, check_divisors, fold_schedules
from spikefold.quantize.steps import Steps, check_steps, choose_steps, counted

__all__ = ["fold"]

Float = npt.NDArray[np.float64]

GAIN_BITS = 12
"""On random layers 8 bits of gain triple the spike flips that 8-bit weights cause, 10 add a third, and beyond 12 nothing is gained."""
GRADED_BITS = 12
GAIN_BITS_LEAST = 8
"""In form C the gains of the first timestep are the smallest; ``auto`` leaves them at least so many bits."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Drive:
    """The drive of a layer for later ones: a population that sends it without the bias, the bias [T or 1, C], and the layer."""

    source: Source
    shift: Float
    layer: FloatLayer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _FoldedLayer:
    stored: StoredWeights
    units: CountUnits
    connections: tuple[Connection, ...]
    populations: tuple[Population, ...]
    sends: Source
    drive: _Drive | None
    offset: Float
    report: LayerReport


def fold(
    network: FloatNetwork,
    *,
    form: Literal["auto", "B", "C"] = "auto",
    weight_bits: Bits | Mapping[str, Bits] = 8,
    gain_bits: int = GAIN_BITS,
    gain_terms: int = 0,
    graded_bits: int = GRADED_BITS,
    potential_bits_limit: int = 24,
    saturate_bits: int | None = None,
    timesteps: int | None = None,
) -> FoldResult:
    """Fold a trained network into integers.

    ``form`` says how the leak is kept: ``B`` in hardware, ``C`` in the schedules. ``auto`` takes B where the normalisation does not change over
    time (its gain folds into the weights, and no multiplier remains) and else C where its proven width is within
    ``potential_bits_limit``; otherwise B, at its proven width. With ``saturate_bits`` a potential that needs more clamps there instead.
    ``weight_bits`` are for all layers, or for some by name and 8 for the others. ``keep`` takes the fewest that hold the weights of a layer,
    which must lie on a grid. With ``gain_terms`` of 1 or 2 every gain is a sum of at
    most so many signed powers of two, which needs no multiplier; with 0 it is any integer. What ReLU neurons send takes ``graded_bits``.
    ``timesteps`` fewer than the network was trained with end it earlier, an early exit (Kim and Panda 2021): schedules are cut, and a
    readout's offset is that of the last timestep left.

    Raises a FoldError that names the layer, the parameter and what to change.
    """
    check_options(
        form, weight_bits, saturate_bits, gain_bits=gain_bits, gain_terms=gain_terms, graded_bits=graded_bits,
        potential_bits_limit=potential_bits_limit,
    )  # fmt: skip
    check_divisors(network)
    trained = network.timesteps
    if timesteps is not None:
        try:
            network = network.cut(timesteps)
        except NetworkError as error:
            raise FoldError(str(error)) from error
    if network.timesteps > TIMESTEPS_MAX:
        raise FoldError(f"network timesteps: {network.timesteps}; at most {TIMESTEPS_MAX} can be folded, so train with fewer")
    bits = layer_bits(network, weight_bits)
    options = FoldOptions(
        weight_bits=WEIGHT_BITS, gain_bits=gain_bits, gain_terms=gain_terms, graded_bits=graded_bits, saturate_bits=saturate_bits,
        timesteps=network.timesteps,
    )  # fmt: skip
    folder = _Folder(network, form, potential_bits_limit, bits, options)
    for layer, shape in zip(network.layers, network.shapes(), strict=True):
        try:
            folder.add(layer, shape)
        except NetworkError as error:
            raise FoldError(f"layer {layer.name!r} does not fit the contract: {error}") from error
    folded = list(folder.layers.values())
    integer = _integer_network(network, trained, folded, bits)
    return FoldResult(network=integer, layers=tuple(f.report for f in folded), units={f.report.name: f.units for f in folded})


def check_options(form: str, weight_bits: Bits | Mapping[str, Bits], saturate_bits: int | None, **numbers: int) -> None:
    """Raise a FoldError where an option of :func:`fold` is out of its range; ``numbers`` are those of one range each."""
    if form not in ("auto", "B", "C"):
        raise FoldError(f"form: {form!r}; it must be auto, B or C")
    ranges = {
        "gain_bits": (2, 16), "gain_terms": (0, TERMS_MAX), "graded_bits": (2, GRADED_BITS_MAX), "potential_bits_limit": (2, POTENTIAL_BITS_MAX),
    }  # fmt: skip
    limits = {
        **{f"weight_bits{f' of {name!r}' if name else ''}": (bits, 2, 8) for name, bits in given_bits(weight_bits).items() if bits != "keep"},
        **{name: (value, *ranges[name]) for name, value in numbers.items()},
    }
    if saturate_bits is not None:
        limits["saturate_bits"] = (saturate_bits, 2, POTENTIAL_BITS_MAX)
    for name, (value, low, high) in limits.items():
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise FoldError(f"{name}: {value!r}; it must be an integer in {low}..{high}")


def _integer_network(
    network: FloatNetwork, trained: int, folded: Sequence[_FoldedLayer], bits: Mapping[str, int]
) -> Network:  # fmt: skip
    """Return the folded layers as a network, ``trained`` with so many timesteps. Shared weights are in it once."""
    stored = {f.stored.id: f.stored for f in folded}
    reasons = {f"fold {f.report.name}": f"form {f.report.form}: {f.report.reason}" for f in folded}
    return Network(
        timesteps=network.timesteps,
        timesteps_trained=trained,
        input=network.input,
        class_names=network.class_names,
        provenance=dict(network.provenance) | reasons,
        weights=tuple(Weights(id=s.id, tensor=s.tensor, bits=bits[s.id]) for s in stored.values()),
        connections=tuple(c for f in folded for c in f.connections),
        populations=tuple(p for f in folded for p in f.populations),
        readout=Readout(decode=network.readout, offset=_offset(network, folded[-1])),
    )


def _offset(network: FloatNetwork, last: _FoldedLayer) -> Int:
    """Return what each class's score holds besides the potential: the bias that an integrating readout accumulated."""
    offset = to_int(last.offset if network.readout == "potential" else np.zeros(len(network.class_names)))
    low, high = signed_range(POTENTIAL_BITS_MAX)
    if (offset < low).any() or (offset > high).any():
        raise FoldError(
            f"layer {last.report.name!r} bias: it adds up to {int(np.abs(offset).max())} counts in the readout, beyond {POTENTIAL_BITS_MAX} bits; "
            "a smaller beta or bias, or fewer weight_bits, is needed"
        )
    return offset


class _Folder:
    """Folds layer after layer; what it has folded feeds the next."""

    def __init__(
        self, network: FloatNetwork, form: Literal["auto", "B", "C"], potential_bits_limit: int, bits: Mapping[str, int], options: FoldOptions
    ) -> None:  # fmt: skip
        coding = network.input
        self.form, self.limit, self.bits, self.options = form, potential_bits_limit, bits, options
        self.layers: dict[str, _FoldedLayer] = {}
        self.source = Source(
            name=INPUT, least=coding.payload_min, most=coding.payload_max, payload_bits=coding.payload_bits, value=1 / float(coding.scale)
        )  # fmt: skip
        self.sharing = {layer.shared for layer in network.layers} | {layer.name for layer in network.layers if layer.shared}
        self.tapped = {layer.add for layer in network.layers if layer.add_from == "drive"}

    def add(self, layer: FloatLayer, shape: Shape) -> None:
        """Fold the next layer."""
        self.layers[layer.name] = folded = self._choose(layer, shape)
        self.source = folded.sends

    def _choose(self, layer: FloatLayer, shape: Shape) -> _FoldedLayer:
        """Fold a layer in the form asked for, or in the one that ``auto`` picks."""
        options, limit = replace(self.options, weight_bits=self.bits[layer.name]), self.limit
        if layer.neuron != "lif":
            return self._fold_as(layer, shape, "B", f"{layer.neuron} neurons have no leak", options)
        if self.form != "auto":
            return self._fold_as(layer, shape, self.form, "asked for", options)
        if (layer.drive_scale == layer.drive_scale[:1]).all():
            place = "stays beside the shared weights" if layer.name in self.sharing else "folds into the weights"
            return self._fold_as(layer, shape, "B", f"the gain does not change over time and {place}", options)
        growth = _growth(layer, options.timesteps)
        if growth > limit:
            needs = f"form C would widen the potential by {growth:.1f} bits" if np.isfinite(growth) else "form C divides by the leak, which is 0"
            return self._fold_as(layer, shape, "B", f"{needs}; the limit is {limit}", options)
        # Widths beyond the contract must still be seen as "too wide", so the trial saturates.
        spare = options.gain_bits - GAIN_BITS_LEAST
        if growth > max(spare, 0):
            reason = f"form C would spread the gains over {growth:.1f} bits more; of {options.gain_bits} gain_bits {max(spare, 0)} can be spared"
            return self._fold_as(layer, shape, "B", reason, options)
        trial = self._fold_as(layer, shape, "C", "", replace(options, saturate_bits=options.saturate_bits or POTENTIAL_BITS_MAX))
        if trial.report.proven_bits > limit:
            reason = f"form C would take {trial.report.proven_bits} bits of potential; the limit is {limit}"
            return self._fold_as(layer, shape, "B", reason, options)
        reason = f"its potential takes {trial.report.proven_bits} bits; the limit is {limit}"
        return replace(trial, report=replace(trial.report, reason=reason))

    def _fold_as(self, layer: FloatLayer, shape: Shape, form: Form, reason: str, options: FoldOptions) -> _FoldedLayer:
        """Fold one layer in a given form."""
        added, inherited = self._added(layer)
        schedules = fold_schedules(layer, options.timesteps, form, inherited)
        growth = _growth(layer, options.timesteps) if form == "C" else 0.0
        if growth >= options.gain_bits:
            raise FoldError(
                f"layer {layer.name!r} leak: form C spreads the gains over {growth:.1f} bits, and gain_bits is {options.gain_bits}, "
                "so the first ones would round to 0; use form B, fewer timesteps or a larger leak"
            )
        leak = integer_leak(np.ones(1) if layer.neuron == "relu" else schedules.leak, options.timesteps)
        shift = layer.drive_shift if inherited is None else layer.drive_shift + inherited
        if layer.neuron == "relu" or layer.name in self.tapped:
            return self._fold_drive(layer, shape, schedules, leak, added, shift, reason, options)
        stored, steps, current = self._weights(layer, schedules, leak, options, None if added is None else schedules.added * added.value)
        incoming = [weighted(layer, layer.name, self.source, stored, steps.gain, steps.exponent, options)]
        if added is not None:
            incoming.append(identity(layer.name, added, schedules.added * added.value / steps.potential, options))
        divisor = divisor_of(layer, self.source, options) if layer.norm.kind in LN_NORMS and schedules.decays else None
        population, proven = neurons(layer, shape, schedules, steps.potential, leak, incoming, options, divisor)
        # What the bias adds up to is no part of the potential, and belongs to a readout's score.
        bias = schedules.bias[-1] / schedules.scale[-1] if layer.reset == "none" else np.zeros(shape[0])
        return _FoldedLayer(
            stored=stored, units=_units(incoming[0], population, schedules, current),
            connections=tuple(one.connection for one in incoming), populations=(population,), sends=_spikes(layer.name), drive=None,
            offset=in_counts(layer, "bias", bias, steps.potential),
            report=self._report(layer, schedules, leak, stored, incoming, population, proven, reason, options),
        )  # fmt: skip

    def _fold_drive(
        self, layer: FloatLayer, shape: Shape, schedules: Schedules, leak: LeakCode, added: Source | None, shift: Float, reason: str,
        options: FoldOptions,
    ) -> _FoldedLayer:  # fmt: skip
        """Fold a layer whose drive leaves it: as what ReLU neurons send, or for a later layer to add."""
        relu = layer.neuron == "relu"
        if layer.name in self.tapped and (relu or layer.reset == "none"):
            raise FoldError(f"layer {layer.name!r}: its drive is added to a later layer's; only that of spiking neurons can be")
        stored = self._stored(layer, options)
        unit = stored.steps if stored.id not in self.sharing else stored.steps * (self.source.value / layer.pool**2)
        name = layer.name if relu else f"{layer.name}.drive"
        drive, into, sends = graded_population(layer, name, shape, self.source, stored, unit, added, shift if relu else None, options)
        connections, populations = tuple(one.connection for one in into), (drive,)
        report = self._report(layer, schedules, leak, stored, into, drive, drive.potential_bits, reason, options)
        units = _units(into[0], drive, schedules, unit)
        if relu:
            return _FoldedLayer(
                stored=stored, units=units, connections=connections, populations=populations, sends=sends, drive=None,
                offset=np.zeros(shape[0]), report=report,
            )  # fmt: skip
        gain = schedules.added * sends.value + np.zeros(shape[0])
        steps = choose_steps(layer, np.zeros((shape[0], 1)), gain, leak, options, added=gain)
        incoming = [identity(layer.name, sends, gain / steps.potential, options)]
        divisor = divisor_of(layer, self.source, options) if layer.norm.kind in LN_NORMS and schedules.decays else None
        population, proven = neurons(layer, shape, schedules, steps.potential, leak, incoming, options, divisor)
        return _FoldedLayer(
            stored=stored, units=units, connections=(*connections, incoming[0].connection), populations=(*populations, population),
            sends=_spikes(layer.name), drive=_Drive(source=sends, shift=shift, layer=layer), offset=np.zeros(shape[0]),
            report=self._report(layer, schedules, leak, stored, [*into, *incoming], population, proven, reason, options),
        )  # fmt: skip

    def _added(self, layer: FloatLayer) -> tuple[Source | None, Float | None]:
        """Return what an earlier layer adds to the drive, and the bias that belongs to it."""
        if not layer.add:
            return None, None
        earlier = self.layers[layer.add]
        if layer.add_from == "output":
            return earlier.sends, None
        if earlier.drive is None:
            raise FoldError(f"layer {layer.name!r} add: {layer.add!r} has no drive that could be added")
        other = earlier.drive.layer
        if (other.neuron, other.tau_s) != (layer.neuron, layer.tau_s):
            raise FoldError(
                f"layer {layer.name!r} add: the drive of {layer.add!r} belongs to {other.neuron} neurons with tau_s {other.tau_s}; "
                f"here they are {layer.neuron} with {layer.tau_s}, and both must be the same"
            )
        return earlier.drive.source, earlier.drive.shift

    def _stored(self, layer: FloatLayer, options: FoldOptions) -> StoredWeights:
        """Return a layer's weights in counts, with no gain in them."""
        if layer.name in self.sharing:
            check_sharing(layer)
            return self.layers[layer.shared].stored if layer.shared else store_shared(layer, options.weight_bits)
        weights = self._scaled(layer)
        steps = counted(weight_steps(weights, options.weight_bits))
        return StoredWeights.of(layer.name, weights, steps, options.weight_bits)

    def _scaled(self, layer: FloatLayer) -> Float:
        """Return the weights times what a payload of 1 means."""
        with np.errstate(over="ignore", invalid="ignore"):
            weights = layer.source_weights * (self.source.value / layer.pool**2)
        check_finite(layer, "weights", weights, "smaller weights or gamma, or a larger input scale,")
        return np.asarray(weights)

    def _weights(
        self, layer: FloatLayer, schedules: Schedules, leak: LeakCode, options: FoldOptions, added: Float | None
    ) -> tuple[StoredWeights, Steps, Float]:  # fmt: skip
        """Return a layer's weights in counts, the steps of its potential, and what a count of the current is (:class:`CountUnits`).

        ``added`` [T or 1, C or 1] is what a payload of 1 adds that comes from an earlier layer.
        """
        gain: Float | None = schedules.gain
        if layer.name in self.sharing:
            stored = self._stored(layer, options)
            unit = stored.steps * (self.source.value / layer.pool**2)
            steps = choose_steps(layer, layer.weights, None if (schedules.gain == 1).all() else gain, leak, options, unit=unit, added=added)
            check_steps(layer, steps, leak)
            return stored, steps, unit
        weights = self._scaled(layer)
        inside = np.ones(1)
        if len(schedules.gain) == 1:
            # A constant gain, its sign included, is part of the weights: hardware needs no multiplier.
            gain, inside = None, np.where(schedules.gain[0] == 0, 1.0, schedules.gain[0])
            with np.errstate(over="ignore", invalid="ignore"):
                weights = weights * schedules.gain[0].reshape(-1, *(1,) * (weights.ndim - 1))
            check_finite(layer, "weights", weights, "smaller weights or gamma, or a larger input scale,")
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            steps = choose_steps(layer, weights, gain, leak, options, added=added)
        check_steps(layer, steps, leak)
        return StoredWeights.of(layer.name, weights, steps.weight, options.weight_bits), steps, steps.weight / inside

    def _report(
        self, layer: FloatLayer, schedules: Schedules, leak: LeakCode, stored: StoredWeights, incoming: list[Incoming], population: Population,
        proven: int, reason: str, options: FoldOptions,
    ) -> LayerReport:  # fmt: skip
        """Say what was made of a layer; its own weights come in by the first of the connections."""
        own = incoming[0].connection
        reference = float(np.abs(layer.threshold if layer.reset != "none" else stored.exact).max())
        exact, counts = (weights.reshape(len(weights), -1) != 0 for weights in (stored.exact, stored.tensor))
        lost, empty = exact & ~counts, ~counts.any(1)
        report = LayerReport(
            name=layer.name, form=schedules.form, reason=reason, weight_bits=options.weight_bits, current_bits=own.current_bits,
            gain_bits=max(bits_for(one.connection.gain.least, one.connection.gain.most) for one in incoming),
            unit_gain=own.unit_gain, leak_kind=leak.kind, potential_bits=population.potential_bits, proven_bits=proven, saturate=population.saturate,
            step=float(population.unit.max()) / reference if reference else 0.0, weight_error=weight_error(stored.exact, stored.tensor, stored.steps),
            gain_error=max(one.gain_error for one in incoming), leak_error=leak.error,
            weights_lost=float(lost.sum() / max(1, exact.sum())), channels=len(counts),
            channels_lost=int((lost.sum(1) > CHANNEL_LOST_MOST * exact.sum(1)).sum()), channels_empty=int(empty.sum()),
            channels_emptied=int((empty & exact.any(1)).sum()), channels_without_gain=int((~empty & ~own.gain.values.any(0)).sum()),
        )  # fmt: skip
        for name in ("step", "weight_error", "gain_error", "leak_error"):
            check_finite(layer, name, np.array(getattr(report, name)), "a gamma, or weights, nearer to 1")
        return report


def _units(incoming: Incoming, population: Population, schedules: Schedules, current: Float) -> CountUnits:
    connection = incoming.connection
    return CountUnits(current=current, drive=connection.gain.values / 2.0**connection.gain_shift.values * population.unit * schedules.scale)


def _spikes(name: str) -> Source:
    return Source(name=name, least=0, most=1, payload_bits=SPIKE_PAYLOAD_BITS, value=1.0)


def _growth(layer: FloatLayer, timesteps: int) -> float:
    """Return by how many bits form C's last gain and threshold are larger than its first."""
    least = float(layer.leak.min())
    if timesteps == 1:
        return 0.0
    return (timesteps - 1) * -float(np.log2(least)) if least > 0 else np.inf
