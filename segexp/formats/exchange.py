"""Class maps in the values of a data set's own label files, as servers and official scripts want them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor


def write_values_png(path: Path, semantic: Tensor, values: Sequence[int]) -> None:
    """Write class ids [H,W] as a grey PNG of the classes' values, of 8 bit, or of 16 where a value needs them.

    Args:
        path: the file.
        semantic: class ids.
        values: of each class, e.g. Cityscapes' label ids or ADE20K's 1..150 (`DataSpec.values`).

    Raises:
        ValueError: a value is outside 0..65535.
    """
    if not 0 <= min(values) <= max(values) <= 65535:
        raise ValueError(f"values {min(values)}..{max(values)} don't fit a grey PNG")
    table = np.array(values, dtype=np.uint8 if max(values) < 256 else np.uint16)
    Image.fromarray(table[semantic.cpu().numpy()]).save(path)
