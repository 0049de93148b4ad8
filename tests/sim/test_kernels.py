"""The kernels one by one, compiled and as plain Python, on arrays small enough to work out by hand."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from spikefold.chip.core import axis_table
from spikefold.sim import kernels
from spikefold.sim.arguments import FanOut, Gain, Neuron, Schedules, Sender
from spikefold.sim.timing import LINK
from tests.cases import CASES
from tests.virtual import virtual

LANES = 4


def walk(payloads: np.ndarray, current: np.ndarray, weights: np.ndarray, run: int = LANES) -> int:
    """Walk a 3x3 convolution with padding 1 over a source of 3x3 pixels: payloads [9, channels], weights [channels * 9, run]."""
    table = axis_table(3, 3, 1, 1, 1, 3)
    steps = np.array([3 * run, run, 3 * run, run, 9 * run])
    fan_out = FanOut(
        width=3, rows=table * (3 * run, 3 * run, 1), columns=table * (run, run, 1), steps=steps, weights=weights.reshape(-1), run=run
    )  # fmt: skip
    return kernels.accumulate(payloads, fan_out, current)


def random_source(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    payloads = (rng.integers(-3, 4, (9, 2)) * (rng.random((9, 2)) < 0.5)).astype(np.int8)
    return payloads, rng.integers(-128, 128, (18, LANES), dtype=np.int8)


class TestAccumulate:
    def test_a_corner_and_the_centre(self):
        weights = np.arange(1, 10, dtype=np.int8)[:, None] * np.array([1, -1, 0, 2], np.int8)
        payloads, current = np.zeros((9, 1), np.int8), np.zeros(9 * LANES, np.int32)
        payloads[0] = -3
        assert walk(payloads, current, weights) == 4
        # The neuron at (y, x) sees the corner through the kernel's position (1 - y, 1 - x).
        expected = np.zeros((3, 3), np.int32)
        expected[:2, :2] = [[5, 4], [2, 1]]
        assert np.array_equal(current.reshape(3, 3, LANES), -3 * expected[:, :, None] * [1, -1, 0, 2])
        payloads[:], current[:] = 0, 0
        payloads[4] = 1
        assert walk(payloads, current, weights) == 9
        assert np.array_equal(current.reshape(9, LANES)[:, 0], np.arange(9, 0, -1))

    def test_no_event_adds_nothing(self):
        current = np.arange(9 * LANES, dtype=np.int32)
        assert walk(np.zeros((9, 2), np.int8), current, random_source(0)[1]) == 0
        assert np.array_equal(current, np.arange(9 * LANES))

    def test_events_add_to_what_is_there_in_any_order(self):
        payloads, weights = random_source(1)
        at_once = np.full(9 * LANES, 7, np.int32)
        walked = walk(payloads, at_once, weights)
        for seed in range(5):
            one_by_one, runs = np.full(9 * LANES, 7, np.int32), 0
            for place in np.random.default_rng(seed).permutation(np.argwhere(payloads)):
                single = np.zeros_like(payloads)
                single[tuple(place)] = payloads[tuple(place)]
                runs += walk(single, one_by_one, weights)
            assert np.array_equal(one_by_one, at_once)
            assert runs == walked

    def test_the_extremes_do_not_overflow(self):
        current = np.zeros(9 * LANES, np.int32)
        walk(np.full((9, 2), -128, np.int8), current, np.full((18, LANES), -128, np.int8))
        assert current.max() == 9 * 2 * 128 * 128

    @pytest.mark.parametrize("run", [1, 7, 16, 65])
    def test_every_length_of_a_run(self, run: int):
        rng = np.random.default_rng(run)
        weights, current = rng.integers(-128, 128, (9, run), dtype=np.int8), np.zeros(9 * run, np.int32)
        payloads = np.zeros((9, 1), np.int8)
        payloads[4] = 2
        assert walk(payloads, current, weights, run) == 9
        assert np.array_equal(current.reshape(9, run), 2 * weights[::-1].astype(np.int32))


def advance(current: list[int], potential: list[int], run: int = LANES, **changed: object) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Update one pixel; return (clamps, potential, spikes, current)."""
    channels = len(potential)
    gain = Gain(np.ones((1, channels), np.int64), np.zeros((1, channels), np.int64))
    neuron = Neuron(stateless=0, leak_kind=0, leak_bits=0, reset=1, saturate=0, low=-8, high=7)
    schedules = Schedules(*(np.full((1, channels), value) for value in (0, 5, 5, -1)))
    neuron = neuron._replace(**{name: value for name, value in changed.items() if name in neuron._fields})
    schedules = schedules._replace(**{name: np.asarray(value)[None] for name, value in changed.items() if name in schedules._fields})
    assert set(changed) <= {*neuron._fields, *schedules._fields}
    currents, potentials = np.array(current, np.int32), np.array([potential], np.int64)
    spikes = np.full(potentials.shape, 9, np.int8)
    clamps = kernels.update(currents, run, gain, neuron, schedules, 0, potentials, spikes)
    return clamps, potentials[0], spikes[0], currents


class TestUpdate:
    def test_below_at_and_above_the_threshold(self):
        clamps, potential, spikes, current = advance([1, 1, 1, 99], [3, 4, 5])
        assert (clamps, potential.tolist(), spikes.tolist()) == (0, [4, 0, 1], [0, 1, 1])
        # The spare lane's current is cleared too, though no neuron reads it.
        assert current.tolist() == [0, 0, 0, 0]

    def test_hard_and_no_reset(self):
        assert advance([2, 0], [4, 4], 2, reset=2)[1].tolist() == [-1, 4]
        assert advance([2, 0], [4, 4], 2, reset=0)[1].tolist() == [6, 4]

    @pytest.mark.parametrize(("saturate", "expected", "clamps"), [(1, [7, -8], 2), (0, [20, -20], 0)])
    def test_clamps_are_counted_where_it_saturates(self, saturate: int, expected: list[int], clamps: int):
        never = np.full(2, 100)
        assert advance([20, -20], [0, 0], 2, saturate=saturate, threshold=never)[:2] == (clamps, pytest.approx(expected, abs=0))

    def test_a_soft_reset_clamps_too(self):
        clamps, potential, spikes, _ = advance([7], [0], 1, saturate=1, decrement=np.array([16]))
        assert (clamps, potential.tolist(), spikes.tolist()) == (1, [-8], [1])

    def test_leaks_floor_and_round(self):
        never = np.full(4, 100)
        shifted = advance([0, 0, 0, 0], [5, -5, 1, -1], leak_kind=1, leak_bits=1, threshold=never)
        assert shifted[1].tolist() == [3, -2, 1, 0]
        multiplied = advance([0, 0, 0, 0], [5, -5, 1, -1], leak_kind=2, leak=np.full(4, 1), leak_bits=1, threshold=never)
        assert multiplied[1].tolist() == [3, -2, 1, 0]


class TestTimeLink:
    def test_a_host_into_a_queue_of_one(self):
        """Three events of two words each: the queue holds one, so each waits until the one before was popped."""
        arrivals, pops = np.zeros((3, 2), np.int32), np.zeros(1, np.int64)
        ends = kernels.time_link(np.ones((1, 3), np.int8), np.array([2]), Sender(0, 0), 1, LINK, pops, arrivals)
        # Taken in 1, popped in 2, walks 2 + 3 + 2; the next is taken in 3 and popped when that walk ends, in 7, the third in 8 and 12.
        assert arrivals.tolist() == [[0, 1], [1, 3], [2, 8]]
        # The tick follows the last pop; the last word is written in 12 + 3 + 2 + 3.
        assert ends == (3, 14, 20)

    def test_a_core_sends_word_by_word(self):
        """Two lanes: channels 0 and 1 are a word, channel 2 the next, fetched in two cycles once the update has it."""
        arrivals, pops = np.zeros((3, 2), np.int32), np.zeros(16, np.int64)
        ends = kernels.time_link(np.ones((1, 3), np.int8), np.array([2]), Sender(2, 2), 16, LINK, pops, arrivals)
        assert arrivals.tolist() == [[0, 9], [1, 10], [2, 13]]
        assert ends == (3, 14, 28)

    def test_an_event_that_reaches_nothing_is_popped_all_the_same(self):
        arrivals, pops = np.zeros((1, 2), np.int32), np.zeros(1, np.int64)
        assert kernels.time_link(np.ones((1, 1), np.int8), np.array([0]), Sender(0, 0), 1, LINK, pops, arrivals) == (1, 4, 5)

    def test_no_events(self):
        arrivals, pops = np.zeros((0, 2), np.int32), np.zeros(1, np.int64)
        assert kernels.time_link(np.zeros((1, 3), np.int8), np.array([2]), Sender(0, 0), 1, LINK, pops, arrivals) == (0, 2, 0)
        assert kernels.time_link(np.zeros((1, 3), np.int8), np.array([2]), Sender(4, 1), 1, LINK, pops, arrivals) == (0, 1, 0)


def digest() -> str:
    """Hash what the simulator leaves of every eighth boundary case."""
    found = hashlib.sha256()
    for case in CASES[::8]:
        trace = virtual(case.network, case.chip).run(case.events, potentials=True, gaps=0)
        assert trace.potentials is not None
        assert trace.timing is not None
        for array in (*trace.spikes, *trace.potentials, trace.scores, trace.sops, trace.timing.cycles, *trace.timing.arrivals):
            found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def test_the_kernels_are_plain_python_too():
    program = "import numba, tests.sim.test_kernels as t; assert numba.config.DISABLE_JIT; print(t.digest())"
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONWARNINGS": "error::RuntimeWarning"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == digest()
