"""The networks of the examples, trained in snnTorch and SpikingJelly: imported over the whole test split, then folded, simulated and in Verilog."""

import runpy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikefold.chip.config import ChipConfig
from spikefold.chip.placement import place
from spikefold.data.coding import InputCoding, encode
from spikefold.data.datasets import load_dataset
from spikefold.quantize.float_evaluation import float_accuracy
from spikefold.quantize.fold import fold
from spikefold.train.importers.modules import Imported, import_module
from spikefold.workflow.build import generate
from spikefold.workflow.reference_check import compare_with_reference
from spikefold.workflow.verification import verify

EXAMPLES = Path(__file__).parents[3] / "examples"
CODING = InputCoding(shape=(1, 8, 8), coding="direct", mean=0.0, std=16.0, scale=16.0, payload_bits=6, seed=0)
FRAMEWORKS = {"snntorch": 0.972, "spikingjelly": 0.969}
"""The accuracy on the test split that the example printed."""


def example(framework: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / f"own_{framework}.py"))


@cache
def imported(framework: str) -> Imported:
    data, script = load_dataset("digits", "test"), example(framework)
    events = encode(data.images[:], CODING, script["TIMESTEPS"], range(len(data)))
    return import_module(
        script["net"](), coding=CODING, timesteps=script["TIMESTEPS"], class_names=data.class_names, events=events, provenance={"data": "digits"}
    )


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_spike_of_the_test_split(framework: str) -> None:
    result = imported(framework)
    assert result.compared == (368 * 8 * 384, 368 * 8 * 10)
    assert all(0.05 < rate < 0.5 for rate in result.rates)
    assert float_accuracy(result.network, load_dataset("digits", "test")) == pytest.approx(FRAMEWORKS[framework], abs=0.001)
    kinds = [(layer.norm.kind, layer.reset) for layer in result.network.layers]
    assert kinds == {"snntorch": [("bntt", "soft"), ("none", "soft")], "spikingjelly": [("bn", "hard"), ("bntt", "soft")]}[framework]


@pytest.mark.parametrize("framework", ["snntorch", pytest.param("spikingjelly", marks=pytest.mark.deep)])
def test_folded_simulated_and_in_verilog(framework: str, tmp_path: Path) -> None:
    network = fold(imported(framework).network).network
    chip, data = ChipConfig(), load_dataset("digits", "test")
    checked = compare_with_reference(place(network, chip, untimed=True), data, samples=40)
    assert checked.comparison.equal, checked.comparison.first
    assert checked.accuracy > 0.9
    generate(place(network, chip), data, tmp_path)
    verified = verify(tmp_path, data, samples=1)
    assert verified.reference.compared["spikes"] == 8 * 394
    assert not any(verified.reference.differing.values())
    assert not any(verified.simulated.differing.values())


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_examples_train(framework: str, tmp_path: Path) -> None:
    script = example(framework)
    module = {"snntorch": "Net", "spikingjelly": "untrained"}[framework]
    script["main"].__globals__.update(EPOCHS=1, WEIGHTS=tmp_path / "weights.safetensors")
    script["main"]()
    found = script["net"]().state_dict()
    assert found.keys() == script[module]().state_dict().keys()
    kept = runpy.run_path(str(EXAMPLES / f"own_{framework}.py"))["net"]().state_dict()
    assert any(not np.array_equal(found[name], kept[name]) for name in found)
    assert (EXAMPLES / f"own_{framework}.safetensors").stat().st_size < 100_000
