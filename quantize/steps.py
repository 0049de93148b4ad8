"""What one count means: the steps of a layer's weights and potential, and the gain between them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import FoldError
from spikefold.quantize.float_network import LN_NORMS, FloatLayer
from spikefold.quantize.fold_options import FoldOptions
from spikefold.quantize.grids import held, whole
from spikefold.quantize.rounding import LeakCode, one_shift, weight_steps

__all__ = ["Steps", "check_steps", "choose_steps", "counted"]

Float = npt.NDArray[np.float64]

THRESHOLD_COUNTS = 512
"""Where a gain sets the step of the potential, a threshold is at least so many counts: drive and decrement round to 0.1 % of it."""
THRESHOLD_COUNTS_MOST = 1 << 12
"""A finer step than this fraction of the threshold widens the potential and changes next to nothing."""
FINEST, FINEST_KEPT = 2.0**-16, 2.0**-20
"""The finest step of weights that is also that of the potential, in thresholds: the second one of weights that lie on a grid."""
UNIT_GAIN_COUNTS = 4
"""Where the step of the weights is also that of the potential, a threshold's least counts (2 in every channel) before fraction bits
are added: measured on random layers, coarser thresholds cost no spike flips beside those of the rounded weights."""
SNAPPED_COUNTS = 32
"""From so many counts on, making the threshold a whole number of steps coarsens the weights by at most 3 %."""
STUCK_PART = 8
"""Rounding may keep at most this fraction (1/8) of the threshold from leaking."""
READOUT_PEAKS = 8
"""The potential of an integrating readout, in largest weights, that its leak must resolve."""
STRETCHES = 32
"""How finely a constant between 1 and 2 is searched that brings gains near to powers of two."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Steps:
    """The steps [C] of weights and potential, and the gain between them in counts, [T or 1, C]; ``exponent`` is a gain of 2**exponent."""

    weight: Float
    potential: Float
    gain: Float | None
    exponent: int


def counted(steps: Float) -> Float:
    """Return the steps of weights, 1 where all weights are 0 and any step will do."""
    return np.where(steps > 0, steps, 1.0)


def choose_steps(
    layer: FloatLayer, weights: Float, gain: Float | None, leak: LeakCode, options: FoldOptions, *, unit: Float | None = None,
    added: Float | None = None,
) -> Steps:  # fmt: skip
    """Choose the steps of weights and potential; ``gain`` is None where it is already in the weights, or 1.

    Weights on a grid that their bits hold keep it (:func:`~spikefold.quantize.rounding.weight_steps`).
    ``unit`` [C] is the step of weights that are in counts already. ``added`` [T or 1, C or 1] is what a payload of 1 adds that comes from an
    earlier layer: its gain, too, must fit the bits of gains.
    """
    steps = weight_steps(weights, options.weight_bits) if unit is None else unit
    kept = unit is None and bool(held(weights, steps, options.weight_bits).all())
    finest = 0.0 if added is None else float(np.abs(added).max()) / _most(options)
    if layer.reset == "none":
        ones = np.ones((1, len(steps)))
        return _readout_steps(weights, steps, gain if unit is None or gain is not None else ones, leak, options, finest, stored=unit is not None)
    # Of PSP-LN, what must be resolved is the threshold of a sample whose root is the least.
    reference = np.broadcast_to(np.abs(layer.threshold) * (np.sqrt(layer.norm.eps) if layer.norm.kind in LN_NORMS else 1.0), steps.shape)
    if gain is not None:
        largest = np.abs(gain).max(0)
        # Without a threshold, weights and what is added say what is worth a count.
        alone = 1.0 if added is None or not added.any() else float(np.abs(added[added != 0]).min())
        potential = np.where(steps * largest > 0, steps * largest, alone)
        needed = max(THRESHOLD_COUNTS, STUCK_PART * leak.stuck)
        ranged = np.clip(steps * largest, reference / max(THRESHOLD_COUNTS_MOST, needed), reference / needed)
        potential = np.where(reference > 0, ranged, potential)
        # The gain from one count of the current to counts of the potential must fit its bits.
        potential = np.maximum(np.maximum(potential, finest), steps * largest / _most(options))
        if options.gain_terms:
            # A channel's own constant costs nothing: the coarser step is the one whose gains lie nearest to powers of two.
            potential = potential * _stretch(gain * steps / potential, -1, options)
        # Channels without weights need no gain.
        return Steps(weight=counted(steps), potential=potential, gain=gain * steps / potential, exponent=0)
    if not reference.any():
        if finest > counted(steps).min():
            return choose_steps(layer, weights, np.ones((1, len(steps))), leak, options, unit=unit, added=added)
        return Steps(weight=counted(steps), potential=counted(steps), gain=None, exponent=0)
    reference = np.where(reference > 0, reference, reference[reference > 0].mean())
    if unit is None:
        # Weights that are next to nothing against the threshold must not set an absurdly fine step.
        floor = reference * (FINEST_KEPT if kept else FINEST)
        steps = np.where(steps > 0, np.maximum(steps, floor), reference / THRESHOLD_COUNTS)
        subtracted = np.broadcast_to(np.abs(layer.subtracted), steps.shape)
        counts = np.floor(subtracted / steps)
        if layer.reset == "soft" and options.weight_bits >= 6 and not kept:
            # A decrement that is a whole number of steps does not drift from spike to spike; the weights round to the new step.
            steps = np.where(counts >= SNAPPED_COUNTS, subtracted / np.maximum(counts, 1), steps)
    if finest > steps.min():
        # No power of two takes a count of the current to a count that coarse.
        return choose_steps(layer, weights, np.ones((1, len(steps))), leak, options, unit=unit, added=added)
    needed = max(UNIT_GAIN_COUNTS, STUCK_PART * leak.stuck)
    counts = reference / steps
    if kept:
        # Of exact weights, the rounding of leak and reset is all that remains.
        exact = float(np.median(counts)) * _exact_part(layer, steps, leak, options.timesteps)
        needed = max(needed, min(exact, THRESHOLD_COUNTS_MOST))
    exponent = _exponent(float(np.maximum(needed / np.median(counts), 2 / counts.min())), options.gain_bits)
    if finest:
        exponent = min(exponent, int(np.log2(steps.min() / finest)))
    return Steps(weight=steps, potential=steps / 2.0**exponent, gain=None, exponent=exponent)


def _exact_part(layer: FloatLayer, steps: Float, leak: LeakCode, timesteps: int) -> float:
    """Return the power of two that divides ``steps`` [C] so that they hold every potential exactly, at most 2**64.

    The weights are whole numbers of ``steps``.
    """
    if layer.neuron == "srm" or (layer.reset == "hard" and (layer.drive_shift.any() or layer.initial.any())):
        return 2.0**64
    resets = np.abs(layer.subtracted if layer.reset == "soft" else layer.load) / steps
    bits = next((bits for bits in range(THRESHOLD_COUNTS_MOST.bit_length()) if whole(resets * 2.0**bits).all()), 64)
    bits += (timesteps - 1) * {"none": 0, "shift": leak.shift, "multiply": leak.frac_bits}[leak.kind]
    return 2.0 ** min(bits, 64)


def _readout_steps(
    weights: Float, steps: Float, gain: Float | None, leak: LeakCode, options: FoldOptions, finest: float, *, stored: bool
) -> Steps:  # fmt: skip
    """Choose steps for an integrating readout: one step of the potential, at least ``finest``, for all classes, so that scores compare.

    Weights that are ``stored`` keep their steps.
    """
    effective = steps if gain is None else steps * np.abs(gain).max(0)
    used = effective[effective > 0]
    if used.size == 0:
        ones = np.ones(len(steps))
        return Steps(weight=ones, potential=ones if not finest else ones * finest, gain=None if gain is None else gain * 0, exponent=0)
    weight_bits, gain_bits = options.weight_bits, options.gain_bits
    needed = STUCK_PART * leak.stuck / (READOUT_PEAKS * ((1 << (weight_bits - 1)) - 1))
    # One step for all classes needs no multiplier; it is taken where every class keeps all but one bit of its weights, or five bits.
    if gain is None and used.max() / used.min() <= 2.0 ** max(1, weight_bits - 5):
        common = np.full(len(steps), weight_steps(weights.reshape(1, -1), weight_bits)[0])
        # Classes that lie on grids of their own keep them, and get gains.
        if common[0] >= finest and (held(weights, common, weight_bits).all() or not held(weights, steps, weight_bits).all()):
            exponent = min(_exponent(needed, gain_bits), int(np.log2(common[0] / finest)) if finest else gain_bits)
            return Steps(weight=common, potential=common / 2.0**exponent, gain=None, exponent=exponent)
    largest = used.max()
    potential = max(min(used.min(), largest / max(needed, 1)), largest / 64, largest / _most(options), finest)
    unit = np.full(len(steps), potential)
    shape_gain = np.ones((1, len(steps))) if gain is None else gain
    if options.gain_terms and not stored:
        steps = steps * _stretch(shape_gain * steps / unit, 1, options)
    return Steps(weight=counted(steps), potential=unit, gain=shape_gain * np.where(steps > 0, steps, 0.0) / unit, exponent=0)


def _most(options: FoldOptions) -> int:
    """Return the largest gain in counts."""
    return (1 << (options.gain_bits - 1)) - 1


def _stretch(gain: Float, direction: Literal[1, -1], options: FoldOptions) -> Float:
    """Return the factor [C] in [1, 2) whose power ``direction``, times the ``gain`` [T or 1, C], lies nearest to sums of few powers of two."""
    squares = (gain**2).sum(0)
    best, least = np.ones(gain.shape[1]), np.full(gain.shape[1], np.inf)
    for part in range(STRETCHES):
        factor = 2.0 ** (part / STRETCHES)
        wanted = gain * factor**direction
        counts, shift = one_shift(wanted, options.gain_bits, options.gain_terms)
        error = ((counts / 2.0**shift - wanted) ** 2).sum(0) / np.where(squares > 0, squares * factor ** (2 * direction), 1.0)
        # A margin, so that rounding noise does not choose.
        better = error < least - 1e-9
        best, least = np.where(better, factor, best), np.where(better, error, least)
    return best


def _exponent(ratio: float, gain_bits: int) -> int:
    """Return the least power of two, as an exponent, that is at least ``ratio``, within what a gain can be."""
    return int(np.clip(np.ceil(np.log2(max(ratio, 1.0))), 0, gain_bits - 2))


def check_steps(layer: FloatLayer, steps: Steps, leak: LeakCode) -> None:
    """Refuse steps that mean nothing: not finite, not above 0, or so coarse that the leak of a potential near the threshold rounds away."""
    for name, values in {"step of the weights": steps.weight, "step of the potential": steps.potential, "gain": steps.gain}.items():
        if values is not None and not (np.isfinite(values).all() and (name == "gain" or (values > 0).all())):
            raise FoldError(f"layer {layer.name!r} {name}: it is beyond float64; weights, gamma and threshold nearer to 1 are needed")
    threshold = np.broadcast_to(np.abs(layer.threshold), steps.potential.shape)
    coarse = (threshold > 0) & (threshold < steps.potential)
    if layer.reset != "none" and coarse.any():
        channel = int(coarse.argmax())
        raise FoldError(
            f"layer {layer.name!r} threshold: {np.broadcast_to(layer.threshold, threshold.shape)[channel]:g}, and a step of the potential is "
            f"{steps.potential[channel]:g}; a larger threshold, smaller weights or gamma, or more gain_bits or weight_bits, is needed"
        )
    with np.errstate(over="ignore"):
        lost = (threshold > 0) & (threshold < leak.stuck * steps.potential)
    if layer.reset != "none" and 2 * lost.sum() > len(lost):
        channel = int(lost.argmax())
        raise FoldError(
            f"layer {layer.name!r} leak: the threshold is {threshold[channel] / steps.potential[channel]:.3g} counts, and rounding keeps "
            f"{leak.stuck:.3g} from leaking; use more gain_bits, or form C"
        )
