"""A build is generated of what cores run."""

from pathlib import Path

import pytest

from spikefold.chip.placement import place
from spikefold.data.errors import ChipError
from spikefold.workflow.build import generate
from tests.workflow.networks import BEYOND_CORES, beyond_cores
from tests.workflow.samples import CHIP, dataset


@pytest.mark.parametrize("topology", BEYOND_CORES)
def test_what_no_core_runs_is_not_generated(topology: str, tmp_path: Path) -> None:
    network = beyond_cores(topology)
    with pytest.raises(ChipError, match=f"^{BEYOND_CORES[topology]}.* in this version$"):
        generate(place(network, CHIP), dataset(network), tmp_path)
    assert list(tmp_path.iterdir()) == []
