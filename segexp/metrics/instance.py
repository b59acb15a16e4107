"""COCO's average precision of masks, from the pixels that masks share."""

from __future__ import annotations

from segexp.functional.mask_overlaps import mask_areas, mask_overlaps, mask_ratios
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
        overlap = mask_ratios(shared, areas, object_areas, crowds(truth))
        return record(labels, areas, prediction.scores[kept], truth, object_areas, overlap)
