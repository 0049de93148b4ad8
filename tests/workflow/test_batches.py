"""The batch budget, and the loop of batch and progress."""

import numpy as np
import pytest

from spikefold.workflow import batches
from spikefold.workflow.samples import events_of
from tests.quantize.networks import integer_network
from tests.workflow.samples import dataset


def test_a_batch_is_what_the_budget_holds_and_a_sample_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH_BYTES", 100)
    assert [batches.batch_size(each) for each in (0, 1, 33, 50, 51, 101)] == [100, 100, 3, 2, 1, 1]


def test_batches_cover_all_samples_and_each_is_reported_when_it_is_done() -> None:
    seen: list[tuple[str, int, int]] = []
    reported = []
    for batch in batches.batches(5, 2, "work", lambda *step: seen.append(step)):
        reported.append((batch, len(seen)))
    assert reported == [(range(0, 2), 0), (range(2, 4), 1), (range(4, 5), 2)]
    assert seen == [("work", 2, 5), ("work", 4, 5), ("work", 5, 5)]
    assert list(batches.batches(5, 9, "work")) == [range(0, 5)]


def test_batches_of_events_are_those_of_the_samples() -> None:
    network = integer_network()
    data, seen = dataset(network), list[int]()
    parts = list(batches.event_batches(network, data, 5, 2, "work", lambda _, done, total: seen.append(done)))
    assert [len(part) for part in parts] == [2, 2, 1]
    assert np.array_equal(np.concatenate(parts), events_of(network, data, range(5)))
    assert seen == [2, 4, 5]
