"""Pure functions on binary masks: bool [N,H,W]."""

from __future__ import annotations

import torch
from torch import Tensor


def to_boxes(masks: Tensor) -> Tensor:
    """Tight boxes, xyxy, half-open: float32 [N,4]. An empty mask gives a box of zeros."""
    n, height, width = masks.shape
    if n == 0:
        return torch.zeros(0, 4, device=masks.device)
    rows, columns = masks.any(2), masks.any(1)  # [N,H], [N,W]
    y1, x1 = rows.byte().argmax(1), columns.byte().argmax(1)
    y2, x2 = height - rows.flip(1).byte().argmax(1), width - columns.flip(1).byte().argmax(1)
    boxes = torch.stack([x1, y1, x2, y2], 1).float()
    return boxes * rows.any(1)[:, None]
