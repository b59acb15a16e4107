"""Focal loss (Lin et al., 2017) in its softmax form."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segexp.errors import ConfigError
from segexp.losses.class_weights import class_weights_of
from segexp.losses.full_size import full_size, labelled_pixels
from segexp.types import Batch, DataSpec, SemanticLogits, Targets

TINY = 1e-12  # for gamma < 1 the power's slope is infinite at 0; below this there is no gradient


class Focal(nn.Module):
    """Sum over labelled pixels of -alpha[class] (1 - p)^gamma log p, p the softmax of the true class; gamma = 0 is cross-entropy.

    The classes of semantic maps exclude each other, so p is a softmax; torchvision's `sigmoid_focal_loss` is the
    one-against-all form and knows no ignored pixels. Divided elsewhere by the number of labelled pixels.

    Args:
        data: the data set's classes.
        weight: of the term in the total loss.
        gamma: how much pixels that are right already count less.
        class_weights: the paper's alpha, one per class in the order of the class ids; all 1 unless given. They don't
            enter the divisor.

    Raises:
        ConfigError: gamma is negative, or the weights don't match the classes.
    """

    accepts = SemanticLogits
    needs = frozenset({"semantic"})
    class_weights: Tensor | None

    def __init__(self, data: DataSpec, *, weight: float = 1.0, gamma: float = 2.0, class_weights: Sequence[float] | None = None) -> None:
        super().__init__()
        if gamma < 0:
            raise ConfigError("gamma is at least 0", where=f"loss.gamma={gamma}", fix="loss.gamma=2")
        self.weight, self.gamma, self.ignore_index = weight, gamma, data.ignore_index
        self.register_buffer("class_weights", class_weights_of(data, class_weights), persistent=False)  # [K]

    def forward(self, output: SemanticLogits, batch: Batch) -> dict[str, Tensor]:
        logits, labels = full_size(output, batch.targets, self.ignore_index)
        surprise = F.cross_entropy(logits, labels, ignore_index=self.ignore_index, reduction="none")  # [B,H,W] -log p, 0 where ignored
        missing = -torch.expm1(-surprise)  # 1 - p without loss of digits
        values = missing.clamp_min(TINY) ** self.gamma * surprise
        if self.class_weights is not None:
            known = labels != self.ignore_index
            values = values * self.class_weights[labels.where(known, 0)]
        return {"focal": self.weight * values.sum()}

    def count(self, targets: list[Targets]) -> dict[str, float]:
        """The number of labelled pixels."""
        return {"focal": labelled_pixels(targets, self.ignore_index)}
