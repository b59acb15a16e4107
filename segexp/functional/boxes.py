"""Boxes xyxy, float32, absolute pixels, half-open: areas, overlaps, and the vectors that detectors regress."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import box_area, box_iou, clip_boxes_to_image

from segexp.types import Size

Weights = tuple[float, float, float, float]  # of dx, dy, dw, dh
EVEN: Weights = (1.0, 1.0, 1.0, 1.0)
SIZE_LIMIT = math.log(1000 / 16)  # of dw and dh: no box is decoded that is more than 62.5 times as wide or tall as its anchor


def areas(boxes: Tensor) -> Tensor:
    """Square pixels of boxes [N,4]: [N]."""
    return box_area(boxes)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes [N,4] and [M,4]: [N,M]; 0 for two without area."""
    return box_iou(a, b).nan_to_num_(0.0)


def ioa(a: Tensor, b: Tensor) -> Tensor:
    """The share of each box of `a` [N,4] that lies in each of `b` [M,4]: [N,M]; 0 where `a` has no area."""
    low, high = torch.maximum(a[:, None, :2], b[None, :, :2]), torch.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(2)  # [N,M]
    return (shared / areas(a)[:, None]).nan_to_num(0.0)


def clip(boxes: Tensor, size: Size) -> Tensor:
    """Boxes [...,4] cut to an image of `size`."""
    return clip_boxes_to_image(boxes, (size[0], size[1]))


def encode(boxes: Tensor, anchors: Tensor, weights: Weights = EVEN) -> Tensor:
    """What moves each anchor [N,4] onto its box [N,4]: (dx, dy, dw, dh) [N,4], shifts in sides of the anchor, sizes as logarithms."""
    return BoxCoder(weights).encode_single(boxes, anchors)


def decode(deltas: Tensor, anchors: Tensor, weights: Weights = EVEN, size_limit: float = SIZE_LIMIT) -> Tensor:
    """The boxes that the vectors make of the anchors; float32 and differentiable.

    Args:
        deltas: [A,4n] or [B,A,4n], n vectors for each anchor.
        anchors: [A,4], the same for each image.
        weights: that the vectors were multiplied by.
        size_limit: of dw and dh, so that their exponential stays finite.

    Returns:
        as `deltas`.
    """
    count = deltas[..., 0].numel()
    repeated = anchors.float().expand(*deltas.shape[:-1], 4).reshape(count, 4)
    flat = deltas.float().reshape(count, deltas.shape[-1])
    return BoxCoder(weights, size_limit).decode_single(flat, repeated).view(deltas.shape)


def rescale(boxes: Tensor, size: Size, original: Size) -> Tensor:
    """Boxes [...,4] of an image of `size` in the pixels of the same image at its `original` size."""
    tall, wide = original[0] / size[0], original[1] / size[1]
    return boxes * boxes.new_tensor([wide, tall, wide, tall])
