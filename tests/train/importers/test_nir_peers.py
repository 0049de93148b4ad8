"""What is exported, read by others: the ``nir`` package with its types checked, SpikingJelly and snnTorch.

Every spike of the last layer is compared.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import snntorch
import torch
from snntorch.import_nir import import_from_nir as snntorch_module
from spikingjelly.activation_based.nir_exchange import import_from_nir as spikingjelly_module

from spikefold.data.coding import InputCoding
from spikefold.quantize.float_evaluation import evaluate
from spikefold.quantize.float_network import FloatLayer, FloatNetwork, Norm
from spikefold.train.importers.errors import SourceError
from spikefold.train.importers.modules import random_events
from spikefold.train.importers.nir_export import DT_S, export_nir
from spikefold.train.importers.nir_import import NirRules
from tests.train.importers import nir_definition

T, SAMPLES = 5, 3
RULES = NirRules(dt=DT_S, compare="above", reset="hard")
RNG = np.random.default_rng(0)
EACH = {"threshold": np.array([0.3, 0.4, 0.5])}
UNKNOWN = "Unknown node type"


def layer(name: str, weights: tuple[int, ...], *, bias: bool = True, **options: Any) -> FloatLayer:
    """A layer with a hard reset to 0 and one leak and threshold, which is what every reader takes."""
    out, fan_in = weights[0], np.prod(weights[1:])
    neurons = {"leak": float(RNG.uniform(0.5, 0.95)), "threshold": float(RNG.uniform(0.3, 0.8)), "reset": "hard", "load": np.zeros(1)}
    values = RNG.normal(0.5 / np.sqrt(fan_in), 1.5 / np.sqrt(fan_in), weights)
    given = {**neurons, "norm": Norm.none(out), "fires_at_threshold": False, **options}
    return FloatLayer(
        name=name, kind="dense" if len(weights) == 2 else "conv2d", weights=values, bias=RNG.normal(0.2, 0.1, out) if bias else None, **given
    )


@dataclass(frozen=True)
class Case:
    """Layers behind an input, and the readers that cannot take one of their nodes, with their own words."""

    shape: tuple[int, int, int]
    layers: list[FloatLayer]
    refused: dict[str, str]


PERFECT = {"leak": 1.0}
WRONG_IN_SNNTORCH = "a reset to another value than 0"
"""It resets to 0 whatever v_reset is, and says nothing."""
CASES = {
    "dense": Case((1, 4, 4), [layer("a", (6, 16)), layer("b", (5, 6)), layer("c", (3, 5))], {}),
    "dense without bias": Case((1, 4, 4), [layer("a", (6, 16), bias=False), layer("b", (3, 6), bias=False)], {}),
    "dense behind a row": Case((5, 1, 1), [layer("a", (6, 5)), layer("b", (3, 6))], {}),
    "convolutions": Case((2, 5, 6), [layer("a", (3, 2, 3, 3), padding=1), layer("b", (3, 3, 3, 3), stride=2, bias=False)], {}),
    "pooled convolutions": Case((2, 8, 8), [layer("a", (3, 2, 3, 3), padding=1, pool=2), layer("b", (3, 3, 2, 2), pool=2)], {}),
    "convolution and dense": Case((2, 5, 5), [layer("a", (3, 2, 3, 3)), layer("b", (4, 27)), layer("c", (3, 4))], {}),
    "pooled dense": Case((2, 5, 5), [layer("a", (3, 2, 3, 3)), layer("b", (3, 3), pool=3)], {}),
    "a norm in the weights": Case((1, 4, 4), [layer("a", (3, 16), norm=Norm(
        kind="bn", gamma=np.array([[0.5, -1.5, 2.0]]), beta=np.full((1, 3), 0.2), mean=np.full((1, 3), 0.1), var=np.full((1, 3), 0.7), eps=1e-5,
    )), layer("b", (3, 3))], {}),
    # snnTorch takes the resistance for a factor that must be 1, and would make a leak of 0.9 of it.
    "IF": Case((1, 4, 4), [layer("a", (6, 16), **PERFECT), layer("b", (3, 6), **PERFECT)], {"snntorch": "r != 1 not supported"}),
    "a threshold for each channel": Case((1, 4, 4), [layer("a", (3, 16), **EACH)], {
        "snntorch": "v_threshold must be same for all neurons", "spikingjelly": "v_threshold must be uniform across all neurons",
    }),
    WRONG_IN_SNNTORCH: Case((1, 4, 4), [layer("a", (6, 16), load=np.full(1, -0.3)), layer("b", (3, 6))], {
        "spikingjelly": "v_leak must equal v_reset",
    }),
    "a readout that leaks (LI)": Case((1, 4, 4), [layer("a", (6, 16)), layer("b", (3, 6), reset="none")], {
        "snntorch": UNKNOWN, "spikingjelly": UNKNOWN,
    }),
    "a readout that sums (I)": Case((1, 4, 4), [layer("a", (6, 16)), layer("b", (3, 6), reset="none", **PERFECT)], {
        "snntorch": UNKNOWN, "spikingjelly": UNKNOWN,
    }),
}  # fmt: skip


def network_of(case: Case) -> FloatNetwork:
    coding = InputCoding(shape=case.shape, coding="ternary", mean=0.0, std=1.0, scale=1.0, payload_bits=2, seed=0)
    readout: Any = "potential" if case.layers[-1].reset == "none" else "spike_count"
    classes = tuple(map(str, range(len(case.layers[-1].weights))))
    return FloatNetwork(timesteps=T, input=coding, layers=tuple(case.layers), readout=readout, class_names=classes)


def by_definition(graph: Any, x: Any) -> Any:
    return nir_definition.sent(graph, x, RULES)["output"]


def by_spikingjelly(graph: Any, x: Any) -> Any:
    module, state, found = spikingjelly_module(graph, dt=DT_S, dtype=torch.float64), None, []
    for step in torch.from_numpy(x):
        spikes, state = module(step, state)
        found.append(spikes)
    return np.asarray(torch.stack(found))


def by_snntorch(graph: Any, x: Any) -> Any:
    """One sample after the other: snnTorch flattens from the first axis on, where NIR has no batch."""
    module = snntorch_module(graph).double()
    neurons = [part for part in module.modules() if isinstance(part, snntorch.Leaky)]
    for part in neurons:
        # Its own surrogates give float32 whatever the potentials are, and a float64 layer does not take them.
        part.spike_grad = lambda potential: (potential > 0).to(potential.dtype)
    found = []
    for sample in torch.from_numpy(np.moveaxis(x, 1, 0).copy()):
        for part in neurons:
            part.reset_mem()
        found.append(torch.stack([module(step)[0] for step in sample]))
    return np.asarray(torch.stack(found, 1))


READERS = {"nir": by_definition, "spikingjelly": by_spikingjelly, "snntorch": by_snntorch}


@pytest.mark.usefixtures("hdf5_in_this_process")
@pytest.mark.parametrize("name", CASES)
def test_every_exported_graph_is_read_by_others(name: str, tmp_path: Path) -> None:
    case, path = CASES[name], tmp_path / "net.nir"
    network = network_of(case)
    export_nir(network, path)
    events = random_events(np.random.default_rng(1), network.input, T, SAMPLES)
    x, trace = np.moveaxis(events, 1, 0).astype(np.float64), evaluate(network, events)
    kinds = [type(node).__name__ for node in nir.read(path).nodes.values()]
    assert kinds.count("Flatten") == any(found.kind == "dense" for found in network.layers), "maps become a row once"
    for reader, run in READERS.items():
        graph = nir.read(path)
        if words := case.refused.get(reader):
            with pytest.raises((ValueError, AssertionError), match=words):
                run(graph, x)
            continue
        with torch.no_grad():
            got = np.moveaxis(run(graph, x), 1, 0)
        if network.readout == "potential":
            np.testing.assert_allclose(got[:, -1].reshape(SAMPLES, -1), trace.scores, atol=1e-12)
        else:
            same = np.array_equal(got.reshape(trace.spikes[-1].shape), trace.spikes[-1])
            assert same != (name == WRONG_IN_SNNTORCH and reader == "snntorch"), reader
    assert all(0.05 < spikes.mean() < 0.95 for spikes in trace.spikes[: len(network.layers) - (network.readout == "potential")])


@pytest.mark.usefixtures("hdf5_in_this_process")
def test_a_convolution_behind_a_dense_layer_is_refused(tmp_path: Path) -> None:
    """NIR has no node that gives a row of neurons the axes of maps."""
    for behind in (layer("b", (3, 4, 1, 1)), layer("b", (3, 4, 1, 1), pool=1, padding=0)):
        with pytest.raises(SourceError, match=r"layer 'b': it takes the row of neurons of a dense layer for maps; .* so make it dense"):
            export_nir(network_of(Case((1, 4, 4), [layer("a", (4, 16)), behind], {})), tmp_path / "net.nir")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("hdf5_in_this_process")
def test_an_oblong_kernel_is_the_exception_that_export_names(tmp_path: Path) -> None:
    """The package takes every kernel for a square when it checks types, and reads the graph only without that."""
    network = network_of(Case((2, 5, 5), [layer("a", (3, 2, 1, 2))], {}))
    exported = export_nir(network, tmp_path / "net.nir")
    assert exported.unsaid == ("layer 'a' has a kernel of 1 x 2, which nir's own reader takes for a square",)
    with pytest.raises(ValueError, match="type mismatch"):
        nir.read(tmp_path / "net.nir")
    events = random_events(np.random.default_rng(1), network.input, T, SAMPLES)
    x, expected = np.moveaxis(events, 1, 0).astype(np.float64), evaluate(network, events).spikes[-1]
    for reader, run in READERS.items():
        with torch.no_grad():
            got = run(nir.read(tmp_path / "net.nir", type_check=False), x)
        np.testing.assert_array_equal(np.moveaxis(got, 1, 0), expected, reader)
