"""Boundary average precision (Cheng et al., 2021): how well the contours of masks are found."""

from __future__ import annotations

import torch
from torch import Tensor

from segexp.functional.contours import band_width, check_ratio, sliding
from segexp.functional.mask_overlaps import mask_areas, mask_overlaps, mask_ratios
from segexp.functional.masks import to_boxes
from segexp.metrics.coco_ap import AveragePrecision, Record, best, crowds, record
from segexp.types import DataSpec, Prediction, Targets


class BoundaryInstanceMetrics(AveragePrecision):
    """`boundary_map boundary_map50 ... boundary_mar100 boundary_map/<class>`: see `AveragePrecision`.

    The IoU of a detection and an object is the lesser of that of their masks and that of the bands along their contours; with
    a crowd, that of the masks alone, as in the official code. A band holds a mask's pixels within `distance` of what isn't in
    the mask, or of the image's border, by the larger of the two axes.

    Args:
        data: the data set's classes.
        dilation_ratio: the distance as a share of the image's diagonal; it is a whole number of pixels, at least 1.
    """

    needs = frozenset({"masks"})
    prefix = "boundary_"

    def __init__(self, data: DataSpec, *, dilation_ratio: float = 0.02) -> None:
        super().__init__(data)
        check_ratio(dilation_ratio, "metrics.boundary_instance.dilation_ratio")
        self.dilation_ratio = dilation_ratio

    def measure(self, prediction: Prediction, truth: Targets) -> Record:
        """See `segexp.metrics.coco_ap.record`."""
        kept, crowd = best(prediction.scores, prediction.labels), crowds(truth)
        labels, areas, object_areas = prediction.labels[kept], mask_areas(prediction.masks)[kept], mask_areas(truth.masks)
        shared = mask_overlaps(prediction.masks, kept, labels, truth.masks, truth.labels)
        overlap = mask_ratios(shared, areas, object_areas, crowd)
        pairs = ((overlap >= 0.5) & ~crowd).nonzero()  # the others don't count, whatever their contours
        distance = band_width(tuple(truth.masks.shape[-2:]), self.dilation_ratio)
        near = bands_iou(prediction.masks, truth.masks, torch.stack([kept[pairs[:, 0]], pairs[:, 1]], 1), distance)
        overlap[pairs[:, 0], pairs[:, 1]] = torch.minimum(overlap[pairs[:, 0], pairs[:, 1]], near)
        return record(labels, areas, prediction.scores[kept], truth, object_areas, overlap)


def bands_iou(predicted: Tensor, truth: Tensor, pairs: Tensor, distance: int) -> Tensor:
    """IoU of the bands along the contours of pairs of masks: float64 [M].

    Args:
        predicted: bool [P,H,W].
        truth: bool [N,H,W].
        pairs: int64 [M,2], numbers of masks that aren't empty.
        distance: pixels.
    """
    left, right = (Bands(masks, pairs[:, side], distance) for side, masks in enumerate((predicted, truth)))
    found = [_iou(left, right, a, b) for a, b in pairs.tolist()]
    return torch.tensor(found, dtype=torch.float64, device=truth.device)


class Bands:
    """The bands of some masks, each made once and cut out by its box.

    Args:
        masks: bool [N,H,W].
        chosen: int64 [M] which of them, some perhaps more than once.
        distance: pixels.
    """

    def __init__(self, masks: Tensor, chosen: Tensor, distance: int) -> None:
        numbers = chosen.unique()
        self.boxes = dict(zip(numbers.tolist(), to_boxes(masks[numbers]).long().tolist(), strict=True))
        self.cuts = {n: mask_band(masks[n, y1:y2, x1:x2], distance) for n, (x1, y1, x2, y2) in self.boxes.items()}
        self.pixels = {n: int(cut.sum()) for n, cut in self.cuts.items()}

    def within(self, number: int, box: tuple[int, int, int, int]) -> Tensor:
        """The part of a band in a box that lies within its own."""
        (x1, y1, _, _), (left, top, right, bottom) = self.boxes[number], box
        return self.cuts[number][top - y1 : bottom - y1, left - x1 : right - x1]


def mask_band(mask: Tensor, distance: int) -> Tensor:
    """The pixels of a mask bool [h,w] within `distance` of what isn't in it, all around it too."""
    side, found = 2 * distance + 1, mask.clone()
    if min(mask.shape) >= side:
        found[distance:-distance, distance:-distance] &= ~sliding(mask.byte(), side, torch.minimum).bool()
    return found


def _iou(left: Bands, right: Bands, a: int, b: int) -> float:
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = left.boxes[a], right.boxes[b]
    box = max(ax1, bx1), max(ay1, by1), min(ax2, bx2), min(ay2, by2)
    if box[0] >= box[2] or box[1] >= box[3]:
        return 0.0
    both = int((left.within(a, box) & right.within(b, box)).sum())
    return both / (left.pixels[a] + right.pixels[b] - both)
