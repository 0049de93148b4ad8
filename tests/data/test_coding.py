"""Input coding: rates, ranges, and randomness that only the seed and the sample number decide."""

import numpy as np
import pytest

from spikefold.data.coding import InputCoding, encode, uniform
from spikefold.data.errors import DataError

SHAPE = (1, 2, 3)
GOLDEN = [["0x1.edb31ec618b30p-2", "0x1.72c1e5d4967f1p-1"], ["0x1.9bae5c02bbd60p-5", "0x1.43b6c348a9a9ap-2"]]
EVENTS = {"ternary": ["0000+0", "00000+", "00000+", "-00000"], "poisson": ["0000++", "000+0+", "00000+", "00000+"]}


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


def test_a_seed_gives_the_same_randomness_in_every_version() -> None:
    assert [[float.hex(r) for r in row] for row in uniform(7, 3, 2, 2)] == GOLDEN
    assert (uniform(7, 3, 2, 2) != uniform(3, 7, 2, 2)).all()
    image = np.array([-1.0, -0.6, -0.2, 0.2, 0.6, 1.0]).reshape(1, *SHAPE)
    for kind, events in EVENTS.items():
        found = encode(image, coding(kind, seed=2**62 + 5), 4, [12])
        assert ["".join("-0+"[v + 1] for v in row) for row in found.reshape(4, 6)] == events, kind


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
        ({"coding": "rate"}, "input coding 'rate': it must be one of ternary, poisson, direct, frames, sequence"),
        ({"payload_bits": 9}, r"input payload_bits 9: it must be in 2\.\.8"),
        ({"mean": np.nan}, "input mean nan: it must be finite"),
        ({"std": 0.0}, "both must be above 0"),
        ({"scale": 2.0}, "whole payloads of unit 1, so it must be 1"),
        ({"coding": "frames", "scale": 2.0}, "frames coding has whole payloads"),
        ({"coding": "frames", "mean": 0.5}, r"mean 0.5 and std 1.0: frames coding takes counts as they are, so they must be 0 and 1"),
        ({"coding": "frames", "std": 2.0}, r"mean 0.0 and std 2.0: frames"),
        ({"coding": "sequence", "shape": (1, 2, 3)}, r"with sequence coding it must be \(channels, 1, pixels in a timestep\)"),
        ({"seed": -1}, "input seed -1"),
    ],
)
def test_coding_refuses(changes: dict, words: str) -> None:
    with pytest.raises(DataError, match=words):
        coding(changes.get("coding", "ternary"), **changes)


@pytest.mark.parametrize(
    ("images", "samples", "words"),
    [
        (np.zeros((2, 1, 3, 3)), [0, 1], r"images of shape \(2, 1, 3, 3\): the network's input takes N images of \[1, 2, 3\]"),
        (np.zeros((2, *SHAPE)), [0], "1 sample numbers for 2 images"),
        (np.zeros((1, 2, *SHAPE)), [0], "images of shape"),
        (np.full((1, *SHAPE), np.inf), [0], "a pixel is not finite"),
    ],
)
def test_encode_refuses(images: np.ndarray, samples: list[int], words: str) -> None:
    with pytest.raises(DataError, match=words):
        encode(images, coding("direct"), 2, samples)


def sequence(channels: int, pixels: int, **changes) -> InputCoding:
    return coding("sequence", **{"shape": (channels, 1, pixels)} | changes)


@pytest.mark.parametrize("pixels", [1, 2, 3, 12])
def test_a_sequence_reads_the_image_once_row_by_row(pixels: int) -> None:
    images, steps = np.random.default_rng(0).normal(0, 4, (5, 2, 3, 4)), 12 // pixels
    events = encode(images, sequence(2, pixels, mean=0.5, std=2.0, scale=3.0), steps, np.arange(5))
    assert (events.dtype, events.shape) == (np.int8, (5, steps, 2, 1, pixels))
    for n, t, c, i in np.ndindex(5, steps, 2, pixels):
        y, x = divmod(t * pixels + i, 4)
        assert events[n, t, c, 0, i] == max(-7, min(7, round((images[n, c, y, x] - 0.5) / 2 * 3)))


def test_a_sequence_fits_an_image_of_just_its_pixels() -> None:
    assert sequence(1, 1).fits((1, 28, 28), 784)
    assert sequence(1, 28).fits((1, 28, 28), 28)
    assert not sequence(1, 28).fits((1, 28, 28), 27)
    assert not sequence(1, 28).fits((3, 28, 28), 28)
    assert coding("direct").fits(SHAPE, 5)
    assert not coding("direct").fits((1, 3, 2), 5)
    for given, words in ((sequence(1, 4), r"\[1, H, W\] with H x W = 12 pixels, 4 in each of 3 timesteps"), (sequence(2, 2), r"\[2, H, W\]")):
        with pytest.raises(DataError, match=words):
            encode(np.zeros((1, *SHAPE)), given, 3, [0])


def test_frames_are_payloads_clipped_at_the_most() -> None:
    counts = np.random.default_rng(0).integers(0, 256, (4, 3, *SHAPE)).astype(np.uint8)
    for bits, most in ((2, 1), (4, 7), (8, 127)):
        given = coding("frames", payload_bits=bits)
        assert (given.payload_min, given.payload_max) == (0, most)
        events = encode(counts, given, 3, np.arange(4))
        assert events.dtype == np.int8
        assert events.tolist() == [[[[[min(v, most) for v in row] for row in c] for c in t] for t in n] for n in counts.tolist()]


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        (np.zeros((2, 4, *SHAPE), np.uint8), r"shape \(2, 4, 1, 2, 3\), uint8: with frames coding the network takes whole numbers \[N, 3, 1, 2, 3\]"),
        (np.zeros((2, *SHAPE), np.uint8), "with frames coding"),
        (np.zeros((2, 3, *SHAPE)), "float64: with frames coding"),
        (np.full((2, 3, *SHAPE), -1), "a count of -1; with frames coding there must be none below 0"),
    ],
)
def test_frames_refuse(counts: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=words):
        encode(counts, coding("frames"), 3, [0, 1])
