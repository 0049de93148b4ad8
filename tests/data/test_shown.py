"""Values in errors: one line, and an end."""

import numpy as np

from spikefold.data.shown import LENGTH_MAX, shown


def test_a_text_stays_as_it_is_and_what_a_terminal_would_obey_is_escaped():
    assert shown("a  b\n\x1b[2J") == r"'a  b\n\x1b[2J'"


def test_an_array_is_one_line_with_an_end():
    assert "\n" not in shown(np.zeros((3, 4, 5)))
    assert shown(np.zeros((2, 2))) == "array([[0., 0.], [0., 0.]])"
    assert len(shown(np.arange(1000.0).reshape(10, 100))) <= LENGTH_MAX + 1
