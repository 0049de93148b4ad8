"""Numba kernels: the neurons' arithmetic and the cores' timing. Arguments are validated by :mod:`spikefold.sim.engine`.

Arrays are channel-last: a source is [samples, timesteps, pixels, channels], and a core's current is [pixels, padded channels] with
the channels padded to whole words of ``lanes``. Kernels allocate nothing and read no globals; each names what it writes.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

from spikefold.sim.arguments import I8, I32, I64, Done, FanOut, Gain, Kicks, LinkTiming, Neuron, Scale, Schedules, Scratch, Sender

__all__ = [
    "accumulate",
    "add_drive",
    "add_payloads",
    "kernel",
    "psp_root",
    "run_layer",
    "scale_row",
    "time_link",
    "time_rows",
    "update_driven",
    "update_srm",
]


Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile ``function`` in nopython mode, cached on disk: the one set of JIT options that every kernel uses."""
    return cast(Function, numba.njit(cache=True, nogil=True, boundscheck=False)(function))


@kernel
def accumulate(payloads: I8, fan_out: FanOut, current: I32) -> int:
    """Walk the fan-out of every event in ``payloads`` [pixels, channels] and add its weights; return the runs walked.

    Writes ``current`` [pixels * run].
    """
    width, rows, columns, steps, weights, run = fan_out
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
def scaled(current: np.int64, gain: int, shift: int) -> int:
    """Return the drive that a current causes, both in 64 bits."""
    drive: int = (current * gain + ((1 << shift) >> 1)) >> shift  # type: ignore[assignment]  # [LIF.1]
    return drive


@kernel
def lif(
    potential: int, drive: int, neuron: Neuron, leak: int, threshold: int, decrement: int, load: int
) -> tuple[int, bool, int]:  # fmt: skip
    """Advance one neuron a timestep; return the potential after the reset, whether it fired, and how often a clamp acted."""
    stateless, leak_kind, leak_bits, reset, saturate, low, high = neuron
    if stateless:
        leaked = load  # [LINEAR]
    elif leak_kind == 0:
        leaked = potential  # [LIF.2a]
    elif leak_kind == 1:
        leaked = potential - (potential >> leak_bits)  # [LIF.2b]
    else:
        leaked = (potential * leak + ((1 << leak_bits) >> 1)) >> leak_bits  # [LIF.2c]
    total = leaked + drive
    summed = min(max(total, low), high) if saturate else total  # [LIF.3]
    clamped = int(summed != total)
    fired = summed >= threshold  # [LIF.4]
    if reset == 1:
        lowered = summed - decrement if fired else summed
        after = min(max(lowered, low), high) if saturate else lowered  # [LIF.5a]
        clamped += int(after != lowered)
    elif reset == 2:
        after = load if fired else summed  # [LIF.5b]
    else:
        after = summed  # [LIF.5c]
    return after, fired, clamped


@kernel
def update(current: I32, run: int, gain: Gain, neuron: Neuron, schedules: Schedules, t: int, potential: I64, spikes: I8) -> int:
    """Advance every neuron by timestep ``t``; return how often a clamp acted.

    Writes ``potential`` and ``spikes`` [pixels, channels] and clears
    ``current`` [pixels * run].
    """
    gains, shifts = gain
    leak, threshold, decrement, load = schedules
    clamped = 0
    for pixel in range(potential.shape[0]):
        arrived = current[pixel * run : pixel * run + run]
        for c in range(potential.shape[1]):
            drive = scaled(np.int64(arrived[c]), gains[t, c], shifts[t, c])
            after, fired, clamps = lif(potential[pixel, c], drive, neuron, leak[t, c], threshold[t, c], decrement[t, c], load[t, c])
            clamped += clamps
            potential[pixel, c] = after
            spikes[pixel, c] = fired
        for c in range(run):
            current[pixel * run + c] = 0
    return clamped


@kernel
def add_drive(current: I32, run: int, gain: Gain, t: int, drive: I64) -> None:
    """Add what one connection's current causes in timestep ``t`` to ``drive`` [pixels, channels].

    Writes ``drive`` and clears ``current`` [pixels * run].
    """
    gains, shifts = gain
    for pixel in range(drive.shape[0]):
        for c in range(drive.shape[1]):
            drive[pixel, c] += scaled(np.int64(current[pixel * run + c]), gains[t, c], shifts[t, c])
        for c in range(run):
            current[pixel * run + c] = 0


@kernel
def add_payloads(payloads: I32, gain: Gain, t: int, drive: I64) -> int:
    """Add each of ``payloads`` to the drive of the neuron in its place, both [pixels, channels]; writes ``drive``, returns the events."""
    gains, shifts = gain
    events = 0
    for pixel in range(drive.shape[0]):
        for c in range(drive.shape[1]):
            if payloads[pixel, c] != 0:
                events += 1
            drive[pixel, c] += scaled(np.int64(payloads[pixel, c]), gains[t, c], shifts[t, c])
    return events


@kernel
def update_driven(drive: I64, neuron: Neuron, schedules: Schedules, t: int, potential: I64, payloads: I32) -> int:
    """Advance every neuron by timestep ``t`` and its ``drive``; return how often a clamp acted.

    As :func:`update`, of which this is the form for several connections, and for neurons without a state, which send their potential. Writes
    ``potential`` and ``payloads`` [pixels, channels] and clears ``drive``.
    """
    leak, threshold, decrement, load = schedules
    clamped = 0
    for pixel in range(drive.shape[0]):
        for c in range(drive.shape[1]):
            after, fired, clamps = lif(
                potential[pixel, c], drive[pixel, c], neuron, leak[t, c], threshold[t, c], decrement[t, c], load[t, c]
            )  # fmt: skip
            clamped += clamps
            potential[pixel, c] = after
            payloads[pixel, c] = (after if neuron.stateless else 1) if fired else 0
            drive[pixel, c] = 0
    return clamped


@kernel
def decayed(state: int, decay: int) -> int:
    """Return a state times ``decay / 2**16``, rounded half up."""
    return (state * decay + (1 << 15)) >> 16


@kernel
def root(value: int) -> int:
    """Return the largest integer whose square is at most ``value``, below 2**62."""
    found, bit = 0, 1 << 31
    while bit > 0:
        if (found + bit) * (found + bit) <= value:
            found += bit
        bit >>= 1
    return found


@kernel
def psp_root(payloads: I32, width: int, pool: int, scale: Scale, states: I64) -> int:
    """Return what the thresholds of one sample are multiplied by, from the ``payloads`` [timesteps, pixels, channels] of its source.

    ``states`` [2, rows, columns, channels] of the pooled source, rise and psp, is scratch.
    """
    payload_shift, decay, about_mean, floor = scale
    states[:] = 0
    total = squares = 0
    timesteps, channels = payloads.shape[0], payloads.shape[2]
    for t in range(timesteps):
        for y in range(states.shape[1]):
            for x in range(states.shape[2]):
                for c in range(channels):
                    psp = decayed(states[1, y, x, c] + states[0, y, x, c], decay)  # [ROOT.1]
                    kick = 0
                    for row in range(y * pool, (y + 1) * pool):
                        for column in range(x * pool, (x + 1) * pool):
                            kick += payloads[t, row * width + column, c]
                    states[0, y, x, c] = decayed(states[0, y, x, c], decay) + (kick << payload_shift)  # [ROOT.2]
                    states[1, y, x, c] = psp
                    total += psp
                    squares += psp * psp
    count = timesteps * states.shape[1] * states.shape[2] * channels
    moment = squares // count  # [ROOT.3]
    if about_mean:
        moment = max(moment - (total // count) ** 2, 0)  # [ROOT.4]
    return root(moment + floor)  # [ROOT.5]


@kernel
def scale_row(values: I64, sample_root: int, shift: int, scaled_values: I64) -> None:
    """Write ``values`` [channels] times a sample's root, rounded half up, to ``scaled_values``."""
    for c in range(len(values)):
        scaled_values[c] = (values[c] * sample_root + ((1 << shift) >> 1)) >> shift  # [ROOT.6]


@kernel
def update_srm(drive: I64, neuron: Neuron, kicks: Kicks, decays: I64, states: I64, potential: I64, payloads: I32) -> int:
    """Advance every spike response neuron one timestep; return how often a clamp acted.

    Of ``neuron``, the clamp is read. ``states`` is [3 or 4, pixels, channels]: rise, psp, refractory response and, for an
    alpha kernel, its rise; ``decays`` theirs. Writes ``states``, ``potential`` and ``payloads`` [pixels, channels] and clears
    ``drive``.
    """
    threshold, decrement = kicks
    saturate, low, high = neuron.saturate, neuron.low, neuron.high
    clamped = 0
    for pixel in range(drive.shape[0]):
        for c in range(drive.shape[1]):
            psp = decayed(states[1, pixel, c] + states[0, pixel, c], decays[1])  # [SRM.1]
            total = psp + states[2, pixel, c]
            summed = min(max(total, low), high) if saturate else total  # [SRM.2]
            clamped += int(summed != total)
            fired = summed >= threshold[c]  # [SRM.3]
            states[0, pixel, c] = decayed(states[0, pixel, c], decays[0]) + drive[pixel, c]  # [SRM.4]
            kick = decrement[c] if fired else 0  # [SRM.5]
            if states.shape[0] == 4:
                states[3, pixel, c] = decayed(states[3, pixel, c], decays[3]) - kick  # [SRM.6a]
                states[2, pixel, c] = decayed(states[2, pixel, c] + states[3, pixel, c], decays[2])  # [SRM.7a]
            else:
                states[2, pixel, c] = decayed(states[2, pixel, c] - kick, decays[2])  # [SRM.7b]
            states[1, pixel, c] = psp
            potential[pixel, c] = summed
            payloads[pixel, c] = 1 if fired else 0
            drive[pixel, c] = 0
    return clamped


@kernel
def run_layer(
    payloads: I8, fan_out: FanOut, gain: Gain, neuron: Neuron, schedules: Schedules, initial: I64, scratch: Scratch, done: Done
) -> int:  # fmt: skip
    """Run one layer over ``payloads`` [samples, timesteps, pixels, channels]; return the clamps.

    Gains and schedules are [timesteps, channels], ``initial`` [channels]. Writes ``done`` and ``scratch``, whose currents
    are 0 on entry and exit.
    """
    current, potential = scratch
    spikes, kept, walked = done
    clamped = 0
    for n in range(payloads.shape[0]):
        potential[:, :] = initial
        walked[n] = 0
        for t in range(payloads.shape[1]):
            walked[n] += accumulate(payloads[n, t], fan_out, current)
            clamped += update(current, fan_out.run, gain, neuron, schedules, t, potential, spikes[n, t])
            if kept.size:
                kept[n, t] = potential
    return clamped


@kernel
def time_link(
    payloads: I8, fan_out: I64, sender: Sender, depth: int, timing: LinkTiming, pops: I64, arrivals: I32
) -> tuple[int, int, int]:  # fmt: skip
    """Time the events of one source in one step on their way into the next core.

    ``payloads`` is [pixels, channels]; ``fan_out`` [pixels] the words that an event at a pixel walks. ``pops`` [depth] is scratch.
    Writes ``arrivals`` [events, 2]: (pixel * channels + channel, cycle of the handshake). Returns (events, the first cycle in
    which the source has nothing left, the first in which the core has).
    """
    lanes, groups = sender
    channels = payloads.shape[1]
    sent, walking, quiet = timing.first - 1, 0, 0
    events, word_before = 0, -1
    for pixel in range(payloads.shape[0]):
        for channel in range(channels):
            if payloads[pixel, channel] == 0:
                continue
            # The cycle from which the source offers this event.
            offered = sent + 1
            if lanes > 0:
                word = pixel * groups + channel // lanes
                if word != word_before:
                    offered = max(word + timing.fetchable, sent + 1) + timing.fetch
                    word_before = word
            # The queue takes it when it was not full at the start of the cycle.
            if events >= depth:
                offered = max(offered, pops[events % depth] + timing.queued)
            sent = offered
            arrivals[events, 0] = pixel * channels + channel
            arrivals[events, 1] = sent
            popped = max(sent + timing.queued, walking)
            pops[events % depth] = popped
            # Then a word a cycle.
            walking = popped + timing.setup + fan_out[pixel]
            quiet = max(quiet, walking + timing.write_back if fan_out[pixel] else walking)
            events += 1
    if lanes == 0:
        # The tick is a beat of its own and meets the same ready.
        sent += 1
        if events >= depth:
            sent = max(sent, pops[events % depth] + timing.queued)
    return events, sent + 1, quiet


@kernel
def time_rows(
    rows: I8, fan_out: I64, sender: Sender, depth: int, timing: LinkTiming, pops: I64, offsets: I64, arrivals: I32, ends: I64
) -> None:  # fmt: skip
    """Time the events of every row [rows, pixels, channels], each a step of its own, as :func:`time_link` does.

    Row ``r`` has the events ``offsets[r]`` to ``offsets[r + 1]``. Writes ``arrivals`` [events, 2] and ``ends`` [2, rows].
    """
    for row in range(rows.shape[0]):
        found = arrivals[offsets[row] : offsets[row + 1]]
        _, ends[0, row], ends[1, row] = time_link(rows[row], fan_out, sender, depth, timing, pops, found)
