"""Exact confusion counts."""

from __future__ import annotations

import torch
from torch import Tensor


def confusion_matrix(predicted: Tensor, truth: Tensor, classes: int, ignore_index: int) -> Tensor:
    """Count pairs of classes over the labelled pixels.

    One bincount over the joint index; rows beyond the last class collect ignored pixels and are cut off, so no mask
    is made. Indices stay 16 bit where they fit: the pass is bound by memory.

    Args:
        predicted: [H,W], every value below `classes`.
        truth: [H,W], every value below `classes` or equal to `ignore_index`.
        classes: number of classes K.
        ignore_index: the value of unlabelled pixels.

    Returns:
        int64 [K,K], row = truth, column = prediction.
    """
    rows = max(ignore_index + 1, classes)
    dtype = torch.int16 if rows * classes < 2**15 else torch.int32
    joint = truth.to(dtype, copy=True).mul_(classes).add_(predicted)
    counts = torch.bincount(joint.flatten(), minlength=rows * classes).view(rows, classes)
    if ignore_index < classes:  # an ignored class inside the range
        counts[ignore_index] = 0
    return counts[:classes]
