"""Regions of interest of two-stage detectors: which are proposed, which are learned from, what a network sees in them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import batched_nms, remove_small_boxes, roi_align

from segexp.functional.boxes import Weights, areas, clip
from segexp.functional.keys import generator
from segexp.functional.matching import BACKGROUND
from segexp.types import Size, Targets

BOX_WEIGHTS: Weights = (10.0, 10.0, 5.0, 5.0)  # of the vectors of the second stage (Girshick, "Fast R-CNN", 2015)
PROPOSAL_SIDE, DETECTION_SIDE = 1e-3, 1e-2  # pixels: boxes with a shorter side are dropped
CANONICAL_SIDE, CANONICAL_LEVEL = 224, 4  # a region of this side is pooled from the level of stride 2^4 (Lin et al., "FPN", 2017)


def propose(objectness: Tensor, boxes: Tensor, counts: Sequence[int], size: Size, *, before: int, after: int, threshold: float) -> Tensor:
    """The regions of an image that seem to hold an object, the best first.

    Args:
        objectness: [A] logits.
        boxes: [A,4] decoded.
        counts: of each level, how many of the boxes are its; they sum to A.
        size: valid (height, width) of the image; boxes are cut to it.
        before: so many of each level, the best, go into the suppression.
        after: so many of all levels remain.
        threshold: of two boxes of a level that overlap (IoU) more, the better remains.

    Returns:
        [N,4], N at most `after`; on the meta device, where nothing is known of scores, as many as there can be.
    """
    if boxes.is_meta:
        return boxes.new_empty(min(after, sum(min(before, count) for count in counts)), 4)
    best, level, start = [], [], 0
    for number, count in enumerate(counts):
        best.append(objectness[start : start + count].topk(min(before, count)).indices + start)
        level.append(torch.full_like(best[-1], number))
        start += count
    chosen, levels = torch.cat(best), torch.cat(level)
    boxes, scores = clip(boxes[chosen], size), objectness[chosen].float().sigmoid()
    large = remove_small_boxes(boxes, PROPOSAL_SIDE)
    boxes, scores, levels = boxes[large], scores[large], levels[large]
    return boxes[batched_nms(boxes, scores, levels, threshold)[:after]]


def detect(scores: Tensor, boxes: Tensor, labels: Tensor, *, threshold: float, most: int) -> Tensor:
    """Which detections remain: the numbers of at most `most`, the best first.

    Args:
        scores: [N].
        boxes: [N,4], cut to the image.
        labels: int64 [N]; boxes of different classes don't suppress each other.
        threshold: of two boxes of a class that overlap (IoU) more, the better remains.
        most: of all classes.
    """
    large = remove_small_boxes(boxes, DETECTION_SIDE)
    return large[batched_nms(boxes[large], scores[large], labels[large], threshold)[:most]]


def sample(matched: Tensor, count: int, share: float, *key: int | str) -> Tensor:
    """The numbers of candidates to learn from, drawn by `key`: those of objects, then those of the background.

    Args:
        matched: int64 [A], see `segexp.functional.matching.match`.
        count: of candidates, at most; background fills up what objects leave.
        share: of the objects' candidates, at most.
        key: what the draw is a function of.

    Returns:
        int64 [P].
    """
    rng = generator(*key)
    positive, negative = (matched >= 0).nonzero().flatten(), (matched == BACKGROUND).nonzero().flatten()
    positive = _some(positive, int(count * share), rng)
    return torch.cat([positive, _some(negative, count - len(positive), rng)])


def _some(candidates: Tensor, most: int, rng: torch.Generator) -> Tensor:
    """At most so many of them, in their order."""
    chosen = torch.randperm(len(candidates), generator=rng)[:most].sort().values
    return candidates[chosen.to(candidates.device)]


def objects(target: Targets, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes float32 [N,4], labels [N] and crowd flags bool [N] of an image, on a device."""
    boxes = target.boxes.float().to(device)
    crowd = torch.zeros(len(boxes), dtype=torch.bool) if target.crowd is None else target.crowd
    return boxes, target.labels.to(device), crowd.to(device)


def lies_in(anchors: Tensor, size: Size) -> Tensor:
    """Whether the middle of each anchor [A,4] is in an image of `size`, not in its padding at the right or bottom: bool [A]."""
    return ((anchors[:, :2] + anchors[:, 2:]) / 2 < anchors.new_tensor([size[1], size[0]])).all(1)


def candidates(proposals: Tensor, boxes: Tensor, crowd: Tensor) -> Tensor:
    """Proposals [P,4] and with them the objects themselves; crowds and boxes without area not."""
    return torch.cat([proposals, boxes[~crowd & (areas(boxes) > 0)]])


def pool(levels: Sequence[Tensor], strides: Sequence[int], boxes: Sequence[Tensor], side: int, samples: int = 2) -> Tensor:
    """What levels show within boxes, each box of the level that fits its size.

    As `torchvision.ops.MultiScaleRoIAlign`, but with the strides as they are instead of ones inferred from sizes, so they need
    not double from level to level.

    Args:
        levels: [B,C,h,w] each, shallow to deep.
        strides: of the levels.
        boxes: of each image [P,4].
        side: of the result, in cells.
        samples: points looked at in a cell, along either axis.

    Returns:
        float32 [sum of P,C,side,side], image by image.
    """
    if levels[0].is_meta:
        return levels[0].new_empty(sum(map(len, boxes)), levels[0].shape[1], side, side)
    image = torch.cat([torch.full_like(b[:, :1], i) for i, b in enumerate(boxes)])  # [P,1]
    rois = torch.cat([image, torch.cat(list(boxes))], 1).float()
    chosen = level_of(rois[:, 1:], strides)
    places = [(chosen == number).nonzero().flatten() for number in range(len(levels))]
    seen = [
        roi_align(x.float(), rois[here], side, spatial_scale=1 / stride, sampling_ratio=samples)
        for x, stride, here in zip(levels, strides, places, strict=True)
    ]
    return torch.cat(seen)[torch.cat(places).argsort()]


def level_of(boxes: Tensor, strides: Sequence[int]) -> Tensor:
    """Which level each box is pooled from: int64 [P]; the deepest whose stride is at most 2^4 x side / 224 (eq. 1 of FPN)."""
    wanted = CANONICAL_LEVEL + (areas(boxes).sqrt() / CANONICAL_SIDE).log2() + 1e-6  # [P], that of a stride
    steps = torch.tensor([math.log2(stride) for stride in strides], device=boxes.device)
    return (wanted[:, None] >= steps).sum(1).sub(1).clamp(min=0)
