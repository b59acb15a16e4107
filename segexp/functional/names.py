"""Names of files: what pictures and masks end in, and what a file is called that belongs to a sample or to a class."""

from __future__ import annotations

import re

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".npy")
MASKS = (".png", ".tif", ".tiff", ".bmp", ".gif", ".npy")  # formats that keep every value


def flat(id: str) -> str:
    """A sample's id, without its split, as the name of a file: `val/a/0001` is `a__0001`; an id without a split stays."""
    return "__".join(id.split("/")[1:]) or id


def safe(text: str) -> str:
    """A text as a part of a file's name, without blanks: `tv/monitor` is `tv-monitor`."""
    return re.sub(r"[^\w.-]+", "-", text)
