"""The kept list of mutations that the comparisons must notice: wrong by one sign, one unit, one timestep or one cycle."""

from dataclasses import dataclass

__all__ = ["GRAPH_TAGS", "MUTATIONS", "TAGS", "Mutation"]

GRAPH_TAGS = (
    "LINEAR",
    "ROOT.1",
    "ROOT.2",
    "ROOT.3",
    "ROOT.4",
    "ROOT.5",
    "ROOT.6",
    "SRM.1",
    "SRM.2",
    "SRM.3",
    "SRM.4",
    "SRM.5",
    "SRM.6a",
    "SRM.7a",
    "SRM.7b",
)
"""Lines of what the reference and the simulator run, and the hardware not yet."""
TAGS = ("LIF.1", "LIF.2a", "LIF.2b", "LIF.2c", "LIF.3", "LIF.4", "LIF.5a", "LIF.5b", "LIF.5c")


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """``old``, which is in ``file`` (of the package) exactly once, becomes ``new``.

    ``target`` is the execution that is mutated, or ``other`` for what is none of them. ``check`` is the comparison that
    must notice ("" for the target's own); ``test`` is the pytest test that must fail instead, as pytest names it from the
    repository's root. ``tag`` is the line of the neuron, or another word for what it touches. ``equivalent`` says why
    nothing could notice, and is None where something must.
    """

    name: str
    target: str
    file: str
    tag: str
    old: str
    new: str
    why: str
    check: str = ""
    test: str = ""
    equivalent: str | None = None


def reference(
    name: str, tag: str, old: str, new: str, why: str, *, file: str = "network/reference.py", check: str = "", equivalent: str | None = None
) -> Mutation:
    return Mutation(name=name, target="reference", file=file, tag=tag, old=old, new=new, why=why, check=check, equivalent=equivalent)


def kernel(
    name: str, tag: str, old: str, new: str, why: str, *, file: str = "sim/kernels.py", check: str = "", equivalent: str | None = None
) -> Mutation:
    return Mutation(name=name, target="kernel", file=file, tag=tag, old=old, new=new, why=why, check=check, equivalent=equivalent)


def rtl(
    name: str, tag: str, old: str, new: str, why: str, *, file: str = "hw/gateware/neuron.py", test: str = "", equivalent: str | None = None
) -> Mutation:
    return Mutation(name=name, target="rtl", file=file, tag=tag, old=old, new=new, why=why, test=test, equivalent=equivalent)


def unreset(name: str, file: str, signal: str, why: str, *, equivalent: str | None = None) -> Mutation:
    """A register, declared as ``signal``, that keeps its value through a reset."""
    kept = signal.removesuffix(")") + ("reset_less=True)" if signal.endswith("()") else ", reset_less=True)")
    old, new = (f"        {text}\n" for text in (signal, kept))
    return rtl(f"rtl-{name}-unreset", "reset", old, new, why, file=file, test=f"{STREAMS}::{RESETS}", equivalent=equivalent)


def other(name: str, tag: str, old: str, new: str, why: str, *, file: str, test: str) -> Mutation:
    return Mutation(name=name, target="other", file=file, tag=tag, old=old, new=new, why=why, test=test)


STREAMS = "tests/cosim/test_streams.py"
RESETS = "test_a_reset_at_any_cycle_leaves_nothing_behind"


WINDOWS = "network/windows.py"

REFERENCE = (
    reference("reference-drive-floors", "LIF.1", "gain + ((1 << shift) >> 1)) >> shift", "gain) >> shift", "the drive is floored, not rounded"),
    reference("reference-drive-half-down", "LIF.1", "((1 << shift) >> 1)) >> shift", "((1 << shift) - 1 >> 1)) >> shift", "ties round down"),
    reference(
        "reference-drive-to-zero", "LIF.1", "drive += (current[:, t] * gain + ((1 << shift) >> 1)) >> shift",
        "drive += np.sign(current[:, t] * gain) * ((np.abs(current[:, t] * gain) + ((1 << shift) >> 1)) >> shift)",
        "ties round away from 0, on both sides",
    ),
    reference("reference-gain-early", "LIF.1", "at(connection.gain, t), ", "at(connection.gain, max(t - 1, 0)), ", "the gain of the timestep before"),
    reference("reference-shift-early", "LIF.1", "at(connection.gain_shift, t)", "at(connection.gain_shift, 0)",
              "the first gain shift throughout"),
    reference("reference-no-leak-forgets", "LIF.2a", "leaked = potential  # [LIF.2a]", "leaked = potential & -2  # [LIF.2a]",
              "a bit is lost without a leak"),
    reference(
        "reference-leak-shift-to-zero", "LIF.2b", "(potential >> population.leak_shift)",
        "np.sign(potential) * (np.abs(potential) >> population.leak_shift)", "a negative potential leaks towards 0 by truncation",
    ),
    reference("reference-leak-floors", "LIF.2c", "(potential * at(population.leak, t) + half)",
              "(potential * at(population.leak, t))", "the leak's product is floored"),
    reference("reference-leak-half", "LIF.2c", "half = (1 << population.leak_frac_bits) >> 1", "half = ((1 << population.leak_frac_bits) - 1) >> 1",
              "ties of the leak round down"),
    reference("reference-leak-early", "LIF.2c", "at(population.leak, t)", "at(population.leak, 0)", "the first leak throughout"),
    reference("reference-clamp-symmetric", "LIF.3", "np.clip(value, low, high)", "np.clip(value, low + 1, high)",
              "the width's lower end is never reached"),
    reference("reference-clamp-high", "LIF.3", "np.clip(value, low, high)", "np.clip(value, low, high - 1)",
              "the width's upper end is never reached"),
    reference("reference-clamp-wraps", "LIF.3", "np.clip(value, low, high)", "(value - low) % (high - low + 1) + low", "the sum wraps around"),
    reference("reference-sum-not-clamped", "LIF.3", "clamp(leaked + drive, population)", "(leaked + drive, 0)", "only the reset clamps"),
    reference("reference-strict", "LIF.4", "summed >= threshold  # [LIF.4]", "summed > threshold  # [LIF.4]",
              "a potential at its threshold does not fire"),
    reference("reference-threshold-late", "LIF.4", "load = at(population.threshold, t), at",
              "load = at(population.threshold, min(t + 1, len(population.threshold.values) - 1)), at",
              "the threshold of the next timestep"),
    reference("reference-soft-threshold", "LIF.5a", "np.where(fired, summed - decrement, summed)", "np.where(fired, summed - threshold, summed)",
              "a soft reset subtracts the threshold"),
    reference("reference-soft-not-clamped", "LIF.5a", "clamp(np.where(fired, summed - decrement, summed), population)",
              "(np.where(fired, summed - decrement, summed), 0)", "a soft reset leaves the width"),
    reference("reference-decrement-early", "LIF.5a", "at(population.decrement, t), at",
              "at(population.decrement, 0), at", "the first decrement throughout"),
    reference("reference-reset-order", "LIF.5a", "np.where(fired, summed - decrement, summed)", "np.where(fired, leaked + drive - decrement, summed)",
              "the reset comes before the clamp"),
    reference("reference-hard-zero", "LIF.5b", "np.where(fired, load, summed)", "np.where(fired, 0, summed)", "a hard reset forgets its load"),
    reference("reference-load-early", "LIF.5b", "at(population.load, t)", "at(population.load, 0)", "the first load throughout"),
    reference("reference-none-forgets", "LIF.5c", "potential = summed  # [LIF.5c]", "potential = leaked  # [LIF.5c]",
              "an integrator does not integrate"),
    reference("reference-none-resets", "LIF.5c", "potential = summed  # [LIF.5c]", "potential = np.where(fired, 0, summed)  # [LIF.5c]",
              "a neuron without a reset resets"),
    reference("reference-initial", "state", "np.broadcast_to(population.initial[:, None, None], shape",
              "np.broadcast_to(0 * population.initial[:, None, None], shape",
              "potentials start from 0"),
    reference("reference-schedule", "state", "self.values[t if", "self.values[t - 1 if", "every schedule is late by one", file="network/schedule.py"),
    reference("reference-offset", "readout", "decoded.reshape(len(events), -1) + network.readout.offset",
              "decoded.reshape(len(events), -1)", "the readout's offset is left out"),
    reference("reference-final", "readout", "kept[-1][:, -1] if", "kept[-1][:, 0] if", "the first potential is read out"),
    reference("reference-sops", "count", "pool((payload != 0)", "pool((payload > 0)", "negative events are no operations"),
    reference("reference-clamp-count", "count", "(clamped != value)", "(clamped < value)", "clamps at the lower end are not counted"),
    reference("windows-pool-max", "pool", "windows.sum((-3, -1))", "windows.max((-3, -1))", "pooling takes the largest", file=WINDOWS),
    reference("windows-pool-end", "pool", "payload[..., : height * side,", "payload[..., payload.shape[-2] - height * side :,",
              "pooling leaves the first row out", file=WINDOWS),
    reference("windows-flip", "window", "windows.transpose(0, 1, 3, 4, 2, 5, 6)", "windows.transpose(0, 1, 3, 4, 2, 5, 6)[..., ::-1]",
              "kernels are mirrored", file=WINDOWS),
    reference("windows-padding", "window", "(0, 0), (padding, padding), (padding, padding)", "(0, 0), (2 * padding, 0), (padding, padding)",
              "all padding is above", file=WINDOWS),
    reference("reference-strict-integer", "LIF.4", "summed >= threshold  # [LIF.4]", "summed > threshold - 1  # [LIF.4]",
              "the same test in other words",
              equivalent="for integers, >= t and > t - 1 are the same"),
)  # fmt: skip

TIMING = "sim/timing.py"
CYCLES = "chip/cycles.py"
CORE_PLAN = "chip/core.py"

KERNEL = (
    kernel("kernel-drive-floors", "LIF.1", "gain + ((1 << shift) >> 1)) >> shift", "gain) >> shift",
           "the drive is floored, not rounded"),
    kernel("kernel-drive-half-down", "LIF.1", "gain + ((1 << shift) >> 1)) >>", "gain + (((1 << shift) - 1) >> 1)) >>",
           "ties round down"),
    kernel("kernel-gain-channel", "LIF.1", "arrived[c]), gains[t, c]", "arrived[c]), gains[t, 0]", "the first channel's gain throughout"),
    kernel("kernel-no-leak-forgets", "LIF.2a", "leaked = potential  # [LIF.2a]", "leaked = potential & -2  # [LIF.2a]",
           "a bit is lost"),
    kernel("kernel-leak-shift-rounds", "LIF.2b", "(potential >> leak_bits)", "((potential + 1) >> leak_bits)",
           "the leak is rounded"),
    kernel("kernel-leak-floors", "LIF.2c", "leak + ((1 << leak_bits) >> 1)) >>", "leak) >>", "the leak's product is floored"),
    kernel("kernel-clamp-low", "LIF.3", "low), high) if saturate else total  # [LIF.3]", "low + 1), high) if saturate else total  # [LIF.3]",
           "the lower end is never reached"),
    kernel("kernel-clamp-always", "LIF.3", "low), high) if saturate else total  # [LIF.3]", "low), high - 1) if saturate else total  # [LIF.3]",
           "the upper end is not reached"),
    kernel("kernel-strict", "LIF.4", "summed >= threshold  # [LIF.4]", "summed > threshold  # [LIF.4]", "a potential at its threshold does not fire"),
    kernel("kernel-threshold-channel", "LIF.4", "drive, neuron, leak[t, c], threshold[t, c]",
           "drive, neuron, leak[t, c], threshold[t, 0]", "the first channel's threshold throughout"),
    kernel("kernel-soft-threshold", "LIF.5a", "summed - decrement if fired", "summed - threshold if fired",
           "a soft reset subtracts the threshold"),
    kernel("kernel-soft-not-clamped", "LIF.5a", "after = min(max(lowered, low), high) if saturate else lowered", "after = lowered",
           "a soft reset leaves the width"),
    kernel("kernel-reset-order", "LIF.5a", "lowered = summed - decrement if fired", "lowered = total - decrement if fired",
           "the reset comes before the clamp"),
    kernel("kernel-hard-adds", "LIF.5b", "after = load if fired", "after = summed + load if fired", "a hard reset adds its load"),
    kernel("kernel-none-resets", "LIF.5c", "after = summed  # [LIF.5c]", "after = 0 if fired else summed  # [LIF.5c]",
           "a neuron without a reset resets"),
    kernel(
        "kernel-not-cleared", "bank", "spikes[pixel, c] = fired\n        for c in range(run):\n            current[pixel * run + c] = 0",
        "spikes[pixel, c] = fired\n        for c in range(run):\n            current[pixel * run + c] += 0", "currents stay for the next step",
    ),
    kernel("kernel-initial", "state", "potential[:, :] = initial", "potential[:, :] += initial",
           "an inference starts from the end of the one before"),
    kernel("kernel-schedule", "state", "neuron, schedules, t, potential, spikes[n, t])", "neuron, schedules, max(t - 1, 0), potential, spikes[n, t])",
           "every schedule is late by one"),
    kernel("kernel-payload-sign", "payload", "np.int32(synapses[k]) * payload", "np.int32(synapses[k]) * abs(payload)",
           "payloads lose their sign"),
    kernel("kernel-payload-unit", "payload", "np.int32(synapses[k]) * payload", "np.int32(synapses[k]) * (1 if payload > 0 else -1)",
           "payloads are units"),
    kernel("kernel-row-step", "stride", "rows[y, 0] + i * steps[0]", "rows[y, 0] + i * steps[1]", "rows follow each other like columns"),
    kernel("kernel-column-weight", "stride", "columns[x, 1] - j * steps[3]", "columns[x, 1] - 0 * steps[3]", "a row has one weight"),
    kernel("kernel-row-weight", "stride", "rows[y, 1] - i * steps[2]", "rows[y, 1] - i * steps[3]", "rows of weights follow each other like columns"),
    kernel("kernel-channel-step", "order", "channel * steps[4]", "channel * steps[3]", "channels share weights"),
    kernel("kernel-lanes", "lane", "groups * lanes, *tensor.shape[1:]), np.int8)", "groups * lanes, *tensor.shape[1:]), np.int8) + 1",
           "spare lanes are not 0",
           file=CORE_PLAN, equivalent="spare lanes add to currents that no neuron reads"),
    kernel("kernel-lane-order", "lane", "transpose(2, 3, 4, 0, 1).reshape(-1, lanes)", "transpose(2, 3, 4, 0, 1)[..., ::-1].reshape(-1, lanes)",
           "lanes are mirrored",
           file=CORE_PLAN),
    kernel("kernel-padding", "padding", "last = min(out - 1, (at + padding) // stride)", "last = min(out - 1, at // stride)",
           "outputs that only padding reaches are lost",
           file=CORE_PLAN),
    kernel("kernel-stride", "stride", "row_weight_step=stride * row_weight,", "row_weight_step=row_weight,",
           "rows of weights ignore the stride", file=CORE_PLAN),
    kernel("kernel-pool-edge", "pool", "if at >= source // pool:", "if at > source // pool:", "the odd edge reaches the neurons", file=CORE_PLAN),
    kernel("timing-arrival", "timing", "offered = max(word + timing.fetchable, sent + 1) + timing.fetch",
           "offered = max(word + timing.fetchable - 1, sent + 1) + timing.fetch",
           "a word of spikes is there a cycle early",
           check="rtl"),
    kernel("timing-word", "timing", "if word != word_before:", "if word > word_before + 1:", "following words take no fetch", check="rtl"),
    kernel("timing-full", "timing", "offered = max(offered, pops[events % depth] + timing.queued)", "offered = max(offered, pops[events % depth])",
           "a place in the queue is free at once", check="rtl"),
    kernel("timing-walk", "timing", "walking = popped + timing.setup + fan_out[pixel]",
           "walking = popped + timing.setup - 1 + fan_out[pixel]",
           "events follow each other a cycle early", check="rtl"),
    kernel("timing-pop", "timing", "popped = max(sent + timing.queued, walking)", "popped = max(sent, walking)",
           "an event passes the queue in no time", check="rtl"),
    kernel("timing-tick", "timing", "        sent += 1\n        if events >= depth:", "        sent += 2\n        if events >= depth:",
           "the tick takes two beats", check="rtl"),
    kernel("timing-update", "timing", "cycles.leaves(plan.words))", "cycles.leaves(plan.words - 1))",
           "an update ends a cycle early", file=TIMING, check="rtl"),
    kernel("timing-barrier", "timing", "quiet.max(1) + cycles.QUIET_SEEN)", "quiet.max(1))", "the barrier sees a quiet chip at once", file=TIMING,
           check="rtl"),
    kernel("timing-start", "timing", "(starts + d).reshape(-1)", "starts.reshape(-1)",
           "events arrive in the step that they were sent in, at any depth",
           file=TIMING, check="rtl"),
    kernel("cycles-first", "timing", "FIRST = 1", "FIRST = 2", "a step begins a cycle late", file=CYCLES, check="rtl"),
    kernel("cycles-fetch", "timing", "FETCH = 2", "FETCH = 3", "a word is fetched a cycle late", file=CYCLES, check="rtl"),
    kernel("cycles-setup", "timing", "SETUP = 3", "SETUP = 4", "an event's walk begins a cycle late", file=CYCLES, check="rtl"),
    kernel("cycles-write-back", "timing", "WRITE_BACK = 3", "WRITE_BACK = 2", "the last sum is there a cycle early", file=CYCLES, check="rtl"),
    kernel("cycles-start", "timing", "START = 1", "START = 2", "a step takes a cycle more", file=CYCLES, check="rtl"),
)  # fmt: skip

UPDATE = "hw/gateware/update.py"
CORE = "hw/gateware/core.py"
CHIP = "hw/gateware/chip.py"
ACCUMULATE = "hw/gateware/accumulate.py"
EMITTER = "hw/gateware/emitter.py"

RTL = (
    rtl("rtl-drive-floors", "LIF.1", "(scaled + ((1 << shift) >> 1)) >> shift", "scaled >> shift", "the drive is floored, not rounded"),
    rtl("rtl-gain-stage", "LIF.1", 'parameter("gain_shift", 1)', 'parameter("gain_shift", 0)', "the shift of the neuron behind"),
    rtl("rtl-no-leak-stage", "LIF.2a", 'register(register(self.previous, "kept"), "leaked")', 'register(self.previous, "leaked")',
        "the potential of the neuron behind"),
    rtl("rtl-leak-shift-rounds", "LIF.2b", "(self.previous >> population.leak_shift)", "((self.previous + 1) >> population.leak_shift)",
        "the leak is rounded"),
    rtl("rtl-leak-floors", "LIF.2c", "(kept + half) >>", "kept >>", "the leak's product is floored"),
    rtl("rtl-clamp-low", "LIF.3", "Mux(full < low, low,", "Mux(full < low, low + 1,", "the lower end is missed"),
    rtl("rtl-clamp-high", "LIF.3", "Mux(full > high, high,", "Mux(full > high, high - 1,", "the upper end is missed"),
    rtl("rtl-clamp-from", "LIF.3", "Mux(full > high, high,", "Mux(full >= high - 1, high,", "the value below the upper end is clamped"),
    rtl("rtl-drive-sign", "LIF.3", "leaked + drive", "leaked - drive", "the drive is subtracted"),
    rtl("rtl-soft-wraps", "LIF.5a", 'self.potential.eq(self.fit(m, lowered, "lowered_full"))', "self.potential.eq(lowered)",
        "a soft reset wraps around"),
    rtl("rtl-strict", "LIF.4", "summed >= parameter", "summed > parameter", "a potential at its threshold does not fire"),
    rtl("rtl-threshold-stage", "LIF.4", 'parameter("threshold", 3)', 'parameter("threshold", 2)', "the threshold of the neuron behind"),
    rtl("rtl-soft-always", "LIF.5a", 'Mux(self.fired, summed - parameter("decrement", 3), summed)', 'summed - parameter("decrement", 3)',
        "every neuron resets"),
    rtl("rtl-hard-zero", "LIF.5b", 'Mux(self.fired, parameter("load", 3), summed)', "Mux(self.fired, 0, summed)", "a hard reset forgets its load"),
    rtl("rtl-none-resets", "LIF.5c", "self.potential.eq(summed)  # [LIF.5c]", "self.potential.eq(Mux(self.fired, 0, summed))  # [LIF.5c]",
        "a neuron without a reset resets"),
    rtl("rtl-leak-kind", "LIF.2b", 'population.leak_kind == "none":', 'population.leak_kind in ("none", "shift"):', "a leak by shift is none"),
    rtl("rtl-bank-stuck", "bank", "filling.eq(~filling)", "filling.eq(filling)", "the banks are never swapped", file=CORE),
    rtl("rtl-bank-read", "bank", "filled = filling == number", "filled = filling == 0", "both banks are filled in one step and used in the next",
        file=CORE),
    rtl("rtl-tick-lost", "tick", "next_run.eq(beat.kind == TICK)", "next_run.eq((beat.kind == TICK) & ~self.s_axis_tlast)",
        "an inference loses its last timestep", file=CHIP),
    rtl("rtl-first-lost", "tick", "first.eq(self.s_axis_tlast)", "first.eq(0)", "only the first inference begins", file=CHIP),
    rtl("rtl-barrier-early", "timing", "(ticked | ~begun)", "(taken | ticked | ~begun)", "a step ends with its tick, not after it", file=CHIP),
    rtl("rtl-not-cleared", "bank", "self.clear.eq(running)", "self.clear.eq(0)", "currents stay for the next step", file=UPDATE),
    rtl("rtl-first", "state", "Mux(first, initial, previous[lane])", "previous[lane]", "an inference starts from the end of the one before",
        file=UPDATE),
    rtl("rtl-schedule", "state", "Mux(self.first, 0, held)", "Mux(self.first, 0, timestep)", "the schedule stands still", file=UPDATE),
    rtl("rtl-group", "lane", "row.eq(next_timestep * groups)", "row.eq(next_timestep)", "a timestep's parameters are one word", file=UPDATE),
    rtl("rtl-column-weight", "stride", "pixel_weight - plan.column_weight_step", "pixel_weight", "a row has one weight", file=ACCUMULATE),
    rtl("rtl-row-start", "stride", "columns_left.eq(columns_in_row)", "columns_left.eq(0)", "later rows have one column", file=ACCUMULATE),
    rtl("rtl-payload-sign", "payload", "else read * payload", "else read * payload[:-1]", "payloads lose their sign bit",
        file=ACCUMULATE),
    rtl("rtl-groups-early", "timing", 'm.next = "SUM"', 'm.next = "SUM"\n                m.d.sync += groups_left.eq(0)',
        "a state that is set again before it is read",
        file=ACCUMULATE, equivalent="groups_left is set in SUM, before WALK reads it"),
    rtl("rtl-lane-order", "order", "in reversed(range(self.layer.lanes))", "in range(self.layer.lanes)", "the highest lane is sent first",
        file=EMITTER),
    rtl("rtl-fetch", "timing", '                m.next = "SEND"', '                m.next = "FETCH"', "a word of spikes is dropped", file=EMITTER),
)  # fmt: skip

GRAPH = (
    reference(
        "graph-linear-remembers",
        "LINEAR",
        "leaked = load  # [LINEAR]",
        "leaked = load + potential  # [LINEAR]",
        "a linear neuron remembers",
        check="graph",
    ),
    reference(
        "graph-linear-sends-all",
        "payload",
        "np.where(fired, potential, 0) if",
        "potential if",
        "what is below the threshold is sent too",
        check="graph",
    ),
    reference("graph-psp-late", "SRM.1", "decayed(psp + rise, falling)", "decayed(psp, falling) + rise", "the rise does not decay", check="graph"),
    reference(
        "graph-refractory-excites",
        "SRM.2",
        "clamp(psp + refractory, population)",
        "clamp(psp - refractory, population)",
        "a spike excites its neuron",
        check="graph",
    ),
    reference(
        "graph-strict",
        "SRM.3",
        "fired = summed >= threshold  # [SRM.3]",
        "fired = summed > threshold  # [SRM.3]",
        "a potential at its threshold does not fire",
        check="graph",
    ),
    reference(
        "graph-drive-decays",
        "SRM.4",
        "decayed(rise, rising) + drive",
        "decayed(rise + drive, rising)",
        "a spike's rise begins decayed",
        check="graph",
    ),
    reference(
        "graph-kick-of-silence",
        "SRM.5",
        "np.where(fired, decrement, 0)",
        "np.where(~fired, decrement, 0)",
        "silence is refractory",
        check="graph",
    ),
    reference(
        "graph-alpha-rise",
        "SRM.6a",
        "decayed(more[0], later[0]) - kick",
        "decayed(more[0] - kick, later[0])",
        "the kick decays at once",
        check="graph",
    ),
    reference(
        "graph-alpha-response",
        "SRM.7a",
        "decayed(refractory + more[0], recovering)",
        "decayed(refractory, recovering) + more[0]",
        "the response rises undecayed",
        check="graph",
    ),
    reference(
        "graph-exponential-response",
        "SRM.7b",
        "decayed(refractory - kick, recovering)",
        "decayed(refractory, recovering) - kick",
        "the response begins undecayed",
        check="graph",
    ),
    reference(
        "graph-decay-floors",
        "decay",
        "(state * decay + ((1 << DECAY_BITS) >> 1)) >> DECAY_BITS",
        "(state * decay) >> DECAY_BITS",
        "states decay to the floor",
        file="network/widths.py",
        check="graph",
    ),
    reference(
        "graph-one-connection",
        "connections",
        "drive += (current[:, t] * gain",
        "drive = (current[:, t] * gain",
        "the last connection alone counts",
        check="graph",
    ),
    reference(
        "root-psp-late", "ROOT.1", "decayed(psp + rise, scale.decay)", "decayed(psp, scale.decay) + rise", "the rise does not decay", check="graph"
    ),
    reference("root-rise", "ROOT.2", "decayed(rise, scale.decay) + kicks[:, t]", "kicks[:, t]", "a kick is forgotten at once", check="graph"),
    reference("root-count", "ROOT.3", "squares // count  # [ROOT.3]", "squares // (count // 2)  # [ROOT.3]", "half the mean", check="graph"),
    reference("root-mean", "ROOT.4", "moment - (total // count) ** 2, 0)", "moment - total // count, 0)", "the mean is not squared", check="graph"),
    reference("root-floor", "ROOT.5", "math.isqrt(int(value) + scale.floor)", "math.isqrt(int(value))", "silent samples divide by 0", check="graph"),
    reference(
        "root-sample",
        "ROOT.6",
        "scaled(values, self.root, population",
        "scaled(values, self.root[:1], population",
        "the first sample's root throughout",
        check="graph",
    ),
    kernel(
        "graph-kernel-linear",
        "LINEAR",
        "leaked = load  # [LINEAR]",
        "leaked = load + potential  # [LINEAR]",
        "a linear neuron remembers",
        check="graph",
    ),
    kernel(
        "graph-kernel-identity",
        "connections",
        "scaled(np.int64(payloads[pixel, c]), gains[t, c]",
        "scaled(np.int64(payloads[pixel, c]), gains[t, 0]",
        "the first channel's gain on all that is added",
        check="graph",
    ),
    kernel(
        "graph-kernel-drive-stays",
        "bank",
        "drive[pixel, c] = 0\n    return clamped\n\n\n@kernel\ndef decayed",
        "drive[pixel, c] += 0\n    return clamped\n\n\n@kernel\ndef decayed",
        "drives stay for the next step",
        check="graph",
    ),
    kernel(
        "graph-kernel-psp",
        "SRM.1",
        "decayed(states[1, pixel, c] + states[0, pixel, c], decays[1])",
        "decayed(states[1, pixel, c], decays[1])",
        "nothing rises",
        check="graph",
    ),
    kernel("graph-kernel-sum", "SRM.2", "total = psp + states[2, pixel, c]", "total = psp", "nothing is refractory", check="graph"),
    kernel(
        "graph-kernel-threshold",
        "SRM.3",
        "fired = summed >= threshold[c]  # [SRM.3]",
        "fired = summed >= threshold[0]  # [SRM.3]",
        "the first channel's threshold throughout",
        check="graph",
    ),
    kernel(
        "graph-kernel-rise",
        "SRM.4",
        "decayed(states[0, pixel, c], decays[0]) + drive[pixel, c]",
        "decayed(states[0, pixel, c], decays[1]) - drive[pixel, c]",
        "events inhibit",
        check="graph",
    ),
    kernel("graph-kernel-kick", "SRM.5", "kick = decrement[c] if fired else 0", "kick = decrement[c]", "silence is refractory too", check="graph"),
    kernel(
        "graph-kernel-alpha-rise",
        "SRM.6a",
        "decayed(states[3, pixel, c], decays[3]) - kick",
        "decayed(states[3, pixel, c] - kick, decays[3])",
        "the kick decays at once",
        check="graph",
    ),
    kernel(
        "graph-kernel-alpha-response",
        "SRM.7a",
        "decayed(states[2, pixel, c] + states[3, pixel, c], decays[2])",
        "decayed(states[2, pixel, c], decays[2]) + states[3, pixel, c]",
        "the response rises undecayed",
        check="graph",
    ),
    kernel(
        "graph-kernel-exponential",
        "SRM.7b",
        "decayed(states[2, pixel, c] - kick, decays[2])",
        "decayed(states[2, pixel, c], decays[2]) - kick",
        "the response begins undecayed",
        check="graph",
    ),
    kernel(
        "root-kernel-psp",
        "ROOT.1",
        "decayed(states[1, y, x, c] + states[0, y, x, c], decay)",
        "decayed(states[0, y, x, c], decay)",
        "the potential forgets",
        check="graph",
    ),
    kernel("root-kernel-rise", "ROOT.2", "decayed(states[0, y, x, c], decay) + (kick", "states[0, y, x, c] + (kick", "no rise decays", check="graph"),
    kernel(
        "root-kernel-count",
        "ROOT.3",
        "squares // count  # [ROOT.3]",
        "squares // (count // channels)  # [ROOT.3]",
        "the mean of a channel",
        check="graph",
    ),
    kernel(
        "root-kernel-mean",
        "ROOT.4",
        "(total // count) ** 2, 0)  # [ROOT.4]",
        "(total // count) * 2, 0)  # [ROOT.4]",
        "the mean is doubled",
        check="graph",
    ),
    kernel(
        "root-kernel-floor",
        "ROOT.5",
        "root(moment + floor)  # [ROOT.5]",
        "root(moment) + floor  # [ROOT.5]",
        "Lambda outside the root",
        check="graph",
    ),
    kernel(
        "root-kernel-scale",
        "ROOT.6",
        "(values[c] * sample_root +",
        "(values[0] * sample_root +",
        "the first channel's threshold throughout",
        check="graph",
    ),
    kernel("root-kernel-pool", "root", "range(y * pool, (y + 1) * pool)", "range(y, y + pool)", "windows overlap", check="graph"),
)

MEMORY = "hw/gateware/memory.py"
PROBES = f"{STREAMS}::test_stalls_and_probes_change_no_value_and_break_no_rule"
HARMLESS = f"{STREAMS}::test_events_outside_or_twice_or_before_an_idle_tick_harm_nothing"
LOG = f"{STREAMS}::test_one_line_of_the_log_added_dropped_or_swapped_is_a_difference"

STREAM = (
    unreset("clear", CORE, "clearing = Signal(init=1)", "the currents of before a reset stay"),
    unreset("first", CHIP, "first = Signal(init=1)", "the inference after a reset goes on with the one before it"),
    unreset("open", CHIP, "open_ = Signal()", "beats are taken before the first step"),
    unreset("begun", CHIP, "begun = Signal()", "no step begins after a reset"),
    unreset("run", CHIP, "run = Signal(len(self.cores))", "cores work on timesteps from before a reset"),
    unreset("label", EMITTER, "label = Signal.like(out.label)", "classes are counted on from those sent before a reset"),
    unreset("level", MEMORY, "level = Signal(range(self.depth + 1))", "queues stay as full as they were"),
    unreset("head", MEMORY, "head = Signal(range(self.depth))", "queues are read from where they were"),
    unreset("tail", MEMORY, "tail = Signal(range(self.depth))", "queues are written where they were"),
    unreset("reading", ACCUMULATE, "reading = Signal()", "a weight of before a reset is added"),
    unreset("running", UPDATE, "running = Signal()", "a sweep goes on through a reset"),
    unreset("quiet", CHIP, "quiet = Signal()", "a step begins before the currents are cleared"),
    unreset("start", CHIP, "start = Signal()", "a step begins in spite of a reset"),
    unreset("ticked", CHIP, "ticked = Signal()", "the tick of before a reset stays",
            equivalent="the first step begins without a tick, and every step forgets it"),
    unreset("filling", CORE, "filling = Signal()", "the banks stay swapped", equivalent="a reset clears both banks, and either may be filled first"),
    rtl("rtl-ready-follows-data", "stream", "self.s_axis_tready.eq(open_ & events.ready)",
        "self.s_axis_tready.eq(open_ & (events.ready | (beat.kind != EVENT)))", "ticks pass a full queue", file=CHIP, test=PROBES),
    rtl("rtl-valid-waits", "stream", "self.m_axis_tvalid.eq(output.valid)", "self.m_axis_tvalid.eq(output.valid & self.m_axis_tready)",
        "scores are offered to a host that is ready alone", file=CHIP,
        test=f"{STREAMS}::test_a_score_is_offered_to_a_host_that_waits_for_it"),
    rtl("rtl-outside-kept", "host", " & self.inside(beat.event)", "", "events outside the input reach the tables", file=CHIP, test=HARMLESS),
    rtl("rtl-idle-swaps", "host", "with m.If(update.start):", "with m.If(self.start):",
        "events before an idle tick count two timesteps late", file=CORE, test=HARMLESS),
)  # fmt: skip

ROUND_TRIPS = "tests/network/test_round_trips.py"

OTHER = (
    other("strict-one-clamp", "strict", "if strict and layer.clamps:", "if strict and layer.clamps > 1:", "one clamp passes a strict run",
          file="sim/engine.py", test="tests/sim/test_engine.py::TestErrors::test_a_strict_run_allows_not_even_one_clamp"),
    other("compare-no-payloads", "compare", 'events("arrivals", ARRIVAL_FIELDS, layer, a, b)',
          'events("arrivals", ARRIVAL_FIELDS[:-1], layer, a[:, :-1], b[:, :-1])', "payloads of arrivals are not compared",
          file="network/trace.py", test="tests/network/test_trace.py::test_every_field_of_an_arrival_is_compared"),
    other("verify-no-potentials", "compare", '"simulated": virtual.run(events, potentials=True)', '"simulated": virtual.run(events)',
          "the simulator's potentials are not compared with the Verilog's",
          file="workflow/verification.py", test="tests/workflow/test_verification.py::test_a_verification_compares_all_that_both_sides_can_record"),
    other("log-word-out-of-turn", "log", "worked is None or word != next_word[d] or word", "worked is None or word",
          "an update out of turn is no fault", file="hw/bench/cosim.py", test=LOG),
    other("log-score-too-many", "log", "if len(results) > scores.size:", "if len(results) > scores.size + 1:", "a score too many is no fault",
          file="hw/bench/cosim.py", test=LOG),
    other("schedule-ties-up", "rounding", "np.rint(np.clip(values, -INT_LIMIT, INT_LIMIT))",
          "np.floor(np.clip(values, -INT_LIMIT, INT_LIMIT) + 0.5)", "ties of schedules round up",
          file="quantize/rounding.py", test="tests/quantize/test_schedules.py"),
    other("coding-key-swapped", "coding", "key=np.array([seed, sample]", "key=np.array([sample, seed]", "the seed stands for the sample",
          file="data/coding.py", test="tests/data/test_coding.py::test_a_seed_gives_the_same_randomness_in_every_version"),
    other("file-field-forgotten", "file", "values[field.name] = _unpack(hints",
          'values[field.name] = 0 if field.name == "leak_shift" else _unpack(hints', "a field of a network's file is left out",
          file="network/files/records.py", test=f"{ROUND_TRIPS}::test_every_field_of_an_integer_network_comes_back"),
    rtl("unit-neuron-clamp", "LIF.3", "Mux(full > high, high,", "Mux(full > high, high - 1,", "the upper end is not reached",
        test="tests/hw/test_neuron.py::test_a_step_is_that_of_the_oracle"),
    rtl("unit-queue-full", "queue", "self.push.ready.eq(level != self.depth)", "self.push.ready.eq(1)", "a full queue takes more",
        file="hw/gateware/memory.py", test="tests/hw/test_memory.py::test_a_queue_keeps_order_and_loses_nothing"),
    rtl("unit-ram-simulated", "memory", "write.addr.eq(self.write_address)", "write.addr.eq(self.read_address)", "a write goes elsewhere",
        file="hw/gateware/memory.py", test="tests/hw/test_memory.py::test_the_simulated_form_is_that_of_the_verilog"),
    rtl("unit-emitter-lane", "emitter", "for n in reversed(range(self.layer.lanes))", "for n in range(self.layer.lanes)",
        "the last lane leaves first", file=EMITTER, test="tests/hw/test_emitter.py::test_spikes_leave_lane_by_lane"),
    rtl("unit-emitter-quiet", "emitter", "self.quiet.eq(~queue.available)", "self.quiet.eq(1)", "an emitter is quiet while a word waits",
        file=EMITTER, test="tests/hw/test_emitter.py::test_spikes_leave_lane_by_lane"),
    rtl("unit-emitter-ties", "emitter", "(scores[0] > best)", "(scores[0] >= best)", "the last of equal scores wins",
        file=EMITTER, test="tests/hw/test_emitter.py::test_scores_leave_in_the_order_of_the_classes_and_the_first_of_equal_ones_wins"),
    other("chip-field-forgotten", "file", "parts[part] = made_of(**given)",
          'parts[part] = made_of(**{key: value for key, value in given.items() if key != "gain_terms"})',
          "a field of a chip's file is left out", file="chip/config.py", test=f"{ROUND_TRIPS}::test_every_field_of_a_chip_is_read"),
    other("selfcheck-end", "bench", "differences != 0 || {missing}", "differences != 0", "events that fail to come at the end are not missed",
          file="hw/emit/testbench.py", test="tests/hw/test_selfcheck.py::test_what_was_expected_last_and_never_came_fails"),
    other("estimate-sign-bit", "estimate", '(parameters["gain"].bits + (not parameters["gain"].signed))', '(parameters["gain"].bits)',
          "the sign bit of an unsigned gain is forgotten",
          file="chip/resources.py", test="tests/chip/test_resources.py::test_multipliers_of_a_lane_are_as_wide_as_its_signed_factors"),
)  # fmt: skip
"""What no comparison of executions could notice. Each names the test that must fail."""

MUTATIONS: tuple[Mutation, ...] = (*REFERENCE, *KERNEL, *GRAPH, *RTL, *STREAM, *OTHER)
