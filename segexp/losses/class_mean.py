"""How losses that have one value per image and class (Dice, Tversky, Lovász) become a sum and its count."""

from __future__ import annotations

import torch
from torch import Tensor

from segexp.errors import ConfigError
from segexp.types import DataSpec, Targets

CLASSES = ("present", "all")
PER = ("image", "class")


class ClassMean:
    """Which classes of an image count, and what their values are averaged over.

    Images are never pooled, so that sums add up over images and the result doesn't depend on how a batch was cut.

    Args:
        data: the data set's classes.
        classes: `present`, those with a labelled pixel in the image, or `all`; an image without labels has none.
        per: `image`, the mean over an image's classes, each image the same weight; or `class`, each pair of image
            and class the same weight.

    Raises:
        ConfigError: `classes` or `per` is neither of its values.
    """

    def __init__(self, data: DataSpec, *, classes: str = "present", per: str = "image") -> None:
        for key, value, known in (("classes", classes, CLASSES), ("per", per, PER)):
            if value not in known:
                raise ConfigError(f"{key} is {' or '.join(known)}", where=f"loss.{key}={value}", fix=f"loss.{key}={'|'.join(known)}")
        self.number, self.ignore_index = data.num_classes, data.ignore_index
        self.all, self.by_image = classes == "all", per == "image"

    def chosen(self, pixels: Tensor) -> Tensor:
        """Bool [..., K]: the classes that count, from their numbers of labelled pixels [..., K]."""
        return (pixels.sum(-1, keepdim=True) > 0).expand_as(pixels) if self.all else pixels > 0

    def total(self, values: Tensor, pixels: Tensor) -> Tensor:
        """The sum of values [B,K] to be divided by `count`; `pixels` [B,K] says how many each class has in each image."""
        chosen = self.chosen(pixels)
        sums = torch.where(chosen, values, 0).sum(1)  # [B]
        return (sums / chosen.sum(1).clamp_min(1)).sum() if self.by_image else sums.sum()

    def count(self, targets: list[Targets]) -> float:
        """Images that have a labelled pixel, or pairs of image and class that count."""
        found = [t.semantic[t.semantic != self.ignore_index].unique().numel() for t in targets]
        return float(sum(min(n, 1) if self.by_image else self.number * min(n, 1) if self.all else n for n in found))
