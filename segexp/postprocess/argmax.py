"""The most likely class of every pixel, at the image's original size."""

from __future__ import annotations

from segexp.functional.argmax import upsampled_argmax
from segexp.types import DataSpec, Prediction, SemanticLogits, Sizes


class ArgMax:
    """Upsample the logits to the original size, then take the largest; the lowest class id wins a tie."""

    accepts = SemanticLogits
    provides = frozenset({"semantic"})

    def __init__(self, data: DataSpec) -> None:
        """Needs nothing of the data set; `segexp.build` gives it to every stage."""

    def __call__(self, output: SemanticLogits, sizes: Sizes, original_sizes: Sizes) -> list[Prediction]:
        images = zip(output.logits, sizes, original_sizes, strict=True)
        return [
            Prediction(semantic=upsampled_argmax(logits, output.stride, *both, aligned=output.align_corners)) for logits, *both in images
        ]
