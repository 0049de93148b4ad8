"""The process that reads HDF5 files from elsewhere: what leads out of the file, or is more than a network needs, is refused by its place."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from spikefold.train.importers import hdf5_child
from spikefold.train.importers.errors import SourceError
from spikefold.train.importers.hdf5_file import parse_hdf5

SECRET = b"\x00\x00\x00\x00\x00\x00\xf0\x3f" * 4


def file(fill: Callable[[Any], object]) -> bytes:
    buffer = BytesIO()
    with h5py.File(buffer, "w") as opened:
        fill(opened)
    return buffer.getvalue()


def harmless(opened: Any) -> None:
    opened.create_dataset("version", data="1.0", dtype=h5py.string_dtype())
    group = opened.create_group("node")
    group.create_dataset("tau", data=np.linspace(0, 1, 1000), compression="gzip")
    group.create_dataset("count", data=np.arange(6, dtype=">i2").reshape(2, 3), compression="lzf", shuffle=True)
    group.create_dataset("edges", data=[("a", "b"), ("b", "c")], dtype=h5py.string_dtype())
    group.create_dataset("/array", data=3)


def test_what_is_harmless_is_read() -> None:
    found = parse_hdf5(file(harmless), "f")
    assert (found["version"], found["node"]["edges"]) == ("1.0", [["a", "b"], ["b", "c"]])
    np.testing.assert_array_equal(found["node"]["tau"], np.linspace(0, 1, 1000))
    np.testing.assert_array_equal(found["node"]["count"], [[0, 1, 2], [3, 4, 5]])
    assert found["array"] == 3


def external(opened: Any) -> None:
    path = Path(opened.attrs.get("secret", "/etc/hostname"))
    opened.create_dataset("tau", shape=(4,), dtype="f8", external=[(str(path), 0, 32)])


def virtual(opened: Any) -> None:
    layout = h5py.VirtualLayout(shape=(4,), dtype="f8")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", shape=(4,))
    opened.create_virtual_dataset("tau", layout)


def many_names(opened: Any) -> None:
    opened["a"] = np.arange(3)
    opened["b"] = opened["a"]


def cycle(opened: Any) -> None:
    group = opened.create_group("a").create_group("b")
    group["up"] = opened["a"]


def deep(opened: Any) -> None:
    group = opened
    for _ in range(20):
        group = group.create_group("g")


def filtered(opened: Any) -> None:
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((4,))
    plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((4,))
    h5py.h5d.create(opened.id, b"tau", h5py.h5t.NATIVE_DOUBLE, space, plist)


def many_texts(opened: Any) -> None:
    opened.create_dataset("t", shape=(30_000,), dtype=h5py.string_dtype())


@pytest.mark.parametrize(
    ("fill", "words"),
    [
        (external, "/tau: its values lie in another file"),
        (virtual, "/tau: its values lie in another file"),
        (lambda f: f.__setitem__("a", h5py.SoftLink("/version")), "/a: a SoftLink; only what lies in its place"),
        (lambda f: f.__setitem__("a", h5py.ExternalLink("/etc/hostname", "/")), "/a: a ExternalLink"),
        (many_names, "/b: it stands in another place too"),
        (cycle, "/a/b/up: it stands in another place too"),
        (lambda f: f.__setitem__("self", f["/"]), "/self: it stands in another place too"),
        (deep, "more than 8 groups deep"),
        (filtered, "/tau: filter 32015; it must be one of gzip, shuffle, lzf"),
        (lambda f: f.create_dataset("x", shape=(1 << 40,), dtype="f4", chunks=(1024,)), r"/x: with it there are more than 3355\d{4} bytes"),
        (lambda f: f.create_dataset("x", shape=(4,), maxshape=(None,), dtype="f8", chunks=(1 << 28,)), "/x: chunks of"),
        (lambda f: f.create_dataset("x", shape=(1,) * 5, dtype="f4"), "/x: shape .*; it must have at most 4 axes"),
        (lambda f: f.create_dataset("x", data=h5py.Empty("f4")), "/x: shape None"),
        (lambda f: f.create_dataset("x", data=np.zeros(2, "c16")), "/x: type complex128; it must be numbers of at most 64 bits"),
        (lambda f: f.create_dataset("x", data=np.zeros(2, [("a", "f4")])), "/x: type"),
        (lambda f: f.create_dataset("x", data=f.ref, dtype=h5py.ref_dtype), "/x: type object"),
        (lambda f: f.create_dataset("x", shape=(2,), dtype=h5py.vlen_dtype("i4")), "/x: type object"),
        (lambda f: f.__setitem__("x", np.dtype("f4")), "/x: it is neither a group nor a dataset"),
        (lambda f: f.create_dataset("x", data=[1.0, np.inf]), "/x: a value is not finite"),
        (many_texts, "/t: 30000 texts; there must be at most 20000"),
        (lambda f: f.create_dataset("t", data=b"\xff\xfe"), "/t: it is no UTF-8"),
    ],
)
def test_what_is_refused(fill: Callable[[Any], object], words: str) -> None:
    import re

    result = hdf5_child.read(file(fill))
    assert re.search(words, result.get("error", "")), result


def test_numbers_are_bounded_by_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """What compresses well, or was never written, must not take more than the file and some."""
    monkeypatch.setattr(hdf5_child, "DATA_BYTES_SPARE", 1000)
    values = np.random.default_rng(0).random(4000).astype(np.float32)
    assert "content" in hdf5_child.read(file(lambda f: f.create_dataset("x", data=values)))
    assert "bytes of numbers" in hdf5_child.read(file(lambda f: f.create_dataset("x", data=values * 0, compression="gzip")))["error"]


def test_names_of_the_file_do_not_reach_a_terminal() -> None:
    content = file(lambda f: f.create_dataset("\x1b[2J", data=[np.nan]))
    with pytest.raises(SourceError, match=r"^f: /\\x1b\[2J: a value is not finite$"):
        parse_hdf5(content, "f")


@pytest.mark.parametrize("shape", [(70,), (50, 2), (3, 40), (2, 3, 20), (0, 2), (1,)])
def test_every_text_arrives_in_its_place(shape: tuple[int, ...]) -> None:
    """They are read in blocks, along the first axes or the last."""
    texts = np.array([f"t{i}" for i in range(int(np.prod(shape)))], dtype=object).reshape(shape)
    content = file(lambda opened: opened.create_dataset("t", data=texts, dtype=h5py.string_dtype()))
    assert hdf5_child.read(content)["content"] == {"t": texts.tolist()}


def test_texts_that_are_the_same_bytes_of_the_file_are_counted_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_child, "TEXT_BYTES_MAX", 1000)
    content = file(lambda f: f.create_dataset("t", data=["x" * 100] * 20, dtype=h5py.string_dtype()))
    assert "/t: with it there are more than 1000 bytes of texts" in hdf5_child.read(content)["error"]


def test_no_other_file_is_read(tmp_path: Path) -> None:
    """The child refuses external storage; without that check, it still cannot open the file."""
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    content = file(lambda f: f.create_dataset("tau", shape=(4,), dtype="f8", external=[(str(secret), 0, 32)]))
    with h5py.File(BytesIO(content)) as opened:
        assert opened["tau"][0] == 1.0, "h5py itself follows it"
    with pytest.raises(SourceError, match="f: /tau: its values lie in another file"):
        parse_hdf5(content, "f")
    spec = importlib.util.find_spec("spikefold.train.importers.hdf5_child")
    assert spec is not None
    assert spec.origin is not None
    careless = tmp_path / "careless.py"
    careless.write_text(Path(spec.origin).read_text(encoding="utf-8").replace("get_external_count()", "get_external_count() > 9"), encoding="utf-8")
    done = subprocess.run([sys.executable, "-P", str(careless)], input=content, capture_output=True, check=True)
    assert "no HDF5 file that can be read" in json.loads(done.stdout)["error"]


def test_damaged_files_are_one_line(tmp_path: Path) -> None:
    content = file(harmless)
    for damaged in (b"", b"no HDF5", content[:100], content[: len(content) // 2], content[:-1]):
        with pytest.raises(SourceError, match="f: it is no HDF5 file that can be read") as error:
            parse_hdf5(damaged, "f")
        assert "\n" not in str(error.value)


def test_a_process_that_dies_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    right = subprocess.run

    def killed(command: list[str], **options: Any) -> Any:
        return right([sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"], **options)

    monkeypatch.setattr(subprocess, "run", killed)
    with pytest.raises(SourceError, match="f: the process that read it ended with status -11"):
        parse_hdf5(b"", "f")
