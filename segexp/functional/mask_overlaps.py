"""Pixels of masks, and pixels that predicted and true masks share."""

from __future__ import annotations

import torch
from torch import Tensor

from segexp.functional.masks import to_boxes


def mask_areas(masks: Tensor) -> Tensor:
    """Pixels of masks bool [N,H,W]: int64 [N]. One mask after the other: torch counts bits fast over a whole tensor alone."""
    return torch.stack([torch.count_nonzero(mask) for mask in masks]) if len(masks) else torch.zeros(0, dtype=torch.int64).to(masks.device)


def mask_overlaps(predicted: Tensor, kept: Tensor, predicted_labels: Tensor, truth: Tensor, labels: Tensor) -> Tensor:
    """Pixels shared by each predicted and each true mask of the same class, where there are any.

    Only the box around a true mask is read, and no whole mask is copied.

    Args:
        predicted: bool [P,H,W].
        kept: int64 [D], which of the predicted masks are compared.
        predicted_labels: int64 [D], their classes.
        truth: bool [N,H,W].
        labels: int64 [N].

    Returns:
        int64 [M,3]: place in `kept`, number of the true mask, pixels; ordered by the true mask.
    """
    found = [labels.new_zeros(0, 3)]
    for number, (x1, y1, x2, y2) in enumerate(to_boxes(truth).long().tolist()):
        alike = (predicted_labels == labels[number]).nonzero().flatten()  # [A]
        pixels = mask_areas(predicted[:, y1:y2, x1:x2][kept[alike]] & truth[number, y1:y2, x1:x2])
        row = torch.stack([alike, torch.full_like(alike, number), pixels], 1)
        found.append(row[pixels > 0])
    return torch.cat(found)
