"""Folders of pictures, written with Pillow in the official layouts, and every way in which they can be wrong."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spikefold.data.datasets import DATASETS, load_dataset
from spikefold.data.errors import DataError
from spikefold.data.folders import centre_square, read_picture

WNIDS = [f"n{7 * i % 200:08d}" for i in range(200)]
"""Not sorted, as in Tiny ImageNet."""


def jpeg(colour: tuple[int, ...], size: tuple[int, int] = (64, 64), mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, colour if len(colour) > 1 else colour[0]).save(file, "JPEG", quality=95)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """Return a PNG file of 60 bytes that claims so many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def colour(image: np.ndarray) -> list[int]:
    """Return the middle's colour, to the nearest 10."""
    return [round(int(c[c.shape[0] // 2, c.shape[1] // 2]) / 10) * 10 for c in image]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny-imagenet-200"
    write(folder / "wnids.txt", "".join(f"{wnid}\n" for wnid in WNIDS).encode())
    for i, wnid in enumerate(WNIDS):
        write(folder / "train" / wnid / "images" / f"{wnid}_0.JPEG", jpeg((i, 100, 200)) if i in (0, 5) else b"no picture")
        write(folder / "train" / wnid / f"{wnid}_boxes.txt", b"")
    write(folder / "train" / WNIDS[5] / "images" / f"{WNIDS[5]}_1.JPEG", jpeg((80,), mode="L"))
    rows = ""
    for i in (2, 0, 1):
        write(folder / "val" / "images" / f"val_{i}.JPEG", jpeg((100 * i, 20, 30)))
        rows += f"val_{i}.JPEG\t{WNIDS[50 + i]}\t0\t32\t44\t62\n"
    write(folder / "val" / "val_annotations.txt", rows.encode())
    return tmp_path


def test_tiny_imagenet(tiny: Path) -> None:
    train, test = (load_dataset("tiny-imagenet", split, tiny) for split in ("train", "test"))
    assert train.class_names == test.class_names == tuple(WNIDS)
    assert train.shape == test.shape == DATASETS["tiny-imagenet"].shape
    assert train.labels.tolist() == [*range(6), 5, *range(6, 200)]
    assert [colour(image) for image in train.images[[6, 0, 5]]] == [[80, 80, 80], [0, 100, 200], [0, 100, 200]]
    assert test.labels.tolist() == [52, 50, 51]
    assert [colour(image) for image in test.images[:]] == [[200, 20, 30], [0, 20, 30], [100, 20, 30]]
    assert load_dataset("tiny-imagenet", "test", tiny / "tiny-imagenet-200", size=32).images[:2].shape == (2, 3, 32, 32)
    with pytest.raises(DataError, match=rf"{WNIDS[1]}_0\.JPEG: it is no JPEG or PNG picture, or cut off"):
        train.images[1:2]


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("wnids.txt", b"n1\nn2\n", "wnids.txt: 2 different classes in 2 lines; there must be 200 in 200"),
        ("wnids.txt", "".join(f"{wnid}\n" for wnid in [*WNIDS[:-1], WNIDS[0]]).encode(), "199 different classes in 200 lines"),
        ("wnids.txt", "".join(f"{wnid}x\n" for wnid in WNIDS).encode(), r"n00000000x.images: it is not there; the files of 'tiny-imagenet' are"),
    ],
)
def test_damaged_tiny_imagenet(tiny: Path, file: str, content: bytes, words: str) -> None:
    (tiny / "tiny-imagenet-200" / file).write_bytes(content)
    with pytest.raises(DataError, match=words):
        load_dataset("tiny-imagenet", "train", tiny)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (f"val_0.JPEG\t{WNIDS[0]}\nval_3.JPEG\t{WNIDS[0]}\n", r"val_annotations.txt: row 2: 'val_3\.JPEG' is not in .*val.images"),
        (f"../images/val_0.JPEG\t{WNIDS[0]}\n", r"row 1: '\.\./images/val_0.JPEG' is not in"),
        ("val_0.JPEG\tn99\n", "row 1: class 'n99' is not in wnids.txt"),
        ("val_0.JPEG\n", "row 1: class '' is not in wnids.txt"),
        (f"val_0.JPEG\t{WNIDS[0]}\n" * 2, "2 rows for 3 pictures in"),
        ("".join(f"val_{i}.JPEG\t{WNIDS[0]}\n" for i in (0, 1, 2, 1)), "4 rows for 3 pictures in"),
        (f"val_0.JPEG\t{WNIDS[0]}\n" * 3, "3 rows for 3 pictures in .*; there must be one each"),
    ],
)
def test_damaged_annotations(tiny: Path, rows: str, words: str) -> None:
    (tiny / "tiny-imagenet-200" / "val" / "val_annotations.txt").write_text(rows)
    with pytest.raises(DataError, match=words):
        load_dataset("tiny-imagenet", "test", tiny)


def test_a_picture_of_another_size_is_refused(tiny: Path) -> None:
    write(tiny / "tiny-imagenet-200" / "val" / "images" / "val_0.JPEG", jpeg((1, 2, 3), (64, 65)))
    with pytest.raises(DataError, match=r"val_0\.JPEG: 64x65 pixels; the images of 'tiny-imagenet' are 64x64"):
        load_dataset("tiny-imagenet", "test", tiny).images[:]


def test_imagenet(tmp_path: Path) -> None:
    content = jpeg((10, 20, 30), (300, 250))
    for i in range(1000):
        write(tmp_path / "val" / f"n{i:08d}" / f"ILSVRC2012_val_{i}.JPEG", content)
    write(tmp_path / "val" / "n00000002" / "ILSVRC2012_val_0.JPEG", jpeg((200, 100, 50), (240, 700)))
    test = load_dataset("imagenet", "test", tmp_path)
    assert (len(test), test.shape) == (1001, DATASETS["imagenet"].shape)
    assert test.labels[[1, 2, 3, 4, 1000]].tolist() == [1, 2, 2, 3, 999]
    assert test.class_names[999] == "n00000999"
    assert [colour(image) for image in test.images[1:4]] == [[10, 20, 30], [200, 100, 50], [10, 20, 30]]
    with pytest.raises(DataError, match=r"train: it is not there; the files of 'imagenet' are train/<wnid>/\*\.JPEG"):
        load_dataset("imagenet", "train", tmp_path)
    (tmp_path / "val" / "n00000007" / "ILSVRC2012_val_7.JPEG").unlink()
    with pytest.raises(DataError, match=r"n00000007: no file there ends in \.JPEG"):
        load_dataset("imagenet", "test", tmp_path)
    (tmp_path / "val" / "n00000007").rmdir()
    with pytest.raises(DataError, match="val: 999 folders; there must be one for each of 1000 classes"):
        load_dataset("imagenet", "test", tmp_path)


@pytest.mark.parametrize(("width", "height"), [(512, 768), (1024, 512), (512, 512)])
def test_the_square_is_that_of_resizing_to_256_and_cutting_the_middle(tmp_path: Path, width: int, height: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    short = min(width, height)
    whole = Image.fromarray(noise).resize((width * 256 // short, height * 256 // short), Image.Resampling.BILINEAR)
    left, top = (whole.width - 224) // 2, (whole.height - 224) // 2
    expected = np.asarray(whole.crop((left, top, left + 224, top + 224))).transpose(2, 0, 1)
    # At the border, the pixels behind it count in one and not in the other.
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", 224)[:, 1:-1, 1:-1], expected[:, 1:-1, 1:-1])
    assert read_picture(tmp_path / "a.png", None).tolist() == noise.transpose(2, 0, 1).tolist()


def test_the_square_is_in_the_middle() -> None:
    assert centre_square(256, 512) == (16, 144, 240, 368)
    assert centre_square(400, 200) == (112.5, 12.5, 287.5, 187.5)


def test_thin_pictures_take_no_memory(tmp_path: Path) -> None:
    write(tmp_path / "a.JPEG", jpeg((10, 200, 30), (20000, 1)))
    assert colour(read_picture(tmp_path / "a.JPEG", 224)) == [10, 200, 30]


def test_cmyk_becomes_red_green_and_blue(tmp_path: Path) -> None:
    write(tmp_path / "a.JPEG", jpeg((0, 255, 0, 0), mode="CMYK"))
    red, green, blue = colour(read_picture(tmp_path / "a.JPEG", None))
    assert min(red, blue) > 200 > 60 > green


@pytest.mark.parametrize(("width", "height"), [(8001, 8000), (10_000, 10_000), (2**31 - 1, 1), (20_000, 20_000)])
def test_a_picture_that_claims_too_much_is_refused_by_its_header(tmp_path: Path, recwarn: pytest.WarningsRecorder, width: int, height: int) -> None:
    write(tmp_path / "a.JPEG", png_header(width, height))
    with pytest.raises(DataError, match=rf"a.JPEG: .*({width}x{height}|{width * height}).* the limit is 62500000"):
        read_picture(tmp_path / "a.JPEG", 224)
    assert not recwarn.list


@pytest.mark.parametrize("content", [b"", b"no picture", jpeg((1, 2, 3))[:-200], png_header(8, 8), b"GIF89a" + bytes(100), b"\xff\xd8" + bytes(50)])
def test_no_picture(tmp_path: Path, content: bytes) -> None:
    write(tmp_path / "a.JPEG", content)
    with pytest.raises(DataError, match=r"a\.JPEG: it is no JPEG or PNG picture, or cut off"):
        read_picture(tmp_path / "a.JPEG", 224)
    with pytest.raises(DataError, match=r"none\.JPEG: No such file"):
        read_picture(tmp_path / "none.JPEG", 224)


def progressive(side: int, quality: int = 50) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (9, 90, 200)).save(file, "JPEG", quality=quality, progressive=True)
    return file.getvalue()


def test_what_takes_more_memory_a_pixel_may_have_fewer(tmp_path: Path) -> None:
    write(tmp_path / "a.JPEG", progressive(5001))
    with pytest.raises(DataError, match=r"a\.JPEG: 5001x5001 pixels; the limit is 25000000"):
        read_picture(tmp_path / "a.JPEG", 224)
    write(tmp_path / "b.JPEG", jpeg((9,), (5600, 5600), "L"))
    with pytest.raises(DataError, match=r"b\.JPEG: 5600x5600 pixels; the limit is 31250000"):
        read_picture(tmp_path / "b.JPEG", 224)


def test_scans_upon_scans_are_not_gone_through(tmp_path: Path) -> None:
    content = progressive(1000)
    last = content.rindex(b"\xff\xda")
    write(tmp_path / "a.JPEG", content)
    assert read_picture(tmp_path / "a.JPEG", 224).shape == (3, 224, 224)
    write(tmp_path / "a.JPEG", content[:-2] + content[last:-2] * 1000 + content[-2:])
    with pytest.raises(DataError, match=r"a\.JPEG: 10\d\d scans of 1000x1000 pixels; the limit is 581"):
        read_picture(tmp_path / "a.JPEG", 224)


def test_a_million_empty_parts_are_not_gone_through(tmp_path: Path) -> None:
    content = jpeg((1, 2, 3))
    write(tmp_path / "a.JPEG", content[:2] + b"\xff\xfe\x00\x02" * 1_000_000 + content[2:])
    with pytest.raises(DataError, match=r"a\.JPEG: it is made of more parts than the 12500 that are read"):
        read_picture(tmp_path / "a.JPEG", 224)


def test_a_png_whose_sums_do_not_fit_is_refused(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)).save(file, "PNG", compress_level=0)
    content = bytearray(file.getvalue())
    write(tmp_path / "a.JPEG", bytes(content))
    assert read_picture(tmp_path / "a.JPEG", None).shape == (3, 40, 40)
    content[1000] ^= 1
    write(tmp_path / "a.JPEG", bytes(content))
    with pytest.raises(DataError, match="it is no JPEG or PNG picture, or cut off"):
        read_picture(tmp_path / "a.JPEG", None)


def test_greys_of_16_bits_are_refused(tmp_path: Path) -> None:
    """In eight, all of the bright ones would be white."""
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8), 300, np.uint16)).save(file, "PNG")
    write(tmp_path / "a.JPEG", file.getvalue())
    with pytest.raises(DataError, match=r"a\.JPEG: pixels of the mode 'I;16'; they must be of RGB, L, P, CMYK, RGBA, LA, 1"):
        read_picture(tmp_path / "a.JPEG", None)


@pytest.mark.parametrize("wnid", ["../../etc", "a/b", "..", "a b"])
def test_class_names_are_no_way_out_of_the_folder(tiny: Path, wnid: str) -> None:
    (tiny / "tiny-imagenet-200" / "wnids.txt").write_text("\n".join([wnid, *WNIDS[1:]]))
    with pytest.raises(DataError, match=r"wnids\.txt: '.*'; a class must be of the characters A-Z, a-z, 0-9, _ and -"):
        load_dataset("tiny-imagenet", "train", tiny)


def test_pillow_is_loaded_for_pictures_alone() -> None:
    code = "import sys, spikefold.data.datasets; assert 'PIL' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_pillow_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match=r"a\.JPEG: pictures are decoded by Pillow, which is not installed"):
        read_picture(tmp_path / "a.JPEG", None)
