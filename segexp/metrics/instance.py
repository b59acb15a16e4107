"""COCO's average precision of masks, from the pixels that masks share."""

from __future__ import annotations

import torch
from torch import Tensor

from segexp.functional.mask_overlaps import mask_areas, mask_overlaps
from segexp.metrics.coco_ap import AveragePrecision, Record, best, crowds, record
from segexp.types import Prediction, Targets


class InstanceMetrics(AveragePrecision):
    """`mask_map mask_map50 mask_map75 mask_map_small ... mask_mar100 mask_map/<class>` of masks: see `AveragePrecision`.

    An object's area is the number of its mask's pixels (COCO's own files hold the area of the polygon instead, which moves an
    object between small, medium and large now and then).
    """

    needs = frozenset({"masks"})
    prefix = "mask_"

    def measure(self, prediction: Prediction, truth: Targets) -> Record:
        """See `segexp.metrics.coco_ap.record`."""
        kept = best(prediction.scores, prediction.labels)
        labels, areas, object_areas = prediction.labels[kept], mask_areas(prediction.masks)[kept], mask_areas(truth.masks)
        shared = mask_overlaps(prediction.masks, kept, labels, truth.masks, truth.labels)
        overlap = ratios(shared, areas, object_areas, crowds(truth))
        return record(labels, areas, prediction.scores[kept], truth, object_areas, overlap)


def ratios(shared: Tensor, areas: Tensor, object_areas: Tensor, crowd: Tensor) -> Tensor:
    """IoU float64 [D,N] of masks; with a crowd, the share of the detection that lies in it.

    Args:
        shared: int64 [M,3]: detection, object, pixels.
        areas: int64 [D].
        object_areas: int64 [N].
        crowd: bool [N].
    """
    both = torch.zeros((len(areas), len(object_areas)), dtype=torch.int64, device=areas.device)
    both[shared[:, 0], shared[:, 1]] = shared[:, 2]
    union = torch.where(crowd, areas[:, None], areas[:, None] + object_areas - both)
    return both.double() / union.clamp(min=1)
