"""The Verilog on a data set: all samples are run, and all that is recorded is compared."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spikefold.chip.placement import Placement
from spikefold.hw.bench import cosim
from spikefold.network.trace import Trace
from spikefold.workflow import verification
from spikefold.workflow.build import Build
from spikefold.workflow.samples import events_of
from spikefold.workflow.simulation import inference_cycles
from spikefold.workflow.verification import run_size, verify
from tests.quantize.networks import integer_network
from tests.virtual import virtual
from tests.workflow.samples import CHIP, dataset


def test_runs_of_the_verilog_have_two_samples_at_least_and_as_many_as_their_cycles_hold() -> None:
    network = integer_network()
    chip = virtual(network, CHIP)
    first = events_of(network, dataset(network), range(1))
    cycles = int(inference_cycles(chip.run(first), 1)[0])
    assert [run_size(chip, first, held) for held in (1, 3 * cycles - 1, 3 * cycles)] == [2, 2, 3]


def test_a_verification_compares_all_that_both_sides_can_record(monkeypatch: pytest.MonkeyPatch) -> None:
    network = integer_network()
    chip = virtual(network, CHIP)

    def hardware(build: Path, placement: Placement, events: np.ndarray, *, simulator: str, top: str) -> Trace:
        return replace(chip.run(events, potentials=True, gaps=None), clamps=None, sops=None)

    monkeypatch.setattr(cosim, "run_rtl", hardware)
    monkeypatch.setattr(verification, "read_build", lambda build: Build(network=network, chip=CHIP, top="spikefold", changed=()))
    found = verify(Path(), dataset(network), samples=3)
    values = {"spikes", "potentials", "scores"}
    assert {kind for kind, count in found.reference.compared.items() if count} == values
    assert {kind for kind, count in found.simulated.compared.items() if count} == values | {"arrivals", "results", "cycles"}
    assert (found.reference.omitted, found.simulated.omitted) == (("clamps", "sops", "timing"), ("clamps", "sops"))
