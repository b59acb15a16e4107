"""Masks of detections, which are squares of cells, on the image."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from segexp.types import Size


def paste(masks: Tensor, boxes: Tensor, size: Size, threshold: float = 0.5) -> Tensor:
    """Stretch each mask over its box and threshold it.

    A pixel is looked up where its centre lies among the centres of the cells, bilinear, with zeros around the mask; pixels
    whose centre is outside the box have none. Only the pixels in the boxes are computed, one mask at a time.

    Args:
        masks: float [N,m,m], probabilities.
        boxes: float [N,4] in the pixels of the image; they may reach beyond it.
        size: (height, width) of the image.
        threshold: pixels above it are of the mask.

    Returns:
        bool [N,H,W].
    """
    out = torch.zeros((len(masks), *size), dtype=torch.bool, device=masks.device)
    for image, mask, (x1, y1, x2, y2) in zip(out, masks.float(), boxes.tolist(), strict=True):
        (top, down), (left, across) = (
            _weights(low, high, side, len(mask), mask.device) for low, high, side in ((y1, y2, size[0]), (x1, x2, size[1]))
        )
        found = down @ mask @ across.T > threshold  # [rows,columns]
        image[top : top + len(down), left : left + len(across)] = found
    return out


def _weights(low: float, high: float, side: int, cells: int, device: torch.device) -> tuple[int, Tensor]:
    """The first pixel whose centre is in [low, high) and in the image, and of it and the next ones the weights of the cells [n,m]."""
    first, stop = max(math.ceil(low - 0.5), 0), min(math.ceil(high - 0.5), side)
    pixels = torch.arange(first, max(stop, first), device=device, dtype=torch.float32)
    source = (pixels + 0.5 - low) / max(high - low, 1e-6) * cells - 0.5
    return first, (1 - (source[:, None] - torch.arange(cells, device=device)).abs()).clamp(min=0)
