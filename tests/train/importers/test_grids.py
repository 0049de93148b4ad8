"""Networks with quantised weights, on a few samples; the command trains them and has them all."""

import json
from pathlib import Path

import pytest

from spikefold.quantize.fold import fold
from tests.train.importers import grids

UNTRAINED = ("--epochs", "0", "--samples", "8")


@pytest.mark.parametrize("framework", ["torch", "brevitas"])
def test_integers_spike_as_the_framework(framework: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "grids.json"
    assert grids.main([*UNTRAINED, "--only", f"{framework}, 4 bits, channel, no leak, reset", "--out", str(out)]) == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    (case,) = found["cases"]
    assert (case["bits"], case["kept_bits"]) == (4, [4, 4])
    assert (case["weights_differing"], case["flips"], found["failures"]) == (0, 0, [])
    assert case["spikes"] == 8 * grids.TIMESTEPS * (grids.CHANNELS * 64 + 10)
    assert case["fired"] > 500
    assert "0 weights differ" in capsys.readouterr().out


def test_a_flip_is_the_exit_status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(grids, "fold", lambda network, weight_bits: fold(network, weight_bits=3))
    assert grids.main([*UNTRAINED, "--only", "torch, 4 bits, tensor, no leak, reset"]) == 1
    assert "FAILED: torch, 4 bits, tensor, no leak, reset to 0" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        grids.main(["--only", "nothing"])
