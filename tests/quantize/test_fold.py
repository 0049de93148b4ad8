"""The fold: exact in float64, within a measured flip rate in integers, and refused by name where it cannot be."""

from typing import Any

import numpy as np
import pytest

from spikefold.data.coding import InputCoding
from spikefold.data.errors import FoldError, NetworkError
from spikefold.network import reference
from spikefold.network.network import Network
from spikefold.network.power_terms import term_count
from spikefold.network.widths import current_bounds, potential_bounds
from spikefold.quantize.float_evaluation import drives, evaluate, neurons, over_channels, weighted
from spikefold.quantize.float_network import LN_NORMS, FloatLayer, FloatNetwork, Norm
from spikefold.quantize.fold import fold
from spikefold.quantize.fold_result import FoldResult
from spikefold.quantize.folded import evaluate_folded, folded_neurons
from spikefold.quantize.rounding import LeakCode, integer_gain, integer_leak, integer_threshold, integer_weights, weight_error, weight_steps
from spikefold.quantize.schedules import fold_schedules
from tests.float_networks import CELLS, random_float_network
from tests.float_networks import random_events as cell_events

Rng = np.random.Generator


def random_norm(rng: Rng, kind: str, timesteps: int, channels: int) -> Norm:
    """Statistics as trained networks show them: gammas near 0, below 0 and, in places, exactly 0."""
    if kind == "none":
        return Norm.none(channels)
    size = (timesteps if kind == "bntt" else 1, channels)
    gamma = rng.normal(0.6, 0.6, size) * np.where(rng.random(size) < 0.15, 1e-3, 1) * (rng.random(size) >= 0.1)
    return Norm(
        kind=kind, gamma=gamma, beta=rng.normal(0, 0.2, size), mean=rng.normal(0, 0.3, size), var=rng.uniform(0.3, 2, size), eps=1e-4
    )  # fmt: skip


def random_layer(rng: Rng, norm: str = "bntt", *, timesteps: int, inputs: int = 1, channels: int = 6, **fields: Any) -> FloatLayer:
    given: dict[str, Any] = {
        "name": "layer",
        "kind": "dense",
        "weights": rng.normal(0, 1 / np.sqrt(inputs * 0.3), (channels, inputs)),
        "bias": rng.normal(0, 0.1, channels) if rng.random() < 0.5 else None,
        "norm": random_norm(rng, norm, timesteps, channels),
        "leak": float(rng.choice([1.0, 0.99, 0.95, 0.9375, 0.5])),
        "threshold": float(rng.uniform(0.5, 1.5)),
        "fires_at_threshold": bool(rng.integers(2)),
        "reset": str(rng.choice(["soft", "hard"])),
    }
    return FloatLayer(**{**given, **fields})


def ternary(rng: Rng, shape: tuple[int, ...], rate: float = 0.4) -> np.ndarray:
    return ((rng.random(shape) < rate) * rng.choice([-1, 1], shape)).astype(np.int8)


def coding(shape: tuple[int, int, int] = (2, 7, 6), kind: str = "ternary") -> InputCoding:
    return InputCoding(
        shape=shape, coding=kind, mean=0.0, std=1.0, scale=5.0 if kind == "direct" else 1.0, payload_bits=4 if kind == "direct" else 2, seed=3
    )


def random_network(
    rng: Rng,
    kind: str,
    *,
    timesteps: int = 16,
    leak: float = 0.95,
    reset: str = "soft",
    source: str = "ternary",
    readout: str = "potential",
    **fields: Any,
) -> FloatNetwork:
    """A convolution, a pooled strided one, a pooled dense layer and a readout."""
    common: dict[str, Any] = {"timesteps": timesteps, "leak": leak, "reset": reset, "threshold": 1.0} | fields
    conv = {"kind": "conv2d"}
    layers = (
        random_layer(rng, kind, name="first", channels=5, weights=rng.normal(0, 0.5, (5, 2, 3, 3)), padding=1, **conv, **common),
        random_layer(rng, kind, name="second", channels=6, weights=rng.normal(0, 1.0, (6, 5, 3, 2)), pool=2, stride=2, padding=1, **conv, **common),
        random_layer(rng, kind, name="third", channels=7, weights=rng.normal(0, 4, (7, 6)), pool=2, **common),
        random_layer(
            rng, "none", name="out", channels=4, weights=rng.normal(0, 0.4, (4, 7)),
            **{**common, "leak": 1.0, "reset": "none" if readout == "potential" else "soft"},
        ),
    )  # fmt: skip
    return FloatNetwork(timesteps=timesteps, input=coding(kind=source), layers=layers, readout=readout, class_names=tuple("abcd"))


def random_events(rng: Rng, network: FloatNetwork, samples: int = 4) -> np.ndarray:
    shape = (samples, network.timesteps, *network.input.shape)
    low, high = network.input.payload_min, network.input.payload_max
    return (rng.integers(low, high, shape, endpoint=True) * (rng.random(shape) < 0.4)).astype(np.int8)


def test_folded_recursions_spike_as_the_direct_one_on_random_layers():
    rng = np.random.default_rng(0)
    discarded = compared = fired = 0
    worst = 0.0
    for _ in range(1200):
        timesteps = int(rng.integers(1, 31))
        layer = random_layer(rng, rng.choice(["bntt", "bntt", "bn", "none"]), timesteps=timesteps)
        current = rng.normal(0.3, 1.0, (3, timesteps, 6, 2, 1))
        spikes, u = neurons(layer, over_channels(layer.drive_scale) * current + over_channels(layer.drive_shift))
        if (np.abs(u - layer.threshold) < 1e-9).any():
            discarded += 1  # Here float64's own rounding decides, in the direct recursion too.
            continue
        for form in ("B", "C"):
            folded, restored = folded_neurons(layer, current, form)
            assert np.array_equal(folded, spikes)
            worst = max(worst, float(np.abs(restored - u).max()))
            compared += spikes.size
        fired += int(spikes.sum())
    assert discarded <= 1
    assert compared > 1_000_000
    assert 0.05 < 2 * fired / compared < 0.6
    assert worst < 1e-9


@pytest.mark.parametrize("form", ["B", "C"])
@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("source", ["ternary", "poisson", "direct"])
def test_whole_networks_spike_as_unfolded_in_every_layer(form: str, reset: str, source: str):
    rates = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        network = random_network(rng, "bntt", reset=reset, source=source, leak=[0.95, 1.0, 0.5][seed % 3])
        events = random_events(rng, network)
        direct = evaluate(network, events)
        assert all(np.abs(u - 1.0).min() > 1e-9 for u in direct.potentials[:-1])
        for expected, got in zip(direct.spikes, evaluate_folded(network, events, form).spikes, strict=True):
            assert np.array_equal(expected, got)
        rates.append([s.mean() for s in direct.spikes[:-1]])
    assert np.all(np.mean(rates, 0) > 0.04)
    assert np.all(np.mean(rates, 0) < 0.6)


def test_a_strict_threshold_and_one_that_fires_at_it_part_exactly_there():
    for strict in (True, False):
        layer = FloatLayer(name="l", kind="dense", weights=[[1.0]], norm=Norm.none(1), leak=1.0, fires_at_threshold=not strict, reset="soft")
        current = np.array([0.5, 0.5, 0.25]).reshape(1, 3, 1, 1, 1)
        for form in ("B", "C"):
            spikes, _ = folded_neurons(layer, current, form)
            assert spikes.ravel().tolist() == [False, not strict, strict]


def test_form_c_starts_from_the_scale_1():
    layer = random_layer(np.random.default_rng(1), timesteps=5, leak=0.5)
    s = fold_schedules(layer, 5, "C")
    assert s.scale[:, 0].tolist() == [1, 0.5, 0.25, 0.125, 0.0625]
    assert s.leak == 1.0
    bias = 0 if layer.bias is None else layer.bias
    assert np.allclose(s.bias[0], layer.norm.shift[0] + layer.norm.scale[0] * bias)


def first_layer_flips(network: FloatNetwork, result: FoldResult, events: np.ndarray) -> float:
    """The share of the first layer's spikes that the rounding flips: later layers see other inputs."""
    return float((reference.run(result.network, events).spikes[0] != evaluate(network, events).spikes[0]).mean())


def on_grid(network: FloatNetwork) -> FloatNetwork:
    """The same network with weights that 8 bits hold exactly."""
    from dataclasses import replace

    layers = []
    for layer in network.layers:
        steps = weight_steps(layer.weights, 8)
        layers.append(replace(layer, weights=integer_weights(layer.weights, steps, 8) * steps.reshape(-1, *(1,) * (layer.weights.ndim - 1))))
    return replace(network, layers=tuple(layers))


@pytest.mark.parametrize("form", ["B", "C"])
def test_at_high_precision_the_integers_flip_next_to_nothing(form: str):
    flips = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        network = on_grid(random_network(rng, "bntt", reset=["soft", "hard"][seed % 2]))
        flips.append(first_layer_flips(network, fold(network, form=form, gain_bits=16), random_events(rng, network, 12)))
    # Measured: 0.02 % in form B and 0.01 % in form C, from the 512 counts of a threshold.
    assert np.mean(flips) < 0.0005


@pytest.mark.parametrize("kind", ["none", "bn", "bntt"])
@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("source", ["ternary", "poisson", "direct"])
@pytest.mark.parametrize("readout", ["potential", "spike_count"])
def test_every_combination_folds_and_stays_near_the_float_network(kind: str, reset: str, source: str, readout: str):
    rng = np.random.default_rng(7)
    network = random_network(rng, kind, reset=reset, source=source, readout=readout)
    events = random_events(rng, network, 8)
    for form in ("auto", "B", "C"):
        result = fold(network, form=form)
        assert first_layer_flips(network, result, events) < 0.012
        assert [r.name for r in result.layers] == ["first", "second", "third", "out"]
        assert result.network.readout.decode == readout
        assert result.network.timesteps_trained == 16


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7])
def test_fewer_weight_bits_cost_more_flips_and_stay_within_their_range(bits: int):
    rng = np.random.default_rng(bits)
    network = random_network(rng, "bn")
    result = fold(network, weight_bits=bits)
    assert all(int(np.abs(w.tensor).max()) <= (1 << (bits - 1)) - 1 for w in result.network.weights)
    assert first_layer_flips(network, result, random_events(rng, network)) < {2: 0.15, 3: 0.12, 4: 0.07, 5: 0.04, 6: 0.02, 7: 0.015}[bits]
    assert result.layers[0].weight_error == pytest.approx({2: 0.5, 3: 0.2, 4: 0.1, 5: 0.05, 6: 0.03, 7: 0.012}[bits], rel=0.6)


def test_each_layer_may_have_bits_of_its_own():
    network = random_network(np.random.default_rng(3), "bntt")
    result = fold(network, weight_bits={"first": 2, "third": 5})
    assert [weights.bits for weights in result.network.weights] == [layer.weight_bits for layer in result.layers] == [2, 8, 5, 8]
    assert [int(np.abs(weights.tensor).max()) for weights in result.network.weights] == [1, 127, 15, 127]


@pytest.mark.parametrize("topology", ["residual", "hybrid"])
def test_what_is_sent_fits_its_bits_whatever_they_are(topology: str):
    """The proof is by channel: the least drive of one and the least bias of another are not in one neuron."""
    cells = [cell for cell in CELLS if cell.topology == topology and cell.coding == "poisson" and cell.norm not in LN_NORMS]
    for seed, cell in enumerate(cells):
        for graded_bits, gain_bits in ((4, 16), (9, 6), (16, 12), (16, 16)):
            network = fold(random_float_network(np.random.default_rng(seed), cell), graded_bits=graded_bits, gain_bits=gain_bits, form="B").network
            sent = [population.potential_bits for population in network.populations if population.output == "graded"]
            assert sent == [] or max(sent) <= (graded_bits if topology == "hybrid" else 16)


@pytest.mark.parametrize("gain_terms", [1, 2])
@pytest.mark.parametrize("norm", ["bn", "bntt"])
def test_multiplierless_gains_are_sums_of_few_terms(norm: str, gain_terms: int):
    flips: dict[int, list[float]] = {0: [], gain_terms: []}
    for seed in range(4):
        rng = np.random.default_rng(seed)
        network = random_network(rng, norm, timesteps=6, readout=("potential", "spike_count")[seed % 2])
        events = random_events(rng, network, 4)
        for terms, found in flips.items():
            folded = fold(network, form="C", gain_terms=terms)
            found.append(first_layer_flips(network, folded, events))
            assert terms == 0 or max(term_count(c.gain.values) for c in folded.network.connections) <= terms
            last = folded.network.populations[-1]
            assert last.reset != "none" or len(set(last.unit.tolist())) == 1
    # Measured, bn and bntt: 0.09 and 0.08 % with any gain, 0.23 % with two terms, 1.4 and 2.3 % with one.
    assert np.mean(flips[0]) < np.mean(flips[gain_terms]) < {1: 0.04, 2: 0.005}[gain_terms]


def test_counts_say_what_currents_and_drives_are():
    for seed in range(6):
        network = random_network(np.random.default_rng(seed), ("bn", "bntt", "none")[seed % 3], timesteps=5)
        events = random_events(np.random.default_rng(seed), network, 3)
        folded = fold(network, gain_bits=16)
        layer, counts = network.layers[0], folded.units["first"]
        current, _ = reference.currents(folded.network.connections[0], folded.network.weights[0], events.astype(np.int64))
        summed = weighted(layer, events / network.input.scale)
        # A gamma of 0 within the weights leaves nothing of them.
        kept = folded.network.weights[0].tensor.any((1, 2, 3))
        error = (current * counts.current[:, None, None] - summed)[:, :, kept]
        assert np.sqrt((error**2).mean()) < 0.01 * np.sqrt((summed**2).mean())
        scale = np.broadcast_to(layer.drive_scale, counts.drive.shape)
        assert np.allclose(counts.drive[:, kept], (counts.current * scale)[:, kept], rtol=0, atol=1e-3 * np.abs(counts.drive).max())


@pytest.mark.parametrize(("neuron", "norm"), [("lif", "bntt"), ("lif", "tdbn"), ("srm", "psp-bn")])
def test_an_early_exit_is_the_network_after_fewer_timesteps(neuron: str, norm: str):
    cells = [cell for cell in CELLS if (cell.neuron, cell.norm, cell.coding) == (neuron, norm, "poisson") and cell.topology != "backres"]
    flips, offsets = [], 0
    for seed, cell in enumerate(cells * 2):
        rng = np.random.default_rng(seed)
        network = random_float_network(rng, cell, timesteps=8)
        events = cell_events(rng, network, samples=4)
        whole, cut = fold(network, form="B").network, fold(network, form="B", timesteps=5).network
        assert (cut.timesteps, cut.timesteps_trained, whole.timesteps_trained) == (5, 8, 8)
        expected, got = evaluate(network, events), evaluate(network.cut(5), events[:, :5])
        assert all(np.array_equal(a[:, :5], b) for a, b in zip(expected.spikes, got.spikes, strict=True))
        trace = reference.run(cut, events[:, :5])
        spikes = dict(zip(trace.populations, trace.spikes, strict=True))
        flips.append(np.mean([(spikes[layer.name] != fired).mean() for layer, fired in zip(network.layers, got.spikes, strict=True)]))
        if cut.readout.decode == "potential":
            # The offset is that of the exit step: what the bias has added up to by then.
            last, unit = network.cut(5).layers[-1], cut.populations[-1].unit
            bias = fold_schedules(last, 5, "B").bias[-1]
            assert np.abs(cut.readout.offset * unit - bias).max() <= unit.max() / 2
            offsets += 1
    assert np.mean(flips) < 0.02
    assert offsets >= 3


def test_what_needs_all_timesteps_is_not_cut():
    for coding, words in (("frames", "with frames coding a sample takes all of them"), ("sequence", "with sequence coding a sample takes all")):
        cell = next(cell for cell in CELLS if cell.coding == coding)
        with pytest.raises(FoldError, match=f"^timesteps: 3 of 4; {words}"):
            fold(random_float_network(np.random.default_rng(0), cell, timesteps=4), timesteps=3)
    with pytest.raises(FoldError, match=r"^timesteps: 17; the network has 16, and at least 1 is needed$"):
        fold(random_network(np.random.default_rng(2), "bntt"), timesteps=17)


def report(kind: str = "bntt", **options: Any):
    fields = {name: options.pop(name) for name in ("leak", "timesteps", "reset") if name in options}
    return fold(random_network(np.random.default_rng(2), kind, **fields), **options).layers


def test_auto_takes_form_c_within_its_width():
    first = report(leak=0.95, timesteps=25)[0]
    assert (first.form, first.leak_kind, first.unit_gain) == ("C", "none", False)
    assert first.reason == f"its potential takes {first.proven_bits} bits; the limit is 24"
    assert first.potential_bits == first.proven_bits <= 24


def test_auto_takes_form_b_where_c_would_lose_the_first_gains():
    first = report(leak=0.5, timesteps=16)[0]
    assert (first.form, first.leak_kind) == ("B", "shift")
    assert first.reason == "form C would spread the gains over 15.0 bits more; of 12 gain_bits 4 can be spared"


def test_auto_takes_form_b_where_c_would_be_too_wide():
    first = report(leak=0.95, timesteps=784)[0]
    assert (first.form, first.leak_kind) == ("B", "multiply")
    assert first.reason == "form C would widen the potential by 57.9 bits; the limit is 24"
    second = report(leak=0.95, timesteps=16, potential_bits_limit=14)[1]
    assert second.form == "B"
    assert second.reason.startswith("form C would take ")
    assert second.reason.endswith(" bits of potential; the limit is 14")
    assert report(leak=0.0, timesteps=4)[0].reason == "form C divides by the leak, which is 0; the limit is 24"


@pytest.mark.parametrize(("leak", "kind"), [(1.0, "none"), (0.9, "multiply"), (0.5, "shift")])
def test_static_norms_need_no_multiplier_for_the_gain(leak: float, kind: str):
    for layer in report("bn", leak=leak):
        assert (layer.form, layer.unit_gain) == ("B", True)
        assert layer.reason == "the gain does not change over time and folds into the weights"
    assert report("bn", leak=leak)[0].leak_kind == kind


def test_low_bit_weights_get_fraction_bits_under_a_leak_in_hardware():
    network = fold(random_network(np.random.default_rng(2), "bn", leak=0.9375), weight_bits=3).network
    gain = int(network.connections[0].gain.value)
    assert gain > 1
    assert gain & (gain - 1) == 0
    assert not network.connections[0].gain_shift.values.any()


def test_a_negative_gain_folds_its_sign_into_the_weights():
    norm = Norm(kind="bn", gamma=np.array([[1.0, -1.0]]), beta=np.zeros((1, 2)), mean=np.zeros((1, 2)), var=np.ones((1, 2)), eps=0.0)
    layer = FloatLayer(name="l", kind="dense", weights=np.array([[0.5, 1.0], [0.5, 1.0]]), norm=norm, leak=1.0, reset="soft")
    network = FloatNetwork(timesteps=3, input=coding((2, 1, 1)), layers=(layer,), readout="spike_count", class_names=("a", "b"))
    weights = fold(network).network.weights[0].tensor
    assert np.array_equal(weights[0], -weights[1])
    assert weights[0].tolist() == [1, 2]


def test_a_channel_whose_gain_is_zero_still_follows_its_bias():
    """With gamma 0 the potential is beta alone, so the neuron fires by the schedule, input or not."""
    for kind, timesteps in (("bn", 1), ("bntt", 6)):
        size = (timesteps, 2)
        norm = Norm(kind=kind, gamma=np.zeros(size), beta=np.full(size, 0.45), mean=np.ones(size), var=np.ones(size), eps=0.0)
        layer = FloatLayer(name="l", kind="dense", weights=np.ones((2, 2)), norm=norm, leak=1.0, reset="soft")
        network = FloatNetwork(timesteps=6, input=coding((2, 1, 1)), layers=(layer,), readout="spike_count", class_names=("a", "b"))
        events = np.ones((1, 6, 2, 1, 1), np.int8)
        trace = reference.run(fold(network).network, events)
        assert np.array_equal(trace.spikes[0], evaluate(network, events).spikes[0])
        assert trace.spikes[0][0, :, 0, 0, 0].tolist() == [False, False, True, False, True, False]


def test_the_readout_scores_in_one_unit_with_its_bias_as_an_offset():
    for kind in ("none", "bntt"):
        rng = np.random.default_rng(11)
        network = random_network(rng, "none")
        from dataclasses import replace

        # Classes whose weights differ so much that one step for all would lose the smallest.
        out = replace(network.layers[-1], weights=network.layers[-1].weights * np.array([[1.0], [0.01], [1.0], [1.0]]),
                      bias=np.array([0.5, -0.25, 3.0, 0.0]), norm=random_norm(rng, kind, 16, 4))  # fmt: skip
        network = replace(network, layers=(*network.layers[:-1], out))
        events = random_events(rng, network, 16)
        integer = fold(network, gain_bits=16).network
        population = integer.populations[-1]
        assert population.unit.shape == (1,)
        assert population.never_fires
        assert population.reset == "none"
        trace = reference.run(integer, events)
        # The float scores that the integer network's own spikes would give.
        x = trace.spikes[-2].astype(np.float64).reshape(16, 16, -1)
        _, u = neurons(out, drives(out, x[..., None, None]))
        scale = np.abs(u[:, -1]).max()
        assert np.abs(trace.scores * population.unit - u[:, -1, :, 0, 0]).max() < 0.01 * scale


def test_a_readout_of_even_classes_needs_no_multiplier():
    last = report("bntt")[-1]
    assert (last.form, last.unit_gain, last.leak_kind) == ("B", True, "none")


def test_widths_are_the_least_that_are_proven():
    network = fold(random_network(np.random.default_rng(4), "bntt")).network
    for index, (connection, population) in enumerate(zip(network.connections, network.populations, strict=True)):
        least, most = potential_bounds([(connection, *current_bounds(network.feeding(index)[0]))], population, network.timesteps)
        edge = 1 << (population.potential_bits - 1)
        assert -edge <= least
        assert most < edge
        assert least < -edge // 2 or most >= edge // 2


def test_saturate_bits_clamp_only_what_needs_more():
    network = random_network(np.random.default_rng(5), "bntt")
    free, bound = fold(network).layers, fold(network, saturate_bits=15).layers
    assert [layer.saturate for layer in bound] == [layer.proven_bits > 15 for layer in free]
    assert any(layer.saturate for layer in bound)
    assert [layer.potential_bits for layer in bound] == [min(layer.proven_bits, 15) for layer in free]


def test_unit_says_what_a_step_of_the_potential_means():
    """In form B the integer potential times its unit is the float potential less the bias that left the loop."""
    rng = np.random.default_rng(6)
    network = on_grid(random_network(rng, "bntt", threshold=1e6))
    integer = fold(network, form="B", gain_bits=16).network
    events = random_events(rng, network)
    trace = reference.run(integer, events, potentials=True)
    bias = fold_schedules(network.layers[0], 16, "B").bias[:, :, None, None]
    restored = trace.potentials[0] * integer.populations[0].unit[:, None, None] + bias
    assert np.abs(restored - evaluate(network, events).potentials[0]).max() < 1e6 / 512


def test_folding_is_deterministic_and_keeps_what_training_said():
    results: list[Network] = [fold(random_network(np.random.default_rng(8), "bntt")).network for _ in range(2)]
    for a, b in zip(results[0].connections, results[1].connections, strict=True):
        assert np.array_equal(a.gain.values, b.gain.values)
    assert results[0].provenance["fold out"].startswith("form B: ")
    assert results[0].class_names == tuple("abcd")


def test_schedules_that_do_not_change_take_no_memory():
    layers = fold(random_network(np.random.default_rng(9), "none", leak=1.0), weight_bits=8).network
    dense = layers.populations[-1]
    assert dense.threshold.axes == dense.decrement.axes == dense.load.axes == ""
    assert layers.connections[0].gain.axes == ""
    hard = fold(random_network(np.random.default_rng(9), "bntt", reset="hard")).network.populations[0]
    assert hard.load.values.shape == (16, 5)
    assert hard.decrement.axes == ""


def leak_code(leak: float, timesteps: int) -> LeakCode:
    return integer_leak(np.array([leak]), timesteps)


class TestRounding:
    def test_thresholds(self):
        theta = np.array([2.0, 2.5, -2.5, -3.0, 3 - 1e-12, 3 + 1e-12])
        assert integer_threshold(theta, False).tolist() == [3, 3, -2, -2, 4, 4]
        assert integer_threshold(theta, True).tolist() == [2, 3, -2, -3, 3, 3]

    def test_leaks(self):
        assert leak_code(1.0, 9).kind == "none"
        assert (leak_code(0.9375, 99).kind, leak_code(0.9375, 99).shift) == ("shift", 4)
        assert (leak_code(0.0, 9).kind, leak_code(0.0, 9).shift) == ("shift", 0)
        code = leak_code(0.95, 99)
        assert (code.kind, code.leak, code.frac_bits) == ("multiply", round(0.95 * 2**15), 15)
        assert code.error < 2**-16
        assert (leak_code(0.625, 99).leak, leak_code(0.625, 99).frac_bits) == (5, 3)

    def test_gains_use_all_their_bits(self):
        counts, shift, error = integer_gain(np.array([[0.7, -1.4, 0.0]]), 12)
        assert 1 << 10 <= np.abs(counts).max() < 1 << 11
        assert counts[0, 2] == 0
        assert counts[0, 1] < 0
        assert np.allclose(counts / 2.0**shift, [[0.7, -1.4, 0.0]], atol=2.0 ** -(shift + 1))
        assert error <= 2.0**-11
        assert integer_gain(np.zeros((2, 2)), 8)[1:] == (0, 0.0)

    @pytest.mark.parametrize(("terms", "limit"), [(1, 1 / 3), (2, 1 / 11)])
    def test_gains_of_few_terms_are_as_near_as_they_can_be(self, terms: int, limit: float):
        gain = np.random.default_rng(terms).normal(0, 1, (6, 40))
        counts, shift, error = integer_gain(gain, 12, terms)
        assert term_count(counts) == terms
        assert np.abs(counts).max() < 1 << 11
        # Between 2**k and its neighbours, halfway to the next such sum is the farthest.
        assert (np.abs(counts / 2.0**shift - gain) <= np.abs(gain) * limit + 2.0**-shift).all()
        assert error <= limit + 2.0**-8

    def test_weights_on_a_grid_stay_there(self):
        for bits in range(2, 9):
            most = (1 << (bits - 1)) - 1
            counts = np.random.default_rng(bits).integers(-most, most, (4, 50), endpoint=True)
            counts[:, 0] = most
            steps = np.array([0.1, 1.0, 3.7, 1e-6])
            found = weight_steps(counts * steps[:, None], bits)
            assert np.allclose(found, steps, rtol=1e-12)
            assert np.array_equal(integer_weights(counts * steps[:, None], found, bits), counts)

    def test_low_bit_steps_are_no_worse_than_those_of_the_largest_weight(self):
        weights = np.random.default_rng(0).normal(size=(8, 200))
        peak = np.abs(weights).max(1) / 3

        def error(steps: np.ndarray) -> np.ndarray:
            return ((integer_weights(weights, steps, 3) * steps[:, None] - weights) ** 2).sum(1)

        assert (error(weight_steps(weights, 3)) < 0.8 * error(peak)).all()
        assert weight_steps(np.zeros((2, 3)), 4).tolist() == [0, 0]


def wide_readout(inputs: int, *, timesteps: int, kind: str = "ternary", bias: float | None = None, leak: float = 1.0) -> FloatNetwork:
    out = FloatLayer(
        name="out",
        kind="dense",
        weights=np.ones((1, inputs)),
        bias=None if bias is None else np.array([bias]),
        norm=Norm.none(1),
        leak=leak,
        reset="none",
    )
    rows = 1 + inputs // 65536
    source = InputCoding(
        shape=(1, rows, inputs // rows), coding=kind, mean=0.0, std=1.0, scale=1.0, payload_bits=8 if kind == "direct" else 2, seed=0
    )
    return FloatNetwork(timesteps=timesteps, input=source, layers=(out,), readout="potential", class_names=("a",))


class TestErrors:
    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"form": "A"}, "form: 'A'; it must be auto, B or C"),
            ({"weight_bits": 1}, "weight_bits: 1; it must be an integer in 2..8"),
            ({"weight_bits": True}, "weight_bits: True; it must be an integer in 2..8"),
            ({"weight_bits": {"first": 9}}, "weight_bits of 'first': 9; it must be an integer in 2..8"),
            ({"weight_bits": {"last": 4}}, "weight_bits of 'last': there is no such layer; the layers are first, second, third, out"),
            ({"gain_bits": 17}, "gain_bits: 17; it must be an integer in 2..16"),
            ({"potential_bits_limit": 33}, "potential_bits_limit: 33; it must be an integer in 2..32"),
            ({"saturate_bits": 1}, "saturate_bits: 1; it must be an integer in 2..32"),
        ],
    )
    def test_options(self, options: dict[str, Any], text: str):
        with pytest.raises(FoldError) as error:
            fold(random_network(np.random.default_rng(0), "none"), **options)
        assert str(error.value) == text

    def test_too_many_timesteps(self):
        with pytest.raises(FoldError, match=r"^network timesteps: 4097; at most 4096 can be folded, so train with fewer$"):
            fold(wide_readout(1, timesteps=4097))

    def test_form_c_of_a_leak_that_the_gains_cannot_follow(self):
        text = r"^layer 'first' leak: form C spreads the gains over 15\.0 bits, and gain_bits is 12, so the first ones would round to 0; use form B"
        with pytest.raises(FoldError, match=text):
            report(leak=0.5, timesteps=16, form="C")

    def test_form_c_of_a_leak_of_0(self):
        with pytest.raises(
            FoldError, match=r"^layer 'first' leak: form C divides by leak \*\* t, and 0\.0 \*\* 3 is 0; use form B or a larger leak$"
        ):
            report(leak=0.0, timesteps=4, form="C")
        assert report(leak=0.0, timesteps=1, form="C")[0].form == "C"

    def test_a_current_beyond_the_contract(self):
        text = r"^layer 'out' weights: the current takes 34 bits, at most 32 fit; use fewer weight_bits or inputs$"
        with pytest.raises(FoldError, match=text):
            fold(wide_readout(300_000, timesteps=1, kind="direct"))

    def test_a_potential_beyond_the_contract(self):
        network = wide_readout(40_000, timesteps=2000)
        with pytest.raises(
            FoldError, match=r"^layer 'out' potential: its proof takes 35 bits, at most 32 fit; use saturate_bits, or fewer weight_bits$"
        ):
            fold(network)
        with pytest.raises(FoldError, match=r"use form B or saturate_bits"):
            fold(network, form="C")
        assert fold(network, saturate_bits=24).network.populations[0].saturate

    def test_a_readout_bias_beyond_the_contract(self):
        text = r"^layer 'out' bias: it adds up to \d+ counts in the readout, beyond 32 bits; a smaller beta or bias, or fewer weight_bits, is needed$"
        with pytest.raises(FoldError, match=text):
            fold(wide_readout(2, timesteps=4, bias=1e9))

    def test_what_the_contract_cannot_say(self):
        layer = FloatLayer(name="wide", kind="dense", weights=np.ones((65537, 1)), norm=Norm.none(65537), leak=1.0, reset="soft")
        out = FloatLayer(name="out", kind="dense", weights=np.ones((1, 65537)), norm=Norm.none(1), leak=1.0, reset="none")
        network = FloatNetwork(timesteps=1, input=coding((1, 1, 1)), layers=(layer, out), readout="potential", class_names=("a",))
        text = r"^layer 'wide' does not fit the contract: population 'wide' shape: \(65537, 1, 1\); it must be three numbers in 1\.\.65536$"
        with pytest.raises(FoldError, match=text):
            fold(network)


def refused(text: str, *, timesteps: int = 2, readout: str = "spike_count", norm: dict[str, float] | None = None, **fields: Any) -> None:
    """Fold one neuron of one input, with ``norm``'s fields changed, and match the words."""
    values = {"gamma": 1.0, "beta": 0.0, "mean": 0.0, "var": 1.0} | (norm or {})
    given: dict[str, Any] = {
        "name": "l", "kind": "dense", "weights": np.ones((1, 1)), "leak": 1.0, "reset": "soft" if readout == "spike_count" else "none",
        "norm": Norm(kind="bn", eps=0.0, **{name: np.full((1, 1), value) for name, value in values.items()}),
    }  # fmt: skip
    layer = FloatLayer(**{**given, **fields})
    network = FloatNetwork(timesteps=timesteps, input=coding((1, 1, 1)), layers=(layer,), readout=readout, class_names=("a",))
    with pytest.raises(FoldError, match=text):
        fold(network)


@pytest.mark.filterwarnings("error")
class TestNumbersThatDoNotFold:
    def test_weights(self):
        refused(r"^layer 'l' threshold: 1, and a step of the potential is 7\.\d+e\+301; a larger threshold, smaller weights", weights=[[1e307]])
        refused(
            r"^layer 'l' weights: folded, a value is not finite; smaller weights or gamma, or a larger input scale, is needed$",
            weights=[[1e307]], norm={"gamma": 100.0},
        )  # fmt: skip

    def test_a_bias_that_overflows(self):
        refused(r"^layer 'l' bias: its schedule in form B is not finite; a smaller beta, mean or bias is needed$", norm={"beta": 1e308})
        refused(r"^layer 'l' bias: its schedule in form B is not finite", norm={"gamma": 1e200}, bias=[1e200])
        refused(r"^layer 'l' threshold: folded, a value is not finite; a smaller beta or bias,", norm={"beta": 1e308}, timesteps=1)
        refused(r"^layer 'l' threshold: its schedule in form B is not finite", norm={"beta": 1e308}, timesteps=1, threshold=-1e308)
        refused(r"^layer 'l' bias: folded, a value is not finite", norm={"beta": 1e308}, timesteps=1, readout="potential")

    def test_a_threshold_that_no_step_can_count(self):
        refused(r"^layer 'l' threshold: 1e-300, and a step of the potential is 7\.\d+e-06; a larger threshold,", threshold=1e-300)
        refused(r"^layer 'l' threshold: 1e-300, and a step of the potential", threshold=1e-300, weights=[[1e200]])
        refused(r"^layer 'l' step of the weights: it is beyond float64", threshold=5e-324, weights=[[0.0]])

    def test_a_schedule_that_overflows_in_form_c(self):
        with pytest.raises(FoldError, match=r"^layer 'l' threshold: its schedule in form C is not finite; a smaller threshold, beta or bias"):
            fold_schedules(random_layer(np.random.default_rng(0), "none", timesteps=9, name="l", leak=0.5, threshold=1e308, bias=None), 9, "C")

    def test_extreme_numbers_fold_to_finite_reports_or_are_refused(self):
        rng = np.random.default_rng(1)

        def number() -> float:
            return float(10.0 ** rng.choice([0.0, 0.0, 0.0, rng.uniform(-300, 300), rng.uniform(-20, 20)]))

        counts = {"folded": 0, "refused": 0}
        for n in range(400):
            size = (int(rng.choice([1, 3])), 2)
            reset = ("soft", "hard", "none")[n % 3]
            try:
                norm = Norm(
                    kind="bntt", gamma=rng.normal(size=size) * number(), beta=rng.normal(size=size) * number(), mean=rng.normal(size=size) * number(),
                    var=rng.random(size) * number(), eps=0.0,
                )  # fmt: skip
                layer = FloatLayer(
                    name="l", kind="dense", weights=rng.normal(size=(2, 3)) * number(), bias=rng.normal(size=2) * number(), norm=norm,
                    leak=float(rng.choice([1.0, 0.9, 0.5])), threshold=number(), reset=reset,
                )  # fmt: skip
                readout = "potential" if reset == "none" else "spike_count"
                network = FloatNetwork(timesteps=3, input=coding((3, 1, 1)), layers=(layer,), readout=readout, class_names=("a", "b"))
                report = fold(network, weight_bits=int(rng.integers(2, 9))).layers[0]
            except (FoldError, NetworkError):
                counts["refused"] += 1
                continue
            counts["folded"] += 1
            assert np.isfinite([report.step, report.weight_error, report.gain_error, report.leak_error]).all()
            assert reset == "none" or report.step <= 1
        assert min(counts.values()) > 100

    def test_errors_of_large_and_small_weights_are_those_of_weights_near_1(self):
        weights, steps = np.array([[0.3, 1.0], [0.7, -0.4]]), np.array([0.25, 0.125])
        counts = integer_weights(weights, steps, 4)
        expected = weight_error(weights, counts, steps)
        for scale in (2.0**1000, 2.0**-1000):
            assert weight_error(weights * scale, counts, steps * scale) == expected
            assert np.array_equal(weight_steps(weights * scale, 3), weight_steps(weights, 3) * scale)
        assert weight_error(np.zeros((1, 2)), np.zeros((1, 2), np.int8), np.ones(1)) == 0.0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"gamma": 1e300, "var": 1e-300},
            r"^norm gamma: gamma / sqrt\(var \+ eps\) is not finite; a smaller gamma or a larger var or eps is needed$",
        ),
        ({"gamma": 1e200, "mean": 1e200}, r"^norm mean: beta - gamma \* mean / sqrt\(var \+ eps\) is not finite; a smaller mean, beta or gamma"),
    ],
)
def test_a_norm_must_be_finite(fields: dict[str, float], text: str):
    values = {"gamma": 1.0, "beta": 0.0, "mean": 0.0, "var": 1.0} | fields
    with pytest.raises(NetworkError, match=text):
        Norm(kind="bn", eps=0.0, **{name: np.full((1, 1), value) for name, value in values.items()})


def test_a_layer_may_not_be_named_as_the_input():
    layer = FloatLayer(name="input", kind="dense", weights=np.ones((1, 1)), norm=Norm.none(1), leak=1.0, reset="none")
    with pytest.raises(NetworkError, match=r"^float network: a layer is named 'input'; that is the name of the network's input$"):
        FloatNetwork(timesteps=1, input=coding((1, 1, 1)), layers=(layer,), readout="potential", class_names=("a",))
