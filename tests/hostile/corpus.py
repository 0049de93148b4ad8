"""Whole hostile files, made by code: by name, who reads them, what they are, and what each must be refused for.

The words are those of the message. Every file here did harm to some reader, of this package or of another one.
"""

import gzip
import importlib.util
import io
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.fuzz.cases import Odd
from spikefold.chip.config import load_chip
from spikefold.data.coding import InputCoding
from spikefold.data.datasets import load_dataset
from spikefold.data.events import read_aedat2, read_n_mnist
from spikefold.data.folders import read_picture
from spikefold.data.idx import read_idx
from spikefold.network.files import network_file, tensor_file
from spikefold.network.files.records import pack
from spikefold.quantize.float_file import load_float
from spikefold.train.importers.nir_export import exported_network
from spikefold.train.importers.nir_graph import read_chain
from spikefold.train.importers.nir_import import NirRules, network_of
from spikefold.train.papers.tables import load_table
from spikefold.train.recipes.recipe import load_recipe
from spikefold.train.runs.store import load_run
from tests.quantize.networks import float_network, integer_network
from tests.train.paper_tables import TABLE
from tests.train.recipes import recipe_text

__all__ = ["CORPUS", "Hostile"]

FILE = "file"
Content = bytes | Odd | int
"""A file's bytes, what stands in its place, or the size of a file of nothing but a hole."""
Make = Callable[[], Content | Mapping[str, Content]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """``make`` gives the file, or the files by their path; ``read`` reads them in their folder; ``words`` must be in the error."""

    read: Callable[[Path], Any]
    make: Make
    words: str


def _file(read: Callable[[Path], Any]) -> Callable[[Path], Any]:
    return lambda folder: read(folder / FILE)


network, float_net, idx, n_mnist, aedat = map(_file, (network_file.load, load_float, read_idx, read_n_mnist, read_aedat2))
recipe, table, chip = map(_file, (load_recipe, load_table, load_chip))
picture = _file(lambda path: read_picture(path, 224))


def dataset(name: str, split: str = "test", **options: Any) -> Callable[[Path], Any]:
    """Return a reader of a data set, its images included."""
    return lambda folder: load_dataset(name, split, folder, **options).images[:]


# Files of tensors.


def container(header: str | bytes, data: bytes = b"\0" * 4) -> bytes:
    """Return a file with exactly this outer header."""
    raw = header.encode("utf-8", "surrogatepass") if isinstance(header, str) else header
    return struct.pack("<Q", len(raw)) + raw + data


def entry(**fields: Any) -> str:
    """Return an outer header with one tensor of 4 bytes, but for ``fields``."""
    told = {"dtype": "I8", "shape": [4], "data_offsets": [0, 4]} | fields
    return json.dumps({"__metadata__": {"spikefold": "{}"}, "a": told})


@cache
def sound() -> bytes:
    """Return a sound integer network."""
    return network_file.dumps(integer_network())


def inner(old: str, new: str) -> bytes:
    """Return the sound network with a text of its inner header replaced once."""
    content = sound()
    length = int.from_bytes(content[:8], "little")
    outer = json.loads(content[8 : 8 + length])
    text = outer["__metadata__"]["spikefold"]
    assert old in text
    outer["__metadata__"]["spikefold"] = text.replace(old, new, 1)
    return container(json.dumps(outer), content[8 + length :])


def float_with(**tensors: Any) -> bytes:
    """Return a float network with other tensors, whose names have _ in the place of dots."""
    table, own = pack(float_network())
    changed = {name.replace("_", "."): value for name, value in tensors.items()}
    header = {"kind": "float_network", "float_network": {"format_version": 2, **table}}
    return tensor_file.dumps(own | changed, header, "f")


def not_finite(axes: int, count: int) -> bytes:
    """Return a file with one tensor of NaN alone."""
    told = {"dtype": "F32", "shape": [count] + [1] * (axes - 1), "data_offsets": [0, 4 * count]}
    return container(json.dumps({"__metadata__": {"spikefold": "{}"}, "a": told}), np.full(count, np.nan, np.float32).tobytes())


def archive() -> bytes:
    """Return what torch saves: a zip file with a pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr("archive/data.pkl", pickle.dumps({"weights": print}))
    return file.getvalue()


TENSORS = {
    "a pickle": (network, lambda: pickle.dumps({"format_version": print}), "not a safetensors file"),
    "a torch archive": (network, archive, "not a safetensors file"),
    "an empty file": (network, lambda: b"", "header length 0 in 0 bytes"),
    "a header of 2**64 - 1 bytes": (network, lambda: b"\xff" * 8 + b"{}", "header length 18446744073709551615"),
    "a header of blanks": (network, lambda: container("{" + " " * 1_000_001), "at most 1000000"),
    "a header cut in its text": (network, lambda: sound()[:200], "header length"),
    "data cut short": (network, lambda: sound()[:-3], "rising numbers in 0.."),
    "bytes behind the data": (network, lambda: sound() + b"\0", "nothing may follow them"),
    "a hole of 2 GiB": (network, lambda: 1 << 31, "larger than 1073741824 bytes"),
    "100,000 keys and one of them again": (
        network, lambda: container("{" + ",".join(f'"{i}":1' for i in range(90_000)) + ',"89999":1}'), "key '89999' is there twice",
    ),
    "a text of escapes without end": (network, lambda: container('{"' + '\\"' * 490_000), "not JSON in UTF-8"),
    "nested without end": (network, lambda: container('{"a":' + "[" * 900_000), "nested deeper than 16"),
    "a number of 5,000 digits": (network, lambda: inner('"timesteps":3', '"timesteps":' + "3" * 5000), "not JSON in UTF-8"),
    "a number of 30 digits": (network, lambda: inner('"timesteps":3', '"timesteps":' + "3" * 30), "it must be an integer of 64 bits"),
    "a field twice": (network, lambda: inner('"timesteps":3', '"timesteps":3,"timesteps":4'), "key 'timesteps' is there twice"),
    "a whole number with a point": (network, lambda: inner('"timesteps":3', '"timesteps":3.0'), "timesteps: 3.0; it must be an integer"),
    "truth for a number": (network, lambda: inner('"timesteps":3', '"timesteps":true'), "timesteps: True; it must be an integer"),
    "NaN in the header": (network, lambda: inner('"mean":0.25', '"mean":NaN'), "constant NaN"),
    "a number beyond any": (network, lambda: inner('"mean":0.25', '"mean":1e999'), "number '1e999'"),
    "a field that nobody knows": (network, lambda: inner('"timesteps":3', '"timesteps":3,"spin":1'), "'spin': unknown field"),
    "a version of the future": (network, lambda: inner('"format_version":', '"format_version":9'), "this version of spikefold reads"),
    "a class that a terminal would obey": (network, lambda: inner("class 0", "\\u001b[2J"), "must not hold control characters"),
    "a lone surrogate": (network, lambda: inner("class 0", "\\ud800"), "surrogates"),
    "no UTF-8": (network, lambda: container(b'{"\xff":1}'), "not JSON in UTF-8"),
    "a tensor that is a way out": (network, lambda: container(entry().replace('"a"', '"../../etc/passwd"')), "tensor name '../../etc/passwd'"),
    "a shape of 2**64 elements": (network, lambda: container(entry(shape=[2**30, 2**30, 16])), "takes 18446744073709551616"),
    "a shape beyond 64 bits": (network, lambda: container(entry(shape=[2**62, 8, 4])), "numbers in 1..1073741824"),
    "a shape below nothing": (network, lambda: container(entry(shape=[-2, -2])), "shape: [-2, -2]"),
    "offsets beyond 64 bits": (network, lambda: container(entry(data_offsets=[2**64, 2**64 + 4])), "rising numbers in 0..4"),
    "tensors upon each other": (
        network, lambda: container(entry().replace('"a":', '"b":{"dtype":"I8","shape":[2],"data_offsets":[0,2]},"a":')), "without gap or overlap",
    ),
    "4,097 tensors": (
        network, lambda: container(entry().replace('"a":', "".join(f'"b{i}":0,' for i in range(4096)) + '"a":')), "4097 tensors; at most 4096",
    ),
    "a tensor of another type": (float_net, lambda: float_with(layers_0_weights=np.ones((2, 1, 3, 3), np.int64)), "dtype int64; it must be float64"),
    "a tensor without axes": (float_net, lambda: float_with(layers_0_threshold=np.float64(1)), "it must have at least 1 axis"),
    "nothing but NaN on 8 axes": (float_net, lambda: not_finite(8, 4_000_000), "tensor 'a'[0, 0, 0, 0, 0, 0, 0, 0]: value nan"),
    "an integer network for a float one": (float_net, sound, "kind 'network', an integer network"),
    "a pipe for a network": (network, lambda: Odd.PIPE, "it is not a file"),
    "a link to /dev/zero for a network": (network, lambda: Odd.ENDLESS, "it is not a file"),
    "a link to itself for a network": (network, lambda: Odd.LOOP, "Too many levels of symbolic links"),
    "a folder for a network": (network, lambda: Odd.FOLDER, "it is not a file"),
}  # fmt: skip


# TOML: recipes, tables and chips.

GOOD = recipe_text()


def said(old: str, new: str) -> bytes:
    """Return the good recipe with a text of it replaced once."""
    assert old in GOOD
    return GOOD.replace(old, new, 1).encode()


def of_architecture(notation: str) -> bytes:
    """Return the good recipe with an architecture for its layers."""
    text = recipe_text(norm="none")
    text = text[: text.index("[[layers]]")] + text[text.index("[train]") :]
    return text.replace("timesteps = 3", f'timesteps = 3\narchitecture = "{notation}"').encode()


TOMLS = {
    "a pickle for a recipe": (recipe, lambda: pickle.dumps(print), "not a TOML file"),
    "UTF-16": (recipe, lambda: GOOD.encode("utf-16"), "not a TOML file"),
    "two byte order marks": (recipe, lambda: b"\xef\xbb\xbf" * 2 + GOOD.encode(), "not a TOML file"),
    "a NUL": (recipe, lambda: GOOD.encode() + b"\0", "not a TOML file"),
    "Latin 1": (recipe, lambda: said('"small"', '"klein"') + b'# \xfcber', "not a TOML file"),
    "a key twice": (recipe, lambda: said("seed = 5", "seed = 5\nseed = 6"), "not a TOML file: Cannot overwrite a value"),
    "a megabyte of remarks": (recipe, lambda: GOOD.encode() + b"#" * (1 << 20), "larger than 262144 bytes"),
    "lists without end": (recipe, lambda: said("seed = 5", "seed = " + "[" * 100_000), "not a TOML file"),
    "tables within tables": (recipe, lambda: said("seed = 5", "seed = " + "{ a = " * 30 + "1" + " }" * 30), "more than 16 tables and lists"),
    "a key of 3,000 parts in one line": (recipe, lambda: said("seed = 5", "seed = 5\n" + "a." * 3000 + "b = 1"), "3000 dots; a line may have 64"),
    "a key of 3,000 parts, which looks like many lines": (
        recipe, lambda: said("seed = 5", "seed = 5\n" + ".".join('"\u2028"' if i % 50 == 0 else "a" for i in range(20_000)) + " = 1"),
        "19999 dots; a line may have 64",
    ),
    "keys of 60 parts on every line": (
        recipe, lambda: "\n".join(f"a{i}{'.b' * 60} = 1" for i in range(1900)).encode(), "more than 16 tables and lists",
    ),
    "a long key with 9,000 others in it": (
        recipe, lambda: f"[{'a' * 100_000}]\n{''.join(f'{i} = 1{chr(10)}' for i in range(9000))}".encode(), "the key is missing",
    ),
    "keys that nobody knows": (recipe, lambda: ("\n".join(f"k{i} = 1" for i in range(15_000)) + GOOD).encode(), "unknown key"),
    "a key that a terminal would obey": (
        recipe, lambda: said("seed = 5", 'seed = 5\n"\\u001b[2J" = 0x' + "f" * 40), r"'\x1b[2J': a number of 160 bits",
    ),
    "a number of 400,000 bits": (recipe, lambda: said("seed = 5", "seed = 0x" + "f" * 100_000), "seed: a number of 400000 bits"),
    "a number of 100,000 digits": (recipe, lambda: said("seed = 5", "seed = " + "9" * 100_000), "not a TOML file"),
    "NaN for a rate": (recipe, lambda: said("learning_rate = 0.1", "learning_rate = nan"), "train learning_rate: nan"),
    "a rate beyond any number": (recipe, lambda: said("learning_rate = 0.1", "learning_rate = 1e400"), "train learning_rate: inf"),
    "truth for a width": (recipe, lambda: said("out = 4", "out = true"), "True; it must be an integer"),
    "8,000 bad layers": (
        recipe, lambda: said("[train]", "[[layers]]\nkind='x'\nout=1\n" * 8000 + "[train]"),
        "layers[3].kind: 'x'; it must be one of 'dense', 'conv2d'",
    ),
    "a name of 200,000 characters": (recipe, lambda: said('coding = "ternary"', f'coding = "{"x" * 200_000}"'), "input.coding: 'xxxx"),
    "layers upon layers": (recipe, lambda: of_architecture("{{{9}*999}*999}*999-10"), "at most 4096 layers"),
    "brackets upon brackets": (recipe, lambda: of_architecture("{" * 90_000), "no more than 8 blocks inside each other"),
    "a pipe for a recipe": (recipe, lambda: Odd.PIPE, "it is not a file"),
    "a million rows": (
        table, lambda: (TABLE + "".join(
            f"[[axes]]\nname = 'x{i}'\nchoices = [{', '.join(f'{{ label = {chr(39)}{j}{chr(39)} }}' for j in range(10))}]\n" for i in range(6)
        )).encode(), "rows; at most 1000 are allowed",
    ),
    "a table's name that is a way out": (table, lambda: TABLE.replace('"tiny"', '"../../x"').encode(), "name: '../../x'"),
    "a text where texts are listed": (
        table, lambda: TABLE.replace('["Everything."]', '"Everything."').encode(), "not_given: it must be a list of texts",
    ),
    "a table where texts are listed": (
        table, lambda: TABLE.replace('["Everything."]', "{ a = 1 }").encode(), "not_given: it must be a list of texts",
    ),
    "a chip of a key that nobody knows": (chip, lambda: b'"' + b"x" * 90_000 + b'" = 1', "unknown key 'xxx"),
    "a chip with a name of two lines": (chip, lambda: b'name = "a\\nb"', "it must be a text without control characters"),
    "a chip of minus one cores": (chip, lambda: b"[architecture]\ncores = -1", "cores: -1; it must be an integer in 1..4096"),
    "a link to /dev/zero for a chip": (chip, lambda: Odd.ENDLESS, "it is not a file"),
}  # fmt: skip


# Data sets: IDX, CIFAR, events.


def idx_of(shape: tuple[int, ...], data: bytes, kind: int = 8) -> bytes:
    """Return an IDX file."""
    return bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + data


def cifar10(**files: bytes) -> dict[str, Content]:
    """Return the test split of CIFAR-10 with one picture, and other ``files``."""
    return {"test_batch.bin": b"\0" + bytes(3072), **{name.replace("__", "."): content for name, content in files.items()}}


def digits(**odd: Content) -> dict[str, Content]:
    """Return N-MNIST's test split with one recording a digit, but for ``odd`` ones."""
    files: dict[str, Content] = {f"Test/{digit}/a.bin": b"\1\2\x80\0\5" for digit in range(10)}
    return files | {f"Test/{name.replace('__', '/')}": content for name, content in odd.items()}


AEDAT = b"#!AER-DAT2.0\r\n"
SETS = {
    "an array of 4 GiB": (idx, lambda: idx_of((1 << 16, 1 << 16), b"a"), "holds 4294967296 bytes; the limits are"),
    "sizes whose product is 0 in 64 bits": (idx, lambda: idx_of((1 << 16,) * 4, b""), "holds 18446744073709551616 bytes"),
    "a bomb that claims 16 bytes": (idx, lambda: gzip.compress(idx_of((16,), bytes(40_000_000)), 1), "takes 16 bytes of data; there are more"),
    "a claim of 128 MiB with nothing behind it": (idx, lambda: gzip.compress(idx_of((1 << 27,), b"")), "there are only 0"),
    "50,000 empty gzip members": (idx, lambda: gzip.compress(b"", 1) * 50_000, "it begins with nothing"),
    "gzip members behind the data": (idx, lambda: gzip.compress(idx_of((2,), b"ab")) + gzip.compress(b"") * 50_000, "there is more behind the end"),
    "gzip cut short": (idx, lambda: gzip.compress(idx_of((9,), b"abcdefghi"))[:-4], "damaged gzip data"),
    "gzip in gzip": (idx, lambda: gzip.compress(gzip.compress(idx_of((1,), b"a"))), "it begins with 1f 8b"),
    "pickled pixels": (idx, lambda: pickle.dumps([1, 2]), "it begins with 80 04"),
    "doubles for bytes": (idx, lambda: idx_of((1,), bytes(8), kind=0x0E), "element type 0x0e"),
    "a pipe for an array": (idx, lambda: Odd.PIPE, "it is not a file"),
    "more labels than images": (
        dataset("mnist"), lambda: {"t10k-images-idx3-ubyte": idx_of((1, 28, 28), bytes(784)),
        "t10k-labels-idx1-ubyte": idx_of((2,), b"ab")}, "there are 1 images",
    ),
    "a label beyond the classes": (
        dataset("mnist"), lambda: {"t10k-images-idx3-ubyte": idx_of((1, 28, 28), bytes(784)),
        "t10k-labels-idx1-ubyte": idx_of((1,), b"\x0a")}, "a label in 10..10",
    ),
    "a record cut short": (dataset("cifar10"), lambda: cifar10(test_batch__bin=bytes(3072)), "3072 bytes; it must be one or more records of 3073"),
    "a record of another class": (dataset("cifar10"), lambda: cifar10(test_batch__bin=b"\x0a" + bytes(3072)), "label 10; it must be in 0..9"),
    "a class of CIFAR that a terminal would obey": (
        dataset("cifar10"), lambda: cifar10(batches__meta__txt=b"\n".join([b"a"] * 9 + [b"\x1b[2J"])), "it must have no control characters",
    ),
    "millions of empty lines": (dataset("cifar10"), lambda: cifar10(batches__meta__txt=b"\n" * 5_000_000), "larger than 4194304 bytes"),
    "millions of short lines": (dataset("cifar10"), lambda: cifar10(batches__meta__txt=b"ab\n" * 1_300_000), "1300000 names; there must be 10"),
    "CIFAR's pickled version": (dataset("cifar10"), lambda: {"test_batch": pickle.dumps({})}, "test_batch.bin: it is not there"),
    "half an event": (n_mnist, lambda: b"\1\2\x80\0\5\1", "6 bytes; it must be one or more events of 5 bytes"),
    "an event beside the camera": (n_mnist, lambda: b"\x22\2\x80\0\5", "an event at x 34, y 2"),
    "marks of time and no event": (n_mnist, lambda: b"\0\xf0\0\0\0" * 9, "there are no events"),
    "a hole of 64 MiB for a recording": (n_mnist, lambda: 1 << 26, "larger than 16777216 bytes"),
    "a pipe for a recording": (dataset("n-mnist", timesteps=2), lambda: digits(**{"3__a.bin": Odd.PIPE}), "a.bin: it is not a file"),
    "a link to itself for a class": (
        dataset("n-mnist", timesteps=2), lambda: {path: content for path, content in digits().items() if "/3/" not in path} | {"Test/3": Odd.LOOP},
        "Too many levels of symbolic links",
    ),
    "a recording whose name a terminal would obey": (
        dataset("n-mnist", timesteps=2), lambda: digits(**{"3__\x1b[2J.bin": b"\1\2\x80\0\5"}), "names must have no control characters",
    ),
    "a recording whose name is no UTF-8": (
        dataset("n-mnist", timesteps=2), lambda: digits(**{"3__\udcff.bin": b""}), "names must have no control characters",
    ),
    "AEDAT of another version": (aedat, lambda: b"#!AER-DAT3.1\r\n" + bytes(8), "an AEDAT 2.0 file begins with"),
    "a header without end": (aedat, lambda: AEDAT + b"#" * 1_000_000, "it ends within its header"),
    "a header of a million lines": (aedat, lambda: AEDAT + b"#\n" * 1_000_000 + bytes(8), "the limit is 65536"),
    "half a pair of words": (aedat, lambda: AEDAT + bytes(12), "12 bytes after the header; events take 8 bytes each"),
    "an address of 17 bits": (aedat, lambda: AEDAT + struct.pack(">II", 1 << 16, 0), "address 0x10000; a DVS128's have 16 bits"),
    "external events alone": (aedat, lambda: AEDAT + struct.pack(">II", 0x8000, 0) * 9, "there are no events"),
}  # fmt: skip


# Pictures and their folders.


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """Return a picture as a file."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def png(*chunks: tuple[bytes, bytes], width: int = 8, height: int = 8, depth: int = 8, colours: int = 2) -> bytes:
    """Return a PNG file of a header and ``chunks``."""
    all_chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)), *chunks, (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in all_chunks)


def blue(side: int = 8, **options: Any) -> bytes:
    """Return a JPEG file of one colour."""
    return saved(Image.new("RGB", (side, side), (9, 90, 200)), "JPEG", **options)


def scans(count: int) -> bytes:
    """Return a progressive JPEG whose last scan is there so often."""
    content = blue(2000, progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:-2] + content[last:-2] * count + content[-2:]


def false_sum() -> bytes:
    """Return a PNG file with a pixel changed behind its sums' back."""
    content = bytearray(saved(Image.new("RGB", (40, 40)), "PNG", compress_level=0))
    content[1000] ^= 1
    return bytes(content)


def tiny(wnid: str = "n1", row: str = "a.JPEG\tn0", content: Content = b"") -> dict[str, Content]:
    """Return Tiny ImageNet's validation split of one picture; ``wnid`` is one of its classes, ``row`` its annotation."""
    classes = "\n".join(["n0", wnid, *(f"n{i}" for i in range(2, 200))])
    return {"wnids.txt": classes.encode(), "val/val_annotations.txt": row.encode(), "val/images/a.JPEG": content or blue(64)}


validation = dataset("tiny-imagenet")
NO_PICTURE = "it is no JPEG or PNG picture, or cut off"
PICTURES = {
    "a picture of 50,000 by 50,000": (picture, lambda: png(width=50_000, height=50_000), "the limit is 62500000"),
    "a picture of 2**31 - 1 by 2**31 - 1": (picture, lambda: png(width=2**31 - 1, height=2**31 - 1), "the limit is 62500000"),
    "a grey picture of 40 million": (picture, lambda: png(width=8000, height=5000, colours=0), "8000x5000 pixels; the limit is 31250000"),
    "a progressive picture of 30 million": (picture, lambda: blue(5500, progressive=True), "5500x5500 pixels; the limit is 25000000"),
    "scans upon scans": (picture, lambda: scans(3000), "scans of 2000x2000 pixels"),
    "a million empty parts of a JPEG": (
        picture, lambda: blue()[:2] + b"\xff\xfe\0\2" * 1_000_000 + blue()[2:], "more parts than the 12500 that are read",
    ),
    "300,000 empty parts of a PNG": (picture, lambda: png(*[(b"aaAa", b"")] * 300_000), "more parts than the 12500 that are read"),
    "a text that unpacks to 80 MB": (picture, lambda: png((b"zTXt", b"a\0\0" + zlib.compress(bytes(80_000_000), 1)), (b"IDAT", b"")), NO_PICTURE),
    "a PNG without pixels": (picture, lambda: png((b"IDAT", b"")), NO_PICTURE),
    "a PNG whose sums do not fit": (picture, false_sum, NO_PICTURE),
    "greys of 16 bits": (picture, lambda: saved(Image.fromarray(np.full((8, 8), 300, np.uint16)), "PNG"), "pixels of the mode 'I;16'"),
    "a JPEG cut short": (picture, lambda: blue(300)[:-900], NO_PICTURE),
    "a GIF": (picture, lambda: saved(Image.new("L", (8, 8)), "GIF"), NO_PICTURE),
    "a hole of 1 GiB for a picture": (picture, lambda: 1 << 30, "larger than 33554432 bytes"),
    "a pipe for a picture": (picture, lambda: Odd.PIPE, "it is not a file"),
    "a class that is a way out": (validation, lambda: tiny("../../../etc"), "a class must be of the characters"),
    "a class with a NUL": (validation, lambda: tiny("n\0"), "it must have no control characters"),
    "a picture that is a way out": (validation, lambda: tiny(row="../images/a.JPEG\tn0"), "is not in"),
    "a picture of no class": (validation, lambda: tiny(row="a.JPEG\tn999"), "class 'n999' is not in wnids.txt"),
    "a link to /dev/zero among the pictures": (validation, lambda: tiny(content=Odd.ENDLESS), "a.JPEG: it is not a file"),
    "a link to nothing among the pictures": (validation, lambda: tiny(content=Odd.DANGLING), "a.JPEG: No such file"),
}  # fmt: skip


# Folders of runs.


def run(text: str, **files: Content) -> dict[str, Content]:
    """Return the folder of a run."""
    return {"recipe.toml": text.encode()} | {f"{name}.safetensors": content for name, content in files.items()}


RUNS = {
    "a run of another recipe": (load_run, lambda: run(GOOD, model=float_with()), "trained by another recipe"),
    "a run of pickled weights": (load_run, lambda: run(GOOD, weights=pickle.dumps({})), "not a safetensors file"),
    "a run of 34 GB by its recipe, and no weights": (
        load_run, lambda: run(GOOD.replace("[train]", "[[layers]]\nkind = 'dense'\nout = 65536\n" * 3 + "[train]"), weights=container(entry())),
        "the recipe beside it has more",
    ),
    "a run of 8,000 layers by its recipe, and no weights": (
        load_run, lambda: run(GOOD.replace("[train]", "[[layers]]\nkind = 'dense'\nout = 1\n" * 6000 + "[train]"), weights=container(entry())),
        "the recipe beside it has more",
    ),
    "a run that is not finished": (load_run, lambda: run(GOOD), "is the run finished?"),
    "a folder of nothing": (load_run, lambda: {"a": b""}, "it has no recipe.toml"),
}  # fmt: skip

# NIR graphs, in HDF5.


def nir_network(path: Path) -> Any:
    """Read a graph as ``spikefold import`` does."""
    chain = read_chain(path)
    if chain.metadata:
        return exported_network(chain, str(path))
    coding = InputCoding(shape=(4, 1, 1), coding="ternary", mean=0.0, std=1.0, scale=1.0, payload_bits=2, seed=0)
    return network_of(chain, coding, 3, NirRules(dt=1e-4, compare="above", reset="hard"), None, {})


def hdf5(change: Callable[[Any], object]) -> bytes:
    """Return a sound graph of one layer of integrating neurons, with something put into it."""
    import h5py

    nodes: dict[str, dict[str, Any]] = {"input": {"type": "Input", "shape": [4]}, "a": {"type": "Linear", "weight": np.ones((3, 4))},
             "b": {"type": "I", "r": np.full(3, 1e4)}, "output": {"type": "Output", "shape": [3]}}  # fmt: skip
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["version"], file["node/type"] = "1.0.8", "NIRGraph"
        file["node"].create_dataset("edges", data=[("input", "a"), ("a", "b"), ("b", "output")], dtype=h5py.string_dtype())
        for name, fields in nodes.items():
            for key, value in fields.items():
                file[f"node/nodes/{name}/{key}"] = value
        change(file)
    return buffer.getvalue()


def put(place: str, value: Any = None, **options: Any) -> Callable[[], bytes]:
    """Return what gives the graph with something else in a place: a value, or a dataset of h5py's ``options``."""

    def change(file: Any) -> None:
        if place in file:
            del file[place]
        if options:
            file.create_dataset(place, **options)
        else:
            file[place] = value(file) if callable(value) else value

    return lambda: hdf5(change)


def links(kind: str, *where: str) -> Callable[[Any], Any]:
    """Return what makes one of h5py's links."""

    def made(_: Any) -> Any:
        import h5py

        return getattr(h5py, kind)(*where)

    return made


nir = _file(nir_network)
WEIGHT, META = "node/nodes/a/weight", "node/metadata/spikefold"
GRAPHS = {
    "a pickle for a graph": (nir, lambda: pickle.dumps(print), "it is no HDF5 file that can be read"),
    "a graph cut short": (nir, lambda: hdf5(len)[:-100], "it is no HDF5 file that can be read"),
    "weights in /etc/passwd": (nir, put(WEIGHT, shape=(3, 4), dtype="f8", external=[("/etc/passwd", 0, 96)]), "its values lie in another file"),
    "a node in another file": (nir, put("node/nodes/a", links("ExternalLink", "/etc/passwd", "/")), "a ExternalLink; only what lies in its place"),
    "a link to itself in a graph": (nir, put(WEIGHT, links("SoftLink", f"/{WEIGHT}")), "a SoftLink; only what lies in its place"),
    "links in a circle": (nir, put("node/nodes/a/up", lambda file: file["node"]), "it stands in another place too"),
    "numbers that are not there": (nir, put(WEIGHT, shape=(1 << 30, 1 << 30), dtype="f4", chunks=(1024, 1)), "bytes of numbers"),
    "a bomb of zeros": (nir, put(WEIGHT, data=np.zeros((9_000, 1_000), np.float32), compression="gzip"), "bytes of numbers"),
    "a chunk of 2 GiB": (nir, put(WEIGHT, shape=(4,), maxshape=(None,), dtype="f8", chunks=(1 << 28,)), "one must have at most 268435456 bytes"),
    "NaN for a weight": (nir, put(WEIGHT, np.full((3, 4), np.nan)), "node/nodes/a/weight: a value is not finite"),
    "a node that a terminal would obey": (nir, put("node/nodes/\x1b[2J/r", [np.nan]), r"/node/nodes/\x1b[2J/r: a value is not finite"),
    "a type of 100,000 characters": (nir, put("node/nodes/a/type", "x" * 100_000), "nothing in a float network is the same"),
    "a field of a node that nobody knows": (nir, put("node/nodes/b/w_in", np.full(3, 2.0)), "'w_in': it is unknown; r are known"),
    "numbers for the type of a graph": (nir, put("node/type", np.ones(3)), "it holds no NIRGraph"),
    "an output of another shape": (nir, put("node/nodes/output/shape", [4]), "shape: [4]; here it is [3, 1, 1]"),
    "a whole number beyond 2**53": (nir, put(WEIGHT, np.full((3, 4), 2**53 + 1)), "a whole number beyond 2**53"),
    "a text of brackets without end": (nir, put(META, "[" * 900_000), "nested deeper than 16"),
    "a text of 2 MB": (nir, put(META, " " * 2_000_000), "larger than 1000000 bytes"),
    "a text with a key twice": (nir, put(META, '{"format_version":1,"format_version":1}'), "key 'format_version' is there twice"),
    "a pipe for a graph": (nir, lambda: Odd.PIPE, "it is not a file"),
    "a link to nothing for a graph": (nir, lambda: Odd.DANGLING, "No such file"),
}  # fmt: skip

PARTS: tuple[Mapping[str, tuple[Any, Any, str]], ...] = (
    TENSORS,
    TOMLS,
    SETS,
    PICTURES,
    RUNS,
    *([GRAPHS] if importlib.util.find_spec("h5py") else []),
)
CORPUS = {name: Hostile(read=read, make=make, words=words) for part in PARTS for name, (read, make, words) in part.items()}
