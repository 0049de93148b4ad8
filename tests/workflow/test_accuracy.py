"""The float network's accuracy does not depend on batches."""

import pytest

from spikefold.workflow import batches
from spikefold.workflow.accuracy import float_accuracy
from tests.quantize.networks import float_network
from tests.workflow.samples import dataset


def test_the_float_network_is_run_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    network = float_network()
    data = dataset(network)
    whole = float_accuracy(network, data)
    monkeypatch.setattr(batches, "BATCH_BYTES", 1)
    seen: list[int] = []
    assert float_accuracy(network, data, progress=lambda _, done, total: seen.append(done)) == whole
    assert seen == list(range(1, 13))
