"""The command line as tests run it, and what every error of it looks like."""

from pathlib import Path

from click.testing import CliRunner, Result

from spikefold.cli import main

__all__ = ["ended_badly", "spikefold"]


def spikefold(*arguments: str | Path) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def ended_badly(result: Result, *words: str) -> None:
    """Check for status 2, nothing on stdout, and one line of error that has the words."""
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    # A simulation says how much memory it takes before it starts.
    *earlier, line = result.stderr.splitlines()
    assert all("of memory" in said for said in earlier), result.stderr
    assert line.startswith("spikefold: "), result.stderr
    assert all(word in line for word in words), result.stderr
