"""A user's file is executed where it stands, and what is wrong in it is one line."""

import sys
from pathlib import Path

import pytest
from torch import nn

from spikefold.train.importers.errors import SourceError
from spikefold.train.importers.loading import load_module


def written(folder: Path, text: str) -> Path:
    path = folder / "model.py"
    path.write_text("from torch import nn\n" + text, encoding="utf-8")
    return path


def test_a_module_a_class_and_a_function(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "beside_it.py").write_text("SIZE = 3\n", encoding="utf-8")
    text = """
from beside_it import SIZE
print("loading")
net = nn.Linear(SIZE, 2)
def make():
    return nn.Linear(SIZE, 4)
class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(SIZE, 5))
if __name__ == "__main__":
    raise RuntimeError("it must not train")
"""
    path, before = written(tmp_path, text), list(sys.path)
    sizes = {name: next(load_module(path, name).parameters()).shape[0] for name in ("net", "make", "Net")}
    assert sizes == {"net": 2, "make": 4, "Net": 5}
    assert sys.path == before
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "loading\n" * 3), "stdout is for the report"
    assert isinstance(load_module(path, "net"), nn.Module)


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("net = nn.Linear(1, 1)", "nett", "it has no 'nett'; its names are nn, net"),
        ("net = 3", "net", "net is of the type int; it must be a torch module"),
        ("def net(): return 3", "net", "net is of the type int"),
        ("def net():\n    return nn.Linear()", "net", "model.py: TypeError: .*, in line 3"),
        ("def net(x): pass", "net", "TypeError: .*'x'"),
        ("x = (", "net", "model.py: SyntaxError: "),
        ("import no_such_thing", "net", "ModuleNotFoundError: No module named 'no_such_thing', in line 2"),
        ("raise SystemExit('usage')", "net", "SystemExit: usage, in line 2"),
        ("raise ValueError('two\\nlines')", "net", "ValueError: two lines"),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path: Path, text: str, name: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        load_module(written(tmp_path, text), name)


def test_what_is_no_python_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.py: there is no such file"):
        load_module(tmp_path / "none.py", "net")
    path = tmp_path / "model.txt"
    path.write_text("", encoding="utf-8")
    with pytest.raises(SourceError, match=r"its name must end in \.py"):
        load_module(path, "net")
