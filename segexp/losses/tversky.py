"""Tversky loss (Salehi et al., 2017) and focal Tversky loss (Abraham and Khan, 2019) on semantic logits."""

from __future__ import annotations

from torch import Tensor, nn

from segexp.errors import ConfigError
from segexp.losses.class_mean import ClassMean
from segexp.losses.dice import TINY, check_smooth
from segexp.losses.full_size import full_size
from segexp.losses.regions import regions
from segexp.types import Batch, DataSpec, SemanticLogits, Targets

STEEPEST = 1e-6  # the root's slope is infinite at 0; below this there is no gradient


class Tversky(nn.Module):
    """(1 - TI)^(1/gamma) of each class of an image, TI = (TP + smooth) / (TP + alpha FP + beta FN + smooth), soft counts.

    alpha = beta = 0.5 is Dice with twice the smoothing, alpha = beta = 1 the soft Jaccard index. Over the labelled
    pixels of one image. (segmentation-models-pytorch's `TverskyLoss` pools the batch and calls the exponent gamma.)

    Args:
        data: the data set's classes.
        weight: of the term in the total loss.
        alpha: cost of a false positive.
        beta: cost of a false negative; above `alpha` favours recall.
        gamma: of the focal form, whose paper takes 4/3; 1 is the plain one.
        smooth: added to both sides of the fraction.
        classes: `present`, those of the image's labels, or `all`.
        per: `image`, the mean over images of their classes' mean, or `class`, over all pairs of image and class.

    Raises:
        ConfigError: a value that isn't known or out of range.
    """

    accepts = SemanticLogits
    needs = frozenset({"semantic"})

    def __init__(
        self,
        data: DataSpec,
        *,
        weight: float = 1.0,
        alpha: float = 0.3,
        beta: float = 0.7,
        gamma: float = 1.0,
        smooth: float = 1.0,
        classes: str = "present",
        per: str = "image",
    ) -> None:
        super().__init__()
        check_smooth(smooth, classes)
        for name, value, fits in (("alpha", alpha, alpha >= 0), ("beta", beta, beta >= 0), ("gamma", gamma, gamma > 0)):
            if not fits:
                raise ConfigError(f"{name} is above 0", where=f"loss.{name}={value}", fix="loss.alpha=0.3 loss.beta=0.7 loss.gamma=1")
        self.mean = ClassMean(data, classes=classes, per=per)
        self.weight, self.alpha, self.beta, self.gamma = weight, alpha, beta, gamma
        self.smooth, self.ignore_index = smooth, data.ignore_index

    def forward(self, output: SemanticLogits, batch: Batch) -> dict[str, Tensor]:
        logits, labels = full_size(output, batch.targets, self.ignore_index)
        overlap, predicted, true = regions(logits, labels, self.ignore_index)
        wrong = self.alpha * (predicted - overlap) + self.beta * (true - overlap)
        values = 1 - (overlap + self.smooth) / (overlap + wrong + self.smooth).clamp_min(TINY)  # [B,K]
        if self.gamma != 1:
            values = values.clamp_min(STEEPEST) ** (1 / self.gamma)
        return {"tversky": self.weight * self.mean.total(values, true)}

    def count(self, targets: list[Targets]) -> dict[str, float]:
        """Images that have a labelled pixel; with `per=class` the pairs of image and class."""
        return {"tversky": self.mean.count(targets)}
