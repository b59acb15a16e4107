"""Average precision and recall over many images: faster-coco-eval's matching and sums, given the overlaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

LIMITS = (1, 10, 100)  # detections of each image and class that count
AREAS = ("small", "medium", "large")


class Instances(NamedTuple):
    """One image: see `segexp.metrics.instance.InstanceMetrics.measure`."""

    detections: np.ndarray  # int64 [D,2]
    scores: np.ndarray  # float32 [D]
    objects: np.ndarray  # int64 [N,3]
    overlaps: np.ndarray  # int64 [M,3]

    def ious(self) -> np.ndarray:
        """IoU of each detection and object: float64 [D,N]; with a crowd, the share of the detection that lies in it."""
        shared = np.zeros((len(self.detections), len(self.objects)))
        shared[self.overlaps[:, 0], self.overlaps[:, 1]] = self.overlaps[:, 2]
        area = self.detections[:, 1, None]
        union = np.where(self.objects[:, 2] == 1, area, area + self.objects[:, 1] - shared)
        return shared / np.maximum(union, 1)


def precision_and_recall(images: Sequence[Instances], classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Precision float64 [IoUs,recalls,classes,areas,limits] and the largest recall [IoUs,classes,areas,limits], -1 where undefined.

    The ten IoUs are 0.50, 0.55 .. 0.95, the 101 recalls 0, 0.01 .. 1; areas are all, then `AREAS`.
    """
    from faster_coco_eval.core.faster_eval_api import COCOeval_faster

    class FromOverlaps(COCOeval_faster):
        """Matches by the IoUs at hand: masks are neither kept nor encoded."""

        def computeIoU(self, imgId: int, catId: int) -> np.ndarray:  # the library's names
            image = images[imgId]
            return image.ious()[np.ix_(image.detections[:, 0] == catId, image.objects[:, 0] == catId)]

    evaluation = FromOverlaps(
        _data_set(_objects(images), len(images), classes), _data_set(_detections(images), len(images), classes), "bbox"
    )
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation.eval["precision"], evaluation.eval["recall"]


def mean(values: np.ndarray) -> float:
    """The mean of what is defined; NaN where nothing is."""
    found = values[values > -1]
    return float(found.mean()) if found.size else float("nan")


def _data_set(annotations: list[dict[str, Any]], images: int, classes: int) -> Any:
    from faster_coco_eval import COCO

    data = COCO()
    kinds = [{"id": k, "name": str(k)} for k in range(classes)]
    data.dataset = {"images": [{"id": i} for i in range(images)], "annotations": annotations, "categories": kinds}
    data.createIndex()
    return data


def _objects(images: Sequence[Instances]) -> list[dict[str, Any]]:
    rows = [(i, *row) for i, image in enumerate(images) for row in image.objects.tolist()]
    return [
        {"id": number, "image_id": i, "category_id": kind, "area": area, "iscrowd": crowd}
        for number, (i, kind, area, crowd) in enumerate(rows, 1)
    ]


def _detections(images: Sequence[Instances]) -> list[dict[str, Any]]:
    rows = [
        (i, *row, score)
        for i, image in enumerate(images)
        for row, score in zip(image.detections.tolist(), image.scores.tolist(), strict=True)
    ]
    return [
        {"id": number, "image_id": i, "category_id": kind, "area": area, "score": score}
        for number, (i, kind, area, score) in enumerate(rows, 1)
    ]
