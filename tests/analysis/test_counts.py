"""The counts, against brute force straight from the definitions: one synapse, one neuron and one timestep at a time."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikefold.analysis.counts import LayerCount, count
from spikefold.chip.parameters import layer_parameters
from spikefold.data.errors import DataError
from spikefold.network import reference
from spikefold.network.connection import Connection
from spikefold.network.files import network_file, tensor_file
from spikefold.network.network import Network
from spikefold.network.trace import Trace
from spikefold.quantize.fold import fold
from tests import oracle
from tests.cases import coding, image, layer, network, single
from tests.float_networks import CELLS, random_events, random_float_network
from tests.quantize.networks import float_network, integer_network
from tests.random_networks import Case, random_case

Figures = dict[str, int]
WORK = (
    "sent", "nonzero", "dense", "effective_macs", "effective_acs", "chip_operations", "chip_macs", "membrane_updates", "weights", "zero_weights",
)  # fmt: skip


def pooled_payload(payload: np.ndarray, side: int) -> np.ndarray:
    """Sum each whole window of [C, H, W]."""
    channels, height, width = payload.shape
    result = np.zeros((channels, height // side, width // side), np.int64)
    for c, y, x in np.ndindex(channels, height // side * side, width // side * side):
        result[c, y // side, x // side] += payload[c, y, x]
    return result


def synapses(k: Connection, tensor: np.ndarray, source: tuple[int, ...], target: tuple[int, int, int]) -> list[tuple[int, int, int, int]]:
    """Return (source channel, y, x, weight) of every synapse on a pooled source of shape ``source``; the padding has none."""
    if k.kind == "dense":
        places = list(np.ndindex(*source))
        return [(*place, int(row[i])) for row in tensor for i, place in enumerate(places)]
    found = []
    for o, oy, ox in np.ndindex(*target):
        for c, ky, kx in np.ndindex(*tensor.shape[1:]):
            y, x = oy * k.stride + ky - k.padding, ox * k.stride + kx - k.padding
            if 0 <= y < source[1] and 0 <= x < source[2]:
                found.append((c, y, x, int(tensor[o, c, ky, kx])))
    return found


def brute_force(net: Network, events: np.ndarray, trace: Trace) -> list[Figures]:
    """Count everything of ``WORK`` for each layer, one at a time; ``dense`` is an inference's, the rest the sum of all samples."""
    assert trace.potentials is not None
    sent = {"input": events.astype(np.int64)}
    counted: set[str] = set()
    found: list[Figures] = []
    for i, p in enumerate(net.populations):
        figures = dict.fromkeys(WORK, 0)
        spikes, potentials = trace.spikes[i], trace.potentials[i]
        sent[p.name] = np.where(spikes, potentials, 0) if p.output == "graded" else spikes.astype(np.int64)
        for k in net.into(i):
            if k.kind == "identity":
                figures["chip_operations"] += sum(1 for payload in sent[k.source].flat if payload != 0)
                continue
            tensor = net.weights_of(k).tensor
            if k.weights not in counted:
                counted.add(k.weights)
                figures["weights"] += tensor.size
                figures["zero_weights"] += sum(1 for weight in tensor.flat if weight == 0)
            shape = pooled_payload(sent[k.source][0, 0], k.pool).shape
            reached = synapses(k, tensor, shape, p.shape)
            figures["dense"] += net.timesteps * len(reached)
            for n, t in np.ndindex(*events.shape[:2]):
                payload = sent[k.source][n, t]
                seen, counts = pooled_payload(payload, k.pool), pooled_payload((payload != 0).astype(np.int64), k.pool)
                effective = sum(1 for c, y, x, weight in reached if weight and seen[c, y, x])
                figures["effective_acs" if set(seen.flat) <= {-1, 0, 1} else "effective_macs"] += effective
                walked = sum(int(counts[c, y, x]) for c, y, x, _ in reached)
                figures["chip_operations"] += walked
                figures["chip_macs"] += walked if k.payload_bits > 2 else 0
        figures["sent"] = sent[p.name].size
        figures["nonzero"] = sum(1 for payload in sent[p.name].flat if payload != 0)
        if p.neuron != "linear":
            for n, t in np.ndindex(*events.shape[:2]):
                changed = potentials[n, t] != potentials[n, t - 1] if t else np.ones(p.shape, np.bool_)
                figures["membrane_updates"] += sum(1 for one in changed.flat if one)
        found.append(figures)
    return found


def counted(layers: tuple[LayerCount, ...]) -> list[Figures]:
    return [{name: getattr(found, name) for name in WORK} for found in layers]


@pytest.mark.parametrize("seed", range(12))
def test_brute_force_counts_the_same_on_random_networks(seed: int):
    case = random_case(seed, small=True, timesteps=4)
    events = case.events[:2]
    found = count(case.network, [events])
    assert counted(found.layers) == brute_force(case.network, events, oracle.run(case.network, events))


@pytest.mark.parametrize(
    "cell",
    [c for c in CELLS if c.coding in ("poisson", "direct") and (c.norm, c.neuron) in (("bntt", "lif"), ("none", "srm")) and c.reset != "hard"],
    ids=str,
)
def test_brute_force_counts_the_same_on_folded_graphs(cell: Any):
    """Shared weights, residual drives and spikes, ReLU layers and spike response neurons."""
    rng = np.random.default_rng(3)
    floats = random_float_network(rng, cell, timesteps=4)
    net, events = fold(floats).network, random_events(rng, floats, samples=2)
    found = count(net, [events])
    assert counted(found.layers) == brute_force(net, events, reference.run(net, events, potentials=True))


def only(case: Case) -> LayerCount:
    """The count of a network of one layer."""
    (found,) = count(case.network, [case.events]).layers
    return found


def operations(found: LayerCount) -> tuple[int, int, int, int]:
    return found.dense, found.effective_macs, found.effective_acs, found.chip_operations


WEIGHTS = [[2, 0, -3], [0, 1, -5], [-1, 2, 0]]


def test_the_example_of_neurobench():
    """Its documentation multiplies such a matrix with an input of which the first element is 0: 4 effective of 9 operations."""
    assert operations(only(single("ternary", [[0, 1, -1]], WEIGHTS))) == (9, 0, 4, 6)
    graded = only(single("graded", [[0, 3, -1]], WEIGHTS, payload_bits=4))
    assert operations(graded) == (9, 4, 0, 6)
    assert graded.chip_macs == 6
    assert (graded.weights, graded.zero_weights) == (9, 3)


def test_graded_payloads_of_1_are_accumulations_and_the_chip_multiplies_all_the_same():
    found = only(single("graded", [[0, 1, -1]], WEIGHTS, payload_bits=4))
    assert operations(found) == (9, 0, 4, 6)
    assert found.chip_macs == 6


def test_weights_of_0_are_no_effective_operations():
    found = only(single("zeros", [[1, 1], [0, 1]], [[0, 0], [0, 0]]))
    assert operations(found) == (8, 0, 0, 6)
    assert (found.weights, found.zero_weights) == (4, 4)
    assert found.to_dict(1)["neurobench"]["ConnectionSparsity"] == 1.0
    assert found.to_dict(1)["neurobench"]["ActivationSparsity"] == 1.0


def test_an_input_of_nothing_takes_nothing():
    assert operations(only(single("silent", [[0, 0, 0]] * 2, WEIGHTS))) == (18, 0, 0, 0)


def test_pooled_spikes_are_one_operation_and_the_chip_adds_each():
    marks = [(0, 0, 0, 0, 1), (1, 0, 0, 0, 1), (1, 0, 0, 1, 1), (2, 0, 0, 0, 1), (2, 0, 1, 1, -1), (3, 0, 4, 0, 1)]
    case = image("pooled", (1, 5, 4), marks, np.ones((3, 1, 1, 1), np.int8), 4, pool=2)
    first = count(case.network, [case.events]).layers[0]
    # One spike in a window, two in one, two that cancel, and one that is in no window.
    assert operations(first) == (4 * 4 * 3, 3, 3, 15)
    by_time = [count(replace(case.network, timesteps=1), [case.events[:, t : t + 1]]).layers[0] for t in range(4)]
    assert [operations(found)[1:] for found in by_time] == [(0, 3, 3), (3, 0, 6), (0, 0, 6), (0, 0, 0)]


def test_the_padding_is_no_input():
    case = image("padded", (1, 3, 3), [(0, 0, 0, 0, 1), (0, 0, 1, 1, 1)], np.ones((1, 1, 3, 3), np.int8), 1, padding=1)
    assert operations(count(case.network, [case.events]).layers[0]) == (4 * 4 + 4 * 6 + 9, 0, 4 + 9, 4 + 9)


def test_each_sample_decides_for_itself_in_each_timestep():
    payloads = [[[1, 0, 0], [0, 2, 0]], [[3, 0, 0], [0, -1, 0]]]
    case = single("mixed", payloads, WEIGHTS, payload_bits=4)
    assert operations(only(case)) == (18, 4, 4, 12)


@pytest.mark.parametrize("seed", [1, 5])
def test_batches_change_nothing(seed: int):
    case = random_case(seed, small=True, timesteps=3)
    whole = count(case.network, [case.events])
    single_samples = count(case.network, (case.events[n : n + 1] for n in range(len(case.events))))
    assert single_samples.layers == whole.layers
    assert np.array_equal(single_samples.predictions, whole.predictions)
    assert single_samples.to_dict() == whole.to_dict()


def test_membrane_updates_are_changes_and_the_whole_first_timestep():
    # The potentials are 0, 2, 2, 2, and 0 throughout.
    case = single("updates", [[0, 0], [1, 0], [0, 0], [0, 0]], [[2, 0], [0, 0]], threshold=9)
    found = only(case)
    assert found.membrane_updates == 2 + 1
    assert (found.sent, found.nonzero) == (8, 0)
    fires = only(single("fires back", [[0], [1], [1], [0]], [[2]], threshold=2, decrement=2))
    # Each spike takes back what the input added, so no timestep leaves a change.
    assert (fires.membrane_updates, fires.nonzero) == (1, 2)


def test_linear_neurons_have_no_membrane_and_identities_no_synapses():
    cell = next(c for c in CELLS if (c.norm, c.neuron, c.reset, c.coding, c.topology) == ("bntt", "lif", "soft", "poisson", "residual"))
    # With this seed it is a drive that is added, not spikes.
    rng = np.random.default_rng(0)
    floats = random_float_network(rng, cell, timesteps=3)
    net = fold(floats).network
    found = {one.name: one for one in count(net, [random_events(rng, floats)]).layers}
    drive, fed = found["layer0.drive"], found["layer0"]
    assert drive.membrane_updates == 0
    assert drive.nonzero > 0
    assert drive.norm_operations == drive.gain_multiplications == drive.neurons * 3
    assert (fed.weights, fed.dense, fed.effective_macs, fed.effective_acs) == (0, 0, 0, 0)
    assert fed.to_dict(1)["neurobench"]["ConnectionSparsity"] is None
    # The layer is there twice, its normalisation once; the gain of the identity remains.
    assert fed.norm_operations == 0
    assert fed.chip_operations == drive.nonzero
    assert fed.gain_multiplications == fed.neurons * 3


def test_the_footprint_is_what_the_tensors_of_the_file_take(tmp_path: Path):
    shared = next(c for c in CELLS if c.topology == "backres" and c.norm == "bntt" and c.coding == "poisson")
    floats = random_float_network(np.random.default_rng(0), shared, timesteps=3)
    for net in (integer_network(), random_case(3, small=True).network, fold(floats).network):
        network_file.save(net, tmp_path / "net.safetensors")
        tensors = tensor_file.read(tmp_path / "net.safetensors")[1]
        events = np.zeros((1, net.timesteps, *net.input.shape), np.int8)
        assert count(net, [events]).total.stored_bytes == sum(tensor.nbytes for tensor in tensors.values())


def test_memory_is_at_the_widths_of_the_network():
    net = integer_network()
    found = count(net, [np.zeros((1, 3, 1, 6, 6), np.int8)])
    for index, one in enumerate(found.layers):
        parameters = layer_parameters(net, index, 0)
        schedules = {name: p.values.size * p.bits for name, p in parameters.items() if p.axes}
        population = net.populations[index]
        expected = schedules | {
            "weights": net.weights[index].tensor.size * net.weights[index].bits,
            "potentials": population.size * population.potential_bits,
        }
        assert {kind: bits for kind, bits in one.memory_bits.items() if bits} == expected
    document = found.to_dict()
    assert document["chip"]["memory_bits"]["all"] == sum(sum(one.memory_bits.values()) for one in found.layers)
    kinds = ("gain", "gain_shift", "threshold", "decrement", "load")
    assert document["normalisation"]["schedule_bits"]["all"] == sum(found.total.memory_bits.get(kind, 0) for kind in kinds)


def norm_figures(**options: Any) -> tuple[int, int, int]:
    found = only(
        single("norm", [[1, 0]] * 4, [[1, 2], [3, 4], [5, 6]], threshold=[9] if "threshold" not in options else options.pop("threshold"), **options)
    )
    return found.norm_operations, found.gain_multiplications, found.gain_terms


def test_normalisation_is_read_off_gains_and_thresholds():
    every = 3 * 4
    assert norm_figures() == (0, 0, 0)
    assert norm_figures(gain=7) == (every, every, 2 * every)
    assert norm_figures(gain=1, gain_shift=1) == (every, every, every)
    assert norm_figures(gain=[1, 1, 1, 2]) == (every, every, every)
    assert norm_figures(threshold=[9, 8, 7, 6]) == (every, 0, 0)
    # What differs by channel alone comes from steps that differ by channel.
    assert norm_figures(threshold=[[9, 8, 7]]) == (0, 0, 0)
    assert norm_figures(reset="hard", load=[1, 2, 3, 4]) == (every, 0, 0)


def test_a_folded_norm_is_seen():
    floats = float_network()
    net = fold(floats).network
    found = count(net, [np.zeros((1, net.timesteps, *net.input.shape), np.int8)])
    first, second = found.layers
    assert first.norm_operations == first.gain_multiplications == first.neurons * net.timesteps
    assert second.norm_operations == second.gain_multiplications == 0


@pytest.mark.parametrize("topology", ["plain", "pooled", "hybrid"])
def test_the_first_pass_of_psp_ln_is_counted(topology: str):
    cell = next(c for c in CELLS if (c.norm, c.topology, c.coding, c.reset) == ("psp-ln", topology, "poisson", "exponential"))
    rng, seen = np.random.default_rng(3), 0
    floats = random_float_network(rng, cell)
    net = fold(floats).network
    for i, (found, population) in enumerate(zip(count(net, [random_events(rng, floats, 1)]).layers, net.populations, strict=True)):
        if population.scale is None:
            assert found.root_multiplications == 0
            continue
        (connection,) = net.into(i)
        received, multiplications = pooled_payload(np.zeros(net.source(connection).shape, np.int64), connection.pool), 0
        for _ in np.ndindex(net.timesteps, *received.shape):
            multiplications += len(("psp", "rise", "square"))
        seen += multiplications
        assert found.root_multiplications == multiplications + population.threshold.values.size + population.decrement.values.size
        assert found.norm_operations == 2 * net.timesteps * received.size
    assert seen > 0


def test_the_total_is_the_sum_of_the_layers():
    case = random_case(2, small=True, layers=3, timesteps=3)
    found = count(case.network, [case.events])
    for field in fields(LayerCount):
        if field.name not in ("name", "memory_bits"):
            assert getattr(found.total, field.name) == sum(getattr(one, field.name) for one in found.layers)
    document = found.to_dict()
    assert [one["name"] for one in document["layers"]] == [p.name for p in case.network.populations]
    assert document["neurobench"]["Footprint"] == sum(one["neurobench"]["Footprint"] for one in document["layers"])
    trace = reference.run(case.network, case.events)
    assert trace.sops is not None
    assert document["chip"]["synaptic_operations"] == trace.sops.sum() / len(case.events)
    assert found.accuracy(trace.predictions) == 1.0


def test_no_events_and_wrong_ones_are_refused():
    net = integer_network()
    with pytest.raises(DataError, match=r"^count: there are no events; at least 1 sample is needed$"):
        count(net, [])
    with pytest.raises(DataError, match=r"^events: int8 \[1, 3, 1, 5, 6\]; the network takes int8 \[N, 3, 1, 6, 6\]"):
        count(net, [np.zeros((1, 3, 1, 5, 6), np.int8)])


def test_a_readout_that_integrates_sends_zeros():
    out = layer("input", "out", (1, 1, 2), [[1, 2], [3, 4]], (0, 1, 2), reset="none", threshold=(1 << 24) - 1)
    net = network([out], coding((1, 1, 2), 2), 2, "potential")
    (found,) = count(net, [np.ones((3, 2, 1, 1, 2), np.int8)]).layers
    assert (found.sent, found.nonzero) == (3 * 2 * 2, 0)
    assert found.membrane_updates == 3 * 2 * 2
