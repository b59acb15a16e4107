"""The masks of COCO's objects: polygons, and run lengths as a list or as COCO's text."""

from __future__ import annotations

from typing import Any

import numpy as np

from segexp.errors import ConfigError

POINTS = 6  # numbers of the smallest polygon


def masks_of(segmentation: Any, size: tuple[int, ...]) -> np.ndarray:
    """The mask [H,W], uint8, that an annotation's `segmentation` describes, to the pixel as COCO's own tools draw it.

    Polygons of fewer than three points count for nothing.

    Args:
        segmentation: a list of polygons [x, y, x, y, ...], or {size, counts}.
        size: (height, width) of the picture.

    Raises:
        ValueError: it is of no such form, or of another size.
        ConfigError: `faster-coco-eval` isn't installed.
    """
    mask = _library()
    height, width = size
    if isinstance(segmentation, list):
        parts = [part for part in segmentation if isinstance(part, list) and len(part) >= POINTS and len(part) % 2 == 0]
        if not all(isinstance(part, list) for part in segmentation):
            raise ValueError("the segmentation is no list of polygons [x, y, x, y, ...]")
        if not parts:
            return np.zeros(size, np.uint8)
        return mask.decode(mask.merge(mask.frPyObjects([[float(value) for value in part] for part in parts], height, width)))
    if not isinstance(segmentation, dict) or "counts" not in segmentation:
        raise ValueError("no segmentation: neither polygons nor run lengths")
    if list(segmentation.get("size", size)) != [height, width]:
        raise ValueError(f"run lengths of size {segmentation['size']}, the picture is {[height, width]} (height, width)")
    counts = segmentation["counts"]
    if isinstance(counts, list):
        if sum(counts) != height * width or min(counts) < 0:
            raise ValueError(f"run lengths of {sum(counts)} pixels in all, the picture has {height * width}")
        return _runs(counts, size)
    return mask.decode({"size": [height, width], "counts": counts})


def unusable(segmentation: Any) -> str:
    """Why an object has no mask: `mask-missing`, `polygon-points`, or nothing where it may have one."""
    if segmentation is None or (isinstance(segmentation, (list, dict)) and not segmentation):
        return "mask-missing"
    if isinstance(segmentation, list) and all(isinstance(part, list) and len(part) < POINTS for part in segmentation):
        return "polygon-points"
    return ""


def _runs(counts: list[int], size: tuple[int, ...]) -> np.ndarray:
    """Run lengths, by columns, beginning with those outside."""
    values = np.arange(len(counts), dtype=np.int64) % 2
    return np.repeat(values, counts).astype(np.uint8).reshape(size[::-1]).T


def _library() -> Any:
    try:
        from faster_coco_eval.core import mask
    except ImportError:
        fix = "pip install 'segexp[coco]', or data.annotation=panoptic"
        raise ConfigError("reading objects needs faster-coco-eval", where="data.annotation=instances", fix=fix) from None
    return mask
