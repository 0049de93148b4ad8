"""Comparisons of batches add up."""

from dataclasses import replace

from spikefold.network.trace import Comparison, Difference
from spikefold.workflow.comparison import comparison_table, merge, shifted


def comparison(differing: int, sample: int | None = None) -> Comparison:
    first = Difference(kind="spikes", sample=sample, timestep=1, layer="a", neuron=(0, 0, 0), expected=1, got=0) if differing else None
    return Comparison(compared={"spikes": 10, "cycles": 2}, differing={"spikes": differing, "cycles": 0}, first=first)


def test_comparisons_add_up_and_keep_the_first_difference() -> None:
    merged = merge([comparison(0), shifted(comparison(3, sample=2), 10), replace(comparison(1, sample=0), omitted=("sops",))])
    assert merged.compared == {"spikes": 30, "cycles": 6}
    assert merged.differing == {"spikes": 4, "cycles": 0}
    assert merged.first is not None
    assert merged.first.sample == 12
    assert not merged.equal
    table = comparison_table(merged, 9)
    assert table["differences"] == 4
    assert table["omitted"] == ["sops"]
    assert table["first_difference"].startswith("spikes: sample 12, timestep 1")


def test_a_difference_without_a_sample_is_not_shifted() -> None:
    assert shifted(comparison(1), 5).first == comparison(1).first
    assert shifted(comparison(0), 5).first is None
