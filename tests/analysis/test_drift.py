"""The drift report: known flips, errors and ranges of networks made by hand, and every kind of network that folds."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from spikefold.analysis.drift import check_pair, drift
from spikefold.analysis.drift_report import DriftReport
from spikefold.data.coding import InputCoding
from spikefold.data.errors import DataError, NetworkError
from spikefold.network import reference
from spikefold.network.connection import Connection, Weights
from spikefold.network.network import Network, Readout
from spikefold.network.population import Population
from spikefold.quantize.float_evaluation import evaluate
from spikefold.quantize.float_network import LN_NORMS, FloatLayer, FloatNetwork, Norm
from spikefold.quantize.fold import fold
from spikefold.quantize.rounding import integer_weights, weight_steps
from tests.float_networks import CELLS, Cell, random_events, random_float_network

CODING = InputCoding(shape=(2, 1, 1), coding="poisson", mean=0.0, std=1.0, scale=1.0, payload_bits=2, seed=0)


def float_layer(name: str, weights: list[list[float]], threshold: Any, **fields: Any) -> FloatLayer:
    given: dict[str, Any] = {"leak": 1.0, "reset": "soft", "fires_at_threshold": True, "norm": Norm.none(len(weights))}
    return FloatLayer(name=name, kind="dense", weights=np.array(weights), threshold=threshold, **given | fields)


def by_hand(*layers: FloatLayer, timesteps: int = 3, readout: str = "spike_count") -> FloatNetwork:
    names = tuple("abcdefgh"[: len(layers[-1].weights)])
    return FloatNetwork(timesteps=timesteps, input=CODING, layers=layers, readout=readout, class_names=names)


def rounded(network: FloatNetwork) -> Network:
    """Weights and thresholds to the nearest integers: a step of everything is 1."""
    one, populations, connections, source = np.ones((1, 1), np.int64), [], [], "input"
    for layer in network.layers:
        threshold = np.rint(layer.threshold)[None].astype(np.int64)
        populations.append(
            Population(
                name=layer.name, shape=(len(layer.weights), 1, 1), reset="soft", leak_kind="none", threshold=threshold, decrement=threshold,
                potential_bits=8, saturate=False,
            )
        )  # fmt: skip
        connections.append(
            Connection(source=source, target=layer.name, kind="dense", weights=layer.name, current_bits=8, gain=one, gain_shift=0 * one)
        )
        source = layer.name
    return Network(
        timesteps=network.timesteps, timesteps_trained=network.timesteps, input=network.input, class_names=network.class_names,
        weights=tuple(Weights(id=layer.name, tensor=np.rint(layer.weights).astype(np.int8), bits=8) for layer in network.layers),
        connections=tuple(connections), populations=tuple(populations),
        readout=Readout(decode="spike_count", offset=np.zeros(len(network.class_names), np.int64)),
    )  # fmt: skip


def inputs(*timesteps: tuple[int, int]) -> np.ndarray:
    """One sample, [1, T, 2, 1, 1]."""
    return np.array(timesteps, np.int8)[None, :, :, None, None]


def two_layers() -> FloatNetwork:
    """A weight of 1.9 rounds to 2, so that two spikes of it reach the threshold of 4; the second layer repeats the first, exactly."""
    return by_hand(float_layer("first", [[3.0, 1.9], [3.0, 1.0]], 4.0), float_layer("second", [[4.0, 0.0], [0.0, 4.0]], 4.0))


def test_a_rounded_weight_flips_the_one_spike_that_is_known() -> None:
    report = drift(two_layers(), rounded(two_layers()), [inputs((0, 1), (0, 1), (0, 0))])
    first, second = report.layers
    assert first.spikes is not None
    assert second.spikes is not None
    assert first.spikes.flips.tolist() == first.spikes.own_flips.tolist() == [0, 1, 0]
    assert (first.spikes.float_spikes.tolist(), first.spikes.integer_spikes.tolist()) == ([0, 0, 0], [0, 1, 0])
    # The second layer does what it is told: it flips with its input, and not on its own.
    assert second.spikes.flips.tolist() == [0, 1, 0]
    assert second.spikes.own_flips.tolist() == [0, 0, 0]
    assert (first.spikes.first_flip, first.spikes.median_first_flip, second.spikes.first_flip) == (1, 1, 1)
    assert report.first_divergence == (1, "first")


def test_the_potential_error_is_in_thresholds_and_ends_with_the_first_flip() -> None:
    first = drift(two_layers(), rounded(two_layers()), [inputs((0, 1), (0, 1), (0, 0))]).layers[0]
    # One neuron is 0.1 and 0.2 off before it flips, and 3.8 behind it; the other is exact, three times.
    assert first.potential_error == pytest.approx(np.sqrt((0.1**2 + 0.2**2) / 5) / 4)
    assert first.own_potential_error == first.potential_error
    assert first.error_unit == "threshold"


def test_first_flips_are_counted_by_sample() -> None:
    network = two_layers()
    late, early, never = inputs((0, 0), (0, 1), (0, 1)), inputs((0, 1), (0, 1), (0, 0)), inputs((1, 0), (0, 0), (0, 0))
    report = drift(network, rounded(network), [np.concatenate([late, early]), never])
    spikes = report.layers[0].spikes
    assert spikes is not None
    assert spikes.first_flips.tolist() == [2, 1, 3]
    assert (spikes.first_flip, spikes.median_first_flip, spikes.samples_with_flips) == (1, 2, 2)
    fewer = drift(network, rounded(network), [never, never, early]).layers[0].spikes
    assert fewer is not None
    assert (fewer.first_flip, fewer.median_first_flip, fewer.samples_with_flips) == (1, None, 1)


@pytest.mark.parametrize("bias", [0.0, 0.25])
def test_what_integers_hold_exactly_does_not_drift(bias: float) -> None:
    # 127 steps of 1/64, a threshold of 64 steps.
    weights = (np.array([[127, -30], [40, 127], [127, 64]]) / 64).tolist()
    exact = float_layer("exact", weights, 1.0, bias=np.full(3, bias))
    network = by_hand(exact, float_layer("out", (np.array([[127, 5, -64]]) / 64).tolist(), 1.0, reset="none", bias=[bias]), readout="potential")
    events = np.random.default_rng(0).integers(0, 2, (20, 3, 2, 1, 1)).astype(np.int8)
    assert 0.2 < evaluate(network, events).spikes[0].mean() < 0.8
    report = drift(network, fold(network).network, [events])
    spikes = report.layers[0].spikes
    assert spikes is not None
    assert not spikes.flips.any()
    assert not spikes.own_flips.any()
    assert spikes.float_spikes.sum() > 20
    assert (spikes.first_flip, spikes.median_first_flip, spikes.samples_with_flips) == (None, None, 0)
    assert report.layers[1].spikes is None
    assert (report.agreement, report.first_divergence) == (1.0, None)
    # A readout's bias may be rounded; all else is exact.
    assert report.layers[0].potential_error < 1e-12
    assert report.layers[1].potential_error < 0.01
    assert report.layers[1].error_unit == "float values"


def test_dead_and_saturated_neurons_are_found_in_both_networks() -> None:
    # The second neuron never fires, the third always does; the fourth does so in integers alone, the fifth is dead in integers alone.
    weights = [[4.0, 0.0], [1.0, 0.0], [5.0, 5.0], [3.9, 3.9], [0.4, 0.4]]
    network = by_hand(float_layer("out", weights, np.array([4.0, 100.0, 5.0, 4.0, 1.0])))
    events = np.concatenate([inputs((1, 0), (0, 1), (1, 0)), inputs((0, 1), (0, 1), (0, 1))])
    spikes = drift(network, rounded(network), [events[:1], events[1:]]).layers[0].spikes
    assert spikes is not None
    assert spikes.dead == (1, 2)
    assert spikes.saturated == (1, 2)


def test_ranges_are_those_before_the_reset_and_say_the_bits_they_take() -> None:
    network = by_hand(float_layer("out", [[7.0, 9.0]], 8.0))
    layer = drift(network, rounded(network), [inputs((1, 0), (1, 1), (0, 0))]).layers[0]
    current, potential = next(one for one in layer.ranges if one.part != "potential"), layer.potential
    assert (current.part, current.least, current.greatest, current.used_bits, current.bits) == ("dense current from input", 0, 16, 6, 8)
    # 7, then 23 and down to 15: the next step has 15 again, and fires.
    assert (potential.least, potential.greatest, potential.used_bits, potential.bits) == (7, 23, 6, 8)


def test_memory_is_that_of_weights_schedules_and_neurons() -> None:
    network = by_hand(float_layer("out", [[7.0, 9.0], [1.0, 2.0]], np.array([8.0, 3.0])))
    layer = drift(network, rounded(network), [inputs((1, 0), (1, 1), (0, 0))]).layers[0]
    assert {kind: bits for kind, bits in layer.memory_bits.items() if bits} == {
        "weights": 4 * 8, "threshold": 2 * 4, "decrement": 2 * 4, "potentials": 2 * 8,
    }  # fmt: skip


def cells() -> list[Cell]:
    """A few of every kind of neurons, norm, reset, coding and topology that fold."""
    shared = [cell for cell in CELLS if cell.norm.startswith("psp") and cell.topology == "backres"]
    added = [cell for cell in CELLS if cell.norm in LN_NORMS and cell.topology == "residual"]
    return [cell for cell in CELLS if cell not in shared + added][::17]


def folded(cell: Cell, seed: int, samples: int = 3, **options: Any) -> tuple[FloatNetwork, Network, np.ndarray]:
    rng = np.random.default_rng(seed)
    network = random_float_network(rng, cell)
    return network, fold(network, **options).network, random_events(rng, network, samples)


@pytest.mark.parametrize("cell", cells(), ids=str)
def test_every_kind_of_network_is_run_as_the_reference_runs_it(cell: Cell) -> None:
    network, integer, events = folded(cell, 1)
    report = drift(network, integer, [events])
    trace, floats = reference.run(integer, events), evaluate(network, events)
    assert np.array_equal(report.integer_predictions, trace.predictions)
    assert np.array_equal(report.float_predictions, floats.scores.argmax(1))
    assert [layer.name for layer in report.layers] == [layer.name for layer in network.layers]
    for layer, given, spikes in zip(report.layers, network.layers, floats.spikes, strict=True):
        index = trace.populations.index(layer.name)
        assert (layer.spikes is None) == (given.reset == "none")
        assert 0 <= layer.own_potential_error < 0.2
        assert all(one.used_bits <= one.bits for one in layer.ranges)
        assert layer.memory_bits["weights"] == (0 if given.shared else given.weights.size * 8)
        if layer.spikes is not None:
            assert layer.spikes.flips.tolist() == (trace.spikes[index] != spikes).sum((0, 2, 3, 4)).tolist()
            assert layer.spikes.integer_spikes.sum() == trace.spikes[index].sum()
            assert layer.spikes.own_flips.sum() <= 0.06 * spikes.size
    first = report.layers[0].spikes
    assert first is None or np.array_equal(first.flips, first.own_flips)


def test_the_cells_have_every_kind() -> None:
    for part in ("norm", "neuron", "reset", "coding", "topology"):
        assert {getattr(cell, part) for cell in cells()} == {getattr(cell, part) for cell in CELLS}


def test_a_scale_that_nothing_was_normalised_by_is_refused() -> None:
    network, integer, _ = folded(next(cell for cell in CELLS if (cell.norm, cell.topology) == ("psp-ln", "plain")), 2)
    norm = network.layers[0].norm
    other = replace(network, layers=(replace(network.layers[0], norm=replace(norm, kind="psp-bn")), *network.layers[1:]))
    with pytest.raises(NetworkError, match=r"^layer 'layer0' scale: one; the float network has psp-bn there, and must be what was folded$"):
        check_pair(other, integer)


@pytest.mark.parametrize("norm", LN_NORMS)
@pytest.mark.parametrize("topology", ["plain", "pooled", "hybrid"])
def test_potentials_are_divided_by_each_samples_root(norm: str, topology: str) -> None:
    """Samples with few spikes and with many, whose roots differ."""
    compared = 0
    for cell in CELLS:
        if (cell.norm, cell.topology, cell.coding) != (norm, topology, "poisson"):
            continue
        network, integer, events = folded(cell, 1, samples=4)
        events[::2, ::2] = 0
        report = drift(network, integer, [events])
        alone = [drift(network, integer, [events[i : i + 1]]) for i in range(len(events))]
        for i, layer in enumerate(report.layers[:-1]):
            assert layer.own_potential_error < 0.02, (str(cell), layer.name)
            assert all(one.layers[i].own_potential_error < 0.05 for one in alone), (str(cell), layer.name)
            compared += 1
    assert compared >= 4


@pytest.mark.parametrize(
    ("norm", "neuron", "reset", "form", "most"),
    [("bntt", "lif", reset, form, 0.003) for reset in ("soft", "hard") for form in ("B", "C")]
    + [("none", "srm", reset, "auto", 0.05) for reset in ("exponential", "alpha")],
)
def test_potentials_are_unfolded_whatever_the_form(norm: str, neuron: str, reset: str, form: str, most: float) -> None:
    """Weights on a grid of 8 bits (which srm neurons round again) leave next to no error; a bias or scale left out, a tenth of a threshold."""
    for topology in ("residual", "hybrid"):
        cell = next(cell for cell in CELLS if (cell.norm, cell.neuron, cell.reset, cell.topology) == (norm, neuron, reset, topology))
        network, _, events = folded(cell, 4)
        layers = []
        for layer in network.layers:
            steps = weight_steps(layer.weights, 8).reshape(-1, *(1,) * (layer.weights.ndim - 1))
            grid = integer_weights(layer.weights, steps, 8) * steps
            layers.append(replace(layer, weights=grid, leak=layer.leak if layer.leak.max() == 1 else 0.9, bias=np.full(len(steps), 0.2)))
        network = replace(network, layers=tuple(layers))
        report = drift(network, fold(network, form=form, gain_bits=16, graded_bits=14).network, [events])
        for layer in report.layers:
            assert layer.own_potential_error < most, (topology, layer.name)


def test_a_drive_of_a_drive_brings_both_of_their_biases() -> None:
    weights, plan = [[1.27, 0.64], [0.64, -1.27]], {"bias": np.full(2, 0.3), "threshold": 2.0}
    chain = (float_layer("a", weights, **plan), float_layer("b", weights, add="a", **plan), float_layer("c", weights, add="b", **plan))
    network = by_hand(*chain, timesteps=6)
    events = np.random.default_rng(0).integers(0, 2, (4, 6, 2, 1, 1)).astype(np.int8)
    for layer in drift(network, fold(network, gain_bits=16).network, [events]).layers:
        assert layer.own_potential_error < 0.01, layer.name


def same(a: DriftReport, b: DriftReport) -> bool:
    """Compare two reports; sums of squares may differ in their last bits."""
    one, other = a.to_dict(), b.to_dict()
    for layer, twin in zip(one["layers"], other["layers"], strict=True):
        for name in ("potential_error", "own_potential_error"):
            assert layer.pop(name) == pytest.approx(twin.pop(name))
    return bool(one == other)


@pytest.mark.parametrize("topology", ["residual", "hybrid"])
def test_batches_change_nothing(topology: str) -> None:
    network, integer, events = folded(next(cell for cell in CELLS if cell.topology == topology and cell.norm == "bntt"), 2, samples=4)
    assert same(drift(network, integer, [events]), drift(network, integer, [events[:1], events[1:]]))


def test_clamps_are_counted_as_the_reference_counts_them() -> None:
    cell = next(cell for cell in CELLS if (cell.norm, cell.neuron, cell.topology) == ("bn", "if", "plain"))
    network, integer, events = folded(cell, 3, saturate_bits=8)
    clamps = reference.run(integer, events).clamps
    assert clamps is not None
    assert sum(clamps) > 0
    assert tuple(layer.clamps for layer in drift(network, integer, [events]).layers) == clamps


def test_a_network_that_never_fires_has_no_flips_per_spike() -> None:
    network = by_hand(float_layer("out", [[1.0, 1.0]], 100.0))
    layer = drift(network, rounded(network), [inputs((1, 0), (1, 1), (0, 0))]).to_dict()["layers"][0]
    assert (layer["flips"], layer["flip_share"], layer["flips_per_spike"]) == (0, 0.0, None)


def test_the_shares_are_of_all_neurons_samples_and_timesteps() -> None:
    sample = inputs((0, 1), (0, 1), (0, 0))
    report = drift(two_layers(), rounded(two_layers()), [np.concatenate([sample, 0 * sample])]).to_dict()
    first = report["layers"][0]
    assert first["flip_share"] == first["own_flip_share"] == pytest.approx(1 / 12)
    assert first["timesteps"]["flip_share"] == [0.0, 0.25, 0.0]
    assert (report["samples"], report["first_divergence"]) == (2, {"timestep": 1, "layer": "first"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"timesteps": 4}, "integer network timesteps: 3; the float network has 4, and must be what was folded"),
        ({"input": replace(CODING, coding="ternary")}, "integer network input coding: poisson; the float network has ternary"),
        ({"input": replace(CODING, seed=1)}, "integer network input seed: 0; the float network has 1"),
        ({"class_names": ("a", "x")}, "integer network name of class 1: b; the float network has x"),
    ],
)
def test_a_network_that_differs_is_refused_by_name(change: dict[str, Any], words: str) -> None:
    with pytest.raises(NetworkError, match=words):
        drift(replace(two_layers(), **change), rounded(two_layers()), [])


def test_layers_that_differ_are_refused_by_name() -> None:
    network = two_layers()
    first, second = network.layers
    for layers, words in (
        ((first, replace(second, name="other")), "integer network layers: first, second; the float network has first, other"),
        ((replace(first, reset="hard"), second), "layer 'first' reset: soft; the float network has hard"),
        ((float_layer("first", [[1.0, 1.0]], 4.0), replace(second, weights=np.ones((2, 1)))), r"layer 'first' shape: \(2, 1, 1\); the float network"),
        ((first, replace(second, reset="none")), "integer network readout: spike_count; the float network has potential"),
    ):
        readout = "potential" if layers[-1].reset == "none" else "spike_count"
        with pytest.raises(NetworkError, match=words):
            drift(replace(network, layers=layers, readout=readout), rounded(two_layers()), [])


def test_no_events_are_refused() -> None:
    with pytest.raises(DataError, match="drift: there are no events; at least 1 sample is needed"):
        drift(two_layers(), rounded(two_layers()), [])
    with pytest.raises(DataError, match="the network takes int8"):
        drift(two_layers(), rounded(two_layers()), [inputs((0, 1))])
