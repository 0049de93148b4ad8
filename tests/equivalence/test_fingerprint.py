import json
from pathlib import Path

import pytest

from tests.equivalence.fingerprint import main


def test_a_hash_that_differs_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["--networks", "1", "--only", "none has this name", "--out"]
    old, new = str(tmp_path / "old.json"), str(tmp_path / "new.json")
    assert main([*line, old]) == 0
    assert main([*line, new, "--against", old]) == 0
    assert ", 0 differ" in capsys.readouterr().out
    prints = json.loads(Path(old).read_text())
    for file, status in (("tb/harness.v", 0), ("mem/layer0_weights.hex", 1), ("trace", 1)):
        Path(old).write_text(json.dumps({"random 0": prints["random 0"] | {file: "another"}}))
        assert main([*line, new, "--against", old]) == status
        assert f"1 differ; first random 0: {file}" in capsys.readouterr().out
