"""Panoptic quality (Kirillov et al., 2019): how well segments are recognised, and how well the recognised ones are cut out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from segexp.functional.panoptic import Segments, panoptic_statistics
from segexp.types import DataSpec, Prediction, Targets


class PanopticMetrics(Metric):
    """`pq sq rq`, the same with `_things` and `_stuff`, and `pq/<class>`: by the official rules, as shares of 1.

    Per class, of the whole data set: RQ = matches / (matches + wrong / 2 + missed / 2), SQ = the mean IoU of the matches, PQ =
    RQ * SQ. A figure is the mean over classes. A class that has no segment in the truth and no wrong one is NaN and left out;
    one without a match has SQ 0. Areas are counted in pixels: none is read from a file.
    """

    needs = frozenset({"segments"})
    prefix = ""
    full_state_update = False
    higher_is_better = True
    iou: Tensor
    matched: Tensor
    wrong: Tensor
    missed: Tensor

    def __init__(self, data: DataSpec) -> None:
        super().__init__()
        self.names, self.things, self.stuff = data.names, data.thing_ids, data.stuff_ids
        for name, kind in (("iou", torch.float64), ("matched", torch.int64), ("wrong", torch.int64), ("missed", torch.int64)):
            self.add_state(name, torch.zeros(data.num_classes, dtype=kind), dist_reduce_fx="sum")

    def measure(self, prediction: Prediction, truth: Targets) -> dict[str, Tensor]:
        """Segments of one image: see `segexp.functional.panoptic.panoptic_statistics`."""
        return panoptic_statistics(*segments(prediction, truth), len(self.names))

    def update(self, records: list[dict[str, Tensor]]) -> None:
        for record in records:
            classes, intersection, union = record["matches"].to(self.device).unbind(1)
            self.iou = self.iou.index_add(0, classes, intersection.double() / union)
            self.matched = self.matched + torch.bincount(classes, minlength=len(self.names))
            self.wrong = self.wrong + record["wrong"].to(self.device)
            self.missed = self.missed + record["missed"].to(self.device)

    def compute(self) -> dict[str, Tensor]:
        weight = self.matched.double() + 0.5 * self.wrong + 0.5 * self.missed  # [K]; 0 / 0 = NaN: absent
        quality = {
            "pq": self.iou / weight,
            "sq": torch.where(weight > 0, self.iou / self.matched.clamp(min=1), torch.nan),
            "rq": self.matched / weight,
        }
        figures: dict[str, Tensor] = {}
        for suffix, classes in (("", range(len(self.names))), ("_things", self.things), ("_stuff", self.stuff)):
            figures |= {f"{self.prefix}{name}{suffix}": _mean(values, classes) for name, values in quality.items()}
        return figures | {f"{self.prefix}pq/{name}": value for name, value in zip(self.names, quality["pq"], strict=True)}


def segments(prediction: Prediction, truth: Targets) -> tuple[Segments, Segments]:
    """Truth and prediction of one image."""
    real = Segments(truth.segments, truth.segment_labels, truth.segment_crowd)
    return real, Segments(prediction.segments, prediction.segment_labels)


def _mean(values: Tensor, classes: Sequence[int]) -> Tensor:
    return values[list(classes)].nanmean()
