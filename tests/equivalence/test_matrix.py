"""A few networks of every cell of the fold's matrix; the command has them by the thousand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spikefold.quantize import float_network, rounding
from tests.equivalence import matrix
from tests.equivalence.matrix import check_cell, main
from tests.float_networks import CELLS, NORMS

KINDS = sorted({(cell.norm, cell.neuron, cell.reset) for cell in CELLS})


@pytest.mark.parametrize(("norm", "neuron", "reset"), KINDS)
def test_every_cell_folds_exactly_and_is_the_same_in_reference_and_simulator(norm: str, neuron: str, reset: str) -> None:
    cells = [cell for cell in CELLS if (cell.norm, cell.neuron, cell.reset) == (norm, neuron, reset)]
    results = [check_cell(cell, 2, integer=1, rtl=0) for cell in cells]
    assert len(results) == 25
    for result in results:
        assert result.equal, result.first
        # What is refused has one of two reasons: shared weights that a norm would scale, or a divisor of each sample's own beside another term.
        scales = (norm.startswith("psp-bn") or norm == "psp-ln-eq15") and result.cell.topology == "backres"
        divides = norm.startswith("psp-ln") and result.cell.topology == "residual"
        assert bool(result.refused) is (scales or divides)
        assert result.folded == (0 if divides else 2)
    assert sum(result.fired for result in results) > 0.04 * sum(result.spikes for result in results) / 2


def test_weights_on_grids_are_kept_in_every_kind_of_network() -> None:
    """With sparse, constant, dead and single-weight channels among them, and largest codes of every size."""
    results = [check_cell(cell, 0, integer=0, rtl=0, first=seed, grids=1) for seed, cell in enumerate(CELLS[::19])]
    for result in results:
        assert result.equal, result.first
        assert all("shared" in reason or "divides" in reason for reason in result.refused), result.refused
    assert sum(result.grids for result in results) > 0.9 * len(results)
    assert sum(result.grid_weights for result in results) > 8000


def test_a_weight_that_leaves_its_grid_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounding, "grid_codes", lambda flat, bits: np.zeros(len(flat), np.int64))
    cell = next(cell for cell in CELLS if (cell.norm, cell.neuron, cell.topology) == ("none", "if", "plain"))
    result = check_cell(cell, 0, integer=0, rtl=0, grids=4)
    assert result.moved_weights > 50
    assert not result.equal
    assert "left their grid" in result.first


def test_a_fold_that_forgets_something_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each with a cell that must notice it: the comparison itself can fail."""
    cell = next(cell for cell in CELLS if (cell.norm, cell.neuron, cell.topology) == ("bntt", "lif", "residual"))
    folded = matrix.evaluate_folded
    forgetful = {
        "bias": lambda layer: replace(layer, bias=None), "leak": lambda layer: replace(layer, leak=np.ones(1)),
        "initial": lambda layer: replace(layer, initial=np.zeros(1)), "load": lambda layer: replace(layer, load=np.zeros(1)),
        "addition": lambda layer: replace(layer, add=""), "strictness": lambda layer: replace(layer, threshold=layer.threshold * 1.01),
    }  # fmt: skip
    for name, forget in forgetful.items():

        def wrong(network: float_network.FloatNetwork, events: np.ndarray, form: str, forget=forget) -> matrix.FloatTrace:
            return folded(replace(network, layers=tuple(map(forget, network.layers))), events, form)

        monkeypatch.setattr(matrix, "evaluate_folded", wrong)
        assert check_cell(replace(cell, reset="hard"), 30, integer=0, rtl=0).mismatches > 0, name
    assert main(["--networks", "5", "--integer", "0", "--only", str(cell), "--out", str(tmp_path / "m.json")]) == 1


def test_the_table_says_what_was_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    only = "none, lif, soft, poisson"
    assert main(["--networks", "2", "--integer", "1", "--only", only, "--markdown", str(tmp_path / "m.md")]) == 0
    assert "5 cells; networks compared, over 1 codings" in capsys.readouterr().out
    head, _, row = (tmp_path / "m.md").read_text().splitlines()
    assert head == "|normalisation|neuron|reset or refractory response|plain|pooled|backres|residual|hybrid|"
    assert row.startswith("|none|lif|soft|exact, 2; simulator 1|")
    with pytest.raises(SystemExit):
        main(["--only", "nothing"])
    assert "no cell has these words" in capsys.readouterr().err


def test_every_normalisation_is_among_the_cells() -> None:
    assert {cell.norm for cell in CELLS} == {norm for norms in NORMS.values() for norm in norms}
