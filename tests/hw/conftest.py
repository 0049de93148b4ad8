import pytest


def pytest_configure(config: pytest.Config) -> None:
    # Tests look into parts of a chip that they never build, which Amaranth takes for an oversight.
    config.addinivalue_line("filterwarnings", "ignore:.*created but never used")
