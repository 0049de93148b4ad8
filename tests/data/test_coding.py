"""Input coding: rates, ranges, and randomness that only the seed and the sample number decide."""

import numpy as np
import pytest

from spikefold.data.coding import InputCoding, encode
from spikefold.data.errors import DataError

SHAPE = (1, 2, 3)


def coding(kind: str, **changes) -> InputCoding:
    return InputCoding(**{"shape": SHAPE, "coding": kind, "mean": 0.0, "std": 1.0, "scale": 1.0, "payload_bits": 4, "seed": 7} | changes)


@pytest.mark.parametrize("kind", ["ternary", "poisson", "direct"])
def test_order_and_company_of_samples_do_not_matter(kind: str) -> None:
    rng = np.random.default_rng(0)
    images, samples = rng.normal(size=(20, *SHAPE)), np.arange(20) * 50_000_017
    whole = encode(images, coding(kind), 5, samples)
    assert (whole.dtype, whole.shape) == (np.int8, (20, 5, *SHAPE))
    order = rng.permutation(20)
    np.testing.assert_array_equal(encode(images[order], coding(kind), 5, samples[order]), whole[order])
    for i in (0, 13):
        np.testing.assert_array_equal(encode(images[i : i + 1], coding(kind), 5, samples[i : i + 1])[0], whole[i])


@pytest.mark.parametrize("kind", ["ternary", "poisson"])
def test_seed_and_sample_number_change_the_events(kind: str) -> None:
    images = np.full((1, *SHAPE), 0.5)
    one = encode(images, coding(kind), 50, [3])
    assert (one != encode(images, coding(kind), 50, [4])).any()
    assert (one != encode(images, coding(kind, seed=8), 50, [3])).any()
    np.testing.assert_array_equal(one[:, :20], encode(images, coding(kind), 20, [3]), "a shorter run sees the same beginning")


@pytest.mark.parametrize(
    ("kind", "rates"),
    [("ternary", [-1.0, -1.0, -0.25, 0.0, 0.25, 1.0]), ("poisson", [0.0, 0.0, 0.0, 0.0, 0.5, 1.0])],
)
def test_rates(kind: str, rates: list[float]) -> None:
    values = np.array([-3.0, -2.0, -0.5, 0.0, 0.5, 2.0]).reshape(1, *SHAPE)
    events = encode(np.repeat(values, 200, 0), coding(kind), 100, np.arange(200))
    np.testing.assert_allclose(events.reshape(-1, 6).mean(0), rates, atol=0.01)
    assert set(np.unique(events)) <= ({-1, 0, 1} if kind == "ternary" else {0, 1})


def test_direct_payloads_are_rounded_clipped_and_held() -> None:
    values = np.array([-100.0, -1.26, -0.1, 0.0, 1.26, 100.0]).reshape(1, *SHAPE)
    events = encode(values, coding("direct", scale=2.0), 3, [0])
    assert events.reshape(3, 6).tolist() == [[-7, -3, 0, 0, 3, 7]] * 3


@pytest.mark.parametrize("kind", ["ternary", "poisson", "direct"])
@pytest.mark.parametrize("bits", [2, 5, 8])
def test_payloads_stay_in_the_declared_range(kind: str, bits: int) -> None:
    given = coding(kind, payload_bits=bits)
    events = encode(np.random.default_rng(1).normal(0, 1000, (50, *SHAPE)), given, 4, np.arange(50))
    assert given.payload_min <= events.min()
    assert events.max() <= given.payload_max < 2 ** (bits - 1)


def test_background_sends_nothing() -> None:
    for kind in ("ternary", "poisson", "direct"):
        assert not encode(np.zeros((30, *SHAPE)), coding(kind, std=16.0), 40, np.arange(30)).any()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shape": (1, 0, 3)}, "input shape"),
        ({"coding": "rate"}, "input coding 'rate': it must be ternary, poisson or direct"),
        ({"payload_bits": 9}, r"input payload_bits 9: it must be in 2\.\.8"),
        ({"mean": np.nan}, "input mean nan: it must be finite"),
        ({"std": 0.0}, "both must be above 0"),
        ({"scale": 2.0}, "unit payloads"),
        ({"seed": -1}, "input seed -1"),
    ],
)
def test_coding_refuses(changes: dict, words: str) -> None:
    with pytest.raises(DataError, match=words):
        coding(**{"kind": "ternary"} | changes) if "coding" not in changes else coding(changes["coding"])


@pytest.mark.parametrize(
    ("images", "samples", "words"),
    [
        (np.zeros((2, 1, 3, 3)), [0, 1], r"images of shape \(2, 1, 3, 3\): the network's input is \[N, 1, 2, 3\]"),
        (np.zeros((2, *SHAPE)), [0], "1 sample numbers for 2 images"),
        (np.full((1, *SHAPE), np.inf), [0], "a pixel is not finite"),
    ],
)
def test_encode_refuses(images: np.ndarray, samples: list[int], words: str) -> None:
    with pytest.raises(DataError, match=words):
        encode(images, coding("direct"), 2, samples)
