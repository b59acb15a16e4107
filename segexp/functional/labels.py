"""The class of a whole image, as shares of the classes."""

from __future__ import annotations

import torch
from torch import Tensor


def label_shares(label: Tensor, classes: int, ignore_index: int) -> Tensor:
    """A class id int64 [] as float32 [K], 1 for the class, all 0 where it is `ignore_index`; shares [K] stay as they are."""
    if label.ndim:
        return label.float()
    ids = torch.arange(classes, device=label.device)
    return ((ids == label) & (label != ignore_index)).float()
