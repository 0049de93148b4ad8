"""PSP-LN in integers: two passes, thresholds times a root of each sample's own, and what does not fold."""

import math
from dataclasses import replace

import numpy as np
import pytest

from spikefold.chip.config import ChipConfig
from spikefold.chip.placement import place
from spikefold.data.errors import DataError, FoldError, NetworkError
from spikefold.network import reference
from spikefold.network.files import network_file
from spikefold.network.network import Network
from spikefold.network.population import PspScale
from spikefold.network.trace import compare
from spikefold.network.widths import psp_bound
from spikefold.quantize.calibrated import calibrated
from spikefold.quantize.float_evaluation import evaluate, psp_root
from spikefold.quantize.float_network import LN_NORMS, FloatNetwork
from spikefold.quantize.fold import fold
from spikefold.sim import kernels
from tests.chips import chip_of
from tests.float_networks import CELLS, random_events, random_float_network
from tests.virtual import virtual

KINDS = [(norm, reset, topology) for norm in LN_NORMS for reset in ("exponential", "alpha") for topology in ("plain", "pooled", "hybrid")]


def made(norm: str, reset: str, topology: str, seed: int) -> tuple[FloatNetwork, np.ndarray]:
    cell = next(c for c in CELLS if (c.norm, c.reset, c.topology, c.coding) == (norm, reset, topology, "poisson"))
    rng = np.random.default_rng(seed)
    network = random_float_network(rng, cell)
    return network, random_events(rng, network, 4)


def scaled_layers(network: FloatNetwork, integer: Network) -> list[int]:
    return [i for i, p in enumerate(integer.populations) if p.scale and network.layers[i].norm.kind in LN_NORMS]


@pytest.mark.parametrize(("norm", "reset", "topology"), KINDS)
def test_the_integer_root_is_the_divisor(norm: str, reset: str, topology: str):
    compared = 0
    for seed in range(5):
        network, events = made(norm, reset, topology, seed)
        integer = fold(network, gain_bits=16).network
        for index in scaled_layers(network, integer):
            layer, (connection,), scale = network.layers[index], integer.into(index), integer.populations[index].scale
            # What the integer layer receives, as the float layer would.
            payload = events.astype(np.int64) if index == 0 else reference.run(integer, events).spikes[index - 1].astype(np.int64)
            value = 1 / network.input.scale if index == 0 else 1.0
            if index and network.layers[index - 1].neuron == "relu":
                continue  # Its payloads are graded; the next layer shows the same.
            height = np.e / layer.tau_s * value / layer.pool**2 / 2.0**scale.payload_shift
            found = reference.psp_root(scale, connection, payload) * height
            expected = psp_root(layer, payload * value)[:, 0, 0, 0, 0]
            assert np.allclose(found, expected, rtol=1e-3), (index, found, expected)
            assert len(np.unique(found)) > 1
            compared += len(found)
    assert compared >= (8 if topology == "hybrid" else 20)


@pytest.mark.parametrize(("norm", "reset", "topology"), KINDS)
def test_rounding_flips_few_spikes_and_samples_do_not_depend_on_each_other(norm: str, reset: str, topology: str):
    flips = seen = 0
    for seed in range(6):
        network, events = made(norm, reset, topology, seed)
        integer = fold(network, gain_bits=16).network
        together = reference.run(integer, events, potentials=True)
        alone = [reference.run(integer, events[n : n + 1], potentials=True) for n in range(len(events))]
        assert together.potentials is not None
        for layer, potentials in enumerate(together.potentials):
            assert np.array_equal(potentials, np.concatenate([one.potentials[layer] for one in alone]))
        simulated = virtual(integer, chip_of(cores=8)).run(events, potentials=True, timing=False)
        assert compare(together, simulated).equal
        first = next(i for i, p in enumerate(integer.populations) if p.neuron == "srm")
        spikes = evaluate(network, events).spikes[first]
        flips, seen = flips + int((together.spikes[first] != spikes).sum()), seen + spikes.size
    assert flips < 0.012 * seen


def test_the_root_is_that_of_the_definition():
    values = [0, 1, 2, 3, 4, (1 << 62) - 1, *(n * n + d for n in (2, 1000, (1 << 31) - 1) for d in (-1, 0, 1))]
    assert [kernels.root(value) for value in values] == [math.isqrt(value) for value in values]


def test_a_network_with_a_scale_comes_back_from_its_file():
    network, _ = made("psp-ln-eq15", "alpha", "pooled", 1)
    integer = fold(network).network
    again = network_file.loads(network_file.dumps(integer))
    assert [p.scale for p in again.populations] == [p.scale for p in integer.populations]
    assert network_file.dumps(again) == network_file.dumps(integer)


class TestRefused:
    def test_more_than_64_bits_of_squares(self):
        integer = fold(made("psp-ln", "exponential", "plain", 1)[0]).network
        population, scale = integer.populations[0], integer.populations[0].scale
        assert psp_bound(integer.connections[0], scale, integer.timesteps).bit_length() <= 22
        wide = replace(population, scale=replace(scale, payload_shift=24))
        with pytest.raises(
            NetworkError, match=r"^layer 'layer0' scale payload_shift: 24; a postsynaptic potential can reach \d+ or more, and \d+ squares"
        ):
            replace(integer, populations=(wide, *integer.populations[1:]))

    @pytest.mark.parametrize(
        ("fields", "text"),
        [
            ({"about": "median"}, "scale about: value 'median'; it must be one of zero, mean"),
            ({"decay": 65537}, "scale decay: value 65537; it must be an integer in 0..65536"),
            ({"floor": 0}, "scale floor: value 0; it must be an integer in 1..281474976710656"),
            ({"payload_shift": 25}, "scale payload_shift: value 25; it must be an integer in 0..24"),
            ({"shift": -1}, "scale shift: value -1; it must be an integer in 0..31"),
        ],
    )
    def test_fields_out_of_range(self, fields: dict, text: str):
        with pytest.raises(NetworkError) as error:
            PspScale(**{"about": "zero", "decay": 1, "payload_shift": 2, "floor": 1, "shift": 3} | fields)
        assert str(error.value) == text

    def test_another_term_of_the_same_sum(self):
        network, _ = made("psp-ln", "exponential", "plain", 1)
        first, second, *rest = network.layers
        third = replace(second, name="third", add="layer1", norm=replace(second.norm), weights=second.weights)
        with pytest.raises(FoldError, match=r"^layer 'third' add: psp-ln in layer 'third' divides only a part of the sum by each sample's root; "):
            fold(replace(network, layers=(first, second, third, *rest)))

    def test_a_bias_in_a_readout(self):
        network = next(
            n for n, _ in (made("psp-ln", "alpha", "plain", s) for s in range(40)) if n.layers[-1].norm.kind == "psp-ln" and n.readout == "potential"
        )
        fold(network)
        biased = replace(network.layers[-1], bias=np.ones(3))
        with pytest.raises(FoldError, match=r"^layer 'out' bias: psp-ln divides only the other part of a score"):
            fold(replace(network, layers=(*network.layers[:-1], biased)))

    def test_an_early_exit(self):
        network, _ = made("psp-ln", "alpha", "plain", 1)
        with pytest.raises(FoldError, match=r"^timesteps: 1 of \d; the norm psp-ln of layer 'layer0' takes all of them$"):
            fold(network, timesteps=1)

    def test_cores(self):
        from spikefold.data.errors import ChipError

        with pytest.raises(ChipError, match=r"^layer 'layer0' neuron: 'srm'; cores run 'lif' neurons"):
            place(fold(made("psp-ln", "alpha", "plain", 1)[0]).network, ChipConfig())


def test_one_divisor_for_all_samples_is_their_mean_and_costs_flips():
    flips = seen = 0
    for seed in range(8):
        network, events = made("psp-ln", "exponential", "plain", seed)
        streaming = calibrated(network, [events])
        first = network.layers[0]
        roots = psp_root(first, events / network.input.scale)
        assert streaming.layers[0].norm.kind == "psp-bn"
        assert np.allclose(streaming.layers[0].norm.scale, 1 / roots.mean())
        # However the samples are batched, and it is said of how many.
        apart = calibrated(network, [events[:1], events[1:]])
        assert np.allclose(apart.layers[0].norm.scale, streaming.layers[0].norm.scale)
        assert apart.provenance["calibrated layer0"].endswith(f"the mean of {len(events)} samples")
        # With samples that are all alike, nothing is lost.
        alike = np.repeat(events[:1], 3, axis=0)
        same = evaluate(calibrated(network, [alike]), alike).spikes
        assert all(np.array_equal(a, b) for a, b in zip(same, evaluate(network, alike).spikes, strict=True))
        exact, found = evaluate(network, events).spikes, evaluate(streaming, events).spikes
        flips, seen = flips + int((exact[0] != found[0]).sum()), seen + exact[0].size
        assert all(not p.scale for p in fold(streaming).network.populations)
    # Measured: 2.2 % of the first layer's spikes, at a spread of the roots of 11 %.
    assert 0 < flips < 0.06 * seen
    with pytest.raises(FoldError, match=r"^calibration: no layer is normalised by psp-ln"):
        calibrated(streaming, [events])
    with pytest.raises(DataError, match=r"^calibration: there are no events; at least 1 sample is needed$"):
        calibrated(network, [])
