"""Tiny ImageNet and ImageNet: one picture file per image, decoded when it is asked for. Needs Pillow."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from spikefold.data.errors import DataError
from spikefold.data.info import DATASETS, home, layout_of
from spikefold.data.lazy import Bytes, Loaded, from_files
from spikefold.data.reading import files_in, folders_in, read_lines

__all__ = ["PIXELS_MAX", "centre_square", "load_imagenet", "load_tiny_imagenet", "read_picture"]

PIXELS_MAX = 64_000_000
"""The largest picture that is decoded; a small file can claim far more, and would take its memory."""
ENDING = ".JPEG"
CROP, SHORTER = 224, 256


def read_picture(path: Path, size: int | None) -> Bytes:
    """Return a JPEG or PNG picture as uint8 [3, H, W], grey and CMYK ones in red, green and blue too.

    With ``size``, it is :func:`centre_square`. A file that is missing, no picture or cut off, or with more than ``PIXELS_MAX`` pixels, is a
    DataError; the latter is refused by its header, before anything is decoded.
    """
    # Here, not above: only these data sets need it.
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError(f"{path}: pictures are decoded by Pillow, which is not installed") from error
    try:
        with warnings.catch_warnings():
            # Pillow has a limit of its own, above ours.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=("JPEG", "PNG")) as picture:
                if picture.width * picture.height > PIXELS_MAX:
                    raise DataError(f"{path}: {picture.width}x{picture.height} pixels; the limit is {PIXELS_MAX}")
                colours = picture.convert("RGB")
        if size is not None:
            colours = colours.resize((size, size), Image.Resampling.BILINEAR, box=centre_square(*colours.size))
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: {error}; the limit is {PIXELS_MAX}") from error
    except (OSError, SyntaxError, ValueError) as error:
        # Pillow's words may name a buffer's address or have several lines.
        reason = getattr(error, "strerror", None) or "it is no JPEG or PNG picture, or cut off"
        raise DataError(f"{path}: {reason}") from error
    return np.ascontiguousarray(np.asarray(colours, dtype=np.uint8).transpose(2, 0, 1))


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
            raise DataError(f"{annotations}: row {row}: {file!r} is not in {folder / 'images'}")
        if wnid not in number:
            raise DataError(f"{annotations}: row {row}: class {wnid!r} is not in wnids.txt")
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
