"""Which object each anchor or proposal is to find."""

from __future__ import annotations

import torch
from torch import Tensor

from segexp.functional.boxes import ioa, iou

BACKGROUND, IGNORED = -1, -2
CROWDED = 0.5  # a candidate of which more lies in a crowd isn't background: what it shows is there, but not told apart


def match(boxes: Tensor, crowd: Tensor, anchors: Tensor, high: float, low: float, force: bool) -> Tensor:
    """The object that each candidate overlaps most.

    Args:
        boxes: of the objects [N,4].
        crowd: bool [N]; crowds are never matched.
        anchors: the candidates [A,4].
        high: a candidate whose overlap (IoU) is as large is matched.
        low: one whose overlap is smaller is background; between the two it is ignored.
        force: the candidates that overlap an object most, all of equals, are matched however little they do, each to the
            object that it overlaps most itself. An object that no candidate overlaps stays without.

    Returns:
        int64 [A]: number of the object, -1 for background, -2 for what is ignored: also background of which more than
        half lies in a crowd.
    """
    if len(boxes) == 0:
        return torch.full((len(anchors),), BACKGROUND, dtype=torch.int64, device=anchors.device)
    overlaps = iou(boxes, anchors).masked_fill_(crowd[:, None], -1.0)  # [N,A]
    largest, nearest = overlaps.max(0)
    found = torch.where(largest < low, BACKGROUND, torch.where(largest < high, IGNORED, nearest))
    if force and len(anchors):
        best = overlaps.amax(1, keepdim=True)  # [N,1]
        forced = (overlaps == best.where(best > 0, torch.inf)).any(0)
        found = torch.where(forced, nearest, found)
    return torch.where((found == BACKGROUND) & in_crowd(boxes, crowd, anchors), IGNORED, found)


def in_crowd(boxes: Tensor, crowd: Tensor, candidates: Tensor) -> Tensor:
    """Does more than half of a candidate [A,4] lie in one crowd: bool [A]."""
    return (ioa(candidates, boxes[crowd]) > CROWDED).any(1)
