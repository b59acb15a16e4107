"""The head of Faster R-CNN (Ren et al., 2015) and Mask R-CNN (He et al., 2017) on a feature pyramid (Lin et al., 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead

from segexp.errors import ConfigError, WiringError, require_number
from segexp.functional.anchors import grid_anchors
from segexp.functional.boxes import clip, decode
from segexp.functional.matching import match
from segexp.functional.rois import BOX_WEIGHTS, candidates, detect, objects, pool, propose, sample
from segexp.types import DataSpec, Detected, Features, FeatureSpec, MaskRoiOutput, Proposals, RoiOutput, Sampled, Size, Sizes, Targets
from segexp.wiring import require

BOX_CELLS, MASK_CELLS = 7, 14  # sides of what the box and the mask branch see of a region; masks have twice as many


class RoiHead(nn.Module):
    """Propose regions, then tell of each its class and its exact box, and with `masks` its mask.

    The parts are torchvision's. With targets, proposals are made as for training, and the second stage sees a sample of them
    and the objects themselves; without, it sees all and emits what remains after non-maximum suppression.

    Args:
        features: what the decoder emits.
        data: the data set's classes; the last class of the second stage is the background.
        masks: with a mask branch.
        levels: that regions are proposed on, shallow to deep.
        roi_levels: that regions are looked at on.
        sizes: of each of `levels`, the side of its anchors in pixels.
        ratios: height over width, of every anchor.
        width: of the two layers of the box branch.
        mask_width: channels of the mask branch.
        proposals_before, proposals_after: of each level before the suppression, and of all after it: [with targets, without].
        proposal_nms: of two proposals that overlap (IoU) more, the better remains.
        samples: proposals of an image that the second stage learns from.
        positives: share of these that show an object, at most.
        matched: a proposal that overlaps an object (IoU) as much shows it; others are background.
        score_threshold: detections are above it.
        nms_threshold: of two detections of a class that overlap (IoU) more, the better remains.
        max_detections: of an image.

    Raises:
        ConfigError: sizes that don't fit the levels, or a value that makes no sense.
        WiringError: a level is missing, or of other channels than the rest.
    """

    is_thing: Tensor
    mask_head: Any  # None without masks
    mask_predictor: Any

    def __init__(
        self,
        features: FeatureSpec,
        data: DataSpec,
        *,
        masks: bool = False,
        levels: Sequence[str] = ("p2", "p3", "p4", "p5", "p6"),
        roi_levels: Sequence[str] = ("p2", "p3", "p4", "p5"),
        sizes: Sequence[float] = (32, 64, 128, 256, 512),
        ratios: Sequence[float] = (0.5, 1.0, 2.0),
        width: int = 1024,
        mask_width: int = 256,
        proposals_before: Sequence[int] = (2000, 1000),
        proposals_after: Sequence[int] = (2000, 1000),
        proposal_nms: float = 0.7,
        samples: int = 512,
        positives: float = 0.25,
        matched: float = 0.5,
        score_threshold: float = 0.05,
        nms_threshold: float = 0.5,
        max_detections: int = 100,
    ) -> None:
        super().__init__()
        channels = _channels(features, levels, roi_levels)
        if len(sizes) != len(levels):
            what = f"{len(sizes)} sizes of anchors for {len(levels)} levels"
            raise ConfigError(what, where=f"head.sizes={list(sizes)}", fix=f"one for each of head.levels={list(levels)}")
        for name, values, usual in (("sizes", sizes, "[32,64,128,256,512]"), ("ratios", ratios, "[0.5,1.0,2.0]")):
            if not values:
                raise ConfigError("there are no anchors", where=f"head.{name}=[]", fix=f"head.{name}={usual}")
            for value in values:
                require_number(f"head.{name}", value, f"head.{name}={usual}", least=1e-3)
        for name, number in (("width", width), ("mask_width", mask_width), ("samples", samples), ("max_detections", max_detections)):
            require_number(f"head.{name}", number, f"head.{name}=256", least=1, whole=True)
        shares = {"proposal_nms": proposal_nms, "positives": positives, "matched": matched}
        for name, share in (shares | {"score_threshold": score_threshold, "nms_threshold": nms_threshold}).items():
            require_number(f"head.{name}", share, f"head.{name}=0.5", least=0, below=1.0000001)
        self.output_type = MaskRoiOutput if masks else RoiOutput
        self.needs = frozenset({"boxes", "masks"} if masks else {"boxes"})
        self.levels, self.roi_levels = tuple(levels), tuple(roi_levels)
        self.strides = {name: features[name].stride for name in (*levels, *roi_levels)}
        self.sizes, self.ratios = [(float(size),) for size in sizes], tuple(ratios)
        self.before, self.after, self.proposal_nms = _pair("before", proposals_before), _pair("after", proposals_after), proposal_nms
        self.samples, self.positives, self.matched = samples, positives, matched
        self.score_threshold, self.nms_threshold, self.max_detections = score_threshold, nms_threshold, max_detections
        self.classes = data.num_classes
        self.register_buffer("is_thing", torch.tensor([float(c.is_thing) for c in data.classes]), persistent=False)  # [K]
        self.rpn = RPNHead(channels, len(self.ratios))
        self.box_head = TwoMLPHead(channels * BOX_CELLS**2, width)
        self.box_predictor = FastRCNNPredictor(width, self.classes + 1)
        self.mask_head = MaskRCNNHeads(channels, (mask_width,) * 4, 1) if masks else None
        self.mask_predictor = MaskRCNNPredictor(mask_width, mask_width, self.classes) if masks else None

    def forward(self, features: Features, sizes: Sizes, targets: list[Targets] | None = None) -> RoiOutput:
        first, counts = self._first(features)
        proposals = self._proposals(first, counts, sizes, training=targets is not None)
        if targets is None:
            return self.output_type(first, None, self._detected(features, proposals, sizes))
        return self.output_type(first, self._sampled(features, proposals, targets), None)

    def _first(self, features: Features) -> tuple[Proposals, list[int]]:
        """The first stage, and how many anchors each level has."""
        maps = [features[name] for name in self.levels]
        logits, deltas = self.rpn(maps)  # lists of [B,R,h,w] and [B,4R,h,w]
        anchors = grid_anchors(
            [tuple(x.shape[-2:]) for x in maps], [self.strides[n] for n in self.levels], self.sizes, self.ratios, maps[0].device
        )
        flat = torch.cat([_by_anchor(x, 1) for x in logits], 1)[..., 0]  # [B,A]
        return Proposals(torch.cat(anchors), flat, torch.cat([_by_anchor(x, 4) for x in deltas], 1)), [len(a) for a in anchors]

    @torch.no_grad()
    def _proposals(self, first: Proposals, counts: list[int], sizes: Sizes, *, training: bool) -> list[Tensor]:
        boxes, mode = decode(first.deltas, first.anchors), 0 if training else 1  # [B,A,4]
        chosen = partial(propose, before=self.before[mode], after=self.after[mode], threshold=self.proposal_nms)
        return [chosen(o, b, counts, size) for o, b, size in zip(first.objectness, boxes, sizes, strict=True)]

    def _sampled(self, features: Features, proposals: list[Tensor], targets: list[Targets]) -> Sampled:
        drawn = [self._drawn(p, target) for p, target in zip(proposals, targets, strict=True)]
        chosen, matched, labels = (list(part) for part in zip(*drawn, strict=True))
        logits, deltas = self._second(features, chosen)
        counts = [len(p) for p in chosen]
        masks = None
        if self.mask_head is not None:
            shown = [p[label < self.classes] for p, label in zip(chosen, labels, strict=True)]
            masks = list(self._masks(features, shown).split([len(p) for p in shown]))
        return Sampled(chosen, matched, labels, list(logits.split(counts)), list(deltas.split(counts)), masks)

    @torch.no_grad()
    def _drawn(self, proposals: Tensor, target: Targets) -> tuple[Tensor, Tensor, Tensor]:
        """The proposals of an image to learn from [P,4], the number of the object that each shows, and its class."""
        boxes, labels, crowd = objects(target, proposals.device)
        proposals = candidates(proposals, boxes, crowd)
        matched = match(boxes, crowd, proposals, self.matched, self.matched, False)
        chosen = sample(matched, self.samples, self.positives, target.key, "roi")
        matched = matched[chosen]
        found = torch.full_like(matched, self.classes)
        found[matched >= 0] = labels[matched[matched >= 0]]
        return proposals[chosen], matched.clamp(min=0), found

    def _detected(self, features: Features, proposals: list[Tensor], sizes: Sizes) -> Detected:
        logits, deltas = self._second(features, proposals)
        counts = [len(p) for p in proposals]
        found = [self._best(*image) for image in zip(logits.split(counts), deltas.split(counts), proposals, sizes, strict=True)]
        boxes, scores, labels = (list(part) for part in zip(*found, strict=True))
        masks = None
        if self.mask_head is not None:
            every = self._masks(features, boxes)  # [N,K,m,m]
            masks = list(every[torch.arange(len(every), device=every.device), torch.cat(labels)].split([len(b) for b in boxes]))
        return Detected(boxes, scores, labels, masks)

    def _best(self, logits: Tensor, deltas: Tensor, proposals: Tensor, size: Size) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes, scores and classes of an image's detections; only boxes whose score suffices are decoded."""
        if logits.is_meta:  # nothing is known of scores: as many as there can be
            most = min(self.max_detections, len(logits) * self.classes)
            return logits.new_empty(most, 4), logits.new_empty(most), logits.new_empty(most, dtype=torch.int64)
        scores = logits.float().softmax(1)[:, :-1] * self.is_thing  # [P,K]; stuff is no detection
        region, labels = (scores > self.score_threshold).nonzero(as_tuple=True)
        scores, chosen = scores[region, labels], deltas.view(len(deltas), self.classes + 1, 4)[region, labels]
        boxes = clip(decode(chosen, proposals[region], BOX_WEIGHTS), size)
        kept = detect(scores, boxes, labels, threshold=self.nms_threshold, most=self.max_detections)
        return boxes[kept], scores[kept], labels[kept]

    def _second(self, features: Features, boxes: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Class logits [P,K+1] and vectors [P,4(K+1)] of regions."""
        return self.box_predictor(self.box_head(self._pooled(features, boxes, BOX_CELLS)))

    def _masks(self, features: Features, boxes: list[Tensor]) -> Tensor:
        """Mask logits of regions, for each class: [P,K,m,m]."""
        return self.mask_predictor(self.mask_head(self._pooled(features, boxes, MASK_CELLS)))

    def _pooled(self, features: Features, boxes: list[Tensor], side: int) -> Tensor:
        return pool([features[n] for n in self.roi_levels], [self.strides[n] for n in self.roi_levels], boxes, side)


def _by_anchor(maps: Tensor, values: int) -> Tensor:
    """[B,R*values,h,w] to [B,h*w*R,values]: cells row by row, of a cell anchor by anchor."""
    batch, _, height, width = maps.shape
    return maps.view(batch, -1, values, height, width).permute(0, 3, 4, 1, 2).reshape(batch, -1, values)


def _channels(features: FeatureSpec, levels: Sequence[str], roi_levels: Sequence[str]) -> int:
    """Those that all levels have."""
    for key, names in (("levels", levels), ("roi_levels", roi_levels)):
        if not names:
            raise ConfigError("it reads one level at least", where=f"head.{key}=[]", fix=f"head.{key}=[p2,p3,p4,p5]")
    names = list(dict.fromkeys([*levels, *roi_levels]))
    require(features, *names, by="RoiHead")
    found = {name: features[name].channels for name in names}
    if len(set(found.values())) > 1:
        what = f"the levels must have the same channels; they have {', '.join(f'{name} {n}' for name, n in found.items())}"
        raise WiringError(what, where="head.levels, head.roi_levels", fix="decoder=feature_pyramid")
    return next(iter(found.values()))


def _pair(name: str, numbers: Sequence[int]) -> tuple[int, int]:
    key, fix = f"head.proposals_{name}", f"head.proposals_{name}=[2000,1000]"
    if not isinstance(numbers, Sequence) or len(numbers) != 2:
        raise ConfigError("two numbers are wanted, with targets and without", where=f"{key}={numbers}", fix=fix)
    for number in numbers:
        require_number(key, number, fix, least=1, whole=True)
    return numbers[0], numbers[1]
