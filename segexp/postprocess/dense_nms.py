"""Detections of any one-stage detector: the best candidates of each level, without those that a better one of their class covers."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from segexp.errors import require_number
from segexp.functional.boxes import areas, clip, rescale
from segexp.types import DataSpec, DenseBoxes, Prediction, Size, Sizes


class DenseNms:
    """Boxes at original size, the best first.

    A score is the probability of the class, or where the head tells the quality of a box the geometric mean of both. A
    location may be candidate for several classes; stuff is none. Boxes are cut to the valid size; those without area then are dropped.

    Args:
        data: the data set's classes.
        score_threshold: candidates are above it.
        nms_threshold: of two boxes of one class whose overlap (IoU) is larger, the better one stays.
        candidates: of each level at most so many, the best.
        detections: of an image at most so many, the best.

    Raises:
        ConfigError: a value makes no sense.
    """

    accepts = DenseBoxes
    provides = frozenset({"boxes"})

    def __init__(
        self,
        data: DataSpec,
        *,
        score_threshold: float = 0.05,
        nms_threshold: float = 0.6,
        candidates: int = 1000,
        detections: int = 100,
    ) -> None:
        require_number("postprocess.score_threshold", score_threshold, "postprocess.score_threshold=0.05", least=0, below=1)
        require_number("postprocess.nms_threshold", nms_threshold, "postprocess.nms_threshold=0.6", least=0)
        require_number("postprocess.candidates", candidates, "postprocess.candidates=1000", least=1, whole=True)
        require_number("postprocess.detections", detections, "postprocess.detections=100", least=1, whole=True)
        self.score_threshold, self.nms_threshold = score_threshold, nms_threshold
        self.candidates, self.detections = candidates, detections
        self.is_thing = torch.tensor([float(c.is_thing) for c in data.classes], device="cpu")  # [K]

    def __call__(self, output: DenseBoxes, sizes: Sizes, original_sizes: Sizes) -> list[Prediction]:
        scores = output.class_logits.float().sigmoid() * self.is_thing.to(output.class_logits.device)  # [B,A,K]
        if output.quality is not None:
            scores = (scores * output.quality.float().sigmoid()).sqrt()
        images = zip(output.boxes.float(), scores, sizes, original_sizes, strict=True)
        return [self._image(*image, output.levels) for image in images]

    def _image(self, boxes: Tensor, scores: Tensor, size: Size, original: Size, levels: tuple[int, ...]) -> Prediction:
        chosen = [self._best(level, start) for level, start in zip(scores.split(levels), _starts(levels), strict=True)]
        place, labels = (torch.cat(parts) for parts in zip(*chosen, strict=True))  # [D] each
        boxes, scores = clip(boxes[place], size), scores[place, labels]
        kept = (areas(boxes) > 0).nonzero().flatten()
        kept = kept[batched_nms(boxes[kept], scores[kept], labels[kept], self.nms_threshold)[: self.detections]]
        return Prediction(boxes=rescale(boxes[kept], size, original), scores=scores[kept], labels=labels[kept])

    def _best(self, scores: Tensor, start: int) -> tuple[Tensor, Tensor]:
        """Location and class of a level's best candidates, the best first: int64 [D] each."""
        flat = scores.flatten()  # [A*K]
        above = (flat > self.score_threshold).nonzero().flatten()
        best = above[flat[above].topk(min(self.candidates, len(above))).indices]
        return best // scores.shape[1] + start, best % scores.shape[1]


def _starts(levels: tuple[int, ...]) -> list[int]:
    return [sum(levels[:i]) for i in range(len(levels))]
