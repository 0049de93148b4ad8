"""The command line in a Python of its own, which may lack packages."""

import os
import subprocess
import sys
from pathlib import Path


def python(code: str, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=300)


WITHOUT = """
import sys

missing = sys.argv.pop(1).split(",")

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Nothing())
from spikefold.cli import main
main()
"""
"""Runs the command line in a Python that lacks some packages."""


EACH_WITHOUT = WITHOUT.replace("main()\n", "for arguments in __import__('json').loads(sys.argv[1]):\n    main(arguments, standalone_mode=False)\n")
"""The same for several verbs, one after another, given as JSON."""
