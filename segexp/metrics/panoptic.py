"""Panoptic quality (Kirillov et al., 2019): how well segments are recognised, and how well the recognised ones are cut out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from segexp.functional.bootstrap import Figure
from segexp.functional.contours import band, band_width, check_ratio
from segexp.functional.panoptic import Segments, panoptic_statistics
from segexp.functional.weighted import Record, column, named
from segexp.types import DataSpec, Prediction, Targets


class PanopticMetrics(Metric):
    """`pq sq rq`, the same with `_things` and `_stuff`, and `pq/<class>`: by the official rules, as shares of 1.

    Per class, of the whole data set: RQ = matches / (matches + wrong / 2 + missed / 2), SQ = the mean IoU of the matches, PQ =
    RQ * SQ. A figure is the mean over classes. A class that has no segment in the truth and no wrong one is NaN and left out;
    one without a match has SQ 0. Areas are counted in pixels: none is read from a file.

    With a `dilation_ratio` it is boundary panoptic quality (Cheng et al., 2021), and names begin with `boundary_`: the IoU of two
    segments is the lesser of that of their masks and that of the bands along their contours. A band holds a segment's pixels
    within a distance of another segment, of void or of the image's border, by the larger of the two axes, as in the official code.

    Args:
        data: the data set's classes.
        dilation_ratio: the distance as a share of the image's diagonal; it is a whole number of pixels, at least 1.
    """

    needs = frozenset({"segments"})
    full_state_update = False
    higher_is_better = True
    iou: Tensor
    matched: Tensor
    wrong: Tensor
    missed: Tensor

    def __init__(self, data: DataSpec, *, dilation_ratio: float | None = None) -> None:
        super().__init__()
        if dilation_ratio is not None:
            check_ratio(dilation_ratio, "metrics.boundary_panoptic.dilation_ratio")
        self.dilation_ratio, self.prefix = dilation_ratio, "" if dilation_ratio is None else "boundary_"
        self.names, self.things, self.stuff = data.names, data.thing_ids, data.stuff_ids
        for name, kind in (("iou", torch.float64), ("matched", torch.int64), ("wrong", torch.int64), ("missed", torch.int64)):
            self.add_state(name, torch.zeros(data.num_classes, dtype=kind), dist_reduce_fx="sum")

    def measure(self, prediction: Prediction, truth: Targets) -> dict[str, Tensor]:
        """Segments of one image: see `segexp.functional.panoptic.panoptic_statistics`."""
        real = Segments(truth.segments, truth.segment_labels, truth.segment_crowd)
        guess, bands = Segments(prediction.segments, prediction.segment_labels), None
        if self.dilation_ratio is not None:
            distance = band_width(tuple(real.ids.shape), self.dilation_ratio)
            bands = _band(real, distance), _band(guess, distance)
        return panoptic_statistics(real, guess, len(self.names), bands)

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

    def weighted(self, figure: str, records: Sequence[Record]) -> Figure | None:
        """The figure of this name, given how often each image counts; None if it is none of these."""
        found = [np.reshape(record["matches"], (-1, 3)) for record in records]
        matched, iou = np.zeros((2, len(records), len(self.names)))  # [N,K]
        for n, matches in enumerate(found):
            np.add.at(matched[n], matches[:, 0].astype(int), 1)
            np.add.at(iou[n], matches[:, 0].astype(int), matches[:, 1] / matches[:, 2])
        segments = matched + (column(records, "wrong") + column(records, "missed")) / 2
        quality = {"pq": (iou, segments), "sq": (iou, matched, segments), "rq": (matched, segments)}
        means = {}
        for suffix, classes in (("", range(len(self.names))), ("_things", self.things), ("_stuff", self.stuff)):
            means |= {f"{self.prefix}{name}{suffix}": tuple(x[:, list(classes)] for x in parts) for name, parts in quality.items()}
        return named(figure, means, {f"{self.prefix}pq": quality["pq"]}, self.names)


def _band(part: Segments, distance: int) -> Tensor:
    """Pixels within `distance` of another id or of the border: bool [H,W]; void is an id as any other here."""
    beyond = len(part.labels) + 1
    kind = next(kind for kind in (torch.uint8, torch.int16, torch.int32) if beyond < torch.iinfo(kind).max)
    return band(part.ids.to(kind), beyond, distance)


def _mean(values: Tensor, classes: Sequence[int]) -> Tensor:
    return values[list(classes)].nanmean()
