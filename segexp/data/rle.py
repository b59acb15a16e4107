"""The masks of COCO's objects: polygons, and run lengths as a list or as COCO's text."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from segexp.errors import ConfigError

POINTS = 6  # numbers of the smallest polygon
FARTHEST, LEAST_SIDE = 100, 1000  # a coordinate is at most so many times the picture's longer side, or this one


def masks_of(segmentation: Any, size: tuple[int, ...]) -> np.ndarray:
    """The mask [H,W], uint8, that an annotation's `segmentation` describes, to the pixel as COCO's own tools draw it.

    Polygons of fewer than three points count for nothing.

    Args:
        segmentation: a list of polygons [x, y, x, y, ...], or {size, counts}.
        size: (height, width) of the picture.

    Raises:
        ValueError: it is of no such form, of another size, or can't be decoded.
        ConfigError: `faster-coco-eval` isn't installed.
    """
    if isinstance(segmentation, list):
        return _polygons(segmentation, size)
    if not isinstance(segmentation, dict) or "counts" not in segmentation:
        raise ValueError("no segmentation: neither polygons nor run lengths")
    if segmentation.get("size", [*size]) != [*size]:
        raise ValueError(f"run lengths of size {_short(segmentation['size'])}, the picture is {[*size]} (height, width)")
    counts = segmentation["counts"]
    if isinstance(counts, list):
        return _runs(counts, size)
    if not isinstance(counts, str):
        raise ValueError(f"run lengths are a list of whole numbers, or a text, not {_short(counts)}")
    mask = _library()
    return _drawn(lambda: mask.decode({"size": [*size], "counts": counts}))


def unusable(segmentation: Any) -> str:
    """Why an object has no mask: `mask-missing`, `polygon-points`, or nothing where it may have one."""
    if segmentation is None or (isinstance(segmentation, (list, dict)) and not segmentation):
        return "mask-missing"
    if isinstance(segmentation, list) and all(isinstance(part, list) and len(part) < POINTS for part in segmentation):
        return "polygon-points"
    return ""


def _polygons(polygons: list[Any], size: tuple[int, ...]) -> np.ndarray:
    """Polygons, filled. The library hangs at NaN, and takes memory by the length of an edge: numbers are looked at before."""
    if not all(isinstance(part, list) for part in polygons):
        raise ValueError("the segmentation is no list of polygons [x, y, x, y, ...]")
    parts = [part for part in polygons if len(part) >= POINTS and len(part) % 2 == 0]
    farthest = FARTHEST * max(*size, LEAST_SIDE)
    for value in (value for part in parts for value in part):
        if type(value) not in (int, float) or value != value:
            raise ValueError(f"{_short(value)} in a polygon is no number")
        if abs(value) > farthest:
            raise ValueError(f"{_short(value)} in a polygon lies beyond any picture of {[*size]} (height, width)")
    mask = _library()
    if not parts:
        return np.zeros(size, np.uint8)
    plain = [[float(value) for value in part] for part in parts]
    return _drawn(lambda: mask.decode(mask.merge(mask.frPyObjects(plain, *size))))


def _runs(counts: list[Any], size: tuple[int, ...]) -> np.ndarray:
    """Run lengths, by columns, beginning with those outside."""
    strange = [count for count in counts if type(count) is not int or count < 0]
    if strange:
        raise ValueError(f"run lengths are whole numbers from 0, not {_short(strange[0])}")
    if sum(counts) != math.prod(size):
        raise ValueError(f"run lengths of {sum(counts)} pixels in all, the picture has {math.prod(size)}")
    values = np.arange(len(counts), dtype=np.int64) % 2
    return np.repeat(values, counts).astype(np.uint8).reshape(size[::-1]).T


def _drawn(draw: Callable[[], np.ndarray]) -> np.ndarray:
    """What the library draws; its errors of several kinds as one."""
    try:
        return draw()
    except (RuntimeError, TypeError, OverflowError) as error:
        raise ValueError(f"the mask can't be decoded: {error}") from None


def _short(value: Any) -> str:
    return repr(value)[:60]


def _library() -> Any:
    try:
        from faster_coco_eval.core import mask
    except ImportError:
        fix = "pip install 'segexp[coco]', or data.annotation=panoptic"
        raise ConfigError("reading objects needs faster-coco-eval", where="data.annotation=instances", fix=fix) from None
    return mask
