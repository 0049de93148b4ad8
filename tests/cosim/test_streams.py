"""Streams that no undisturbed host sends: resets at any cycle, stalls, probes within a cycle, and broken protocol.

The streams of each kind run one after another in one simulation.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from spikefold.chip.placement import place
from spikefold.hw.bench import cosim
from spikefold.hw.bench.cosim import NEVER_SEEN, Play, play, read_trace
from spikefold.hw.emit.stimulus import Stimulus, stimulus
from spikefold.hw.gateware.interface import EVENT, IDLE, TICK, Interface
from spikefold.network import reference
from spikefold.network.network import Network
from spikefold.network.schedule import Schedule
from spikefold.network.trace import Comparison, Trace, compare
from tests.cases import image
from tests.hw.builds import build
from tests.random_networks import Case
from tests.virtual import virtual

TIMESTEPS, SAMPLES = 3, 2
SHAPE = (3, 5, 6)
GAPS = [0, 0]
WATCHDOG = 3000
INVALID_KIND = 3
PLACES = 12
"""About how many lines of a kind are changed, one at a time."""


def stream_case() -> Case:
    """Two cores in the rate of about a fifth; a schedule, graded payloads, and axes that are no powers of two."""
    rng = np.random.default_rng(2)
    kernel = rng.integers(-3, 5, (3, 3, 2, 3))
    case = image("streams", SHAPE, [(0, 0, 0, 0, 3)], kernel, TIMESTEPS, threshold=[9, 6, 8], decrement=5, padding=1, stride=2)
    payload = rng.integers(-3, 3, (SAMPLES, TIMESTEPS, *SHAPE), endpoint=True)
    return replace(case, events=np.where(rng.random(payload.shape) < 0.15, payload, 0).astype(np.int8))


@pytest.fixture(scope="module")
def case() -> Case:
    return stream_case()


@pytest.fixture(scope="module")
def interface(case: Case) -> Interface:
    return Interface(place(case.network, case.chip))


@pytest.fixture(scope="module")
def expected(case: Case) -> Trace:
    return virtual(case.network, case.chip).run(case.events, potentials=True, gaps=GAPS)


@pytest.fixture(scope="module")
def folder(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(case, tmp_path_factory.mktemp("streams") / "build")


@pytest.fixture(scope="module")
def valid(case: Case, interface: Interface) -> Stimulus:
    return stimulus(interface, case.events, GAPS)


@pytest.fixture(scope="module")
def alone(case: Case, interface: Interface) -> Stimulus:
    """The first sample without the second."""
    return stimulus(interface, case.events[:1], GAPS[:1])


@pytest.fixture(scope="module")
def expected_alone(case: Case) -> Trace:
    return virtual(case.network, case.chip).run(case.events[:1], potentials=True, gaps=GAPS[:1])


class Streams:
    """Plays of one simulation under names, and then their logs."""

    def __init__(self, interface: Interface) -> None:
        self.interface = interface
        self.plays: dict[str, Play] = {}
        self.logs: dict[str, str] = {}
        self.passed: dict[str, bool] = {}

    def run(self, folder: Path) -> None:
        played = play(folder, self.interface, list(self.plays.values()), watchdog_cycles=WATCHDOG)
        self.logs = {name: log for name, (log, _) in zip(self.plays, played, strict=True)}
        self.passed = {name: passed for name, (_, passed) in zip(self.plays, played, strict=True)}

    def read(self, name: str, played: Stimulus, timesteps: int = TIMESTEPS, *, timed: bool = False) -> Trace:
        return read_trace(self.logs[name], self.interface, played, timesteps, timed=timed, passed=self.passed[name])

    def scores(self, name: str) -> list[int]:
        """Return every score that left, in order; TLAST must stand on each last class."""
        width, classes = self.interface.score_width, len(self.interface.network.class_names)
        rows = [line.split()[2:] for line in self.logs[name].splitlines() if line.startswith("O ")]
        assert [last for _, _, last in rows] == (["0"] * (classes - 1) + ["1"]) * (len(rows) // classes)
        return [int(score, 16) - (int(score, 16) >> (width - 1) << width) for score, _, _ in rows]


def cuts(expected: Trace) -> list[tuple[int, int]]:
    """Return the last (step, cycle) before each reset.

    They lie before the first step, in queues of events, in sweeps, between scores, at a barrier, and anywhere.
    """
    assert expected.timing is not None
    timing = expected.timing
    found = [(-1, 2), (-1, 4)]
    for arrivals in timing.arrivals:
        found += [(int(step), int(cycle) + 1) for step, cycle in arrivals[[2, len(arrivals) // 2], :2]]
    found += [(int(step), int(cycle)) for step, cycle in timing.results[[0, 2], :2]]
    rng = np.random.default_rng(0)
    steps = rng.integers(0, len(timing.cycles), 3)
    # The cycles in which the barrier sees a quiet chip, and starts the next step.
    found += [(2, int(timing.cycles[2]) - before) for before in (3, 2)]
    return [*found, (2, 4), (4, 7), *((int(step), int(rng.integers(0, timing.cycles[step]))) for step in steps)]


@pytest.fixture(scope="module")
def streams(folder: Path, interface: Interface, valid: Stimulus, alone: Stimulus, expected: Trace) -> Streams:
    found = Streams(interface)
    whole = Play(beats=valid.beats, steps=valid.steps, results=expected.scores.size)
    short = Play(beats=alone.beats, steps=alone.steps, results=expected.scores[0].size)
    for number, cut in enumerate(cuts(expected)):
        found.plays[f"cut {number}"] = replace(whole, cut=cut)
        found.plays[f"after {number}"] = short
    found.plays["patient"] = replace(short, patient=True)
    found.plays["stalled"] = replace(whole, idle=0.4, blocked=0.6, seed=1, probed=True)
    found.run(folder)
    return found


def assert_equal(comparison: Comparison, kinds: str) -> None:
    assert comparison.first is None, str(comparison.first)
    assert {kind for kind, count in comparison.compared.items() if count} == set(kinds.split())


def test_a_reset_at_any_cycle_leaves_nothing_behind(streams: Streams, alone: Stimulus, expected: Trace, expected_alone: Trace) -> None:
    for number in range(len(cuts(expected))):
        got = streams.read(f"after {number}", alone, timed=True)
        assert_equal(compare(expected_alone, got), "spikes potentials scores arrivals results cycles")


def test_the_cuts_are_in_the_midst_of_things(streams: Streams, expected: Trace) -> None:
    parts = [streams.logs[f"cut {number}"] for number in range(len(cuts(expected)))]
    assert [part.count("S ") - 1 for part in parts] == [step for step, _ in cuts(expected)]
    results = [part.count("\nO ") for part in parts]
    assert {1, 3} <= set(results)
    assert {kind_of(part.splitlines()[-1]) for part in parts if part} >= {"E 0", "E 1", "W 0", "O"}


def test_a_score_is_offered_to_a_host_that_waits_for_it(streams: Streams, alone: Stimulus, expected_alone: Trace) -> None:
    assert_equal(compare(expected_alone, streams.read("patient", alone)), "spikes potentials scores")


def test_stalls_and_probes_change_no_value_and_break_no_rule(streams: Streams, valid: Stimulus, expected: Trace) -> None:
    assert_equal(compare(expected, streams.read("stalled", valid)), "spikes potentials scores")


@pytest.mark.parametrize("port", ["m_axis_tvalid", "m_axis_tuser"])
def test_an_offer_that_changes_before_it_is_taken_breaks_a_rule(
    folder: Path, interface: Interface, alone: Stimulus, monkeypatch: pytest.MonkeyPatch, port: str
) -> None:
    bench = cosim.cocotb_bench(interface)
    declared = "    reg was_reset, waiting;\n"
    harness = bench["harness.v"].replace(f".{port}({port})", f".{port}(offer)")
    harness = harness.replace(declared, f"{declared}    wire offer;\n    assign {port} = offer ^ waiting;\n")
    monkeypatch.setattr(cosim, "cocotb_bench", lambda interface: bench | {"harness.v": harness})
    stream = Play(beats=alone.beats, steps=alone.steps, results=len(interface.network.class_names), blocked=0.8)
    ((log, passed),) = play(folder, interface, [stream], watchdog_cycles=WATCHDOG)
    faults = read_trace(log, interface, alone, TIMESTEPS, timed=False, passed=passed).faults
    assert "AXI-Stream rule broken by a result" in {fault.kind for fault in faults}


def test_verilator_plays_the_same(folder: Path, interface: Interface, valid: Stimulus, expected: Trace) -> None:
    whole = Play(beats=valid.beats, steps=valid.steps, results=expected.scores.size)
    plays = [replace(whole, cut=(3, 20)), whole, replace(whole, idle=0.4, blocked=0.6, seed=2, probed=True)]
    _, (log, passed), (stalled, passed_stalled) = play(folder, interface, plays, simulator="verilator", watchdog_cycles=WATCHDOG)
    got = read_trace(log, interface, valid, TIMESTEPS, timed=True, passed=passed)
    assert_equal(compare(expected, got), "spikes potentials scores arrivals results cycles")
    got = read_trace(stalled, interface, valid, TIMESTEPS, timed=False, passed=passed_stalled)
    assert_equal(compare(expected, got), "spikes potentials scores")


def beats_of(interface: Interface, timesteps: Iterable[np.ndarray], last: int, more: Iterable[int] = ()) -> list[int]:
    """Return an inference's beats: in each timestep ``more``, the events of payloads [C, H, W], and a tick.

    TLAST stands on tick number ``last``.
    """
    beats = []
    for t, payload in enumerate(timesteps):
        beats += [*more, *(event(interface, *place, int(payload[tuple(place)])) for place in np.argwhere(payload))]
        beats.append(TICK | int(t == last) << interface.input_width)
    return beats


def event(interface: Interface, channel: int, y: int, x: int, payload: int, last: int = 0) -> int:
    fields = {"channel": int(channel), "y": int(y), "x": int(x), "payload": payload}
    return int(interface.beat.const({"kind": EVENT, "event": fields}).as_bits()) | last << interface.input_width


def halves(payload: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return payload // 2, payload - payload // 2


def longer(network: Network, timesteps: int) -> Network:
    """Return ``network`` with its last timestep's parameters up to ``timesteps``."""

    def held(schedule: Schedule) -> Schedule:
        values = schedule.values
        return schedule if len(values) == 1 else Schedule.of(np.concatenate([values, np.repeat(values[-1:], timesteps - len(values), 0)]))

    populations = tuple(replace(p, threshold=held(p.threshold)) for p in network.populations)
    return replace(network, timesteps=timesteps, populations=populations)


def outside(shape: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return every address that the beat can hold and the input does not have."""
    sizes = [1 << (size - 1).bit_length() for size in shape]
    return [place for place in np.ndindex(*sizes) if any(at >= size for at, size in zip(place, shape, strict=True))]


@pytest.fixture(scope="module")
def broken(folder: Path, case: Case, interface: Interface, valid: Stimulus, expected: Trace) -> Streams:
    """Each stream ends with the second sample, as it should be, and idle ticks that drain the chip."""
    found = Streams(interface)
    first, second = case.events
    classes, depth, top = len(case.network.class_names), interface.depth, 1 << interface.input_width
    whole = beats_of(interface, second, TIMESTEPS - 1)

    def stream(name: str, beats: list[int], steps: int, results: int) -> None:
        found.plays[name] = Play(beats=beats + whole + [IDLE] * depth, steps=steps + TIMESTEPS + depth, results=(results + 1) * classes)

    stray = [event(interface, *place, 2) for place in outside(SHAPE)]
    stream("outside", beats_of(interface, first, TIMESTEPS - 1, stray), TIMESTEPS, 1)
    twice = []
    for t, payload in enumerate(first):
        one, two = halves(payload)
        nothing = [event(interface, 0, 0, x, 0) for x in range(3)]
        twice += [*beats_of(interface, [one], -1)[:-1], *nothing, *beats_of(interface, [two], 0 if t == TIMESTEPS - 1 else -1)]
    stream("twice", twice, TIMESTEPS, 1)
    far = [event(interface, *place, -4) for place in np.ndindex(*SHAPE)]
    stream("overflow", beats_of(interface, first, TIMESTEPS - 1, far * 2), TIMESTEPS, 1)
    stream("early", beats_of(interface, first[:1], 0), 1, 0)
    more = np.concatenate([first, second[:2]])
    stream("extra", beats_of(interface, more, TIMESTEPS + 1), TIMESTEPS + 2, 3)
    # Events, then an idle tick of either kind; TLAST where it means nothing.
    begun = [beat | top for beat in beats_of(interface, [halves(first[0])[0]], -1)[:-1]]
    rest = beats_of(interface, [halves(first[0])[1], *first[1:]], TIMESTEPS - 1)
    for name, idle in (("idle", IDLE), ("kind 3", INVALID_KIND)):
        stream(name, [*begun, idle | top, *rest], 1 + TIMESTEPS, 1)
    split = rest.index(TICK) + 1
    stream("idle within", [*begun, *rest[:split], IDLE, *rest[split:]], 1 + TIMESTEPS, 1)
    found.plays["valid"] = Play(beats=valid.beats, steps=valid.steps, results=expected.scores.size)
    found.run(folder)
    return found


@pytest.mark.parametrize("name", ["outside", "twice", "idle", "kind 3"])
def test_events_outside_or_twice_or_before_an_idle_tick_harm_nothing(broken: Streams, valid: Stimulus, expected: Trace, name: str) -> None:
    """Dropped outside the input; added if twice; counted in the next timestep if before an idle tick."""
    starts = valid.starts + (1 if name in ("idle", "kind 3") else 0)
    got = broken.read(name, replace(valid, starts=starts, steps=int(starts[0]) + valid.steps))
    assert_equal(compare(expected, got), "spikes potentials scores")


def test_currents_and_potentials_that_overflow_do_so_until_the_inference_ends(broken: Streams, valid: Stimulus, expected: Trace) -> None:
    got = broken.read("overflow", valid)
    for found, wanted in zip(got.potentials or (), expected.potentials or (), strict=True):
        assert not np.array_equal(found[0], wanted[0])
        assert np.array_equal(found[1], wanted[1])
    assert broken.scores("overflow")[len(expected.scores[0]) :] == expected.scores[1].tolist()


def test_events_outside_never_reach_the_core(broken: Streams, case: Case) -> None:
    assert broken.logs["outside"].count("E 0 ") == np.count_nonzero(case.events) > 10


def test_an_idle_tick_within_an_inference_changes_no_score(broken: Streams, expected: Trace) -> None:
    assert broken.passed["idle within"]
    assert broken.scores("idle within") == expected.scores.ravel().tolist()


def test_an_early_tlast_ends_an_inference_without_a_result(broken: Streams, valid: Stimulus, expected: Trace) -> None:
    got = broken.read("early", replace(valid, starts=np.array([0, 1]), steps=1 + TIMESTEPS + broken.interface.depth))
    for found, wanted in zip(got.potentials or (), expected.potentials or (), strict=True):
        assert np.array_equal(found[0, :1], wanted[0, :1])
        assert (found[0, 1:] == NEVER_SEEN).all()
        assert np.array_equal(found[1], wanted[1])
    assert broken.scores("early") == expected.scores[1].tolist()


def test_timesteps_beyond_the_last_repeat_it_and_its_scores(broken: Streams, case: Case, valid: Stimulus, expected: Trace) -> None:
    timesteps = TIMESTEPS + 2
    events = np.concatenate([case.events[0], case.events[1, :2]])[None]
    held = reference.run(longer(case.network, timesteps), events, potentials=True)
    played = replace(valid, starts=np.array([0, timesteps]), steps=timesteps + TIMESTEPS + broken.interface.depth)
    got = broken.read("extra", played, timesteps)
    for found, longest, wanted in zip(got.potentials or (), held.potentials or (), expected.potentials or (), strict=True):
        assert np.array_equal(found[0], longest[0])
        assert np.array_equal(found[1, :TIMESTEPS], wanted[1])
    assert held.potentials is not None
    scores = held.potentials[-1][0, TIMESTEPS - 1 :].reshape(3, -1) + case.network.readout.offset
    assert broken.scores("extra") == [*scores.ravel().tolist(), *expected.scores[1].tolist()]


def test_a_reset_recovers_from_all_of_it(broken: Streams, valid: Stimulus, expected: Trace) -> None:
    assert_equal(compare(expected, broken.read("valid", valid, timed=True)), "spikes potentials scores arrivals results cycles")


KINDS = ("S", "E 0", "E 1", "W 0", "W 1", "O")


def kind_of(line: str) -> str:
    return next(kind for kind in KINDS if line.startswith(f"{kind} "))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", ["added", "dropped", "swapped"])
def test_one_line_of_the_log_added_dropped_or_swapped_is_a_difference(
    streams: Streams, interface: Interface, alone: Stimulus, expected_alone: Trace, kind: str, change: str
) -> None:
    lines = streams.logs["after 0"].splitlines()
    places = [n for n, line in enumerate(lines) if kind_of(line) == kind]
    assert len(places) > 1
    chosen = [*list(pairwise(places))[:: len(places) // PLACES + 1], (places[-1], None)]
    for n, following in chosen:
        other = list(lines)
        if change == "added":
            other.insert(n, lines[n])
        elif change == "dropped":
            del other[n]
        elif following is None:
            continue
        else:
            other[n], other[following] = other[following], other[n]
        log = "".join(f"{line}\n" for line in other)
        comparison = compare(expected_alone, read_trace(log, interface, alone, TIMESTEPS, timed=True, passed=True))
        assert not comparison.equal, f"line {n}, {lines[n]!r}, {change}"
        if change == "added" and kind in ("S", "W 0", "W 1", "O") and n == places[-1]:
            assert comparison.differing.get("faults", 0) > 0


@pytest.mark.parametrize(("line", "kind"), [("A 99", "AXI-Stream rule broken by a result"), ("Q 1", "line 'Q' of the log")])
def test_a_broken_rule_and_an_unknown_line_are_faults(
    streams: Streams, interface: Interface, alone: Stimulus, expected_alone: Trace, line: str, kind: str
) -> None:
    log = streams.logs["after 0"] + f"{line}\n"
    comparison = compare(expected_alone, read_trace(log, interface, alone, TIMESTEPS, timed=True, passed=True))
    assert comparison.first is not None
    assert comparison.first.kind == kind
