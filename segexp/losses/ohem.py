"""Cross-entropy of the hardest pixels only (online hard example mining, top-k)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segexp.errors import ConfigError
from segexp.functional.maps import stack_maps
from segexp.functional.upsampled_loss import Terms, summed_cross_entropy
from segexp.losses.class_weights import class_weights_of
from segexp.types import Batch, DataSpec, SemanticLogits, Size, Targets

REDUCTIONS = ("valid", "batch", "nonzero")


class Ohem(nn.Module):
    """Cross-entropy over the pixels where it is largest: a `fraction` of them, or those whose class is less likely than `threshold`.

    What the sum of the kept losses is divided by follows from the targets alone:

    ========== ==================================== ============================= =======================================
    option     kept                                 term                          count
    ========== ==================================== ============================= =======================================
    valid      of each image, a fraction of its     sum                           kept pixels
               labelled pixels, at least one
    batch      of the batch, a fraction of all its  sum                           kept pixels
               pixels; unlabelled ones are kept last
    nonzero    of each image, a fraction of all     mean over the kept pixels     images with a labelled pixel
               its pixels                           whose loss isn't 0
    threshold  of each image, the unlikely pixels,  mean over the kept pixels     images with a labelled pixel
               at least `min_kept`
    ========== ==================================== ============================= =======================================

    `batch` and `nonzero` are those of published code (Detectron2 and DeepLab2). `batch` ranks the pixels of a batch together,
    so its value depends on how the images are put into batches; the others don't.

    Args:
        data: the data set's classes.
        weight: of the term in the total loss.
        fraction: share of pixels kept; null with a threshold.
        threshold: pixels whose own class has a lower probability are kept; null with a fraction.
        min_kept: with a threshold, pixels of an image that are kept at least.
        reduction: with a fraction, `valid`, `batch` or `nonzero`.
        class_weights: one per class; the weighted losses are ranked and summed, the count stays.
        fused: upsampling and loss in one, where that is faster (on a CPU); it can't be differentiated twice.
    """

    accepts = SemanticLogits
    needs = frozenset({"semantic"})
    class_weights: Tensor | None

    def __init__(
        self,
        data: DataSpec,
        *,
        weight: float = 1.0,
        fraction: float | None = 0.2,
        threshold: float | None = None,
        min_kept: int = 1000,
        reduction: str = "valid",
        class_weights: Sequence[float] | None = None,
        fused: bool = True,
    ) -> None:
        super().__init__()
        _check(fraction, threshold, reduction)
        self.weight, self.ignore_index, self.fused = weight, data.ignore_index, fused
        self.fraction, self.threshold, self.min_kept, self.reduction = fraction, threshold, min_kept, reduction
        self.register_buffer("class_weights", class_weights_of(data, class_weights), persistent=False)  # [K]

    def forward(self, output: SemanticLogits, batch: Batch) -> dict[str, Tensor]:
        return {"ohem": self.total(output, [t.semantic for t in batch.targets])}

    def total(self, output: SemanticLogits, maps: list[Tensor], pixel_weights: list[Tensor] | None = None) -> Tensor:
        """The term of labels [H,W] per image; weights of their pixels rank and scale as those of classes do."""
        target = stack_maps(maps, self.ignore_index).long()  # [B,H,W]
        pixels, each = [m.numel() for m in maps], None if pixel_weights is None else stack_maps(pixel_weights, 0)
        terms = Terms(self.ignore_index, choose=lambda losses: self._weights(losses, target, pixels, each))
        how = {"fused": self.fused, "aligned": output.align_corners}
        return self.weight * summed_cross_entropy(output.logits, target, output.stride, terms, **how)

    def count(self, targets: list[Targets]) -> dict[str, float]:
        """Kept pixels, or images: see the table."""
        maps = [t.semantic for t in targets]
        labelled = [int(torch.count_nonzero(m != self.ignore_index)) for m in maps]
        return {"ohem": self.kept(labelled, [tuple(m.shape) for m in maps])}

    def kept(self, labelled: list[int], sizes: Sequence[Size]) -> float:
        """What `count` gives for images of these sizes with so many labelled pixels."""
        if self.fraction is None or self.reduction == "nonzero":
            return float(sum(n > 0 for n in labelled))
        if self.reduction == "batch":
            return float(max(int(self.fraction * sum(height * width for height, width in sizes)), 1))
        return float(sum(self._kept(n) for n in labelled))

    def _kept(self, labelled: int) -> int:
        return max(int(self.fraction * labelled), 1) if labelled and self.fraction is not None else 0

    def _weights(self, losses: Tensor, target: Tensor, pixels: list[int], each: Tensor | None) -> Tensor:
        """The weight of each pixel's loss [B,H,W], 0 where it isn't kept; `each` [B,H,W] is what it has beside its class's."""
        labelled = target != self.ignore_index
        scale = labelled.float() if self.class_weights is None else self.class_weights[target * labelled]
        scale = scale if each is None else scale * each
        if self.fraction is None:
            kept = [self._unlikely(*of_image) for of_image in zip(losses, labelled, strict=True)]
            return torch.stack(kept) * scale
        ranked = losses * scale
        if self.reduction == "batch":
            return _top(ranked, max(int(self.fraction * sum(pixels)), 1)) * scale
        if self.reduction == "valid":
            kept = [_top(image, self._kept(int(known.sum()))) for image, known in zip(ranked, labelled, strict=True)]
        else:
            kept = [_mean(_top(image, round(self.fraction * n)) * (image > 0)) for image, n in zip(ranked, pixels, strict=True)]
        return torch.stack(kept) * scale

    def _unlikely(self, losses: Tensor, labelled: Tensor) -> Tensor:
        """Weights of a mean over the labelled pixels below the threshold, or below the `min_kept`-th lowest probability."""
        known = losses[labelled]
        if not len(known):
            return torch.zeros_like(losses)
        assert self.threshold is not None
        least = known.topk(min(self.min_kept + 1, len(known)), sorted=False).values.min()
        return _mean((losses > least.clamp(max=-math.log(self.threshold))) & labelled)


def _top(losses: Tensor, count: int) -> Tensor:
    """1 at the `count` largest, else 0, in the shape of `losses`."""
    chosen = torch.zeros_like(losses)
    chosen.view(-1)[losses.flatten().topk(count, sorted=False).indices] = 1
    return chosen


def _mean(kept: Tensor) -> Tensor:
    """Weights that make a sum over the kept pixels their mean; 0 where none is."""
    return kept / kept.sum().clamp(min=1)


def _check(fraction: float | None, threshold: float | None, reduction: str) -> None:
    if (fraction is None) == (threshold is None):
        raise ConfigError(
            "one of fraction and threshold says which pixels are kept",
            where=f"loss.fraction={fraction}, loss.threshold={threshold}",
            fix="loss.fraction=0.2 loss.threshold=null, or loss.fraction=null loss.threshold=0.7",
        )
    for name, value in (("fraction", fraction), ("threshold", threshold)):
        if value is not None and not 0 < value <= 1:
            raise ConfigError(f"the {name} must be above 0 and at most 1", where=f"loss.{name}={value}", fix=f"loss.{name}=0.5")
    if reduction not in REDUCTIONS or (reduction != "valid" and fraction is None):
        fix = (
            f"loss.reduction={'|'.join(REDUCTIONS)}"
            if fraction is not None
            else "loss.reduction=valid; a threshold takes each image's mean"
        )
        raise ConfigError("no such reduction", where=f"loss.reduction={reduction}", fix=fix)
