"""A trace as named arrays."""

from pathlib import Path

import numpy as np

from spikefold.workflow.samples import events_of
from spikefold.workflow.trace_file import trace_arrays, write_trace
from tests.quantize.networks import integer_network
from tests.virtual import virtual
from tests.workflow.samples import CHIP, dataset


def test_a_file_has_what_was_recorded_and_the_same_bytes_for_the_same_trace(tmp_path: Path) -> None:
    network = integer_network()
    trace = virtual(network, CHIP).run(events_of(network, dataset(network), range(2)), timing=False)
    arrays = trace_arrays(trace)
    assert set(arrays) == {"populations", "scores", "spikes_0", "spikes_1", "sops", "clamps"}
    for name in ("a.npz", "b.npz"):
        write_trace(trace, tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as written:
        assert all(np.array_equal(written[name], array) for name, array in arrays.items())
