"""Steps that gains, thresholds and leaks can be counted in: the rounded network keeps near the float one, or is refused by name."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from spikefold.data.coding import InputCoding
from spikefold.data.errors import FoldError, NetworkError
from spikefold.network import reference
from spikefold.network.network import Network
from spikefold.quantize.float_evaluation import evaluate
from spikefold.quantize.float_network import FloatLayer, FloatNetwork, Norm
from spikefold.quantize.fold import fold
from spikefold.quantize.fold_result import FoldResult

INPUTS, CHANNELS, TIMESTEPS = 40, 64, 8


def dense(name: str, weights: Any, **fields: Any) -> FloatLayer:
    weights = np.asarray(weights, np.float64)
    options: dict[str, Any] = {"norm": Norm.none(len(weights)), "leak": 0.9, "reset": "soft"}
    return FloatLayer(name=name, kind="dense", weights=weights, **options | fields)


def chain(*layers: FloatLayer, timesteps: int = TIMESTEPS) -> FloatNetwork:
    coding = InputCoding(shape=(layers[0].weights.shape[1], 1, 1), coding="poisson", mean=0.0, std=1.0, scale=1.0, payload_bits=2, seed=0)
    classes = tuple(map(str, range(len(layers[-1].weights))))
    readout: Any = "potential" if layers[-1].reset == "none" else "spike_count"
    return FloatNetwork(timesteps=timesteps, input=coding, layers=layers, readout=readout, class_names=classes)


def spikes_in(network: FloatNetwork, rate: float = 0.3, samples: int = 8) -> np.ndarray:
    shape = (samples, network.timesteps, *network.input.shape)
    return (np.random.default_rng(1).random(shape) < rate).astype(np.int8)


def flips(network: FloatNetwork, result: FoldResult, events: np.ndarray) -> dict[str, tuple[int, int]]:
    """Return of each layer that fires how many spikes of the float network there are, and how many differ."""
    found, expected = reference.run(result.network, events), evaluate(network, events)
    return {
        layer.name: (int(spikes.sum()), int((spikes != found.spikes[found.populations.index(layer.name)]).sum()))
        for layer, spikes in zip(network.layers, expected.spikes, strict=True)
        if layer.reset != "none"
    }


def residual(widest: float, add_from: str, norm: Norm | None = None, **fields: Any) -> FloatNetwork:
    """A layer of which the next one adds the output or the drive, whose own weights are at most ``widest`` of a threshold."""
    rng = np.random.default_rng(0)
    first = dense("first", rng.normal(0.1, 0.3, (CHANNELS, INPUTS)))
    second = dense("second", rng.uniform(-widest, widest, (CHANNELS, CHANNELS)), add="first", add_from=add_from, **fields)
    second = second if norm is None else replace(second, norm=norm)
    return chain(first, second, dense("out", rng.normal(0, 0.1, (3, CHANNELS)), reset="none"))


@pytest.mark.parametrize("widest", [0.3, 0.03, 0.003])
@pytest.mark.parametrize("form", ["B", "C"])
@pytest.mark.parametrize("add_from", ["output", "drive"])
def test_what_is_added_keeps_its_weight_beside_small_weights(widest: float, form: Any, add_from: str) -> None:
    rng = np.random.default_rng(2)
    ones = np.ones((TIMESTEPS, CHANNELS))
    bntt = Norm(kind="bntt", gamma=rng.normal(1, 0.2, ones.shape), beta=0 * ones, mean=0 * ones, var=ones, eps=1e-4)
    for norm in (None, bntt):
        network = residual(widest, add_from, norm)
        for gain_bits in (8, 12):
            for _, (spikes, differ) in flips(network, fold(network, form=form, gain_bits=gain_bits), spikes_in(network)).items():
                assert spikes > 100
                assert differ < (0.15 if gain_bits == 8 else 0.1) * spikes


@pytest.mark.parametrize("gain_bits", [2, 3, 4, 8])
@pytest.mark.parametrize("gain_terms", [0, 1, 2])
def test_drives_that_are_sent_fit_their_bits_whatever_the_gains(gain_bits: int, gain_terms: int) -> None:
    network = residual(0.3, "drive")
    first, *rest = network.layers
    hybrid = replace(network, layers=(replace(first, neuron="relu", reset="none"), *(replace(layer, add="") for layer in rest)))
    for one in (network, hybrid):
        for bits in (2, 12):
            integer = fold(one, gain_bits=gain_bits, gain_terms=gain_terms, graded_bits=bits).network
            (drive,) = (population for population in integer.populations if population.output == "graded")
            assert drive.potential_bits <= (bits if one is hybrid else 16)


@pytest.mark.parametrize("weight_bits", [2, 3, 8])
def test_gains_of_few_weight_bits_are_not_cut(weight_bits: int) -> None:
    """A sent drive is counted no finer than its gain allows: more bits of gain change next to nothing."""
    network = residual(0.3, "drive")
    events = spikes_in(network)
    few, many = (fold(network, weight_bits=weight_bits, gain_bits=bits) for bits in (12, 16))
    for layer, (spikes, differ) in flips(network, few, events).items():
        assert abs(differ - flips(network, many, events)[layer][1]) < 0.05 * spikes


@pytest.mark.parametrize("decrement", [None, 0.5])
def test_a_threshold_of_0_is_counted_in_what_is_added(decrement: float | None) -> None:
    network = residual(0.3, "drive")
    first = replace(network.layers[0], threshold=0.0, decrement=None if decrement is None else np.full(1, decrement))
    network = replace(network, layers=(first, *network.layers[1:]))
    spikes, differ = flips(network, fold(network), spikes_in(network))["first"]
    assert spikes > 100
    assert differ < 0.05 * spikes


def test_a_leak_that_rounding_would_undo_is_refused() -> None:
    rng = np.random.default_rng(0)
    network = chain(dense("first", rng.normal(0.1, 0.3, (CHANNELS, INPUTS)), leak=0.95), timesteps=20)
    text = r"^layer 'first' leak: the threshold is [\d.]+ counts, and rounding keeps 10 from leaking; use more gain_bits, or form C$"
    with pytest.raises(FoldError, match=text):
        fold(network, weight_bits=2, gain_bits=2, form="B")
    spikes, differ = flips(network, fold(network), spikes_in(network))["first"]
    assert differ < 0.05 * spikes


def test_a_readouts_load_is_no_part_of_its_scores() -> None:
    network = residual(0.3, "output")
    *layers, last = network.layers
    loaded = replace(network, layers=(*layers, replace(last, load=np.array([0.5, -2.0, 0.0]), bias=np.array([0.1, 0.2, -0.1]))))
    plain = replace(network, layers=(*layers, replace(last, bias=np.array([0.1, 0.2, -0.1]))))
    assert np.array_equal(fold(loaded).network.readout.offset, fold(plain).network.readout.offset)


def psp_ln(lam: float, tau: float = 4.0, *, timesteps: int = TIMESTEPS, widest: float = 0.5) -> FloatNetwork:
    one = np.ones((1, INPUTS))
    norm = Norm(kind="psp-ln", gamma=one, beta=0 * one, mean=0 * one, var=one, eps=lam)
    weights = np.random.default_rng(4).normal(0, widest, (16, INPUTS))
    return chain(dense("a", weights, norm=norm, neuron="srm", leak=1.0, tau_s=tau, tau_r=tau, refractory="exponential"), timesteps=timesteps)


@pytest.mark.parametrize("lam", [1e-1, 1e-3, 1e-5])
@pytest.mark.parametrize("weight_bits", [2, 4, 8])
def test_samples_without_spikes_do_not_fire_where_psp_ln_divides_by_little(lam: float, weight_bits: int) -> None:
    network = psp_ln(lam)
    silent, sparse = 0 * spikes_in(network), spikes_in(network, 0.02)
    integer = fold(network, weight_bits=weight_bits).network
    assert not evaluate(network, silent).spikes[0].any()
    assert not reference.run(integer, silent).spikes[0].any()
    assert 0.5 < reference.run(integer, sparse).spikes[0].sum() / evaluate(network, sparse).spikes[0].sum() < 2


def test_psp_ln_that_divides_by_next_to_nothing_is_refused() -> None:
    with pytest.raises(FoldError, match=r"^layer 'a' threshold: [\d.e-]+ counts for a sample without spikes, whose root is the least; use more"):
        fold(psp_ln(1e-12), weight_bits=2)


@pytest.mark.parametrize(("lam", "tau", "timesteps"), [(50.0, 20.0, 4), (100.0, 50.0, 8), (10.0, 4.0, 2)])
def test_a_large_lambda_is_added_in_full(lam: float, tau: float, timesteps: int) -> None:
    network = psp_ln(lam, tau, timesteps=timesteps, widest=8.0)
    events = spikes_in(network)
    spikes, differ = flips(network, fold(network), events)["a"]
    assert spikes > 50
    assert differ < 0.1 * spikes


def test_a_lambda_beyond_the_contract_is_refused() -> None:
    with pytest.raises(FoldError, match=r"^layer 'a' norm: what psp-ln adds to the mean square, 1000, takes [\d.]+e\+\d+ counts, and \d+ fit; train"):
        fold(psp_ln(1000.0, 1e7))


def test_saturation_does_not_cut_the_kick_of_a_spike() -> None:
    weights = np.random.default_rng(5).normal(0, 0.6, (16, INPUTS))
    layer = dense("a", weights, neuron="srm", leak=1.0, tau_s=2.0, tau_r=1.0, refractory="alpha", bias=np.full(16, 0.7))
    network = chain(layer)
    (free,) = fold(network).network.populations
    needed = next(bits for bits in range(2, 33) if np.abs(free.decrement.values).max() < 1 << bits)
    assert free.potential_bits > needed
    (cut,) = fold(network, saturate_bits=needed).network.populations
    assert (cut.potential_bits, cut.saturate) == (needed, True)
    assert np.array_equal(cut.decrement.values, free.decrement.values)
    text = f"layer 'a' saturate_bits: {needed - 1}; the decrement of its neurons takes {needed} bits"
    with pytest.raises(FoldError, match=f"^{re.escape(text)}$"):
        fold(network, saturate_bits=needed - 1)


def test_a_kick_beyond_64_bits_is_not_proven() -> None:
    network = fold(psp_ln(0.1)).network
    (population,) = network.populations
    huge = replace(
        population, potential_bits=32, decrement=np.full((1, 1), 1 << 24), saturate=True,
        scale=replace(population.scale, floor=1 << 48, shift=0), states=tuple(replace(state, bits=32) for state in population.states),
    )  # fmt: skip
    with pytest.raises(NetworkError, match=r"^layer 'a' state 'rise' bits: 32; the state can reach -\d+\.\.\d+, which takes \d+$"):
        replace(network, populations=(huge,))
    assert isinstance(network, Network)
