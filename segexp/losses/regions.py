"""Soft areas of classes: what Dice and Tversky compare."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Regions(NamedTuple):
    """Of each image and class, over labelled pixels; each [B,K]."""

    overlap: Tensor  # sum of probabilities where the class is true
    predicted: Tensor  # sum of probabilities, or of their squares
    true: Tensor  # pixels of the class


def is_class(labels: Tensor, classes: int) -> Tensor:
    """Labels int64 [B,H,W] to bool [B,K,H,W]; ignored pixels belong to no class."""
    return labels[:, None] == torch.arange(classes, device=labels.device)[:, None, None]


def regions(logits: Tensor, labels: Tensor, ignore_index: int, *, square: bool = False) -> Regions:
    """Areas of the softmax of logits float32 [B,K,H,W] against labels int64 [B,H,W]; plain sums, so no float atomics on a GPU."""
    probabilities = logits.softmax(1) * (labels != ignore_index)[:, None]  # [B,K,H,W], 0 where ignored
    true = is_class(labels, logits.shape[1])
    return Regions(
        overlap=torch.where(true, probabilities, 0).sum((2, 3)),
        predicted=(probabilities.square() if square else probabilities).sum((2, 3)),
        true=true.sum((2, 3)),
    )
