"""What several tests of graphs need."""

import pytest

from spikefold.train.importers import hdf5_child, nir_graph
from spikefold.train.importers.hdf5_file import decoded


@pytest.fixture
def hdf5_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process for every file takes long; tests/train/importers/test_hdf5.py has those of the process itself."""
    monkeypatch.setattr(nir_graph, "parse_hdf5", lambda content, path: decoded(b"".join(hdf5_child.written(hdf5_child.read(content))), path))
