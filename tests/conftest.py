"""What holds for the whole run: a skipped test fails it, and its end says where the CPU time went."""

import os

import pytest

# Two processes run the tests. More threads in each would wait for each other, and burn CPU time while they do.
os.environ.setdefault("OMP_NUM_THREADS", "1")

MAY_SKIP = {
    "tests/hostile/test_corpus.py": "only Linux can set a process's peak of memory back",
    "tests/hostile/test_fuzz.py": "only Linux can set a process's peak of memory back",
}
"""Files that may skip, each with its reason. A skip anywhere else is a test that nobody runs."""
SLOWEST = 10
CPU_SECONDS = "cpu_seconds"
BEGAN = pytest.StashKey[float]()


def cpu_seconds() -> float:
    """Return the CPU time, user and system, of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Record())


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    item.stash[BEGAN] = cpu_seconds()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    if call.when == "teardown":
        item.user_properties.append((CPU_SECONDS, round(cpu_seconds() - item.stash[BEGAN], 2)))


class Record:
    """What the process that collects the reports knows of the run."""

    def __init__(self) -> None:
        self.skipped: list[str] = []
        self.seconds: dict[str, float] = {}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that skips as a whole."""
        self.note_skip(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a skip, and what a test took with its fixtures."""
        self.note_skip(report)
        for name, value in report.user_properties:
            if name == CPU_SECONDS:
                self.seconds[report.nodeid] = float(str(value))

    def note_skip(self, report: pytest.CollectReport | pytest.TestReport) -> None:
        """Keep a skip that no reason stands for."""
        if report.skipped and report.nodeid.partition("::")[0] not in MAY_SKIP:
            self.skipped.append(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the run if a test was skipped that may not."""
        if self.skipped and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the skips that fail the run, and the tests that took the most CPU time."""
        if self.skipped:
            terminalreporter.section("skipped without a reason in tests/conftest.py", red=True)
            for nodeid in self.skipped:
                terminalreporter.write_line(nodeid)
        if len(self.seconds) > SLOWEST:
            terminalreporter.section(f"the {SLOWEST} tests that took the most CPU time")
            for nodeid, seconds in sorted(self.seconds.items(), key=lambda item: -item[1])[:SLOWEST]:
                terminalreporter.write_line(f"{seconds:6.1f} s  {nodeid}")
