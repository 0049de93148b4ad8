"""Comparisons find the first difference of each kind, and refuse to compare nothing."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from spikefold.data.errors import SpikefoldError
from spikefold.network.trace import ARRIVAL_FIELDS, RESULT_FIELDS, Difference, Timing, Trace, compare, first_difference, idle_steps

RESULTS = np.array([[3, 9 + n] for n in range(10)])


def trace(**fields: Any) -> Trace:
    rng = np.random.default_rng(0)
    shapes = [(2, 4, 3, 2, 2), (2, 4, 5, 1, 1)]
    arrivals = np.array([[0, 3, 1, 0, 1, 1], [0, 5, 2, 1, 1, -1], [2, 1, 0, 0, 0, 1]])
    given: dict[str, Any] = {
        "populations": ("hidden", "out"),
        "spikes": tuple(rng.random(s) < 0.5 for s in shapes),
        "potentials": tuple(rng.integers(-9, 9, s) for s in shapes),
        "scores": rng.integers(-9, 9, (2, 5)),
        "clamps": (0, 1),
        "sops": np.ones((2, 2), np.int64),
        "timing": Timing(cycles=np.array([10, 11, 12, 9]), arrivals=(arrivals, arrivals[:1]), results=RESULTS),
    }
    return Trace(**{**given, **fields})


def changed(arrays: tuple[np.ndarray, ...], layer: int, index: tuple[int, ...], value: Any) -> tuple[np.ndarray, ...]:
    copies = [a.copy() for a in arrays]
    copies[layer][index] = value
    return tuple(copies)


def test_equal_traces():
    comparison = compare(trace(), trace())
    assert comparison.equal
    assert comparison.first is None
    assert comparison.compared == {"spikes": 136, "potentials": 136, "scores": 10, "clamps": 2, "sops": 4, "arrivals": 4, "results": 10, "cycles": 4}
    assert not any(comparison.differing.values())


def test_a_spike():
    a = trace()
    value = bool(a.spikes[1][1, 2, 3, 0, 0])
    b = replace(a, spikes=changed(a.spikes, 1, (1, 2, 3, 0, 0), not value))
    difference = first_difference(a, b)
    assert difference == Difference(kind="spikes", sample=1, timestep=2, layer="out", neuron=(3, 0, 0), expected=value, got=not value)
    assert str(difference) == f"spikes: sample 1, timestep 2, layer 'out', neuron (3, 0, 0): expected {int(value)}, got {int(not value)}"
    assert compare(a, b).differing == {"spikes": 1, "potentials": 0, "scores": 0, "clamps": 0, "sops": 0, "arrivals": 0, "results": 0, "cycles": 0}


def test_a_potential():
    a = trace()
    b = replace(a, potentials=changed(a.potentials, 0, (0, 1, 2, 1, 0), 99))
    difference = first_difference(a, b)
    assert difference is not None
    assert (difference.kind, difference.layer, difference.neuron, difference.got) == ("potentials", "hidden", (2, 1, 0), 99)


def test_a_score():
    a = trace()
    b = replace(a, scores=changed((a.scores,), 0, (1, 4), 77)[0])
    difference = first_difference(a, b)
    assert difference is not None
    assert (difference.kind, difference.sample, difference.neuron, difference.got) == ("scores", 1, (4,), 77)
    assert difference.timestep == 3
    earlier = replace(b, potentials=changed(a.potentials, 1, (1, 3, 0, 0, 0), 99))
    assert str(first_difference(a, earlier)).startswith("potentials: sample 1, timestep 3, layer 'out'")


def test_an_arrival():
    a = trace()
    assert a.timing is not None
    late = changed(a.timing.arrivals, 0, (1, 1), 6)
    difference = first_difference(a, replace(a, timing=replace(a.timing, arrivals=late)))
    assert difference is not None
    assert str(difference) == "arrivals, cycle of number 1: step 0, layer 'hidden': expected 5, got 6"


@pytest.mark.parametrize("field", range(6), ids=ARRIVAL_FIELDS)
@pytest.mark.parametrize("layer", [0, 1])
def test_every_field_of_an_arrival_is_compared(layer: int, field: int):
    a = trace()
    assert a.timing is not None
    other = changed(a.timing.arrivals, layer, (0, field), a.timing.arrivals[layer][0, field] + 1)
    comparison = compare(a, replace(a, timing=replace(a.timing, arrivals=other)))
    assert comparison.differing["arrivals"] == 1
    assert comparison.first is not None
    assert comparison.first.kind == f"arrivals, {ARRIVAL_FIELDS[field]} of number 0"


@pytest.mark.parametrize("field", range(2), ids=RESULT_FIELDS)
def test_every_field_of_a_result_is_compared(field: int):
    a = trace()
    assert a.timing is not None
    other = changed((a.timing.results,), 0, (4, field), 99)[0]
    comparison = compare(a, replace(a, timing=replace(a.timing, results=other)))
    assert comparison.first is not None
    assert comparison.first.kind == f"results, {RESULT_FIELDS[field]} of number 4"


@pytest.mark.parametrize("more", [True, False])
def test_a_missing_arrival(more: bool):
    a = trace()
    assert a.timing is not None
    b = replace(a, timing=replace(a.timing, arrivals=(a.timing.arrivals[0][:2], a.timing.arrivals[1])))
    difference = first_difference(*((a, b) if more else (b, a)))
    assert difference is not None
    assert (difference.kind, difference.timestep, difference.got if more else difference.expected) == ("arrivals, step of number 2", 2, -1)


def test_a_cycle():
    a = trace()
    assert a.timing is not None
    b = replace(a, timing=replace(a.timing, cycles=np.array([10, 11, 13, 9])))
    difference = first_difference(a, b)
    assert difference is not None
    assert (difference.kind, difference.timestep, difference.expected, difference.got) == ("cycles", 2, 12, 13)
    assert str(difference) == "cycles: step 2, layer 'out': expected 12, got 13"


def test_the_first_difference_is_first_by_sample_then_time_then_layer():
    a = trace()
    b = replace(a, potentials=changed(a.potentials, 0, (0, 3, 0, 0, 0), 99))
    c = replace(b, potentials=changed(b.potentials, 1, (0, 2, 0, 0, 0), 98))
    d = replace(c, potentials=changed(c.potentials, 0, (1, 0, 0, 0, 0), 97))
    difference = first_difference(a, d)
    assert difference is not None
    assert difference.got == 98


def test_what_one_side_did_not_record_is_not_compared():
    a = trace()
    comparison = compare(a, replace(a, potentials=None, timing=None, clamps=None, sops=None))
    assert comparison.equal
    assert set(comparison.compared) == {"spikes", "scores"}
    assert comparison.omitted == ("potentials", "clamps", "sops", "timing")
    assert compare(a, a).omitted == ()
    assert compare(replace(a, clamps=None), replace(a, clamps=None)).omitted == ()


def test_comparing_nothing_is_an_error():
    empty = trace(populations=(), spikes=(), potentials=None, scores=np.zeros((0, 5), np.int64), timing=None, clamps=None, sops=None)
    with pytest.raises(SpikefoldError, match=r"^traces: nothing was compared$"):
        compare(empty, empty)


def test_traces_of_different_networks_or_samples():
    a = trace()
    with pytest.raises(SpikefoldError, match=r"they must come from the same network and samples$"):
        compare(a, replace(a, populations=("hidden", "other")))
    with pytest.raises(SpikefoldError, match=r"^traces: .* with 2 samples against .* with 1; they must"):
        compare(a, replace(a, scores=a.scores[:1]))
    with pytest.raises(SpikefoldError, match=r"^traces: spikes of 'hidden' has shapes \(2, 4, 3, 2, 2\) and \(2, 3, 3, 2, 2\)$"):
        compare(a, replace(a, spikes=(a.spikes[0][:, :3], a.spikes[1])))


def test_predictions():
    assert trace(scores=np.array([[1, 3, 3], [0, 0, 0]])).predictions.tolist() == [1, 0]


def test_idle_steps():
    assert idle_steps(None, 2, 3) == [3, 3]
    assert idle_steps(1, 2, 3) == [1, 1]
    assert idle_steps([0, 4], 2, 3) == [0, 4]
    for gaps in ([1], [1, -1], -1):
        with pytest.raises(SpikefoldError, match=r"for 2 samples; one number of at least 0 each is needed$"):
            idle_steps(gaps, 2, 3)


def test_when_a_score_left():
    a = trace()
    assert a.timing is not None
    late = RESULTS.copy()
    late[7, 1] += 1
    difference = first_difference(a, replace(a, timing=replace(a.timing, results=late)))
    assert str(difference) == "results, cycle of number 7: step 3, layer 'out': expected 16, got 17"


@pytest.mark.parametrize(("kind", "other"), [("clamps", (0, 3)), ("sops", np.array([[1, 2], [3, 5]]))])
def test_counts(kind: str, other: object):
    a = replace(trace(), clamps=(0, 2), sops=np.array([[1, 2], [3, 4]]))
    assert compare(a, a).compared[kind] == (2 if kind == "clamps" else 4)
    comparison = compare(a, replace(a, **{kind: other}))
    assert comparison.differing[kind] == 1
    assert comparison.first is not None
    assert comparison.first.kind == kind


def test_a_fault_is_a_difference():
    a = trace()
    fault = Difference(kind="word updated", sample=None, timestep=2, layer="out", neuron=(), expected=1, got=3)
    comparison = compare(a, replace(a, faults=(fault,)))
    assert (comparison.differing["faults"], str(comparison.first)) == (1, "word updated: step 2, layer 'out': expected 1, got 3")
