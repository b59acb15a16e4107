"""Where detections of boxes or masks are wrong: objects that are missed, and detections of nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from segexp.functional.boxes import ioa, iou
from segexp.functional.mask_overlaps import mask_areas, mask_overlaps, mask_ratios
from segexp.functional.masks import to_boxes
from segexp.functional.quality import CROWD, finds
from segexp.types import DataSpec, Prediction, Targets
from segexp.visualize.colors import Annotation, box_names
from segexp.visualize.draw import Color, line_width, outlines
from segexp.visualize.paint import confident
from segexp.visualize.pixels import blend, color_of, darken, dimmed
from segexp.visualize.segment_errors import FALSE, MISSED, UNLABELLED

FOUND: Color = (52, 199, 89)
MATCH_IOU = 0.5


class ObjectErrors(NamedTuple):
    """What each object and detection is; detections below the score that is painted are left out of the picture and of the counts.

    Args:
        missed: bool [N], objects that nothing finds.
        crowd: bool [N], which count for nothing.
        shown: the detections that count, by ascending score.
        false: bool [M] of them, which find nothing, or what a better one has found.
        excused: bool [M] of them, which lie in a crowd.
    """

    missed: Tensor
    crowd: Tensor
    shown: Annotation
    false: Tensor
    excused: Tensor

    def legend(self) -> list[tuple[str, Color]]:
        """How many there are of each kind, and its colour."""
        found = int((~self.missed & ~self.crowd).sum())
        counts = [(f"found {found}", FOUND), (f"missed {int(self.missed.sum())}", MISSED), (f"false {int(self.false.sum())}", FALSE)]
        return counts + ([("crowd", UNLABELLED)] if self.crowd.any() else [])


def kind_of_objects(truth: Targets, prediction: Prediction) -> str | None:
    """What both sides have of objects, `masks` before `boxes`; None where there is neither, or a map of classes says more."""
    if truth.labels is None or prediction.labels is None or prediction.scores is None or None not in (truth.semantic, prediction.semantic):
        return None
    return next((kind for kind in ("masks", "boxes") if getattr(truth, kind) is not None and getattr(prediction, kind) is not None), None)


def object_errors(truth: Targets, prediction: Prediction, kind: str) -> ObjectErrors:
    """Compare objects as average precision does at an IoU of 0.5: each is found once, by the best of the detections of its class.

    Args:
        truth, prediction: with labels and scores, on the CPU.
        kind: `masks` or `boxes`, by which they overlap.
    """
    shown = confident(prediction)
    crowd = torch.zeros_like(truth.labels, dtype=torch.bool) if truth.crowd is None else truth.crowd
    overlap = _of_masks(shown, truth, crowd) if kind == "masks" else _of_boxes(shown.boxes, truth.boxes, crowd)
    overlap = (overlap * (shown.labels[:, None] == truth.labels)).flip(0)  # the best first
    pairs = (overlap >= MATCH_IOU).nonzero()
    found = finds(len(overlap), crowd.tolist(), pairs.tolist(), overlap[pairs[:, 0], pairs[:, 1]].tolist())[::-1]
    missed = ~crowd
    missed[[number for number in found if number is not None and number != CROWD]] = False
    false, excused = (torch.tensor([number == value for number in found], dtype=torch.bool) for value in (None, CROWD))
    return ObjectErrors(missed, crowd, shown, false, excused)


def draw_object_errors(errors: ObjectErrors, truth: Targets, data: DataSpec, image: Tensor) -> Tensor:
    """Objects and detections in the colour of what they are, on the dimmed grey image; names on those that are wrong.

    Masks that are wrong are filled, those that are found outlined.

    Args:
        errors: of the truth and a prediction.
        truth: as compared.
        data: the classes.
        image: uint8 [3,H,W] of their size.

    Returns:
        uint8 [3,H,W].
    """
    picture, shown = dimmed(image), errors.shown
    if truth.masks is not None and shown.masks is not None:
        picture = _draw_masks(errors, truth.masks, shown.masks, picture)
    else:
        picture = _outlined(picture, truth, errors.crowd, UNLABELLED)
        picture = _outlined(picture, truth, ~errors.missed & ~errors.crowd, FOUND)
    picture = _outlined(picture, shown, errors.false, FALSE, data)
    return _outlined(picture, truth, errors.missed, MISSED, data)


def _draw_masks(errors: ObjectErrors, truth: Tensor, shown: Tensor, grey: Tensor) -> Tensor:
    picture = torch.where(truth[errors.crowd].any(0), color_of(UNLABELLED), grey)
    for masks, color in ((shown[errors.false], FALSE), (truth[errors.missed], MISSED)):
        picture = torch.where(masks.any(0), blend(grey, color_of(color), 0.7), picture)
        picture = darken(picture, _rims(masks))
    return torch.where(_rims(truth[~errors.missed & ~errors.crowd]), color_of(FOUND), picture)


def _rims(masks: Tensor) -> Tensor:
    """Pixels on the outline of any of the masks [N,H,W]: bool [H,W]."""
    if not len(masks):
        return torch.zeros(masks.shape[1:], dtype=torch.bool)
    width = line_width(*masks.shape[1:])
    return (masks & (F.max_pool2d((~masks).float(), 2 * width + 1, stride=1, padding=width) > 0)).any(0)


def _outlined(picture: Tensor, annotation: Annotation, which: Tensor, color: Color, data: DataSpec | None = None) -> Tensor:
    """Boxes in one colour, with their names where the classes are given."""
    boxes = annotation.boxes if annotation.boxes is not None else to_boxes(annotation.masks)
    names = [""] * len(boxes) if data is None else box_names(replace(annotation, boxes=boxes), data)
    return outlines(picture, boxes[which], [color] * int(which.sum()), [n for n, w in zip(names, which.tolist(), strict=True) if w])


def _of_boxes(boxes: Tensor, truth: Tensor, crowd: Tensor) -> Tensor:
    """[M,N]."""
    return torch.where(crowd, ioa(boxes, truth), iou(boxes, truth))


def _of_masks(shown: Annotation, truth: Targets, crowd: Tensor) -> Tensor:
    """[M,N]."""
    everything = torch.arange(len(shown.masks))
    shared = mask_overlaps(shown.masks, everything, shown.labels, truth.masks, truth.labels)
    return mask_ratios(shared, mask_areas(shown.masks), mask_areas(truth.masks), crowd)
