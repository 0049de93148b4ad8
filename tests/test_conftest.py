"""The rules of tests/conftest.py, on a small suite of their own."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]


def test_a_skip_without_a_reason_fails_the_run(pytester: pytest.Pytester):
    pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text(encoding="utf-8"))
    pytester.makepyfile("import pytest\n\ndef test_passes():\n    pass\n\ndef test_skips():\n    pytest.skip('not here')\n")
    result = pytester.runpytest_inprocess("-p", "no:xdist")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*skipped without a reason in tests/conftest.py*", "test_*.py::test_skips"])
    assert pytester.runpytest_inprocess("-p", "no:xdist", "-k", "passes").ret == pytest.ExitCode.OK


def test_the_slowest_tests_are_named(pytester: pytest.Pytester):
    pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text(encoding="utf-8"))
    body = "import time, pytest\n\n@pytest.mark.parametrize('i', range(11))\ndef test_n(i):\n    end = time.process_time() + 0.02 * (i == 5)\n"
    pytester.makepyfile(body + "    while time.process_time() < end:\n        pass\n")
    result = pytester.runpytest_inprocess("-p", "no:xdist")
    result.stdout.fnmatch_lines(["*the 10 tests that took the most CPU time*", "* s  test_*.py::test_n[[]5]"])
