"""Detections of two-stage detectors, at the image's original size."""

from __future__ import annotations

from typing import Any

from segexp.errors import require_number
from segexp.functional.boxes import rescale
from segexp.functional.paste import paste
from segexp.types import DataSpec, MaskRoiOutput, Prediction, RoiOutput, Size, Sizes


class RoiDetections:
    """Scale the boxes, and with `masks` stretch each mask over its box; the best detection comes first.

    What suppresses and limits detections are keys of the head, because masks are made of what remains.

    Args:
        data: the data set's classes.
        masks: with masks; for a head with a mask branch.
        mask_threshold: pixels whose probability is above it are of a mask.

    Raises:
        ConfigError: the threshold is no probability.
    """

    def __init__(self, data: DataSpec, *, masks: bool = False, mask_threshold: float = 0.5) -> None:
        require_number("postprocess.mask_threshold", mask_threshold, "postprocess.mask_threshold=0.5", least=0, below=1)
        self.accepts = MaskRoiOutput if masks else RoiOutput
        self.provides = frozenset({"boxes", "masks"} if masks else {"boxes"})
        self.masks, self.mask_threshold = masks, mask_threshold

    def __call__(self, output: RoiOutput, sizes: Sizes, original_sizes: Sizes) -> list[Prediction]:
        return [self._image(output, number, *both) for number, both in enumerate(zip(sizes, original_sizes, strict=True))]

    def _image(self, output: RoiOutput, number: int, size: Size, original: Size) -> Prediction:
        found: Any = output.detected  # which is there, because no targets were given
        boxes = rescale(found.boxes[number].float(), size, original)
        masks = paste(found.mask_logits[number].float().sigmoid(), boxes, original, self.mask_threshold) if self.masks else None
        return Prediction(boxes=boxes, masks=masks, labels=found.labels[number], scores=found.scores[number].float().clamp(0, 1))
