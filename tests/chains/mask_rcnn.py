"""The tiny chain of two-stage detection, the head: anchors, proposals, keyed sampling, boxes and masks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.detection._utils import BoxCoder, Matcher
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import MultiScaleRoIAlign, batched_nms, box_area, box_iou, clip_boxes_to_image, remove_small_boxes

from segexp.functional.keys import generator
from segexp.types import DataSpec, Detected, Features, FeatureSpec, MaskRoiOutput, Proposals, RoiOutput, Sampled, Size, Sizes, Targets
from segexp.wiring import require

BACKGROUND, IGNORED = -1, -2
FIRST, SECOND = BoxCoder((1.0, 1.0, 1.0, 1.0)), BoxCoder((10.0, 10.0, 5.0, 5.0))  # how each stage writes a box as deltas


def match(matcher: Matcher, boxes: Tensor, target: Targets) -> Tensor:
    """The object of each candidate box: int64 [P]; -1 background, -2 ignored (in doubt, or more than half in a crowd)."""
    matched = torch.full((len(boxes),), BACKGROUND, device=boxes.device)
    objects = (~target.crowd).nonzero().flatten()
    if len(boxes) and len(objects):
        found = matcher(box_iou(target.boxes[objects], boxes))
        matched = torch.where(found >= 0, objects[found.clamp(min=0)], found)
    within = covered(boxes, target.boxes[target.crowd]) > 0.5  # [P,crowds]
    return matched.masked_fill((matched == BACKGROUND) & within.any(1), IGNORED)


def covered(boxes: Tensor, regions: Tensor) -> Tensor:
    """The share of each box [P,4] that lies in each region [R,4]: [P,R]."""
    corner = torch.maximum(boxes[:, None, :2], regions[None, :, :2])
    side = (torch.minimum(boxes[:, None, 2:], regions[None, :, 2:]) - corner).clamp(min=0)  # [P,R,2]
    return side.prod(2) / box_area(boxes)[:, None].clamp(min=1e-6)


def sample(matched: Tensor, count: int, fraction: float, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Indices of at most `count * fraction` positives, and of background up to `count` in all, drawn by `rng`."""
    order = torch.rand(len(matched), generator=rng).to(matched.device)
    positive, negative = ((matched >= 0).nonzero().flatten(), (matched == BACKGROUND).nonzero().flatten())
    positive = positive[order[positive].argsort()[: int(count * fraction)]]
    return positive, negative[order[negative].argsort()[: count - len(positive)]]


def anchors(shape: Size, stride: int, scale: float, ratios: tuple[float, ...], device: torch.device) -> Tensor:
    """Boxes of area (scale * stride)² and the height/width ratios given around every cell's centre: float32 [h*w*R,4]."""
    ys = (torch.arange(shape[0], device=device) + 0.5) * stride
    xs = (torch.arange(shape[1], device=device) + 0.5) * stride
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    root = torch.tensor(ratios, device=device).sqrt()  # [R]
    half = scale * stride / 2 * torch.stack([1 / root, root], 1)  # [R,2]
    point = torch.stack([x, y], -1)[:, :, None]  # [h,w,1,2]
    return torch.cat([point - half, point + half], -1).flatten(0, 2)


class RoiHead(nn.Module):
    """Faster R-CNN, and Mask R-CNN where `masks` is set.

    Args:
        features: what the decoder emits.
        data: the data set's classes; background is one more, the last.
        levels: the levels that are read, finest first; of equal width.
        masks: with a mask branch.
        width: hidden units of the box branch.
        anchor_scale: an anchor's side in strides of its level.
        proposals: boxes of each image that reach the second stage.
        samples: proposals of each image that are trained on, at most a quarter of them objects.
        score_threshold, nms_threshold, max_detections: of the final boxes.
    """

    def __init__(
        self,
        features: FeatureSpec,
        data: DataSpec,
        *,
        levels: tuple[str, ...] = ("p2", "p3", "p4"),
        masks: bool = True,
        width: int = 32,
        anchor_scale: float = 4.0,
        proposals: int = 40,
        samples: int = 32,
        score_threshold: float = 0.05,
        nms_threshold: float = 0.5,
        max_detections: int = 20,
    ) -> None:
        super().__init__()
        require(features, *levels, by="RoiHead")
        channels, classes = features[levels[0]].channels, data.num_classes + 1
        self.output_type = MaskRoiOutput if masks else RoiOutput
        self.needs = frozenset({"boxes", "masks"} if masks else {"boxes"})
        self.levels = {level: features[level].stride for level in levels}
        self.anchor_scale, self.ratios, self.classes = anchor_scale, (0.5, 1.0, 2.0), classes
        self.proposals, self.samples, self.max_detections = proposals, samples, max_detections
        self.score_threshold, self.nms_threshold = score_threshold, nms_threshold
        self.rpn = RPNHead(channels, len(self.ratios))
        self.pool = MultiScaleRoIAlign(list(levels), 5, 2)
        self.box = nn.Sequential(TwoMLPHead(channels * 25, width), FastRCNNPredictor(width, classes))
        self.mask_pool = MultiScaleRoIAlign(list(levels), 7, 2)
        branch = (MaskRCNNHeads(channels, [channels], 1), MaskRCNNPredictor(channels, channels, classes - 1))
        self.mask = nn.Sequential(*branch if masks else ())
        self.matcher = Matcher(0.5, 0.5)

    def forward(self, features: Features, sizes: Sizes, targets: list[Targets] | None = None) -> RoiOutput:
        maps = {level: features[level] for level in self.levels}
        first = self.first(maps)
        proposals = self.propose(first, maps, sizes)
        if targets is not None:
            return self.output_type(first, self.sampled(maps, proposals, targets), None)
        return self.output_type(first, None, self.detected(maps, proposals, sizes))

    def first(self, maps: Features) -> Proposals:
        """An objectness and deltas for every anchor of every level."""
        objectness, deltas = self.rpn(list(maps.values()))  # [B,R,h,w] and [B,4R,h,w] of each level
        boxes = [anchors(tuple(x.shape[-2:]), self.levels[level], self.anchor_scale, self.ratios, x.device) for level, x in maps.items()]
        return Proposals(
            torch.cat(boxes),  # [A,4]
            torch.cat([x.permute(0, 2, 3, 1).flatten(1) for x in objectness], 1),  # [B,A]
            torch.cat([x.permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, 4)) for x in deltas], 1),  # [B,A,4]
        )

    @torch.no_grad()
    def propose(self, first: Proposals, maps: Features, sizes: Sizes) -> list[Tensor]:
        """The best boxes of each image after non-maximum suppression per level, clipped to the valid area: [P,4] each."""
        counts = torch.tensor([x[0, 0].numel() * len(self.ratios) for x in maps.values()])
        level = torch.repeat_interleave(torch.arange(len(maps)), counts).to(first.anchors.device)  # [A]
        found = []
        for scores, deltas, size in zip(first.objectness, first.deltas, sizes, strict=True):
            boxes = clip_boxes_to_image(FIRST.decode_single(deltas, first.anchors), size)
            large = remove_small_boxes(boxes, 1.0)
            keep = batched_nms(boxes[large], scores[large], level[large], 0.7)[: self.proposals]
            found.append(boxes[large][keep])
        return found

    def sampled(self, maps: Features, proposals: list[Tensor], targets: list[Targets]) -> Sampled:
        """The second stage on a keyed sample of the proposals and the true boxes."""
        boxes, matched, labels, hits = [], [], [], []
        for found, target in zip(proposals, targets, strict=True):
            candidates = torch.cat([found, target.boxes[~target.crowd]])
            index = match(self.matcher, candidates, target)
            positive, negative = sample(index, self.samples, 0.25, generator(target.key, "proposals"))
            chosen = torch.cat([positive, negative])
            background = torch.full((len(negative),), self.classes - 1, device=found.device)
            boxes.append(candidates[chosen])
            matched.append(index[chosen].clamp(min=0))
            labels.append(torch.cat([target.labels[index[positive]], background]))
            hits.append(candidates[positive])
        logits, deltas = self.second(maps, boxes)
        masks = self.masks(maps, hits) if len(self.mask) else None  # [positives,K,m,m] each; positives come first
        return Sampled(boxes, matched, labels, logits, deltas, masks)

    def detected(self, maps: Features, proposals: list[Tensor], sizes: Sizes) -> Detected:
        """Final boxes of each image, and the mask logits of their classes."""
        logits, deltas = self.second(maps, proposals)
        images = [self.suppress(*image) for image in zip(proposals, logits, deltas, sizes, strict=True)]
        boxes, scores, labels = ([image[i] for image in images] for i in range(3))
        masks = None
        if len(self.mask):
            masks = [x[torch.arange(len(x), device=x.device), kind] for x, kind in zip(self.masks(maps, boxes), labels, strict=True)]
        return Detected(boxes, scores, labels, masks)

    def second(self, maps: Features, boxes: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Class logits [P,K+1] and deltas [P,4(K+1)] of each image's boxes."""
        counts = [len(x) for x in boxes]
        logits, deltas = self.box(self.pool(maps, boxes, self.grid(maps, boxes)))
        return list(logits.split(counts)), list(deltas.split(counts))

    def masks(self, maps: Features, boxes: list[Tensor]) -> list[Tensor]:
        """Mask logits [N,K,m,m] of each image's boxes."""
        return list(self.mask(self.mask_pool(maps, boxes, self.grid(maps, boxes))).split([len(x) for x in boxes]))

    def grid(self, maps: Features, boxes: list[Tensor]) -> list[Size]:
        """The padded size as each image's size: only so does the pooling find the exact strides."""
        level, stride = next(iter(self.levels.items()))
        height, width = maps[level].shape[-2:]
        return [(height * stride, width * stride)] * len(boxes)

    def suppress(self, boxes: Tensor, logits: Tensor, deltas: Tensor, size: Size) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes, scores and labels of one image after threshold and non-maximum suppression."""
        decoded = clip_boxes_to_image(SECOND.decode_single(deltas, boxes).unflatten(1, (-1, 4)), size)  # [P,K+1,4]
        scores = logits.softmax(1)[:, :-1]  # [P,K]
        place, label = (scores > self.score_threshold).nonzero(as_tuple=True)
        boxes, scores = decoded[place, label], scores[place, label]
        large = remove_small_boxes(boxes, 1e-2)
        boxes, scores, label = boxes[large], scores[large], label[large]
        keep = batched_nms(boxes, scores, label, self.nms_threshold)[: self.max_detections]
        return boxes[keep], scores[keep], label[keep]
