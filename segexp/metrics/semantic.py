"""Semantic segmentation figures from integer counts: intersection over union and accuracies of the whole data set."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from segexp.functional.confusion import confusion_matrix
from segexp.types import DataSpec, Prediction, Targets


class SemanticMetrics(Metric):
    """`miou pixel_acc mean_acc iou/<class>`, of pixels pooled over the data set (not a mean over images).

    Pixels with `ignore_index` in the truth count nowhere. A class that neither the truth nor a prediction holds has no
    IoU: it is NaN and left out of the mean; a class that only predictions hold counts as 0. `mean_acc` is over the
    classes that the truth holds. Where no pixel is labelled, all figures are NaN.
    """

    needs = frozenset({"semantic"})
    full_state_update = False
    higher_is_better = True
    intersection: Tensor
    predicted: Tensor
    labelled: Tensor

    def __init__(self, data: DataSpec) -> None:
        super().__init__()
        self.names, self.ignore_index = data.names, data.ignore_index
        for name in ("intersection", "predicted", "labelled"):
            self.add_state(name, torch.zeros(data.num_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def measure(self, prediction: Prediction, truth: Targets) -> dict[str, Tensor]:
        """Pixel counts of one image per class: int64 [K] each."""
        matrix = confusion_matrix(prediction.semantic, truth.semantic, len(self.names), self.ignore_index)
        return {"intersection": matrix.diagonal(), "predicted": matrix.sum(0), "labelled": matrix.sum(1)}

    def update(self, records: list[dict[str, Tensor]]) -> None:
        for record in records:
            for name, counts in record.items():
                setattr(self, name, getattr(self, name) + counts.to(self.device))

    def compute(self) -> dict[str, Tensor]:
        hit, predicted, labelled = (x.double() for x in (self.intersection, self.predicted, self.labelled))  # [K]
        iou = hit / (predicted + labelled - hit)  # 0 / 0 = NaN: absent
        figures = {
            "miou": iou.nanmean(),
            "pixel_acc": hit.sum() / labelled.sum(),
            "mean_acc": (hit / labelled).nanmean(),
        }
        return figures | {f"iou/{name}": value for name, value in zip(self.names, iou, strict=True)}
