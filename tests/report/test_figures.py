"""Pictures of results."""

from dataclasses import replace

import numpy as np

from spikefold.report.figures import firing_svg
from tests.quantize.networks import integer_network


def test_the_picture_has_a_bar_a_timestep_and_escapes_names() -> None:
    network = integer_network()
    populations = (replace(network.populations[0], name="<a & b>"), network.populations[1])
    connections = (replace(network.connections[0], target="<a & b>"), replace(network.connections[1], source="<a & b>"))
    named = replace(network, populations=populations, connections=connections)
    picture = firing_svg(named, [np.array([0, 5, 9]), np.zeros(3, np.int64)], 2)
    assert "&lt;a &amp; b&gt;" in picture
    assert picture.count('fill="#31688e"') == 3
