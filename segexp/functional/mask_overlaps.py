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


def mask_ratios(shared: Tensor, areas: Tensor, object_areas: Tensor, crowd: Tensor) -> Tensor:
    """IoU float64 [D,N] of masks; with a crowd, the share of the detection that lies in it.

    Args:
        shared: int64 [M,3]: detection, object, pixels.
        areas: int64 [D].
        object_areas: int64 [N].
        crowd: bool [N].
    """
    both = torch.zeros((len(areas), len(object_areas)), dtype=torch.int64, device=areas.device)
    both[shared[:, 0], shared[:, 1]] = shared[:, 2]
    union = torch.where(crowd, areas[:, None], areas[:, None] + object_areas - both)
    return both.double() / union.clamp(min=1)
