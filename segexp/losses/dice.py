"""Soft Dice on semantic logits."""

from __future__ import annotations

from torch import Tensor, nn

from segexp.errors import ConfigError
from segexp.losses.class_mean import ClassMean
from segexp.losses.full_size import full_size
from segexp.losses.regions import regions
from segexp.types import Batch, DataSpec, SemanticLogits, Targets

TINY = 1e-7  # keeps 0/0 of a class that is neither there nor predicted finite


class Dice(nn.Module):
    """1 - (2 sum(p g) + smooth) / (sum(p) + sum(g) + smooth) of each class of an image, p the softmax, g the truth.

    Over the labelled pixels of one image: published code often pools the batch, which makes the gradient depend on
    how the batch was cut. On one image with all classes it equals segmentation-models-pytorch's `DiceLoss` with half
    the smoothing; that one takes absent classes into the mean as 0.

    Args:
        data: the data set's classes.
        weight: of the term in the total loss.
        smooth: added to both sides of the fraction; softens the score of classes of few pixels.
        square: squares below the line, sum(p^2) + sum(g), as in V-Net (Milletari et al., 2016).
        classes: `present`, those of the image's labels, or `all`, where an absent one scores smooth / (sum(p) + smooth).
        per: `image`, the mean over images of their classes' mean, or `class`, over all pairs of image and class.

    Raises:
        ConfigError: a value that isn't known, or no smoothing for classes that may be absent.
    """

    accepts = SemanticLogits
    needs = frozenset({"semantic"})

    def __init__(
        self,
        data: DataSpec,
        *,
        weight: float = 1.0,
        smooth: float = 1.0,
        square: bool = False,
        classes: str = "present",
        per: str = "image",
    ) -> None:
        super().__init__()
        check_smooth(smooth, classes)
        self.mean = ClassMean(data, classes=classes, per=per)
        self.weight, self.smooth, self.square, self.ignore_index = weight, smooth, square, data.ignore_index

    def forward(self, output: SemanticLogits, batch: Batch) -> dict[str, Tensor]:
        logits, labels = full_size(output, batch.targets, self.ignore_index)
        found = regions(logits, labels, self.ignore_index, square=self.square)
        below = (found.predicted + found.true + self.smooth).clamp_min(TINY)
        values = 1 - (2 * found.overlap + self.smooth) / below  # [B,K]
        return {"dice": self.weight * self.mean.total(values, found.true)}

    def count(self, targets: list[Targets]) -> dict[str, float]:
        """Images that have a labelled pixel; with `per=class` the pairs of image and class."""
        return {"dice": self.mean.count(targets)}


def check_smooth(smooth: float, classes: str) -> None:
    """Refuse a negative smoothing, and none where absent classes count: their score would be 0 whatever is predicted.

    Raises:
        ConfigError: says which value would do.
    """
    if smooth < 0 or (smooth == 0 and classes == "all"):
        why = "a class that is absent has a score only with smoothing" if smooth == 0 else "smoothing is at least 0"
        raise ConfigError(why, where=f"loss.smooth={smooth}", fix="loss.smooth=1" + (" or loss.classes=present" if smooth == 0 else ""))
