"""Cycles and arrivals: a network worked out by hand, and what must hold of every network."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from spikefold.network.trace import Timing
from spikefold.sim.timing import score_cycles
from tests.cases import single
from tests.chips import changed_chip
from tests.random_networks import Case, random_case
from tests.virtual import virtual


def timed(case: Case, **options: object) -> Timing:
    timing = virtual(case.network, case.chip).run(case.events, **options).timing  # type: ignore[arg-type]
    assert timing is not None
    return timing


def deeper(case: Case, depth: int) -> Case:
    return replace(case, chip=changed_chip(case.chip, event_queue_depth=depth))


class TestByHand:
    """One event in the first of two timesteps, into two neurons (one word), through a queue of one."""

    case = single("one event", [[1], [0]], [[5], [6]], threshold=100, depth=1)

    def test_the_event(self):
        """The host's first beat is taken in cycle 1 of step 0."""
        assert timed(self.case).arrivals[0].tolist() == [[0, 1, 0, 0, 0, 1]]

    def test_the_core(self):
        """Step 0: popped in 2, then table, sum and one word (6), written three cycles later (9). Steps 1 and 2: an update of one word ends in 7.

        In step 2 the two scores follow it: the word is taken in 7 and fetched in 8, a score is sent in 9 and in 10.
        """
        assert timed(self.case).core_cycles.tolist() == [[9], [7], [11]]

    def test_the_steps(self):
        """The barrier sees a quiet core a cycle late, and the step has one cycle more."""
        assert timed(self.case).cycles.tolist() == [11, 9, 13]

    def test_a_step_in_which_only_the_host_acts(self):
        """Where nothing runs, a step ends with the tick, which is taken in 1; the barrier's cycle and the last one follow."""
        apart = single("two inferences", [[[1]], [[1]]], [[5], [6]], threshold=100, depth=1)
        timing = timed(apart, gaps=[3, 0])
        assert timing.core_cycles[:, 0].tolist() == [9, 11, 0, 0, 9, 11]
        assert timing.cycles.tolist() == [11, 13, 3, 3, 11, 13]

    def test_more_events_than_the_queue_holds(self):
        """Three events of one word: taken in 1, 3 and 7 (one after the pops in 2 and 6), the third popped in 10."""
        timing = timed(single("three", [[1, 1, 1]], [[1, 1, 1]], threshold=100, depth=1))
        assert timing.arrivals[0][:, 1].tolist() == [1, 3, 7]
        assert timing.core_cycles[0].tolist() == [10 + 3 + 1 + 3]
        assert timed(single("three", [[1, 1, 1]], [[1, 1, 1]], threshold=100, depth=4)).arrivals[0][:, 1].tolist() == [1, 2, 3]


@pytest.mark.parametrize("seed", range(12))
class TestAnyNetwork:
    def test_every_event_arrives_once(self, seed: int):
        case = random_case(seed, small=True)
        trace = virtual(case.network, case.chip).run(case.events)
        assert trace.timing is not None
        for depth, (arrivals, source) in enumerate(zip(trace.timing.arrivals, (case.events, *trace.spikes), strict=False)):
            samples, timesteps = source.shape[:2]
            expected = np.zeros(source.shape, np.int64)
            # Isolated inferences: each takes its timesteps and a step a core.
            sample, step = np.divmod(arrivals[:, 0] - depth, timesteps + len(case.network.populations))
            assert sample.max(initial=0) < samples
            assert step.max(initial=0) < timesteps
            np.add.at(expected, (sample, step, *arrivals[:, 2:5].T), arrivals[:, 5])
            assert np.array_equal(expected, source)
            assert len(arrivals) == np.count_nonzero(source)

    def test_arrivals_are_in_order_and_within_their_step(self, seed: int):
        timing = timed(random_case(seed, small=True), gaps=0)
        for arrivals in timing.arrivals:
            later = np.diff(arrivals[:, 0])
            assert (later >= 0).all()
            assert (np.diff(arrivals[:, 1])[later == 0] > 0).all()
            assert (arrivals[:, 1] < timing.cycles[arrivals[:, 0]]).all()
        assert (timing.core_cycles.max(1) < timing.cycles).all()

    def test_a_deeper_queue_is_never_slower(self, seed: int):
        case = random_case(seed, small=True)
        cycles = [timed(deeper(case, depth)).cycles for depth in (1, 2, 16, 1024)]
        assert all((a >= b).all() for a, b in pairwise(cycles))

    def test_inferences_that_are_alike_take_alike(self, seed: int):
        """No timing state survives a step, so isolated inferences do not know of each other."""
        case = random_case(seed, small=True)
        steps = case.network.timesteps + len(case.network.populations)
        alone = timed(replace(case, events=case.events[:1]))
        thrice = timed(replace(case, events=np.repeat(case.events[:1], 3, axis=0)))
        assert alone.cycles.shape == (steps,)
        assert np.array_equal(thrice.cycles.reshape(3, steps), np.stack([alone.cycles] * 3))
        for one, three in zip(alone.arrivals, thrice.arrivals, strict=True):
            assert np.array_equal(three[: len(one)], one)
            assert len(three) == 3 * len(one)

    def test_steps_that_inferences_share_take_as_long_as_their_longest_part(self, seed: int):
        case = random_case(seed, small=True)
        depth, timesteps, samples = len(case.network.populations), case.network.timesteps, len(case.events)
        isolated, shared = timed(case), timed(case, gaps=0)
        parts = isolated.core_cycles.reshape(samples, timesteps + depth, depth)
        expected = np.zeros((samples * timesteps + depth, depth), np.int64)
        for n, part in enumerate(parts):
            np.maximum(expected[n * timesteps :][: len(part)], part, out=expected[n * timesteps :][: len(part)])
        assert np.array_equal(shared.core_cycles, expected)


def test_scores_of_several_words():
    """Five classes on two lanes, so words of 2, 2 and 1 scores: a word is taken, fetched in the next cycle, and sends a score a cycle."""
    case = single("five classes", [[1]], np.ones((5, 1)), threshold=100, lanes=2)
    plan = virtual(case.network, case.chip).placement.cores[-1]
    # Taken in 7, fetched in 8, scores in 9 and 10; the next taken in 11, fetched in 12, scores in 13 and 14; the last in 17.
    assert score_cycles(plan).tolist() == [9, 10, 13, 14, 17]
