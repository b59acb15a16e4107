"""Windows that slide over a map, and the bands along contours that they find."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from segexp.errors import require_number
from segexp.types import Size


def check_ratio(dilation_ratio: float, key: str) -> None:
    """Refuse a width of bands that is no share of the diagonal.

    Raises:
        ConfigError: names the key.
    """
    require_number(key, dilation_ratio, f"{key}=0.02", least=0, below=1)


def band_width(size: Size, dilation_ratio: float) -> int:
    """Pixels of a band along contours in an image of this size, at least 1: a share of the diagonal (Cheng et al., 2021)."""
    return max(1, round(dilation_ratio * math.hypot(*size)))


def band(labels: Tensor, none: int, distance: int) -> Tensor:
    """Pixels of a class within `distance` of another class or of the border, by the larger of the two axes.

    Args:
        labels: [H,W] class ids below `none`, and `none` where there is no class; `none` is below the largest value.
        none: the value that makes no contour.
        distance: pixels, at least 1.

    Returns:
        bool [H,W].
    """
    found, side = labels != none, 2 * distance + 1
    if min(labels.shape) < side:  # the border is near everywhere
        return found
    lowest = sliding(labels, side, torch.minimum)  # `none` is above all classes...
    highest = sliding(torch.where(found, labels + 1, 0), side, torch.maximum)  # ... and here below them
    found[distance:-distance, distance:-distance] &= highest != lowest + 1
    return found


def sliding(x: Tensor, side: int, reduce: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The minimum or maximum over all squares of `side` pixels that lie within [H,W]: [H-side+1,W-side+1].

    In steps of 1, 2, 4, ... pixels: their number grows with the logarithm of `side`.
    """
    for axis in (0, 1):
        width = 1
        while width < side:
            step = min(width, side - width)
            length = x.shape[axis] - step
            x = reduce(x.narrow(axis, 0, length), x.narrow(axis, step, length))
            width += step
    return x
