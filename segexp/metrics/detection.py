"""COCO's average precision of boxes."""

from __future__ import annotations

import torch
from torch import Tensor

from segexp.functional.boxes import areas
from segexp.functional.mask_overlaps import mask_areas
from segexp.metrics.coco_ap import AveragePrecision, Record, best, crowds, record
from segexp.types import Prediction, Targets


class DetectionMetrics(AveragePrecision):
    """`map map50 map75 map_small ... mar100 map/<class>` of boxes: see `AveragePrecision`.

    An object is small, medium or large by the pixels of its mask where the truth carries masks (a run that also measures
    these), as COCO does; else by the area of its box. That of a detection is always its box's.
    """

    needs = frozenset({"boxes"})

    def measure(self, prediction: Prediction, truth: Targets) -> Record:
        """See `segexp.metrics.coco_ap.record`."""
        kept = best(prediction.scores, prediction.labels)
        boxes = prediction.boxes[kept].double()
        overlap = box_overlaps(boxes, truth.boxes.double(), crowds(truth))
        object_areas = areas(truth.boxes.double()) if truth.masks is None else mask_areas(truth.masks)
        return record(prediction.labels[kept], areas(boxes), prediction.scores[kept], truth, object_areas, overlap)


def box_overlaps(boxes: Tensor, truth: Tensor, crowd: Tensor) -> Tensor:
    """IoU [D,N] of boxes; with a crowd, the share of the detection that lies in it.

    Args:
        boxes: float64 [D,4]: in float32 an IoU of 0.75 comes out on either side of it.
        truth: float64 [N,4].
        crowd: bool [N].
    """
    sides = torch.minimum(boxes[:, None, 2:], truth[:, 2:]) - torch.maximum(boxes[:, None, :2], truth[:, :2])  # [D,N,2]
    shared = sides.clamp(min=0).prod(-1)
    area = areas(boxes)[:, None]
    union = torch.where(crowd, area, area + areas(truth) - shared)
    return torch.where(shared > 0, shared / union, 0.0)
