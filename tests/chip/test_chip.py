"""A chip's limits and its TOML file."""

from pathlib import Path
from typing import Any

import pytest

from spikefold.chip.config import ChipConfig, load_chip
from spikefold.data.errors import ChipError
from tests.chips import chip_of


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"lanes": 0}, "architecture lanes: 0; it must be an integer in 1..64"),
        ({"lanes": 65}, "architecture lanes: 65; it must be an integer in 1..64"),
        ({"event_queue_depth": 0}, "architecture event_queue_depth: 0; it must be an integer in 1..1024"),
        ({"cores": True}, "architecture cores: True; it must be an integer in 1..4096"),
        ({"potential_bits": 33}, "architecture potential_bits: 33; it must be an integer in 2..32"),
        ({"current_bits": 8.0}, "architecture current_bits: 8.0; it must be an integer in 1..32"),
        ({"block_ram_width": 0}, "device block_ram_width: 0; it must be an integer in 1..256"),
        ({"name": ""}, "chip name: ''; it must be a text without control characters"),
        ({"name": 3}, "chip name: 3; it must be a text without control characters"),
        ({"name": "a\x1b[2J"}, "chip name: 'a\\x1b[2J'; it must be a text without control characters"),
    ],
)
def test_limits(fields: dict[str, Any], text: str):
    with pytest.raises(ChipError) as error:
        chip_of(**fields)
    assert str(error.value) == text


def test_a_file_sets_what_it_names(tmp_path: Path):
    path = tmp_path / "chip.toml"
    path.write_text('name = "small"\n[architecture]\nlanes = 4\n[device]\nmultipliers = 9\n')
    assert load_chip(path) == chip_of("small", lanes=4, multipliers=9)
    path.write_text("")
    assert load_chip(path) == ChipConfig()
    assert list(load_chip(path).to_dict()) == ["name", "architecture", "device"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("lane = 4\n", "unknown key 'lane'; the keys are architecture, device, name"),
        ("[architecture]\nlane = 4\n", "unknown architecture key 'lane'; the keys are axons_per_core, "),
        ("[device]\nlanes = 4\n", "unknown device key 'lanes'; the keys are block_ram_bits, "),
        ("device = 4\n", "device: 4; it must be a table"),
        (
            "cores = 2\nlanes = 4\nblock_rams = 9\n",
            "these keys have moved into tables: cores, lanes to [architecture]; block_rams to [device]",
        ),
        ("[architecture]\nlanes = 99\n", "architecture lanes: 99; it must be an integer in 1..64"),
        ("lanes = \n", "not a TOML file: "),
        ("[[[", "not a TOML file: "),
        ("a = " + "9" * 5000, "not a TOML file: "),
        ("a = " + "[" * 5000, "not a TOML file: "),
    ],
)
def test_a_file_that_is_wrong(tmp_path: Path, content: str, text: str):
    path = tmp_path / "chip.toml"
    path.write_text(content)
    with pytest.raises(ChipError) as error:
        load_chip(path)
    assert str(error.value).startswith(f"{path}: {text}")


def test_no_file_and_no_text(tmp_path: Path):
    with pytest.raises(ChipError, match=r"No such file or directory$"):
        load_chip(tmp_path / "absent.toml")
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ChipError, match="not a TOML file"):
        load_chip(path)
