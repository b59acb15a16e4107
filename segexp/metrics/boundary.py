"""Boundary IoU (Cheng et al., 2021): overlap of the bands along the contours of the classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from segexp.functional.bootstrap import Figure
from segexp.functional.contours import band, band_width, check_ratio
from segexp.functional.weighted import Record, column, named
from segexp.types import DataSpec, Prediction, Targets

LARGEST = 255  # of uint8


class BoundaryMetrics(Metric):
    """`boundary_iou boundary_iou/<class>`: IoU of the pixels near a contour, pooled over the data set.

    The band of a class holds its pixels within `distance` of another class or of the image's border, by the larger of
    the two axes: what erosion with a square takes away, as in the official code. Pixels without label are in no band and
    make no contour, in the truth and in the prediction alike: what is predicted there isn't read. A class without a band
    on both sides is NaN and left out of the mean.

    Args:
        data: the data set's classes.
        dilation_ratio: the distance as a share of the image's diagonal; it is a whole number of pixels, at least 1.
    """

    needs = frozenset({"semantic"})
    full_state_update = False
    higher_is_better = True
    intersection: Tensor
    predicted: Tensor
    labelled: Tensor

    def __init__(self, data: DataSpec, *, dilation_ratio: float = 0.02) -> None:
        super().__init__()
        check_ratio(dilation_ratio, "metrics.boundary.dilation_ratio")
        self.names, self.ignore_index, self.dilation_ratio = data.names, data.ignore_index, dilation_ratio
        for name in ("intersection", "predicted", "labelled"):
            self.add_state(name, torch.zeros(data.num_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def measure(self, prediction: Prediction, truth: Targets) -> dict[str, Tensor]:
        """Pixels of the bands of one image per class: int64 [K] each."""
        labelled, distance = truth.semantic != self.ignore_index, band_width(tuple(truth.semantic.shape), self.dilation_ratio)
        kind = torch.uint8 if len(self.names) < LARGEST else torch.int32
        # a pixel without label has no class on both sides
        guess, real = (torch.where(labelled, x.to(kind), len(self.names)) for x in (prediction.semantic, truth.semantic))
        guess = guess.masked_fill(~band(guess, len(self.names), distance), len(self.names))
        real = real.masked_fill(~band(real, len(self.names), distance), len(self.names))
        both = real.masked_fill(guess != real, len(self.names))
        return {"intersection": self._counts(both), "predicted": self._counts(guess), "labelled": self._counts(real)}

    def update(self, records: list[dict[str, Tensor]]) -> None:
        for record in records:
            for name, counts in record.items():
                setattr(self, name, getattr(self, name) + counts.to(self.device))

    def compute(self) -> dict[str, Tensor]:
        iou = self.intersection.double() / (self.predicted + self.labelled - self.intersection)  # 0 / 0 = NaN: absent
        return {"boundary_iou": iou.nanmean()} | {f"boundary_iou/{name}": value for name, value in zip(self.names, iou, strict=True)}

    def weighted(self, figure: str, records: Sequence[Record]) -> Figure | None:
        """The figure of this name, given how often each image counts; None if it is none of these."""
        hit, predicted, labelled = (column(records, name) for name in ("intersection", "predicted", "labelled"))  # [N,K]
        iou = {"boundary_iou": (hit, predicted + labelled - hit)}
        return named(figure, iou, iou, self.names)

    def _counts(self, labels: Tensor) -> Tensor:
        return torch.bincount(labels.flatten(), minlength=len(self.names) + 1)[:-1]
