"""The whole way in one call: train, quantise, simulate, compare with the reference, generate Verilog, run it and compare again."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from spikefold.chip.config import ChipConfig
from spikefold.chip.placement import place
from spikefold.data.datasets import Dataset, load_dataset
from spikefold.data.errors import DataError
from spikefold.data.files import MODEL, SUMMARY, write_text
from spikefold.data.provenance import versions
from spikefold.network.files import network_file
from spikefold.quantize.float_file import load_float
from spikefold.quantize.float_network import FloatNetwork
from spikefold.quantize.fold import fold
from spikefold.quantize.fold_result import FoldResult
from spikefold.train.recipes.recipe import load_recipe, trained_widths
from spikefold.workflow.accuracy import float_accuracy
from spikefold.workflow.batches import Progress
from spikefold.workflow.build import generate
from spikefold.workflow.comparison import comparison_table
from spikefold.workflow.reference_check import ReferenceCheck, compare_with_reference
from spikefold.workflow.samples import data_for
from spikefold.workflow.simulation import simulate
from spikefold.workflow.verification import Verification, verify

__all__ = ["RECIPES", "RTL_SAMPLES", "demo"]

RECIPES = Path(__file__).parents[1] / "examples" / "recipes"
"""The recipes that come with the package, one a data set and named for it, with underscores."""
RTL_SAMPLES = {"digits": 20}
RTL_SAMPLES_OTHERS = 3
TOOK_PART = ("spikefold", "python", "numpy", "torch", "numba", "amaranth", "cocotb")


def demo(
    folder: Path,
    *,
    run: Path | None = None,
    data_name: str | None = None,
    data_dir: Path | None = None,
    chip: ChipConfig | None = None,
    samples: int | None = None,
    rtl_samples: int | None = None,
    simulator: Literal["icarus", "verilator"] = "icarus",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Go the whole way in ``folder``, which exists and is empty, and return what its ``summary.json`` holds.

    A trained ``run`` (a folder) takes the place of training the recipe of ``data_name``. Float network, reference and simulator run on the first
    ``samples`` of the test split (None: all), the Verilog on ``rtl_samples`` (None: 20 digits, or 3 of a larger data set).
    What is not equal is in the summary; bad input is a SpikefoldError.
    """
    seconds: dict[str, float] = {}
    chip = ChipConfig() if chip is None else chip
    # Before the training, not after it: what is asked of the data.
    if run is None:
        recipe = _recipe(data_name or "digits")
        data = load_dataset(data_name or "digits", "test", data_dir)
    else:
        float_network = load_float(run / MODEL)
        data = data_for(float_network, data_name, "test", data_dir)
    count = rtl_samples or RTL_SAMPLES.get(data.name, RTL_SAMPLES_OTHERS)
    for asked in (samples or 0, count):
        if asked > len(data):
            raise DataError(f"data set {data.name!r}: {asked} samples are asked for; it has {len(data)}")
    with timed("train", seconds):
        if run is None:
            float_network = _train(recipe, folder, data_dir, progress)
    with timed("quantize", seconds):
        folded = _fold(float_network, run, chip)
        network_file.save(folded.network, folder / "net.safetensors")
        placement = place(folded.network, chip, untimed=True)
    with timed("float network", seconds):
        float_share = float_accuracy(float_network, data, samples=samples, progress=progress)
    with timed("simulate", seconds):
        simulation = simulate(placement, data, samples=samples, progress=progress)
    with timed("reference", seconds):
        check = compare_with_reference(placement, data, samples=samples, progress=progress)
    with timed("generate", seconds):
        (folder / "build").mkdir()
        generate(placement, data, folder / "build")
    with timed("verify", seconds):
        verified = verify(folder / "build", data, samples=count, simulator=simulator, progress=progress)
    summary = {
        **_compared(data, check, verified),
        "float_accuracy": float_share,
        "simulated_accuracy": simulation.accuracy,
        "simulation": simulation.summary(),
        "layers": [asdict(layer) for layer in folded.layers],
        "seconds": seconds,
        "versions": versions(*TOOK_PART, installed_only=True) | {"simulator": simulator},
    }
    write_text(folder / SUMMARY, json.dumps(summary, indent=2) + "\n")
    return summary


def _fold(network: FloatNetwork, run: Path | None, chip: ChipConfig) -> FoldResult:
    """Fold a network with the widths of its run, and with gains that the chip's cores can shift."""
    widths = {} if run is None else trained_widths(run)
    terms = chip.architecture.gain_terms
    if terms and not 0 < widths.get("gain_terms", 0) <= terms:
        widths["gain_terms"] = terms
    return fold(network, **widths)


def _compared(data: Dataset, check: ReferenceCheck, verified: Verification) -> dict[str, Any]:
    """Return the comparisons of the three executions as JSON has them."""
    return {
        "data": data.name,
        "class_names": list(data.class_names),
        "samples": check.samples,
        "integer_accuracy": check.accuracy,
        "reference_vs_simulator": comparison_table(check.comparison, check.samples),
        "reference_vs_rtl": comparison_table(verified.reference, verified.samples),
        "simulator_vs_rtl": comparison_table(verified.simulated, verified.samples),
        "cycles": verified.cycles(),
        "equal": check.comparison.equal and verified.equal,
    }


def _recipe(data_name: str) -> Path:
    """Return the recipe for a data set."""
    recipe = RECIPES / f"{data_name.replace('-', '_')}.toml"
    if not recipe.is_file():
        raise DataError(f"data set {data_name!r}: no recipe for it comes with the package; train one and name its run")
    return recipe


def _train(recipe: Path, folder: Path, data_dir: Path | None, progress: Progress | None) -> FloatNetwork:
    from spikefold.train.methods.training import Epoch
    from spikefold.train.runs.run import train

    epochs = load_recipe(recipe).train.epochs

    def note(epoch: Epoch) -> None:
        if progress is not None:
            progress("train", epoch.epoch, epochs)

    return load_float(train(recipe, folder / "run", data_dir=data_dir, progress=note).model)


@contextmanager
def timed(stage: str, seconds: dict[str, float]) -> Iterator[None]:
    """Note how long a stage took."""
    start = time.perf_counter()
    yield
    seconds[stage] = round(time.perf_counter() - start, 2)
