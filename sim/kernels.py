"""Numba kernels: the neurons' arithmetic and the cores' timing. Arguments are validated by :mod:`spikefold.sim.engine`.

Arrays are channel-last: a source is [samples, timesteps, pixels, channels], and a core's current is [pixels, padded channels] with
the channels padded to whole words of ``lanes``. Kernels allocate nothing and read no globals; each names what it writes.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

__all__ = ["accumulate", "kernel", "run_layer", "time_link"]

Function = TypeVar("Function", bound=Callable[..., Any])
I8 = npt.NDArray[np.int8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]


def kernel(function: Function) -> Function:
    """Compile ``function`` in nopython mode, cached on disk: the one set of JIT options that every kernel uses."""
    return cast(Function, numba.njit(cache=True, nogil=True, boundscheck=False)(function))


@kernel
def accumulate(payloads: I8, width: int, rows: I64, columns: I64, steps: I64, weights: I8, run: int, current: I32) -> int:
    """Walk the fan-out of every event in ``payloads`` [pixels, channels] and add its weights to ``current``; return the runs walked.

    ``steps`` is (row, column, row weight, column weight, channel) as in CorePlan, here in elements; ``run`` is the padded channels of a pixel.
    Writes ``current`` [pixels * run].
    """
    walked = 0
    for pixel in range(payloads.shape[0]):
        y, x = pixel // width, pixel % width
        for channel in range(payloads.shape[1]):
            payload = np.int32(payloads[pixel, channel])
            if payload == 0:
                continue
            for i in range(rows[y, 2]):
                for j in range(columns[x, 2]):
                    neuron = rows[y, 0] + i * steps[0] + columns[x, 0] + j * steps[1]
                    weight = rows[y, 1] - i * steps[2] + columns[x, 1] - j * steps[3] + channel * steps[4]
                    # Slices: an index that might count from the end would keep the loop from being vectorised.
                    reached, synapses = current[neuron : neuron + run], weights[weight : weight + run]
                    for k in range(run):
                        reached[k] += np.int32(synapses[k]) * payload
                    walked += 1
    return walked


@kernel
def update(
    current: I32, run: int, gain: I64, shift: I64, leak_kind: int, leak: I64, leak_bits: int, reset: int,
    threshold: I64, decrement: I64, load: I64, saturate: int, low: int, high: int, potential: I64, spikes: I8,
) -> int:  # fmt: skip
    """Advance every neuron one timestep; return how often a clamp acted.

    Schedules are this timestep's, [channels]. ``leak_kind`` is 0 none, 1 shift, 2 multiply, with ``leak_bits`` its shift or fraction bits; ``reset``
    is 0 none, 1 soft, 2 hard. Writes ``potential`` and ``spikes`` [pixels, channels] and clears ``current`` [pixels * run].
    """
    clamped = 0
    for pixel in range(potential.shape[0]):
        arrived = current[pixel * run : pixel * run + run]
        for c in range(potential.shape[1]):
            drive = (np.int64(arrived[c]) * gain[c] + ((1 << shift[c]) >> 1)) >> shift[c]  # [LIF.1]
            if leak_kind == 0:
                leaked = potential[pixel, c]  # [LIF.2a]
            elif leak_kind == 1:
                leaked = potential[pixel, c] - (potential[pixel, c] >> leak_bits)  # [LIF.2b]
            else:
                leaked = (potential[pixel, c] * leak[c] + ((1 << leak_bits) >> 1)) >> leak_bits  # [LIF.2c]
            total = leaked + drive
            summed = min(max(total, low), high) if saturate else total  # [LIF.3]
            clamped += summed != total
            fired = summed >= threshold[c]  # [LIF.4]
            if reset == 1:
                lowered = summed - decrement[c] if fired else summed
                after = min(max(lowered, low), high) if saturate else lowered  # [LIF.5a]
                clamped += after != lowered
            elif reset == 2:
                after = load[c] if fired else summed  # [LIF.5b]
            else:
                after = summed  # [LIF.5c]
            potential[pixel, c] = after
            spikes[pixel, c] = fired
        for c in range(run):
            current[pixel * run + c] = 0
    return clamped


@kernel
def run_layer(
    payloads: I8, width: int, rows: I64, columns: I64, steps: I64, weights: I8, run: int, current: I32,
    gain: I64, shift: I64, leak_kind: int, leak: I64, leak_bits: int, reset: int, threshold: I64, decrement: I64, load: I64,
    initial: I64, saturate: int, low: int, high: int, potential: I64, spikes: I8, kept: I64, walked: I64,
) -> int:  # fmt: skip
    """Run one layer over ``payloads`` [samples, timesteps, pixels, channels]; return the clamps.

    Schedules are [timesteps, channels]. Writes ``spikes`` (like ``payloads``, of this layer), ``kept`` (the potentials, or empty) and
    ``walked`` [samples]; ``current`` (zeros on entry and exit) and ``potential`` are scratch.
    """
    clamped = 0
    for n in range(payloads.shape[0]):
        potential[:, :] = initial
        walked[n] = 0
        for t in range(payloads.shape[1]):
            walked[n] += accumulate(payloads[n, t], width, rows, columns, steps, weights, run, current)
            clamped += update(
                current, run, gain[t], shift[t], leak_kind, leak[t], leak_bits, reset,
                threshold[t], decrement[t], load[t], saturate, low, high, potential, spikes[n, t],
            )  # fmt: skip
            if kept.size:
                kept[n, t] = potential
    return clamped


@kernel
def time_link(
    payloads: I8, fan_out: I64, lanes: int, groups: int, depth: int, pops: I64, arrivals: I32
) -> tuple[int, int, int]:  # fmt: skip
    """Time the events of one source in one step on their way into the next core.

    ``payloads`` is [pixels, channels]; ``fan_out`` [pixels] the words that an event at a pixel walks. A source of ``lanes`` > 0 is a core,
    whose update pushes word ``w``'s spikes at cycle ``w + 6``; a source of 0 lanes is a host that is always ready to send. ``pops`` [depth] is
    scratch. Writes ``arrivals`` [events, 2]: (pixel * channels + channel, cycle of the handshake). Returns (events, the first cycle in which
    the source has nothing left, the first in which the core has).
    """
    channels = payloads.shape[1]
    sent, walking, quiet = 0, 0, 0
    events, word_before = 0, -1
    for pixel in range(payloads.shape[0]):
        for channel in range(channels):
            if payloads[pixel, channel] == 0:
                continue
            # The cycle from which the source offers this event: fetching a word of spikes takes two cycles.
            offered = sent + 1
            if lanes > 0:
                word = pixel * groups + channel // lanes
                if word != word_before:
                    offered = max(word + 7, sent + 1) + 2
                    word_before = word
            # The queue takes it when it was not full at the start of the cycle.
            if events >= depth:
                offered = max(offered, pops[events % depth] + 1)
            sent = offered
            arrivals[events, 0] = pixel * channels + channel
            arrivals[events, 1] = sent
            # Pop, table, sum, then a word a cycle; the last word is written three cycles after its read began.
            popped = max(sent + 1, walking)
            pops[events % depth] = popped
            walking = popped + 3 + fan_out[pixel]
            quiet = max(quiet, walking + 3 if fan_out[pixel] else walking)
            events += 1
    if lanes == 0:
        # The tick is a beat of its own and meets the same ready.
        sent += 1
        if events >= depth:
            sent = max(sent, pops[events % depth] + 1)
    return events, sent + 1, quiet
