"""Semantic maps as index PNG: the class id is the pixel's value, the palette its colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from segexp.types import DataSpec


def write_index_png(path: Path, semantic: Tensor, data: DataSpec) -> None:
    """Write class ids [H,W] as a palette PNG; reading it with any library gives the ids back.

    Raises:
        ValueError: more than 256 classes don't fit a palette.
    """
    if data.num_classes > 256:
        raise ValueError(f"{data.num_classes} classes don't fit an index PNG")
    image = Image.fromarray(semantic.cpu().numpy().astype(np.uint8), mode="P")
    palette = [channel for c in data.classes for channel in c.color]
    image.putpalette(palette + [0] * (768 - len(palette)))
    image.save(path)
