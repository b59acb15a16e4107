"""Image and label files, decoded exactly or refused.

A picture is uint8 (0..255) or, from files of 16 bit, int32 (0..65535); never one scaled to the other.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import EpsImagePlugin, Image, ImageFile, ImageOps, ImageSequence, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile
from torch import Tensor

from segexp.errors import DataError
from segexp.functional.bands import check_channels, check_size, npy_bands, other_channels, tiff_bands

EpsImagePlugin.gs_binary = False  # a picture is no program: Pillow would have Ghostscript run it
Image.MAX_IMAGE_PIXELS = None  # our own limit is checked first and names the file
LOSSY = frozenset({"JPEG", "MPO", "WEBP", "AVIF", "JPEG2000"})  # some of them can be exact, and don't say so
PLAIN = {"1": "L", "P": "RGB", "PA": "RGB", "CMYK": "RGB", "YCbCr": "RGB", "LAB": "RGB", "HSV": "RGB", "RGBX": "RGB"}
BITS_PER_SAMPLE = 258  # a tag of TIFF
ORIENTATION = 274  # of EXIF
QUARTERS = (5, 6, 7, 8)
TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
BROKEN = (OSError, SyntaxError, ValueError, TypeError, EOFError, LookupError, OverflowError, ArithmeticError, zlib.error)  # Pillow's


def read_image(path: Path, channels: int = 3) -> Tensor:
    """An image as it is to be seen, EXIF orientation applied.

    Files: whatever Pillow reads, 16-bit RGB in PNG and TIFF with all their bits; TIFF of one channel on each page; TIFF of
    several bands (which needs `tifffile`); `.npy` of uint8 or uint16, [H,W] or [H,W,C].

    Args:
        path: the file.
        channels: how many are wanted. Grey becomes RGB; RGB whose channels are equal becomes grey; alpha is left out
            where three or one are wanted. Nothing else is converted.

    Returns:
        uint8 [C,H,W], or int32 [C,H,W] with values 0..65535 of a 16-bit file.

    Raises:
        DataError: missing, empty, truncated, animated, too large, of other channels than asked for, or not an image.
    """
    bands, alpha = _bands(path, channels)
    found = len(bands)
    if alpha and channels in (1, 3):
        bands = bands[:-1]
    if len(bands) == 1 and channels == 3:
        bands = np.repeat(bands, 3, axis=0)
    elif len(bands) == 3 and channels == 1 and (bands == bands[:1]).all():
        bands = bands[:1]
    if len(bands) != channels:
        raise other_channels(found, channels, path)
    return torch.from_numpy(np.ascontiguousarray(bands))


def is_turned(path: Path) -> bool:
    """Does EXIF turn this picture by a quarter?"""
    if path.suffix.lower() == ".npy" or _foreign(path):
        return False
    with _decoding(path, several=True) as image:
        return image.getexif().get(ORIENTATION, 1) in QUARTERS


def page_count(path: Path) -> int:
    """How many pages a file has.

    Raises:
        DataError: missing, or not an image.
    """
    with _decoding(path, several=True) as image:
        return getattr(image, "n_frames", 1)


def read_page(path: Path, page: int) -> Tensor:
    """One page of a TIFF as it is: uint8 [C,H,W], or int32 of 16-bit grey.

    Raises:
        DataError: missing, broken, or without this page.
    """
    with _decoding(path, several=True) as image:
        image.seek(page)
        return torch.from_numpy(_page(image, path))


def read_labels(path: Path) -> Tensor:
    """A label map's raw values: grey levels, palette indices or 16-bit values, never colours; or an array file.

    Returns:
        uint8 [H,W], or int32 [H,W] of a file with more than 8 bit.

    Raises:
        DataError: unreadable, lossy (JPEG and the like), negative, or stored as colours or several channels.
    """
    if path.suffix.lower() == ".npy":
        return _only_channel(npy_bands(path), path)
    with _decoding(path) as image:
        _check_exact(image, path)
        wide = image.mode.startswith("I")
        if image.mode not in ("L", "P", "1") and not wide:
            raise DataError(
                f"labels are stored as colours ({image.mode})",
                where=str(path),
                fix="store class indices, one channel; data=folder reads colours: 'data.classes={road: [128,64,128], ...}'",
            )
        array = np.asarray(image).astype(np.int32 if wide else np.uint8)
    if wide and array.min() < 0:
        raise DataError(f"a label of {array.min()}", where=str(path), fix="store labels as 0..65535")
    return torch.from_numpy(array)


def read_colors(path: Path) -> Tensor:
    """The colours of a label map, of a palette file those of its palette; transparency doesn't count.

    Returns:
        int32 [H,W], R * 65536 + G * 256 + B.

    Raises:
        DataError: unreadable, lossy (JPEG and the like), or of more than 8 bit.
    """
    with _decoding(path) as image:
        _check_exact(image, path)
        if image.mode.startswith(("I", "F")) or _reduced(image):
            raise DataError("colours of more than 8 bit", where=str(path), fix="store 8 bit a channel")
        rgb = np.asarray(image.convert("RGB")).astype(np.int32)  # [H,W,3]
    return torch.from_numpy(rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2])


def holds_colors(path: Path) -> bool:
    """Is a label file one of colours, by its header? A palette file isn't.

    Raises:
        DataError: missing, or not an image.
    """
    if path.suffix.lower() == ".npy":
        return False
    with _decoding(path) as image:
        return image.mode not in ("L", "P", "1", "F") and not image.mode.startswith("I")


def _only_channel(bands: np.ndarray, path: Path) -> Tensor:
    if len(bands) != 1:
        raise DataError(f"labels of {len(bands)} channels", where=str(path), fix="store class indices, one channel")
    return torch.from_numpy(np.ascontiguousarray(bands[0]))


def _bands(path: Path, wanted: int) -> tuple[np.ndarray, bool]:
    """The channels of a file, uint8 or int32 [C,H,W], and whether the last is alpha."""
    if path.suffix.lower() == ".npy":
        return npy_bands(path), False
    if _foreign(path):
        return tiff_bands(path, wanted), False
    with _decoding(path, several=True) as image:
        if _reduced(image):
            return _wide_colors(path), image.mode == "RGBA"
        if image.format == "TIFF" and (number := getattr(image, "n_frames", 1)) > 1:
            check_channels(number, wanted, path)
            pages = [_page(page, path) for page in ImageSequence.Iterator(image)]
            if any(len(page) != 1 or page.shape != pages[0].shape for page in pages):
                raise DataError("pages of several channels or sizes", where=str(path), fix="one channel a page, or one page")
            return np.concatenate(pages), False
        return _page(image, path), image.mode in ("LA", "RGBA")


def _page(image: Image.Image, path: Path) -> np.ndarray:
    """One decoded picture as uint8 or int32 [C,H,W]."""
    check_size(*image.size, path)  # a later page has its own
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode == "F":
        raise DataError("an image of floats", where=str(path), fix="store 8 or 16 bit, or .npy of uint8 or uint16")
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.int32)
        if wide.min() < 0 or wide.max() > 65535:
            raise DataError(f"image values {wide.min()}..{wide.max()}", where=str(path), fix="store 8 or 16 bit: 0..65535")
        return wide[None]
    if image.mode in PLAIN:
        image = image.convert(PLAIN[image.mode])
    return np.stack([np.asarray(band) for band in image.split()])  # faster than taking [H,W,C] apart


def _wide_colors(path: Path) -> np.ndarray:
    """16-bit RGB or RGBA as int32 [C,H,W].

    Pillow keeps the higher byte of each value alone; told that the bytes are in the other order, it keeps the lower one.
    """
    halves = []
    for swapped in (False, True):
        with _decoding(path) as image:
            raw = _raw_mode(image.tile[0].args)
            if image.format not in ("PNG", "TIFF") or raw[:-1] not in ("RGB;16", "RGBA;16"):
                what = f"a {image.format} of 16 bit that is neither grey nor RGB nor RGBA in PNG or TIFF"
                raise DataError(what, where=str(path), fix="store one of these")
            if swapped:
                native = "B" if sys.byteorder == "big" else "L"
                other = raw[:-1] + ("L" if raw[-1].replace("N", native) == "B" else "B")
                image.tile = [tile._replace(args=_with_raw_mode(tile.args, other)) for tile in image.tile]
            halves.append(_page(image, path).astype(np.int32))
    return halves[0] << 8 | halves[1]


def _foreign(path: Path) -> bool:
    """Is this a TIFF that Pillow can't read?"""
    if path.suffix.lower() not in (".tif", ".tiff"):
        return False
    try:
        with Image.open(path) as image:
            bits = image.tag_v2.get(BITS_PER_SAMPLE, (1,)) if isinstance(image, TiffImageFile) else (1,)
            return len(bits) > 1 and bits[0] != 8 and not _reduced(image)
    except UnidentifiedImageError:
        with path.open("rb") as file:
            return file.read(4) in TIFF_MARKS
    except BROKEN:
        return False  # told by whoever opens it next


def _reduced(image: ImageFile.ImageFile) -> bool:
    """Would Pillow cut this file's 16 bit to 8?"""
    if image.mode.startswith("I") or not image.tile:
        return False
    arguments = image.tile[0].args
    greatest = arguments[1] if image.format == "PPM" and isinstance(arguments, tuple) else 0
    return ";16" in _raw_mode(arguments) or (isinstance(greatest, int) and greatest > 255)


def _raw_mode(arguments: Any) -> str:
    """How Pillow's decoder unpacks the bytes of a file, such as `RGB;16B`."""
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _with_raw_mode(arguments: Any, mode: str) -> Any:
    return (mode, *arguments[1:]) if isinstance(arguments, tuple) else mode


def _check_exact(image: Image.Image, path: Path) -> None:
    packed_jpeg = image.format == "MPO" or "jpeg" in str(image.info.get("compression", ""))  # within a TIFF
    if image.format in LOSSY or packed_jpeg:
        kind = "JPEG" if packed_jpeg else image.format
        raise DataError(f"labels in a {kind} file are not exact", where=str(path), fix="store them as PNG")


@contextmanager
def _decoding(path: Path, *, several: bool = False) -> Iterator[ImageFile.ImageFile]:
    """Open a file; every way in which that, or decoding it within the block, fails becomes a DataError with the path."""
    try:
        with Image.open(path) as image:
            check_size(*image.size, path)
            if getattr(image, "is_animated", False) and image.format != "MPO" and not (several and image.format == "TIFF"):
                number = getattr(image, "n_frames", 2)
                raise DataError(f"{number} pictures in one file", where=str(path), fix="store one picture a file")
            yield image
    except FileNotFoundError:
        raise DataError("the file is missing", where=str(path), fix="restore it, or remove it from the list") from None
    except UnidentifiedImageError:
        empty = path.stat().st_size == 0
        raise DataError("the file is empty" if empty else "not an image", where=str(path), fix="replace the file") from None
    except BROKEN as error:
        raise DataError(f"can't decode the image ({error})", where=str(path), fix="replace the file") from None
