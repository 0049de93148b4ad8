"""The rows of comparisons."""

from spikefold.cli.comparisons import comparison_rows
from spikefold.network.trace import Comparison, Difference


def test_the_rows_of_a_comparison_say_what_is_counted_and_the_first_difference_of_its_kind() -> None:
    first = Difference(kind="arrivals, cycle of number 3", sample=None, timestep=1, layer="a", neuron=(), expected=1, got=2)
    counts = {"spikes": 720, "clamps": 2, "sops": 720, "arrivals": 9, "cycles": 20}
    rows = comparison_rows("simulator", Comparison(compared=counts, differing=dict.fromkeys(counts, 0) | {"arrivals": 1}, first=first))
    assert rows == [
        ("simulator", "spikes", 720, 0, ""),
        ("simulator", "counts of clamps", 2, 0, ""),
        ("simulator", "counts of synaptic operations", 720, 0, ""),
        ("simulator", "arrivals", 9, 1, str(first)),
        ("simulator", "steps to the cycle", 20, 0, ""),
    ]
