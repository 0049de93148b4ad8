"""The long comparison, on a few networks: its result, and that it fails when it must."""

import json
from pathlib import Path

import pytest

from spikefold.train.importers import spikingjelly_parts
from tests.train.importers import deep


def test_a_short_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "deep.json"
    assert deep.main(["--networks", "2", "--kind", "nir of", "--seed", "7", "--out", str(out)]) in (0, 1)
    found = json.loads(out.read_text(encoding="utf-8"))
    names = [f"nir of {framework}" for framework in ("snntorch", "spikingjelly", "norse")]
    assert [(kind["name"], kind["networks"], kind["differing"]) for kind in found["kinds"]] == [(name, 2, 0) for name in names]
    assert all(kind["spikes"] > 50 for kind in found["kinds"])
    assert "spikes compared" in capsys.readouterr().out
    assert len(deep.COMPARISONS) == 29


def test_a_difference_is_the_exit_status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    right = spikingjelly_parts._neurons

    def wrong(place: str, module: object, rate: float | None) -> object:
        return right(place, module, None if rate is None else rate * 0.9)

    monkeypatch.setattr(spikingjelly_parts, "_neurons", wrong)
    assert deep.main(["--networks", "3", "--kind", "LIFNode soft"]) == 1
    printed = capsys.readouterr().out
    assert "FAILED: spikingjelly LIFNode soft: 3 networks differ; network 0: layer '0': " in " ".join(printed.split())


@pytest.mark.parametrize("arguments", [["--networks", "0"], ["--kind", "none such"], ["--seed", "-1"]])
def test_bad_arguments(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as error:
        deep.main(arguments)
    assert error.value.code == 2
