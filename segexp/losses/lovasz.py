"""Lovász-softmax (Berman et al., 2018): a convex surrogate of each class's intersection over union."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segexp.losses.class_mean import ClassMean
from segexp.losses.full_size import full_size
from segexp.losses.regions import is_class
from segexp.types import Batch, DataSpec, SemanticLogits, Targets


class Lovasz(nn.Module):
    """The Lovász extension of 1 - IoU at the errors |g - p| of each class of an image, p the softmax, g the truth.

    The paper's form per image over its labelled pixels, in which published code loops over classes; here the classes
    of an image are sorted together, and their slopes computed from whole counts (no difference of nearly equal numbers).

    Args:
        data: the data set's classes.
        weight: of the term in the total loss.
        classes: `present`, those of the image's labels, or `all`; the value of an absent one is its largest probability.
        per: `image`, the mean over images of their classes' mean, or `class`, over all pairs of image and class.

    Raises:
        ConfigError: a value that isn't known.
    """

    accepts = SemanticLogits
    needs = frozenset({"semantic"})

    def __init__(self, data: DataSpec, *, weight: float = 1.0, classes: str = "present", per: str = "image") -> None:
        super().__init__()
        self.mean = ClassMean(data, classes=classes, per=per)
        self.weight, self.ignore_index = weight, data.ignore_index

    def forward(self, output: SemanticLogits, batch: Batch) -> dict[str, Tensor]:
        logits, labels = full_size(output, batch.targets, self.ignore_index)
        true = is_class(labels, logits.shape[1]).flatten(2)  # [B,K,P]
        pixels = true.sum(2)  # [B,K]
        errors = (true.float() - logits.softmax(1).flatten(2)).abs()  # [B,K,P]
        slopes = torch.zeros_like(errors)  # stay 0 at ignored pixels and for classes that don't count
        chosen, labelled = self.mean.chosen(pixels), (labels != self.ignore_index).flatten(1)
        for image in range(len(labels)):  # one after the other: sorting takes many times their memory
            here = chosen[image].nonzero()[:, 0]
            slopes[image, here] = jaccard_slopes(errors[image].detach()[here], true[image, here], labelled[image])
        return {"lovasz": self.weight * self.mean.total((errors * slopes).sum(2), pixels)}

    def count(self, targets: list[Targets]) -> dict[str, float]:
        """Images that have a labelled pixel; with `per=class` the pairs of image and class."""
        return {"lovasz": self.mean.count(targets)}


def jaccard_slopes(errors: Tensor, true: Tensor, labelled: Tensor) -> Tensor:
    """What the Lovász extension multiplies each error with: by how much 1 - IoU grows when that pixel is wrong too.

    Pixels become wrong in the order of falling errors. One of the class leaves the intersection: 1 / union; another
    one joins the union: intersection / (union (union - 1)).

    Args:
        errors: float32 [C,P] >= 0, without gradient.
        true: bool [C,P], whether the pixel is of the class.
        labelled: bool [P]; the others have no slope.

    Returns:
        float32 [C,P]; the slopes of a class sum to 1.
    """
    last_ignored = errors.masked_fill(~labelled, -1)
    order = last_ignored.argsort(dim=1, descending=True, stable=True)[:, : int(labelled.sum())]  # [C,N]
    sorted_true = true.gather(1, order)
    area = true.sum(1, keepdim=True)  # [C,1]
    left = area - sorted_true.cumsum(1)  # of the intersection, this pixel included
    union = area + (~sorted_true).cumsum(1)
    steps = torch.where(sorted_true, 1 / union, left / union / (union - 1).clamp_min(1))
    steps[:, :1] = steps[:, :1].where(area > 0, 1.0)  # of a class that isn't there the first error takes all
    return torch.zeros_like(errors).scatter_(1, order, steps)
