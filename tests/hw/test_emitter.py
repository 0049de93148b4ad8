"""The emitters alone, in Amaranth's simulator: order, cycles, and hosts that do not take."""

from typing import Any

import numpy as np
import pytest

from spikefold.chip.cycles import FETCH, QUEUED
from spikefold.chip.placement import place
from spikefold.hw.gateware.emitter import ScoreEmitter, SpikeEmitter
from spikefold.hw.gateware.interface import Interface
from spikefold.hw.gateware.layer import LayerConfig
from tests.cases import CASES
from tests.hw.simulated import simulate
from tests.random_networks import random_case

READY = [1.0, 0.5, 0.1]
APART = 500
"""Cycles between two inferences, in which a slow host takes all scores."""


def layers(last: bool) -> list[LayerConfig]:
    cases = [case for case in CASES if case.name == "schedules over several words, soft"] + [random_case(seed, small=True) for seed in (1, 4, 6)]
    found = [layer for case in cases for layer in Interface(place(case.network, case.chip)).layers]
    return [layer for layer in found if layer.is_last is last and layer.plan.words > 1]


def played(emitter: Any, words: dict[int, dict[str, Any]], expected: int, share: float) -> tuple[list[int], list[Any]]:
    """Push each of ``words`` in its cycle to a host that takes in this share of the cycles; return when it took what."""
    rng, cycles, taken = np.random.default_rng(3), list[int](), list[Any]()

    async def bench(ctx: Any) -> None:
        cycle = 0
        while len(taken) < expected or not ctx.get(emitter.quiet):
            assert cycle < 5000
            ctx.set(emitter.words.valid, int(cycle in words))
            if cycle in words:
                ctx.set(emitter.words.payload, words[cycle])
            ready = rng.random() < share
            ctx.set(emitter.output.ready, int(ready))
            if ready and ctx.get(emitter.output.valid):
                cycles.append(cycle)
                taken.append(ctx.get(emitter.output.payload))
            # What was pushed at least QUEUED cycles ago and is not taken is under way.
            due = sum(word["lanes"].bit_count() for pushed, word in words.items() if pushed + QUEUED <= cycle)
            assert ctx.get(emitter.quiet) == (len(taken) == due and not (ready and ctx.get(emitter.output.valid)))
            await ctx.tick()
            cycle += 1
        # Nothing more comes.
        assert ctx.get(emitter.output.valid) == 0

    simulate(emitter, bench)
    return cycles, taken


def check_cycles(cycles: list[int], words: dict[int, int]) -> None:
    """Hold a host that is always ready against the cycle contract; ``words`` are the items of the word pushed in a cycle."""
    wanted: list[int] = []
    for pushed, items in words.items():
        first = max(pushed + QUEUED, wanted[-1] + 1 if wanted else 0) + FETCH
        wanted += range(first, first + items)
    assert cycles == wanted


@pytest.mark.parametrize("share", READY)
@pytest.mark.parametrize("number", range(2))
def test_spikes_leave_lane_by_lane(number: int, share: float) -> None:
    layer, rng = layers(last=False)[number], np.random.default_rng(number)
    words, events, items, cycle = {}, [], {}, 0
    for word in range(layer.plan.words):
        channels, y, x = layer.plan.neurons(word)
        fired = [int(lane) for lane in range(channels.stop - channels.start) if rng.random() < 0.5]
        cycle += int(rng.integers(1, 4))
        if fired:
            words[cycle] = {"lanes": sum(1 << lane for lane in fired), "channel": channels.start, "y": y, "x": x}
            items[cycle] = len(fired)
            events += [(channels.start + lane, y, x) for lane in fired]
    cycles, taken = played(SpikeEmitter(layer), words, len(events), share)
    assert [(event.channel, event.y, event.x) for event in taken] == events
    if share == 1:
        check_cycles(cycles, items)


@pytest.mark.parametrize("share", READY)
@pytest.mark.parametrize("number", range(3))
def test_scores_leave_in_the_order_of_the_classes_and_the_first_of_equal_ones_wins(number: int, share: float) -> None:
    layer, rng = layers(last=True)[number], np.random.default_rng(number)
    classes = layer.plan.shape[0]
    # One inference behind the other leaves nothing; the greatest score is there several times.
    inferences = rng.integers(-2, 2, classes), rng.integers(-4, -2, classes), np.arange(classes)
    words, items = {}, {}
    for start, scores in enumerate(inferences):
        for word in range(layer.plan.words):
            held = scores[layer.plan.neurons(word)[0]]
            padded = [*map(int, held), *[0] * (layer.lanes - len(held))]
            cycle = APART * start + word
            words[cycle], items[cycle] = {"lanes": (1 << len(held)) - 1, "score": padded}, len(held)
    cycles, taken = played(ScoreEmitter(layer), words, len(inferences) * classes, share)
    assert [beat.score for beat in taken] == np.concatenate(inferences).tolist()
    assert [beat.last for beat in taken] == ([0] * (classes - 1) + [1]) * len(inferences)
    assert [beat.label for beat in taken if beat.last] == [int(scores.argmax()) for scores in inferences]
    if share == 1:
        check_cycles(cycles, items)
