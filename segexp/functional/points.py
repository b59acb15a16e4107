"""Which object each point is to find, and how central it lies in it (FCOS)."""

from __future__ import annotations

import torch
from torch import Tensor

from segexp.functional.boxes import areas
from segexp.functional.matching import BACKGROUND, IGNORED


def match_points(boxes: Tensor, crowd: Tensor, points: Tensor, low: Tensor, high: Tensor, reach: Tensor) -> Tensor:
    """The smallest object that each point stands for.

    Args:
        boxes: of the objects [N,4].
        crowd: bool [N]; crowds are never matched.
        points: (x, y) [A,2].
        low, high: [A], a point stands for boxes whose farthest side is farther than `low` and nearer than `high`.
        reach: [A], a point stands for boxes whose middle is nearer than this in x and in y.

    Returns:
        int64 [A]: number of the object, -1 for background, -2 for a point inside a crowd that stands for no object.
    """
    if len(boxes) == 0:
        return torch.full((len(points),), BACKGROUND, dtype=torch.int64, device=points.device)
    sides = distances(points[:, None], boxes[None])  # [A,N,4]
    inside, farthest = sides.amin(2) > 0, sides.amax(2)  # [A,N] each
    off = (points[:, None] - (boxes[None, :, :2] + boxes[None, :, 2:]) / 2).abs().amax(2)  # [A,N]
    fit = inside & (farthest > low[:, None]) & (farthest < high[:, None]) & (off < reach[:, None]) & ~crowd
    smallest, number = torch.where(fit, areas(boxes), torch.inf).min(1)
    rest = torch.where((inside & crowd).any(1), IGNORED, BACKGROUND)
    return torch.where(smallest.isfinite(), number, rest)


def distances(points: Tensor, boxes: Tensor) -> Tensor:
    """How far the left, top, right and bottom of boxes [...,4] are from points (x, y) [...,2]: [...,4], negative outside."""
    return torch.cat([points - boxes[..., :2], boxes[..., 2:] - points], -1)


def centerness(points: Tensor, boxes: Tensor) -> Tensor:
    """1 in the middle of its box, 0 at its sides: [P] of points [P,2] inside boxes [P,4]."""
    left_top, right_bottom = distances(points, boxes).split(2, -1)  # [P,2] each
    return (torch.minimum(left_top, right_bottom) / torch.maximum(left_top, right_bottom)).prod(-1).clamp(min=0).sqrt()
