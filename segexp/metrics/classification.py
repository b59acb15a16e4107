"""Figures of images of one class each: top-1, top-5, accuracies by class, and what is taken for what."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from segexp.functional.bootstrap import Figure
from segexp.functional.weighted import Record, column, named
from segexp.types import DataSpec, Prediction, Targets

FIVE = 5


class ClassificationMetrics(Metric):
    """`top1`, `top5`, `mean_acc` and `acc/<class>`, in images pooled over the data set.

    `top5` is given where there are more than five classes; else it would be 1 whatever was predicted. `acc/<class>` is the share
    of a class's images whose first class is right; `mean_acc` is the mean over the classes that the truth holds. Of classes with
    equal scores the lower id goes first, and a score that is NaN goes last. Images without a class (`ignore_index`) count
    nowhere; without any other all figures are NaN.
    """

    needs = frozenset({"label"})
    full_state_update = False
    higher_is_better = True
    unit = "images"  # what `counted` counts
    confusion: Tensor  # int64 [K,K], row = truth, column = prediction; what this rank has counted
    within_five: Tensor  # int64 [] images whose class is among the first five

    def __init__(self, data: DataSpec) -> None:
        super().__init__()
        self.names, self.ignore_index = data.names, data.ignore_index
        self.add_state("confusion", torch.zeros(data.num_classes, data.num_classes, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("within_five", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.counted = self.confusion.clone()  # of all ranks, as of the last `compute`

    def measure(self, prediction: Prediction, truth: Targets) -> dict[str, Tensor]:
        """What was said of one image.

        Returns:
            `truth` int64 [], the class; `predicted` int64 [], the first class; `rank` int64 [], how many classes go before the
            true one (-1 without truth); `score` float32 [], of the true class (0 without truth).
        """
        scores = prediction.label_scores.float().nan_to_num(-1.0)  # [K]
        order = scores.argsort(descending=True, stable=True)
        label = truth.label.to(scores.device)
        if int(label) == self.ignore_index:
            return {"truth": label, "predicted": order[0], "rank": label.new_tensor(-1), "score": scores.new_zeros(())}
        return {"truth": label, "predicted": order[0], "rank": (order == label).nonzero()[0, 0], "score": scores[label]}

    def update(self, records: list[dict[str, Tensor]]) -> None:
        if not records:
            return
        truth, predicted, rank = (torch.stack([record[name] for record in records]) for name in ("truth", "predicted", "rank"))
        known = (truth != self.ignore_index).to(self.device)
        pairs = truth.to(self.device)[known], predicted.to(self.device)[known]
        self.confusion = self.confusion.index_put(pairs, torch.ones_like(pairs[0]), accumulate=True)
        self.within_five = self.within_five + (rank.to(self.device)[known] < FIVE).sum()

    def compute(self) -> dict[str, Tensor]:
        self.counted = self.confusion.clone()
        hit, labelled = self.counted.diagonal().double(), self.counted.sum(1).double()  # [K]
        accuracy = hit / labelled  # 0 / 0 = NaN: no image is of this class
        figures = {"top1": hit.sum() / labelled.sum()}
        if len(self.names) > FIVE:
            figures["top5"] = self.within_five / labelled.sum()
        figures["mean_acc"] = accuracy.nanmean()
        return figures | {f"acc/{name}": value for name, value in zip(self.names, accuracy, strict=True)}

    def weighted(self, figure: str, records: Sequence[Record]) -> Figure | None:
        """The figure of this name, given how often each image counts; None if it is none of these."""
        truth, predicted, rank = (column(records, name).astype(int) for name in ("truth", "predicted", "rank"))  # [N]
        labelled = (truth[:, None] == range(len(self.names))).astype(float)  # [N,K]
        hit, images = labelled * (predicted == truth)[:, None], labelled.sum(1)
        means = {"top1": (hit.sum(1), images), "mean_acc": (hit, labelled)}
        if len(self.names) > FIVE:
            means["top5"] = images * (rank < FIVE), images
        return named(figure, means, {"acc": (hit, labelled)}, self.names)
