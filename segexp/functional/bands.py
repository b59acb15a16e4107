"""Picture files that Pillow can't read: arrays, and TIFF of many bands."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segexp.errors import DataError

MAX_PIXELS = 64_000_000  # refused from the header, before anything is allocated


def check_size(width: int, height: int, path: Path) -> None:
    """Refuse a picture of more than `MAX_PIXELS`."""
    if width * height > MAX_PIXELS:
        raise DataError(f"an image of {width}x{height} pixels (the limit is {MAX_PIXELS})", where=str(path), fix="tile it")


def npy_bands(path: Path) -> np.ndarray:
    """An array file, uint8 or uint16, [H,W] or [H,W,C], as uint8 or int32 [C,H,W].

    Raises:
        DataError: missing, cut, of another kind of numbers or shape; an array of objects isn't read.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)  # refused by its header before it is read
    except FileNotFoundError:
        raise DataError("the file is missing", where=str(path), fix="restore it, or remove it from the list") from None
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise DataError(f"can't read the array ({error})", where=str(path), fix="write it anew by numpy.save") from None
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.size == 0:
        raise DataError(f"an array of shape {array.shape}", where=str(path), fix="store [H,W] or [H,W,C]")
    check_size(array.shape[1], array.shape[0], path)
    return _integers(np.moveaxis(array, -1, 0), path)


def tiff_bands(path: Path) -> np.ndarray:
    """A TIFF of several bands or pages, uint8 or uint16, as uint8 or int32 [C,H,W], read by `tifffile`.

    Raises:
        DataError: `tifffile` isn't installed or can't read the file, or it is of another kind of numbers or shape.
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
