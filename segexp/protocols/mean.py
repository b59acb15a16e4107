"""The mean of class probabilities over several passes, exact whatever their order."""

from __future__ import annotations

import torch
from torch import Tensor

from segexp.functional.resize import to_size
from segexp.types import SemanticLogits, Size

WHOLE = 2**30  # probability 1 of all passes together; in int32 there is room for what rounding adds


class MeanProbability:
    """Adds up probabilities in whole numbers: sums of floats would depend on the order, and so would a mirrored image.

    Args:
        batch: images.
        size: (height, width) of the result, that of the batch.
        passes: what the weights of a pixel add up to.
    """

    def __init__(self, batch: int, size: Size, passes: int = 1) -> None:
        self.shape, self.unit = (batch, *size), WHOLE / passes
        self.sums: Tensor | None = None  # int32 [B,K,H,W]

    def add(self, image: int, top: int, left: int, probabilities: Tensor, weight: Tensor | None = None) -> None:
        """Add what was predicted for a window of an image.

        Args:
            image: its number in the batch.
            top, left: where the window begins.
            probabilities: float32 [K,h,w]; changed by this.
            weight: float32 [h,w] in [0, 1]; 1 unless given.
        """
        if self.sums is None:
            batch, height, width = self.shape
            self.sums = torch.zeros(batch, len(probabilities), height, width, dtype=torch.int32, device=probabilities.device)
        scaled = probabilities.mul_(self.unit if weight is None else weight * self.unit)
        height, width = probabilities.shape[-2:]
        self.sums[image, :, top : top + height, left : left + width] += scaled.round_().to(torch.int32)

    def output(self) -> SemanticLogits:
        """The logarithm of the mean, at stride 1: float32 [B,K,H,W]; smallest where nothing was added."""
        if self.sums is None:
            raise ValueError("nothing was added")
        return SemanticLogits(self.sums.clamp_(min=1).float().div_(WHOLE).log_(), 1)


def class_probabilities(output: SemanticLogits, image: int, size: Size, original: Size | None = None) -> Tensor:
    """What a head's output says of one image of the batch: float32 [K,H,W] at `original`, else at its valid `size`."""
    logits = output.logits[image : image + 1].float()
    if output.stride == 1:  # pixels beyond the valid ones are none of this image
        logits = logits[..., : size[0], : size[1]]
    return to_size(logits, output.stride, size, original, aligned=output.align_corners)[0].softmax(0)
