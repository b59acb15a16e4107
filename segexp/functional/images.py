"""Image and label files, decoded exactly or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from segexp.errors import DataError

MAX_PIXELS = 64_000_000  # refused from the header, before anything is allocated
Image.MAX_IMAGE_PIXELS = None  # our own limit is checked first and names the file


def read_image(path: Path) -> Tensor:
    """An image as it is to be seen, EXIF orientation applied.

    Returns:
        uint8 [3,H,W] RGB; uint16 values of a 16-bit grey image as int32 [1,H,W].

    Raises:
        DataError: missing, empty, truncated, too large, or not an image.
    """
    with _open(path) as image:
        if image.mode.startswith("I"):
            return torch.from_numpy(np.asarray(image).astype(np.int32))[None]
        array = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    return torch.from_numpy(array.copy()).permute(2, 0, 1).contiguous()


def read_labels(path: Path) -> Tensor:
    """A label map's raw values: grey levels, palette indices or 16-bit values, never colours.

    Returns:
        uint8 [H,W], or int32 [H,W] for a 16-bit file.

    Raises:
        DataError: unreadable, lossy (JPEG), or stored as colours.
    """
    with _open(path) as image:
        if image.format == "JPEG":
            raise DataError("labels in a JPEG file are not exact", where=str(path), fix="store them as PNG")
        if image.mode not in ("L", "P", "1") and not image.mode.startswith("I"):
            raise DataError(f"labels are stored as colours ({image.mode})", where=str(path), fix="store class indices, one channel")
        wide = image.mode.startswith("I")
        array = np.asarray(image)
    return torch.from_numpy(array.astype(np.int32 if wide else np.uint8))


class _open:
    """Open and decode; every way in which that fails becomes a DataError with the path."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Image.Image:
        try:
            self.image = Image.open(self.path)
            width, height = self.image.size
            if width * height > MAX_PIXELS:
                raise DataError(f"an image of {width}x{height} pixels (the limit is {MAX_PIXELS})", where=str(self.path), fix="tile it")
            self.image.load()
        except FileNotFoundError:
            raise DataError("the file is missing", where=str(self.path), fix="restore it, or remove it from the list") from None
        except UnidentifiedImageError:
            empty = self.path.stat().st_size == 0
            raise DataError("the file is empty" if empty else "not an image", where=str(self.path), fix="replace the file") from None
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise DataError(f"can't decode the image ({error})", where=str(self.path), fix="replace the file") from None
        return self.image

    def __exit__(self, *exc: object) -> None:
        self.image.close()
