"""Boundary loss (Kervadec et al., "Boundary loss for highly unbalanced segmentation", 2019)."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor, nn

from segexp.losses.full_size import full_size, labelled_pixels
from segexp.types import Batch, DataSpec, SemanticLogits, Targets


class Boundary(nn.Module):
    """Sum over labelled pixels and classes of p x the signed distance to the class's true boundary, p the softmax.

    The distance is in pixels, positive outside, so the loss is negative where predictions lie inside. A class that is
    absent from an image, or alone in it, has no boundary there and adds nothing; that is why the paper adds a regional
    loss (`loss=ce_boundary`). The distances are made from the labels on the CPU, exactly, one pass for each class of
    an image.

    Args:
        data: the data set's classes.
        weight: of the term in the total loss; the paper begins with 0.01 beside a regional loss of 1.
    """

    accepts = SemanticLogits
    needs = frozenset({"semantic"})

    def __init__(self, data: DataSpec, *, weight: float = 1.0) -> None:
        super().__init__()
        self.weight, self.ignore_index = weight, data.ignore_index

    def forward(self, output: SemanticLogits, batch: Batch) -> dict[str, Tensor]:
        logits, _ = full_size(output, batch.targets, self.ignore_index)
        distances = torch.zeros_like(logits)
        for out, target in zip(distances, batch.targets, strict=True):
            found = signed_distances(target.semantic.cpu().numpy(), logits.shape[1], self.ignore_index)
            out[:, : found.shape[1], : found.shape[2]] = torch.from_numpy(found)
        return {"boundary": self.weight * (logits.softmax(1) * distances).sum()}

    def count(self, targets: list[Targets]) -> dict[str, float]:
        """The number of labelled pixels."""
        return {"boundary": labelled_pixels(targets, self.ignore_index)}


def signed_distances(labels: np.ndarray, classes: int, ignore_index: int) -> np.ndarray:
    """To each class's boundary: outside the distance to its nearest pixel, inside 1 - that to the nearest of another class.

    Pixels without a label are of no class, and get 0.

    Args:
        labels: [H,W] class ids, `ignore_index` where unlabelled.
        classes: the number K of classes.
        ignore_index: the value of pixels without a label.

    Returns:
        float32 [K,H,W] in pixels; 0 for a class that is absent, or the only one.
    """
    out = np.zeros((classes, *labels.shape), dtype=np.float32)
    labelled = labels != ignore_index
    present = np.unique(labels[labelled])
    if len(present) < 2:
        return out
    away = np.stack([distance_transform_edt(labels != k) for k in present])  # [C,H,W], 0 inside
    inside = away == 0
    to_others = np.where(inside, np.inf, away).min(0)
    out[present] = np.where(labelled, np.where(inside, 1 - to_others, away), 0)
    return out
