import numpy as np
import pytest

from spikefold.chip.words import WordMap


@pytest.mark.parametrize("lanes", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("shape", [(1, 1, 1), (10, 1, 1), (3, 2, 5), (8, 4, 3)])
def test_each_neuron_is_in_one_word(shape: tuple[int, int, int], lanes: int) -> None:
    words = WordMap(shape=shape, lanes=lanes)
    found = np.full(shape, -1)
    for word in range(words.words):
        neurons = words.neurons(word)
        assert (found[neurons] == -1).all()
        assert 1 <= found[neurons].size <= lanes
        found[neurons] = word
    # Pixel by pixel, and group by group within one.
    for channel, y, x in np.ndindex(shape):
        assert found[channel, y, x] == (y * shape[2] + x) * -(-shape[0] // lanes) + channel // lanes
