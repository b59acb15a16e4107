"""The most likely class of every pixel, at the image's original size."""

from __future__ import annotations

import torch

from segexp.functional.resize import to_size
from segexp.types import DataSpec, Prediction, SemanticLogits, Sizes


class ArgMax:
    """Upsample the logits to the original size, then take the largest; the lowest class id wins a tie."""

    accepts = SemanticLogits
    provides = frozenset({"semantic"})

    def __init__(self, data: DataSpec) -> None:
        self.dtype = torch.uint8 if data.num_classes <= 256 else torch.int64

    def __call__(self, output: SemanticLogits, sizes: Sizes, original_sizes: Sizes) -> list[Prediction]:
        predictions = []
        for logits, size, original in zip(output.logits, sizes, original_sizes, strict=True):
            full = to_size(logits[None], output.stride, size, original)[0]  # [K,H,W]
            best = full.max(0).indices  # the first of equals, and on a CPU ten times faster than argmax over planes
            predictions.append(Prediction(semantic=best.to(self.dtype)))
        return predictions
