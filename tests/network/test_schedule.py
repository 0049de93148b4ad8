import numpy as np
import pytest

from spikefold.data.errors import NetworkError
from spikefold.network.schedule import Schedule

VALUES = {"": [[3]], "t": [[1], [2]], "c": [[1, -2]], "tc": [[1, 2], [1, 1]]}


@pytest.mark.parametrize("axes", VALUES)
def test_an_axis_of_one_means_the_same_everywhere(axes: str) -> None:
    schedule = Schedule.of(VALUES[axes])
    spread = schedule.over(2, 2)
    for t in range(2):
        assert np.array_equal(np.broadcast_to(schedule.at(t), 2), spread[t])
    assert (schedule.axes, schedule.value) == (axes, 3 if axes == "" else None)
    # What is spread collapses to what it was.
    assert np.array_equal(Schedule.of(spread).collapsed().values, schedule.values)


@pytest.mark.parametrize(
    ("values", "bits", "signed"),
    [([[0]], 1, False), ([[1]], 1, False), ([[7, 8]], 4, False), ([[-1]], 1, True), ([[-8, 7]], 4, True), ([[-9, 7]], 5, True), ([[-1, 8]], 5, True)],
)
def test_the_width_is_the_least_that_holds_every_value(values: list[list[int]], bits: int, signed: bool) -> None:
    schedule = Schedule.of(values)
    assert (schedule.bits, schedule.signed) == (bits, signed)


def test_values_are_a_read_only_copy() -> None:
    given = np.array([[1, 2]])
    schedule = Schedule.of(given)
    given[0, 0] = 9
    assert schedule.values.tolist() == [[1, 2]]
    with pytest.raises(ValueError, match="read-only"):
        schedule.values[0, 0] = 3
    assert Schedule.of(schedule) is schedule


def test_errors_name_place_value_and_limit() -> None:
    with pytest.raises(NetworkError, match=r"^gain: 1 axes; it must have 2$"):
        Schedule.of([1, 2], "gain")
    with pytest.raises(NetworkError, match=r"^gain: dtype float64; it must be an integer type$"):
        Schedule.of([[0.5]], "gain")
    with pytest.raises(NetworkError, match=r"^gain\[0, 1\]: value 5; it must be in 0\.\.4$"):
        Schedule.of([[1, 5]]).check_range(0, 4, "gain")
    with pytest.raises(NetworkError, match=r"^gain: shape \[2, 1\]; it must be \[3 or 1, 4 or 1\]$"):
        Schedule.of([[1], [2]]).check_axes(3, 4, "gain")
