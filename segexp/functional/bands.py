"""Picture files that Pillow can't read: arrays, and TIFF of many bands."""

from __future__ import annotations

import math
from pathlib import Path
from tokenize import TokenError

import numpy as np

from segexp.errors import DataError

MAX_PIXELS = 64_000_000  # unless said otherwise
_limit = [MAX_PIXELS]  # of this process


def limit_pixels(most: int) -> None:
    """Set how many pixels a picture may have in this process (`data.max_pixels`)."""
    _limit[0] = most


def most_pixels() -> int:
    """How many pixels a picture may have in this process."""
    return _limit[0]


def check_size(width: int, height: int, path: Path) -> None:
    """Refuse a picture of more pixels than allowed: from its header, before anything is allocated."""
    if width * height > _limit[0]:
        fix = f"cut it into tiles, or data.max_pixels={width * height} if it is what it claims to be"
        raise DataError(f"an image of {width}x{height} pixels (the limit is {_limit[0]})", where=str(path), fix=fix)


def check_channels(found: int, wanted: int, path: Path) -> None:
    """Refuse a picture of more channels than any way to read it takes, before they are decoded."""
    if found > max(wanted, 3):  # three may be grey
        raise other_channels(found, wanted, path)


def other_channels(found: int, wanted: int, path: Path) -> DataError:
    """What is said of a picture of other channels than wanted."""
    fix = f"data.channels={found}, if the data set has this key, or convert the file"
    return DataError(f"an image of {found} channels, {wanted} are wanted", where=str(path), fix=fix)


def npy_bands(path: Path) -> np.ndarray:
    """An array file, uint8 or uint16, [H,W] or [H,W,C], as uint8 or int32 [C,H,W].

    Raises:
        DataError: missing, cut, of another kind of numbers or shape; an array of objects isn't read.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)  # refused by its header before it is read
    except FileNotFoundError:
        raise DataError("the file is missing", where=str(path), fix="restore it, or remove it from the list") from None
    except (OSError, ValueError, EOFError, SyntaxError, RecursionError, MemoryError, TokenError) as error:
        raise DataError(f"can't read the array ({error})", where=str(path), fix="write it anew by numpy.save") from None
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.size == 0:
        raise DataError(f"an array of shape {array.shape}", where=str(path), fix="store [H,W] or [H,W,C]")
    check_size(array.shape[1], array.shape[0], path)
    return _integers(np.moveaxis(array, -1, 0), path)


def tiff_bands(path: Path, wanted: int) -> np.ndarray:
    """A TIFF of several bands or pages, uint8 or uint16, as uint8 or int32 [C,H,W], read by `tifffile`.

    Raises:
        DataError: `tifffile` isn't installed or can't read the file, or it is of another kind of numbers or shape, or has more
            channels than are wanted.
    """
    try:
        import tifffile
    except ImportError:
        fix = "pip install tifffile, or store one channel a page, or .npy [H,W,C]"
        raise DataError("a TIFF that needs tifffile, which isn't installed", where=str(path), fix=fix) from None
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            shape, axes = series.shape, series.axes
            if "X" not in axes or len(shape) > 3:
                raise DataError(f"a TIFF of shape {shape} ({axes})", where=str(path), fix="store [H,W,C] or one channel a page")
            check_size(shape[axes.index("X")], shape[axes.index("Y")], path)
            check_channels(math.prod(size for size, axis in zip(shape, axes, strict=True) if axis not in "XY"), wanted, path)
            array = series.asarray()
    except DataError:
        raise
    except Exception as error:  # its decoders fail in many ways
        raise DataError(
            f"tifffile can't read the image ({error})", where=str(path), fix="replace the file, or store .npy [H,W,C]"
        ) from None
    if array.ndim == 2:
        array = array[None]
    return _integers(np.moveaxis(array, axes.index("S"), 0) if "S" in axes else array, path)


def _integers(array: np.ndarray, path: Path) -> np.ndarray:
    if array.dtype == np.uint8:
        return np.array(array)
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        return array.astype(np.int32)
    raise DataError(f"an image of {array.dtype}", where=str(path), fix="store uint8 or uint16")
