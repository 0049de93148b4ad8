"""The container: what is written comes back, and a hostile file is one line of error."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spikefold.data.errors import NetworkError
from spikefold.network.files import tensor_file

names = st.text("abzAZ09_-/", min_size=1, max_size=12)
arrays = st.sampled_from(sorted(tensor_file.DTYPES)).flatmap(
    lambda name: hnp.arrays(
        tensor_file.DTYPES[name],
        hnp.array_shapes(min_dims=0, max_dims=4, max_side=4),
        elements={"allow_nan": False, "allow_infinity": False} if name.startswith("F") else None,
    )
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("C", "Z"))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(tensors=st.dictionaries(names, arrays, max_size=4), header=st.dictionaries(names, json_values, max_size=4))
def test_what_is_written_comes_back(tensors: dict[str, np.ndarray], header: dict[str, Any]) -> None:
    content = tensor_file.dumps(tensors, header, "x")
    read_header, read = tensor_file.loads(content, "x")
    assert read_header == header
    assert set(read) == set(tensors)
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        assert read[name].shape == tensor.shape
        assert read[name].tobytes() == tensor.tobytes()
    assert tensor_file.dumps(read, read_header, "x") == content


def test_the_order_in_which_things_were_added_does_not_show() -> None:
    a, b = np.arange(3), np.ones((2, 2))
    first = tensor_file.dumps({"a": a, "b": b}, {"x": 1, "y": 2}, "f")
    assert first == tensor_file.dumps({"b": b, "a": a}, {"y": 2, "x": 1}, "f")


def test_strided_and_reversed_arrays_are_written_as_they_look() -> None:
    a = np.arange(24).reshape(4, 6)[::-1, ::2]
    _, read = tensor_file.loads(tensor_file.dumps({"a": a.T}, {}, "f"), "f")
    assert np.array_equal(read["a"], a.T)


def entry(begin: Any = 0, end: Any = 4, dtype: Any = "I8", shape: Any = (4,), **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape) if isinstance(shape, tuple) else shape, "data_offsets": [begin, end], **more}


def file_of(header: str | dict[str, Any], data: bytes = b"\0" * 4, *, metadata: Any = None) -> bytes:
    """A file whose header is exactly ``header``; a table gets a sound __metadata__ unless one is given."""
    if isinstance(header, dict):
        header = json.dumps({"__metadata__": {"spikefold": "{}"} if metadata is None else metadata, **header})
    text = header.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + data


GOOD = file_of({"a": entry()})
META = '"__metadata__":{"spikefold":"{}"}'
DEEP = "[" * 100000

HOSTILE = {
    "empty": (b"", "header length 0 in 0 bytes"),
    "wrong magic": (b"\x80\x04K\x01.PK\x03\x04" + b"x" * 99, "not a safetensors file"),
    "length beyond the file": (struct.pack("<Q", 999) + b"{}", "header length 999 in 10 bytes"),
    "length of 2**64-1": (b"\xff" * 8 + b"{}", "header length 18446744073709551615"),
    "header over 1 MB": (file_of("{" + " " * 1_000_001), "at most 1000000"),
    "not UTF-8": (struct.pack("<Q", 4) + b'{"\xff"', "not JSON in UTF-8"),
    "not JSON": (file_of("{]"), "not JSON in UTF-8"),
    "two values": (file_of("{} {}"), "not JSON in UTF-8"),
    "a list": (file_of("[1]"), "must be a JSON object"),
    "no metadata": (file_of('{"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]}}'), "__metadata__: None"),
    "metadata a list": (file_of({"a": entry()}, metadata=[1]), "__metadata__: [1]"),
    "metadata of others": (file_of({"a": entry()}, metadata={"format": "pt"}), "__metadata__: {'format': 'pt'}"),
    "metadata with more": (file_of({"a": entry()}, metadata={"spikefold": "{}", "x": "y"}), "one text under 'spikefold'"),
    "metadata not a text": (file_of({"a": entry()}, metadata={"spikefold": {}}), "one text under 'spikefold'"),
    "inner not JSON": (file_of({"a": entry()}, metadata={"spikefold": "{"}), "__metadata__ spikefold: not JSON"),
    "inner surrogate": (file_of({"a": entry()}, metadata={"spikefold": '{"x":"\ud800"}'}), "not JSON in UTF-8"),
    "inner escaped surrogate": (file_of({"a": entry()}, metadata={"spikefold": '{"x":"\\ud800"}'}), "surrogates"),
    "inner line break": (file_of({"a": entry()}, metadata={"spikefold": '{"x":["a\\nb"]}'}), "line breaks"),
    "inner long text": (file_of({"a": entry()}, metadata={"spikefold": json.dumps({"x": "y" * 65537})}), "at most 65536"),
    "inner duplicate": (file_of({"a": entry()}, metadata={"spikefold": '{"x":{"y":1,"y":1}}'}), "key 'y' is there twice"),
    "inner NaN": (file_of({"a": entry()}, metadata={"spikefold": '{"x":NaN}'}), "constant NaN"),
    "inner overflow": (file_of({"a": entry()}, metadata={"spikefold": '{"x":1e999}'}), "number '1e999'"),
    "inner deep": (file_of({"a": entry()}, metadata={"spikefold": '{"x":' + DEEP}), "nested deeper than 16"),
    "long integer": (file_of('{"a":' + "1" * 5000 + "," + META + "}"), "not JSON in UTF-8"),
    "deep": (file_of('{"a":' + DEEP), "nested deeper than 16"),
    "Infinity": (file_of('{"a":Infinity,' + META + "}"), "constant Infinity"),
    "duplicate tensor": (file_of(f'{{"a":{json.dumps(entry())},"a":{json.dumps(entry())},{META}}}'), "key 'a' is there twice"),
    "duplicate field": (file_of('{"a":{"dtype":"I8","dtype":"I8","shape":[4],"data_offsets":[0,4]},' + META + "}"), "key 'dtype' is there twice"),
    "duplicate metadata": (file_of(f"{{{META},{META}}}", b""), "key '__metadata__' is there twice"),
    "name with dots": (file_of({"../../etc/passwd": entry()}), "tensor name '../../etc/passwd'"),
    "name empty": (file_of({"": entry()}), "tensor name ''"),
    "name with a line break": (file_of({"a\nb": entry()}), "line breaks"),
    "name with a blank": (file_of({"a b": entry()}), "tensor name 'a b'"),
    "name too long": (file_of({"a" * 257: entry()}), "1..256"),
    "unknown field": (file_of({"a": entry(strides=[1])}), "its fields must be dtype, shape and data_offsets"),
    "missing field": (file_of({"a": {"dtype": "I8", "shape": [4]}}), "its fields must be"),
    "entry a number": (file_of({"a": 5}), "tensor 'a': 5"),
    "dtype unknown": (file_of({"a": entry(dtype="BF16", shape=(2,))}), "dtype: 'BF16'"),
    "dtype a list": (file_of({"a": entry(dtype=[])}), "dtype: []"),
    "shape a text": (file_of({"a": entry(shape="4")}), "shape: '4'"),
    "shape too small": (file_of({"a": entry(shape=(3,))}), "4 bytes; shape [3] of I8 takes 3"),
    "shape with a zero": (file_of({"a": entry(shape=(0, 4))}), "shape: [0, 4]"),
    "shape negative": (file_of({"a": entry(shape=(-2, -2))}), "shape: [-2, -2]"),
    "shape true": (file_of({"a": entry(shape=(True, 4))}), "shape: [True, 4]"),
    "shape fractional": (file_of({"a": entry(shape=(4.0,))}), "shape: [4.0]"),
    "shape huge": (file_of({"a": entry(shape=(2**62, 2**62, 16))}), "numbers in 1..1073741824"),
    "shape overflowing": (file_of({"a": entry(shape=(2**30, 2**30, 2**4))}), "takes 18446744073709551616"),
    "shape of many axes": (file_of({"a": entry(shape=(1,) * 9)}), "at most 8 numbers"),
    "offsets outside": (file_of({"a": entry(0, 5, shape=(5,))}), "rising numbers in 0..4"),
    "offsets negative": (file_of({"a": entry(-4, 0)}), "rising numbers in 0..4"),
    "offsets falling": (file_of({"a": entry(4, 0)}), "rising numbers in 0..4"),
    "offsets of 2**63": (file_of({"a": entry(2**63, 2**63 + 4)}), "rising numbers in 0..4"),
    "offsets a text": (file_of({"a": {**entry(), "data_offsets": "04"}}), "data_offsets: '04'"),
    "offsets of floats": (file_of({"a": entry(0.0, 4.0)}), "data_offsets: [0.0, 4.0]"),
    "three offsets": (file_of({"a": {**entry(), "data_offsets": [0, 4, 8]}}), "data_offsets: [0, 4, 8]"),
    "overlap": (file_of({"a": entry(0, 4), "b": entry(2, 4, shape=(2,))}), "tensor 'b' data_offsets: it begins at byte 2; 4 is expected"),
    "twice the same": (file_of({"a": entry(0, 4), "b": entry(0, 4)}), "without gap or overlap"),
    "gap at the start": (file_of({"a": entry(2, 4, shape=(2,))}), "begins at byte 2; 0 is expected"),
    "gap between": (file_of({"a": entry(0, 1, shape=(1,)), "b": entry(2, 4, shape=(2,))}), "begins at byte 2; 1 is expected"),
    "trailing bytes": (GOOD + b"x", "5 bytes of data; the tensors take 4"),
    "bytes without tensors": (file_of({}), "4 bytes of data; the tensors take 0"),
    "too many tensors": (file_of({f"t{i}": entry(i, i + 1, shape=(1,)) for i in range(4097)}, b"\0" * 4097), "4097 tensors; at most 4096"),
    "NaN": (file_of({"a": entry(0, 8, "F64", (1, 1))}, np.array(np.nan).tobytes()), "tensor 'a'[0, 0]: value nan; it must be finite"),
    "infinite": (file_of({"a": entry(0, 8, "F32", (2,))}, np.array([1, -np.inf], np.float32).tobytes()), "tensor 'a'[1]: value -inf"),
}


@pytest.mark.parametrize("case", sorted(HOSTILE))
def test_a_hostile_file_is_one_line_of_error(case: str, tmp_path: Path) -> None:
    content, words = HOSTILE[case]
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(NetworkError) as caught:
        tensor_file.read(path)
    message = str(caught.value)
    assert words in message
    assert message.startswith(str(path))
    assert len(message.splitlines()) == 1
    assert len(message) < 1200


def test_the_good_file_beside_the_hostile_ones_is_good() -> None:
    header, tensors = tensor_file.loads(GOOD, "good")
    assert header == {}
    assert tensors["a"].tolist() == [0, 0, 0, 0]


def test_a_file_cut_anywhere_is_an_error() -> None:
    content = tensor_file.dumps({"a": np.arange(5), "b": np.ones((2, 2)), "c": np.zeros(3, np.int8)}, {"x": ["y", 1.5]}, "f")
    for length in range(len(content)):
        with pytest.raises(NetworkError, match=r"\Af: [^\n]+\Z"):
            tensor_file.loads(content[:length], "f")


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_a_file_with_bytes_changed_is_read_or_refused_but_never_worse(data: st.DataObject) -> None:
    content = bytearray(tensor_file.dumps({"a": np.arange(5), "b": np.ones((2, 2))}, {"x": ["y", 1.5]}, "f"))
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
        content[at] = data.draw(st.integers(0, 255))
    message = ""
    try:
        tensor_file.loads(bytes(content), "f")
    except NetworkError as error:
        message = str(error)
    assert len(message.splitlines()) <= 1


def test_what_the_library_refuses_is_one_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: bytes) -> None:
        raise tensor_file.safetensors.SafetensorError("bad\nnews")

    monkeypatch.setattr(tensor_file.safetensors.numpy, "load", refuse)
    with pytest.raises(NetworkError, match="good: bad news"):
        tensor_file.loads(GOOD, "good")


def test_a_file_too_large_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_file, "FILE_BYTES_MAX", 100)
    (tmp_path / "x").write_bytes(b"\0" * 101)
    with pytest.raises(NetworkError, match="larger than 100 bytes, which is the limit"):
        tensor_file.read(tmp_path / "x")
    with pytest.raises(NetworkError, match="at most 1000000 in 100 are allowed"):
        tensor_file.dumps({"a": np.arange(20)}, {}, "f")


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"missing\.safetensors: No such file"):
        tensor_file.read(tmp_path / "missing.safetensors")
    with pytest.raises(NetworkError, match="it is not a file"):
        tensor_file.read(tmp_path)
    with pytest.raises(NetworkError, match="it is not a file"):
        tensor_file.read(Path("/dev/zero"))
    with pytest.raises(NetworkError, match="not a file name"):
        tensor_file.read(Path("a\0b"))


def test_paths_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_bytes(GOOD)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(NetworkError, match="x: Permission denied"):
        tensor_file.read(path)


@pytest.mark.parametrize(
    ("tensors", "header", "words"),
    [
        ({"a b": np.arange(2)}, {}, "tensor name 'a b'"),
        ({"a..b": np.arange(2)}, {}, "tensor name 'a..b'"),
        ({"a": np.array([True])}, {}, "dtype: bool"),
        ({"a": np.array([1], ">i8")}, {}, "dtype: >i8"),
        ({"a": np.zeros((2, 0))}, {}, r"shape: \[2, 0\]"),
        ({"a": np.zeros((1,) * 9)}, {}, "at most 8 axes"),
        ({"a": np.array([0, np.inf])}, {}, r"tensor 'a'\[1\]: value inf"),
        ({f"t{i}": np.arange(1) for i in range(4097)}, {}, "4097 tensors"),
        ({}, {"x": float("nan")}, "cannot be JSON"),
        ({}, {"x": object()}, "cannot be JSON"),
        ({}, {"x": "a\nb"}, "line breaks"),
        ({}, {"x": [[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]}, "nested deeper than 16"),
        ({}, {str(i): "y" * 60000 for i in range(20)}, "at most 1000000 in"),
    ],
)
def test_what_could_not_be_read_is_not_written(tensors: dict[str, np.ndarray], header: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=words):
        tensor_file.write(tmp_path / "x", tensors, header)
    assert list(tmp_path.iterdir()) == []


def test_writing_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NetworkError, match=r"the folder .* does not exist"):
        tensor_file.write(tmp_path / "no" / "x", {}, {})
    old = tmp_path / "x"
    tensor_file.write(old, {"a": np.arange(3)}, {})
    before = old.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("spikefold.data.files.os.fsync", full)
    with pytest.raises(NetworkError, match="x: No space left on device"):
        tensor_file.write(old, {"a": np.arange(9)}, {})
    assert old.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
