"""Semantic segmentation figures from one confusion matrix: IoU, Dice and accuracies of the whole data set."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from segexp.functional.bootstrap import Figure
from segexp.functional.confusion import confusion_matrix
from segexp.functional.weighted import Record, column, named
from segexp.types import DataSpec, Prediction, Targets


class SemanticMetrics(Metric):
    """`miou dice pixel_acc mean_acc iou/<class>`, of pixels pooled over the data set (not a mean over images).

    Pixels with `ignore_index` in the truth count nowhere. A class that neither the truth nor a prediction holds has no
    IoU and no Dice: it is NaN and left out of the means; a class that only predictions hold counts as 0. `mean_acc` is
    over the classes that the truth holds. Where no pixel is labelled, all figures are NaN.
    """

    needs = frozenset({"semantic"})
    full_state_update = False
    higher_is_better = True
    confusion: Tensor  # int64 [K,K], row = truth, column = prediction; what this rank has counted

    def __init__(self, data: DataSpec) -> None:
        super().__init__()
        self.names, self.ignore_index = data.names, data.ignore_index
        self.add_state("confusion", torch.zeros(data.num_classes, data.num_classes, dtype=torch.int64), dist_reduce_fx="sum")
        self.counted = self.confusion.clone()  # of all ranks, as of the last `compute`

    def measure(self, prediction: Prediction, truth: Targets) -> dict[str, Tensor]:
        """Pixel counts of one image, int64; its confusion matrix is diag(intersection) + mistakes.

        Returns:
            `intersection`, `predicted`, `labelled` [K], per class; `mistakes` [M,3]: truth, prediction and count of each
            pair of different classes that occurs.
        """
        matrix = confusion_matrix(prediction.semantic, truth.semantic, len(self.names), self.ignore_index)
        hit = matrix.diagonal()
        others = matrix - torch.diag(hit)
        pairs = others.nonzero()
        mistakes = torch.cat([pairs, others[pairs[:, 0], pairs[:, 1], None]], 1)
        return {"intersection": hit, "predicted": matrix.sum(0), "labelled": matrix.sum(1), "mistakes": mistakes}

    def update(self, records: list[dict[str, Tensor]]) -> None:
        for record in records:
            truth, predicted, count = record["mistakes"].to(self.device).unbind(1)
            hit = torch.diag(record["intersection"].to(self.device))
            self.confusion = (self.confusion + hit).index_put((truth, predicted), count, accumulate=True)

    def compute(self) -> dict[str, Tensor]:
        self.counted = self.confusion.clone()
        hit, predicted, labelled = (x.double() for x in (self.counted.diagonal(), self.counted.sum(0), self.counted.sum(1)))  # [K]
        iou = hit / (predicted + labelled - hit)  # 0 / 0 = NaN: absent
        figures = {
            "miou": iou.nanmean(),
            "dice": (2 * hit / (predicted + labelled)).nanmean(),
            "pixel_acc": hit.sum() / labelled.sum(),
            "mean_acc": (hit / labelled).nanmean(),
        }
        return figures | {f"iou/{name}": value for name, value in zip(self.names, iou, strict=True)}

    def weighted(self, figure: str, records: Sequence[Record]) -> Figure | None:
        """The figure of this name, given how often each image counts; None if it is none of these."""
        hit, predicted, labelled = (column(records, name) for name in ("intersection", "predicted", "labelled"))  # [N,K]
        iou = hit, predicted + labelled - hit
        means = {"miou": iou, "dice": (2 * hit, predicted + labelled), "mean_acc": (hit, labelled)}
        means["pixel_acc"] = hit.sum(1), labelled.sum(1)
        return named(figure, means, {"iou": iou}, self.names)
