"""Weights that lie on a grid keep it, and the weights, channels and gains that became 0 are reported."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from spikefold.chip.config import ChipConfig
from spikefold.data.coding import InputCoding
from spikefold.data.errors import FoldError
from spikefold.network import reference
from spikefold.network.trace import compare
from spikefold.quantize.float_evaluation import evaluate
from spikefold.quantize.float_network import FloatNetwork, Norm
from spikefold.quantize.fold import fold
from spikefold.quantize.grids import held, held_bits
from spikefold.quantize.rounding import integer_gain, weight_steps
from tests.quantize.test_steps import CHANNELS, INPUTS, TIMESTEPS, chain, dense, flips, spikes_in
from tests.virtual import virtual

Rng = np.random.Generator
STEPS = {
    "a layer's": lambda rng: np.full(CHANNELS, rng.uniform(0.02, 0.05)),
    "a channel's": lambda rng: rng.uniform(0.02, 0.05, CHANNELS),
    "powers of two": lambda rng: 2.0 ** rng.integers(-7, -3, CHANNELS),
}


def on_grid(rng: Rng, steps: np.ndarray, top: int, kind: Any = np.float64) -> tuple[np.ndarray, np.ndarray]:
    """Return (codes, weights): codes up to exactly ``top`` in every channel, and their products with the steps in ``kind``."""
    codes = rng.integers(-top, top, (len(steps), INPUTS), endpoint=True)
    codes[:, :3] = top, max(1, top - 1), -1
    return codes, (codes.astype(kind) * steps[:, None].astype(kind)).astype(np.float64)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize(("bits", "top"), [(2, 1), (3, 2), (4, 5), (4, 6), (4, 7), (8, 50), (8, 64), (8, 100), (8, 126), (8, 127)])
def test_weights_on_a_grid_keep_their_codes_whatever_the_largest_is(steps: str, kind: Any, bits: int, top: int) -> None:
    rng = np.random.default_rng([bits, top])
    codes, weights = on_grid(rng, STEPS[steps](rng), top, kind)
    exact: dict[str, Any] = {"leak": 0.5, "threshold": 0.5 if top > 3 else 0.0625, "reset": "soft" if steps == "powers of two" else "hard"}
    network = chain(dense("first", weights, **exact), dense("out", rng.normal(0, 1, (3, CHANNELS)), reset="none"), timesteps=3)
    result = fold(network, weight_bits=bits)
    assert np.array_equal(result.network.weights[0].tensor, codes)
    assert result.layers[0].weight_error < 2e-7
    spikes, differ = flips(network, result, spikes_in(network))["first"]
    assert spikes > 100
    assert differ == 0


@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("leak", [0.9, 0.9375, 0.0])
def test_leaks_and_resets_that_no_integer_holds_flip_next_to_nothing(leak: float, reset: str) -> None:
    """A threshold has then about 4,096 counts, in however many timesteps."""
    rng = np.random.default_rng(1)
    _, weights = on_grid(rng, np.full(CHANNELS, 0.037), 6, np.float32)
    network = chain(dense("first", weights, leak=leak, threshold=0.7, reset=reset, bias=rng.normal(0, 0.1, CHANNELS)), timesteps=100)
    result = fold(network, weight_bits=4)
    (population,) = result.network.populations
    assert 3000 < 0.7 / population.unit.max() < 10_000
    spikes, differ = flips(network, result, spikes_in(network, samples=2))["first"]
    assert spikes > 2000
    assert differ < 0.02 * spikes


@pytest.mark.parametrize("bits", [4, 8])
def test_what_multiplies_a_whole_channel_leaves_its_grid(bits: int) -> None:
    """A norm with negative gammas, average pooling and the input's scale are factors of a channel, and go into its step."""
    rng = np.random.default_rng(bits)
    top = (1 << (bits - 1)) - 2
    codes, weights = on_grid(rng, np.full(CHANNELS, 0.037), top, np.float32)
    one = np.ones((1, CHANNELS))
    norm = Norm(kind="bn", gamma=rng.uniform(-2, 2, one.shape), beta=0 * one, mean=0 * one, var=rng.uniform(0.5, 2, one.shape), eps=1e-5)
    layer = dense("first", weights, norm=norm, pool=3)
    coding = InputCoding(shape=(INPUTS, 3, 3), coding="direct", mean=0.0, std=1.0, scale=5.0, payload_bits=4, seed=0)
    out = dense("out", rng.normal(0, 1, (3, CHANNELS)), reset="none")
    network = FloatNetwork(timesteps=TIMESTEPS, input=coding, layers=(layer, out), readout="potential", class_names=tuple("abc"))
    assert np.array_equal(fold(network, weight_bits=bits).network.weights[0].tensor, codes * np.sign(norm.gamma[0])[:, None])
    # Gains of their own, one for each timestep, change nothing of the weights.
    several = np.ones((TIMESTEPS, CHANNELS))
    over_time = Norm(kind="bntt", gamma=rng.normal(1, 0.3, several.shape), beta=0 * several, mean=0 * several, var=several, eps=0.0)
    timed = replace(network, layers=(replace(layer, norm=over_time), network.layers[1]))
    assert np.array_equal(fold(timed, weight_bits=bits).network.weights[0].tensor, codes)


@pytest.mark.parametrize("bits", [4, 8])
def test_a_readout_keeps_the_grid_of_its_layer_or_of_its_classes(bits: int) -> None:
    rng = np.random.default_rng(bits)
    top = (1 << (bits - 1)) - 2
    for steps, unit in ((np.full(CHANNELS, 0.07), True), (rng.uniform(0.05, 0.09, CHANNELS), False)):
        codes, weights = on_grid(rng, steps, top)
        result = fold(chain(dense("out", weights, reset="none", leak=1.0)), weight_bits=bits)
        assert np.array_equal(result.network.weights[0].tensor, codes)
        assert result.layers[0].unit_gain == unit


@pytest.mark.parametrize("inputs", [3, 4, 9, 40, 1000])
def test_random_weights_are_not_taken_for_a_grid(inputs: int) -> None:
    rng = np.random.default_rng(inputs)
    for draw in (rng.normal, lambda *a: rng.laplace(*a), lambda *a: rng.normal(*a).astype(np.float32).astype(np.float64)):
        weights = draw(0, 0.3, (max(2, 6_000 // inputs), inputs))
        for bits in (2, 4, 6, 8):
            steps = weight_steps(weights, bits)
            peaks = np.abs(weights).max(1)
            assert not held(weights, steps, bits).any()
            if bits >= 6:
                assert np.array_equal(steps, peaks / ((1 << (bits - 1)) - 1))
            else:
                assert (steps <= peaks / ((1 << (bits - 1)) - 1) * (1 + 1e-9)).all()
    assert held_bits(weights) is None


def test_two_weights_are_on_a_grid_by_chance_and_lose_nothing_by_it() -> None:
    weights = np.random.default_rng(0).normal(0, 0.3, (10_000, 2))
    steps = weight_steps(weights, 8)
    kept = held(weights, steps, 8)
    assert 0 < kept.sum() < 50
    assert np.allclose(np.rint(weights / steps[:, None])[kept] * steps[kept, None], weights[kept], rtol=1e-6)


def test_channels_that_are_sparse_constant_dead_or_have_a_single_weight() -> None:
    rng = np.random.default_rng(5)
    _, weights = on_grid(rng, np.full(CHANNELS, 0.03), 6, np.float32)
    weights[0] = 0
    weights[1] = np.where(np.arange(INPUTS) == 7, weights[1, 0], 0)
    weights[2] = -weights[2, 0]
    weights[3] *= rng.random(INPUTS) < 0.1
    random = np.where(np.arange(CHANNELS)[:, None] < 4, weights, rng.normal(0, 0.1, weights.shape))
    for case, exact in ((weights, range(CHANNELS)), (random, range(4))):
        for bits in (4, 8):
            steps = weight_steps(case, bits)
            counts = case / np.where(steps > 0, steps, 1)[:, None]
            assert np.allclose(counts[exact], np.rint(counts[exact]), rtol=3e-7)
            assert np.abs(counts).max() < 1 << (bits - 1) or bits < 6
    assert np.ptp(weight_steps(weights, 4)) == 0
    assert weight_steps(np.zeros((2, 3)), 8).tolist() == [0, 0]
    assert [held_bits(np.full((2, 3), value)) for value in (0.0, 0.3)] == [2, 2]


def test_keep_takes_the_fewest_bits_that_hold_a_grid() -> None:
    rng = np.random.default_rng(2)
    tops = {"a": 1, "b": 2, "c": 7, "d": 8, "out": 127}
    layers = []
    for name, top in tops.items():
        _, weights = on_grid(rng, np.full(INPUTS, 0.05), top, np.float32)
        layers.append(dense(name, weights, reset="none" if name == "out" else "soft"))
    result = fold(chain(*layers), weight_bits="keep")
    assert [layer.weight_bits for layer in result.layers] == [2, 3, 4, 5, 8]
    assert [int(np.abs(weights.tensor).max()) for weights in result.network.weights] == list(tops.values())
    mixed = chain(dense("first", rng.normal(0, 1, (INPUTS, INPUTS))), layers[2], layers[-1])
    assert [layer.weight_bits for layer in fold(mixed, weight_bits={"c": "keep", "": 6, "out": "keep"}).layers] == [6, 4, 8]
    with pytest.raises(FoldError, match=r"^layer 'first' weights: keep; they lie on no grid that 8 bits hold, so weight_bits in 2\.\.8 are needed$"):
        fold(mixed, weight_bits="keep")
    _, wide = on_grid(rng, np.full(INPUTS, 0.05), 128)
    with pytest.raises(FoldError, match=r"^layer 'c' weights: keep; they lie on no grid"):
        fold(chain(dense("c", wide)), weight_bits={"c": "keep"})
    with pytest.raises(FoldError, match=r"^weight_bits: 'hold'; it must be an integer in 2\.\.8$"):
        fold(mixed, weight_bits="hold")  # type: ignore[arg-type]


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_the_lowest_code_is_kept_unless_a_norm_turns_its_sign(bits: int) -> None:
    """Quantisation to -8..7 may have -8 without 8."""
    rng = np.random.default_rng(bits)
    low = -(1 << (bits - 1))
    codes = rng.integers(low, -low, (CHANNELS, INPUTS))
    codes[:, :2] = low, -1
    one = np.ones((1, CHANNELS))
    for gamma, held_in in ((one, bits), (-one, bits + 1)):
        norm = Norm(kind="bn", gamma=gamma, beta=0 * one, mean=0 * one, var=one, eps=0.0)
        network = chain(dense("first", codes * 0.05, norm=norm))
        if held_in <= 8:
            result = fold(network, weight_bits="keep")
            assert result.layers[0].weight_bits == held_in
            assert np.array_equal(result.network.weights[0].tensor, codes * gamma[0, 0])
        else:
            with pytest.raises(FoldError, match=r"^layer 'first' weights: keep; they lie on no grid that 8 bits hold"):
                fold(network, weight_bits="keep")


def test_keep_names_the_factors_that_took_a_grid_away() -> None:
    rng = np.random.default_rng(3)
    _, weights = on_grid(rng, np.full(8, 0.05), 7)
    one = np.ones((1, INPUTS))
    for factors in (one, rng.uniform(0.5, 2, one.shape)):
        norm = Norm(kind="psp-bn", gamma=factors, beta=0 * one, mean=0 * one, var=one, eps=0.0)
        network = chain(dense("a", weights, norm=norm, neuron="srm", leak=1.0, tau_s=2.0, tau_r=2.0, refractory="exponential"))
        if (factors == 1).all():
            assert fold(network, weight_bits="keep").layers[0].weight_bits == 4
        else:
            with pytest.raises(FoldError, match=r"^layer 'a' weights: keep; they, with the factors of psp-bn in them, lie on no grid"):
                fold(network, weight_bits="keep")


def with_huge(channels: int, **fields: Any) -> FloatNetwork:
    """A layer of which some channels have one weight of 1,000 on an input that is silent."""
    weights = np.random.default_rng(0).normal(0.1, 0.3, (CHANNELS, INPUTS))
    weights[:channels, 0] = 1000
    return chain(dense("first", weights, **fields))


def silent_first(network: FloatNetwork) -> np.ndarray:
    events = spikes_in(network)
    events[:, :, 0] = 0
    return events


def test_a_huge_weight_that_silences_its_channel_is_reported() -> None:
    network = with_huge(CHANNELS)
    result = fold(network)
    assert not reference.run(result.network, silent_first(network)).spikes[0].any()
    (layer,) = result.layers
    assert layer.weight_error < 0.01
    assert layer.weights_lost == pytest.approx(1 - 1 / INPUTS)
    assert (layer.channels, layer.channels_lost, layer.channels_empty, layer.channels_emptied) == (CHANNELS, CHANNELS, 0, 0)
    text = "layer 'first': 97.5% of its weights became 0 in 8 bits, more than three quarters in 64 of 64 channels"
    assert result.warnings == (f"{text}; the largest weight of a channel sets its step",)
    few = fold(with_huge(3)).layers[0]
    assert few.channels_lost == 3
    assert len(few.warnings) == 1
    assert fold(with_huge(0)).warnings == ()


def test_channels_without_any_weight_are_reported() -> None:
    weights = np.random.default_rng(0).normal(0.1, 0.3, (CHANNELS, INPUTS))
    weights[:2] = 0
    weights[2:5] *= 1e-9
    (layer,) = fold(chain(dense("first", weights))).layers
    assert (layer.channels_empty, layer.channels_emptied) == (5, 3)
    assert layer.warnings[-1] == "layer 'first': 5 of 64 channels have no weight but 0, 3 of them by rounding to 8 bits"


@pytest.mark.parametrize("form", ["B", "C"])
def test_a_huge_channel_takes_no_bits_from_the_gains_of_the_others(form: Any) -> None:
    """One shift for all channels would leave the others gains of 0, 1 and 2."""
    ones = np.ones((TIMESTEPS, CHANNELS))
    gamma = np.random.default_rng(1).normal(1, 0.3, ones.shape)
    norm = Norm(kind="bntt", gamma=gamma, beta=0 * ones, mean=0 * ones, var=ones, eps=1e-4)
    network = with_huge(1, norm=norm)
    events = silent_first(network)
    result = fold(network, form=form)
    (connection,) = result.network.connections
    assert connection.gain_shift.values.shape == (1, CHANNELS)
    expected, found = evaluate(network, events).spikes[0][:, :, 1:], reference.run(result.network, events, potentials=True)
    assert (expected != found.spikes[0][:, :, 1:]).sum() < 0.03 * expected.sum()
    assert compare(found, virtual(result.network, ChipConfig()).run(events, potentials=True, timing=False)).equal


def test_one_shift_stays_where_it_takes_no_bits() -> None:
    rng = np.random.default_rng(0)
    for least in (0.05, 1e-4):
        gain = rng.uniform(0.5, 1, (TIMESTEPS, 6)) * np.array([1, 1, 1, 1, 1, least])
        counts, shift, _ = integer_gain(gain, 12)
        assert shift.shape == ((1, 1) if least == 0.05 else (1, 6))
        assert np.abs(counts).max() < 1 << 11
        assert (np.abs(counts / 2.0**shift / gain - 1) < 1 / 32).all()
    assert np.array_equal(integer_gain(np.zeros((3, 2)), 12)[0], np.zeros((3, 2)))


def test_gains_that_became_0_are_reported() -> None:
    ones = np.ones((TIMESTEPS, CHANNELS))
    gamma = np.random.default_rng(1).normal(1, 0.3, ones.shape) * np.where(np.arange(CHANNELS) < 2, 1e-14, 1)
    norm = Norm(kind="bntt", gamma=gamma, beta=0 * ones, mean=0 * ones, var=ones, eps=1e-4)
    result = fold(with_huge(0, norm=norm))
    assert result.layers[0].channels_without_gain == 2
    assert result.warnings == ("layer 'first': the gains of 2 of 64 channels became 0; more gain_bits would keep them",)


def test_layers_that_share_weights_keep_them_together() -> None:
    rng = np.random.default_rng(4)
    _, weights = on_grid(rng, np.full(INPUTS, 0.05), 6)
    first = dense("first", weights)
    network = chain(first, replace(first, name="second", shared="first"), dense("out", weights[:3], reset="none"))
    result = fold(network, weight_bits="keep")
    assert [layer.weight_bits for layer in result.layers] == [4, 4, 4]
    assert result.layers[1].weight_error < 1e-15
    with pytest.raises(FoldError, match=r"^weight_bits of 'second': 5; its weights are those of 'first', which have 4$"):
        fold(network, weight_bits={"": "keep", "second": 5})
