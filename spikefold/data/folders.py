"""Tiny ImageNet and ImageNet: one picture file per image, decoded when it is asked for. Needs Pillow."""

import io
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spikefold.data.errors import DataError
from spikefold.data.files import read_whole
from spikefold.data.info import DATASETS, home, layout_of
from spikefold.data.lazy import Bytes, Loaded, from_files
from spikefold.data.reading import files_in, folders_in, read_lines
from spikefold.data.shown import shown

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

__all__ = ["DECODED_BYTES_MAX", "centre_square", "load_imagenet", "load_tiny_imagenet", "read_picture"]

FILE_BYTES_MAX = 1 << 25
"""The largest picture file, 32 MiB; ImageNet's are at most half of that."""
DECODED_BYTES_MAX = 250_000_000
"""The most memory that a picture may take while it is decoded; a small file can claim far more."""
READS_MAX = 50_000
SCAN_PIXELS_MAX = 640_000_000
"""The most pixels of all scans of a progressive JPEG together: each scan goes over the whole picture, and may take ten bytes of the file."""
SCAN_PIXELS_LEAST = 100_000
ENDING = ".JPEG"
WNID = re.compile(r"[A-Za-z0-9_-]+")
CROP, SHORTER = 224, 256
MODES = ("RGB", "L", "P", "CMYK", "RGBA", "LA", "1")
"""Pillow's words for pixels of at most 8 bits a colour."""
JPEG_SCAN = b"\xff\xda"


class _Parts(io.BytesIO):
    """A picture file in memory, given out in so many parts and no more: a million tiny ones would keep Pillow busy for seconds."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads > READS_MAX:
            raise OSError(0, f"it is made of more parts than the {READS_MAX // 4} that are read")
        return super().read(size)


def read_picture(path: Path, size: int | None) -> Bytes:
    """Return a JPEG or PNG picture as uint8 [3, H, W], grey and CMYK ones in red, green and blue too.

    With ``size``, it is :func:`centre_square`. A file that is missing, no picture or cut off, has more than 8 bits a colour in grey, or would
    take more than ``DECODED_BYTES_MAX`` (62 million pixels of most JPEGs), is a DataError; the latter by its header, before anything is decoded.
    """
    # Here, not above: only these data sets need it.
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError(f"{path}: pictures are decoded by Pillow, which is not installed") from error
    try:
        content = read_whole(path, FILE_BYTES_MAX)
        # Pillow warns of what it makes the best of, and has a limit of its own, above ours.
        with warnings.catch_warnings(action="ignore"), Image.open(_Parts(content), formats=("JPEG", "PNG")) as picture:
            _check_cost(path, picture, content, whole=size is None)
            if picture.format == "PNG":
                # Else its sums are not looked at. It leaves the picture useless.
                with Image.open(_Parts(content), formats=("PNG",)) as twin:
                    twin.verify()
            colours = picture if picture.mode == "RGB" else picture.convert("RGB")
            if size is not None:
                colours = colours.resize((size, size), Image.Resampling.BILINEAR, box=centre_square(*colours.size))
            return np.ascontiguousarray(np.asarray(colours, dtype=np.uint8).transpose(2, 0, 1))
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: {error}; the limit is {DECODED_BYTES_MAX // 4}") from error
    except Exception as error:
        # Whatever bytes are there, Pillow may raise whatever it likes; its words may name a buffer's address or have several lines.
        reason = getattr(error, "strerror", None) or "it is no JPEG or PNG picture, or cut off"
        raise DataError(f"{path}: {reason}") from error


def _check_cost(path: Path, picture: "ImageFile", content: bytes, *, whole: bool) -> None:
    """Refuse a picture, of which only the header is read, that takes too much memory or time to decode, or has colours of 16 bits."""
    if picture.mode not in MODES:
        raise DataError(f"{path}: pixels of the mode {picture.mode!r}; they must be of {', '.join(MODES)}")
    # Pillow keeps 4 bytes a pixel, and again what is converted; a progressive JPEG is kept as coefficients of 2 bytes a colour before; an array
    # is copied twice.
    each = 4 + 4 * (picture.mode != "RGB") + 6 * ("progressive" in picture.info) + 10 * whole
    pixels = picture.width * picture.height
    if pixels * each > DECODED_BYTES_MAX:
        raise DataError(f"{path}: {picture.width}x{picture.height} pixels; the limit is {DECODED_BYTES_MAX // each}")
    scans = content.count(JPEG_SCAN) if picture.format != "PNG" else 1
    if scans > (most := SCAN_PIXELS_MAX // (pixels + SCAN_PIXELS_LEAST)):
        raise DataError(f"{path}: {scans} scans of {picture.width}x{picture.height} pixels; the limit is {most}")


def centre_square(width: int, height: int) -> tuple[float, float, float, float]:
    """Return the (left, top, right, bottom) of a picture's middle square, 224/256 of its shorter side wide.

    Resized to 224 pixels in one go, it is what resizing the shorter side to 256 and cutting 224x224 out of the middle gives, but without
    the rounding in between.
    """
    side = min(width, height) * CROP / SHORTER
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def load_tiny_imagenet(data_dir: Path | None, *, test: bool) -> Loaded:
    """Return one split of Tiny ImageNet (Stanford CS231n): images uint8 [N, 3, 64, 64], classes in the order of wnids.txt, named as there.

    The official test split has no labels, so ``test`` is the official validation split, as in the literature.
    """
    name = "tiny-imagenet"
    folder, shape = home(name, data_dir, "tiny-imagenet-200"), DATASETS[name].shape
    classes = tuple(line.strip() for line in read_lines(name, folder / "wnids.txt"))
    for wnid in classes:
        # They name folders: no way out of this one.
        if not WNID.fullmatch(wnid):
            raise DataError(f"{folder / 'wnids.txt'}: {shown(wnid)}; a class must be of the characters A-Z, a-z, 0-9, _ and -")
    if len(set(classes)) != DATASETS[name].classes or len(classes) != DATASETS[name].classes:
        raise DataError(f"{folder / 'wnids.txt'}: {len(set(classes))} different classes in {len(classes)} lines; there must be 200 in 200")
    if test:
        labels, paths = _annotated(name, folder / "val", classes)
    else:
        labels, paths = _by_class(name, classes, lambda wnid: folder / "train" / wnid / "images")

    def decode(path: Path) -> Bytes:
        picture = read_picture(path, None)
        if picture.shape != shape:
            raise DataError(f"{path}: {picture.shape[2]}x{picture.shape[1]} pixels; the images of {name!r} are {shape[2]}x{shape[1]}")
        return picture

    return from_files(paths, decode, shape), np.array(labels, dtype=np.int64), classes


def _annotated(name: str, folder: Path, classes: tuple[str, ...]) -> tuple[list[int], list[str]]:
    """Return labels and paths of the validation split, in the order of its annotations: file, class and a box, with tabs between them."""
    number = {wnid: label for label, wnid in enumerate(classes)}
    annotations, labels, paths = folder / "val_annotations.txt", [], []
    there = set(files_in(name, folder / "images", ENDING))
    for row, line in enumerate(read_lines(name, annotations), 1):
        file, wnid, *_ = [*line.split("\t"), ""]
        if file not in there:
            raise DataError(f"{annotations}: row {row}: {shown(file)} is not in {folder / 'images'}")
        if wnid not in number:
            raise DataError(f"{annotations}: row {row}: class {shown(wnid)} is not in wnids.txt")
        labels.append(number[wnid])
        paths.append(str(folder / "images" / file))
    if len(set(paths)) != len(there) or len(paths) != len(there):
        raise DataError(f"{annotations}: {len(paths)} rows for {len(there)} pictures in {folder / 'images'}; there must be one each")
    return labels, paths


def load_imagenet(data_dir: Path | None, *, test: bool) -> Loaded:
    """Return one split of ImageNet's 1,000 classes (ILSVRC 2012): images uint8 [N, 3, 224, 224], classes in the order of their folders' names.

    ``test`` is the official validation split, sorted into folders as the training split is: that of the challenge has no labels.
    Pictures are resized and cut as by :func:`centre_square`, in training too.
    """
    name = "imagenet"
    folder = home(name, data_dir) / ("val" if test else "train")
    classes = tuple(folders_in(name, folder))
    if len(classes) != DATASETS[name].classes:
        raise DataError(f"{folder}: {len(classes)} folders; there must be one for each of {DATASETS[name].classes} classes; {layout_of(name)}")
    labels, paths = _by_class(name, classes, lambda wnid: folder / wnid)
    images = from_files(paths, lambda path: read_picture(path, CROP), DATASETS[name].shape)
    return images, np.array(labels, dtype=np.int64), classes


def _by_class(name: str, classes: tuple[str, ...], folder_of: Callable[[str], Path]) -> tuple[list[int], list[str]]:
    """Return labels and paths of all pictures, class by class, sorted by file name in each."""
    labels, paths = [], []
    for label, wnid in enumerate(classes):
        folder = folder_of(wnid)
        files = files_in(name, folder, ENDING)
        labels += [label] * len(files)
        paths += [f"{folder}/{file}" for file in files]
    return labels, paths
