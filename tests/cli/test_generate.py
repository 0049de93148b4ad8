"""``spikefold generate``: the same bytes."""

from pathlib import Path

from tests.command_line import spikefold


def test_generate_gives_the_same_bytes_twice(net: Path, build: Path, tmp_path: Path) -> None:
    assert spikefold("generate", net, "--out", tmp_path / "build", "--json").exit_code == 0
    names = sorted(p.relative_to(build) for p in build.rglob("*") if p.is_file())
    assert Path("manifest.json") in names
    assert names == sorted(p.relative_to(tmp_path / "build") for p in (tmp_path / "build").rglob("*") if p.is_file())
    for name in names:
        assert (build / name).read_bytes() == (tmp_path / "build" / name).read_bytes()
