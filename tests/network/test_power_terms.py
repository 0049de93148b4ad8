"""Gains as sums of powers of two: against all sums there are, and against how hardware reads their codes."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikefold.network.power_terms import TermCode, nearest_terms, power_terms, term_count

VALUES = st.integers(-(1 << 23), 1 << 23)


def sums(terms: int, bits: int) -> set[int]:
    """Return every sum of at most so many signed powers of two below ``2**bits``."""
    powers = [0, *(sign << exponent for exponent in range(bits) for sign in (1, -1))]
    found = {0}
    for _ in range(terms):
        found = {total + power for total in found for power in powers}
    return found


@given(VALUES)
def test_terms_add_up_and_no_two_are_neighbours(value: int):
    terms = power_terms(value)
    assert sum(sign << exponent for sign, exponent in terms) == value
    assert {sign for sign, _ in terms} <= {1, -1}
    assert all(later - earlier >= 2 for (_, earlier), (_, later) in itertools.pairwise(terms))


def test_they_are_the_fewest():
    of_so_many = [sums(count, 10) for count in range(6)]
    for value in range(-300, 300):
        fewest = next(count for count, possible in enumerate(of_so_many) if value in possible)
        assert len(power_terms(value)) == fewest


def test_the_most_of_several_values_is_counted():
    assert term_count(np.array([[0, 4], [-8, 0]])) == 1
    assert term_count(np.array([[11, 0]])) == 3
    assert term_count(np.zeros((2, 2), np.int64)) == 0


@pytest.mark.parametrize("terms", [1, 2])
@pytest.mark.parametrize("bits", [1, 2, 5, 8])
def test_no_sum_is_nearer(terms: int, bits: int):
    values = np.concatenate([np.linspace(-(1.1 * 2**bits), 1.1 * 2**bits, 997), np.arange(-(2**bits), 2**bits + 1) / 2])
    found = nearest_terms(values, terms, bits)
    possible = np.array(sorted(sums(terms, bits)))
    assert set(found.tolist()) <= set(possible.tolist())
    assert (np.abs(found - values) == np.abs(possible[:, None] - values).min(0)).all()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(0, 2**32 - 1), st.sampled_from([1, 2]))
def test_a_code_says_what_its_gain_is(sizes: list[int], seed: int, terms: int):
    rng = np.random.default_rng(seed)
    gains = nearest_terms(rng.normal(0, 4.0 ** np.array(sizes)), terms, 12)[None]
    code = TermCode.of(gains, terms)
    for gain, word in zip(gains[0].tolist(), code.encode(gains)[0].tolist(), strict=True):
        assert 0 <= word < 1 << (terms * code.term_bits)
        total = 0
        for place in range(terms):
            term = word >> (place * code.term_bits)
            size = 1 << (term & ((1 << code.exponent_bits) - 1))
            negative, present = term >> code.exponent_bits & 1, term >> (code.exponent_bits + 1) & 1
            total += present * (-size if negative else size)
        assert total == gain
