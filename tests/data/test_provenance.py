"""Versions of named packages."""

import platform
from importlib import metadata

import numpy as np
import pytest

import spikefold
from spikefold.data.provenance import versions


def test_versions_are_those_that_run_in_the_order_of_their_names() -> None:
    found = versions("numpy", "spikefold", "python")
    assert list(found.items()) == [("numpy", np.__version__), ("spikefold", spikefold.__version__), ("python", platform.python_version())]


def test_what_is_not_installed_is_an_error_or_left_out() -> None:
    with pytest.raises(metadata.PackageNotFoundError, match="no-such-package"):
        versions("numpy", "no-such-package")
    assert versions("no-such-package", "numpy", installed_only=True) == {"numpy": np.__version__}
