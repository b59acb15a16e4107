"""The tiny chain of one-stage detection: boxes from points, focal, GIoU and centre-ness losses, NMS."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.fcos import FCOSClassificationHead, FCOSRegressionHead
from torchvision.ops import batched_nms, clip_boxes_to_image, generalized_box_iou_loss, remove_small_boxes, sigmoid_focal_loss

from segexp.errors import WiringError
from segexp.types import Batch, DataSpec, DenseBoxes, Features, FeatureSpec, PointBoxes, Prediction, Sizes, Targets
from segexp.wiring import require

BACKGROUND, IGNORED = -1, -2


def cells(feature: Tensor, stride: int) -> Tensor:
    """The cells of a map as boxes of the padded input: float32 [h*w,4], row by row."""
    height, width = feature.shape[-2:]
    ys = torch.arange(height, device=feature.device, dtype=torch.float32) * stride
    xs = torch.arange(width, device=feature.device, dtype=torch.float32) * stride
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    return torch.stack([x, y, x + stride, y + stride], -1).flatten(0, 1)


class FcosHead(nn.Module):
    """At every point a class, the distances to the box's sides, and how central the point is.

    Args:
        features: what the decoder emits.
        data: the data set's classes.
        levels: the levels that are read, finest first; of equal width, a multiple of 32.
        convs: hidden layers of each branch.
    """

    output_type = PointBoxes
    needs: frozenset[str] = frozenset()

    def __init__(self, features: FeatureSpec, data: DataSpec, *, levels: tuple[str, ...] = ("p2", "p3", "p4"), convs: int = 1) -> None:
        super().__init__()
        require(features, *levels, by="FcosHead")
        widths = {features[level].channels for level in levels}
        width = widths.pop()
        if widths or width % 32:
            raise WiringError("FcosHead needs levels of one width, a multiple of 32", where=f"{features}", fix="set decoder.width")
        self.levels = {level: features[level].stride for level in levels}
        self.classify = FCOSClassificationHead(width, 1, data.num_classes, convs)
        self.regress = FCOSRegressionHead(width, 1, convs)

    def forward(self, features: Features, sizes: Sizes, targets: list[Targets] | None = None) -> PointBoxes:
        maps = [features[level] for level in self.levels]
        class_logits = self.classify(maps)  # [B,A,K]
        deltas, quality = self.regress(maps)  # [B,A,4] left, top, right, bottom in strides; [B,A,1] logits
        anchors = torch.cat([cells(x, stride) for x, stride in zip(maps, self.levels.values(), strict=True)])  # [A,4]
        points, side = anchors.unflatten(1, (2, 2)).mean(1), anchors[:, 2:] - anchors[:, :2]  # [A,2] (x, y)
        boxes = torch.cat([points - deltas[..., :2] * side, points + deltas[..., 2:] * side], -1)  # [B,A,4]
        return PointBoxes(class_logits, deltas, boxes, anchors, tuple(x[0, 0].numel() for x in maps), quality)


class FcosLoss:
    """Focal, GIoU and centre-ness losses; every object weighs the same, shared among its points.

    A background point weighs as much as the mean object point of its image, so the count of all terms is the number of
    objects, which targets alone tell.

    Args:
        data: the data set's classes.
        reach: a level serves the points whose farthest side is `reach` to `2 * reach` strides away (FCOS: 4).
        radius: an object's points are at most so many strides from its centre.
    """

    accepts = PointBoxes
    needs = frozenset({"boxes"})

    def __init__(self, data: DataSpec, *, reach: float = 4.0, radius: float = 1.5) -> None:
        self.classes, self.reach, self.radius = data.num_classes, reach, radius

    def __call__(self, output: PointBoxes, batch: Batch) -> dict[str, Tensor]:
        images = [self._image(output, i, target) for i, target in enumerate(batch.targets)]
        return {name: torch.stack([image[name] for image in images]).sum() for name in ("cls", "box", "quality")}

    def count(self, targets: list[Targets]) -> dict[str, float]:
        objects = float(sum(int((~t.crowd).sum()) for t in targets))
        return {"cls": objects, "box": objects, "quality": objects}

    def _image(self, output: PointBoxes, i: int, target: Targets) -> dict[str, Tensor]:
        matched = self.assign(output, target)  # [A]
        weight = shares(matched, len(target.boxes))  # [A]
        hit = (matched >= 0).nonzero().flatten()  # [P]
        truth, share = target.boxes[matched[hit]], weight[hit]
        wanted = torch.zeros_like(output.class_logits[i])  # [A,K]
        wanted[hit, target.labels[matched[hit]]] = 1
        focal = sigmoid_focal_loss(output.class_logits[i], wanted, reduction="none").sum(1)
        giou = generalized_box_iou_loss(output.boxes[i, hit], truth, reduction="none")
        central = F.binary_cross_entropy_with_logits(output.quality[i, hit, 0], centerness(output.anchors[hit], truth), reduction="none")
        return {"cls": (focal * weight).sum(), "box": (giou * share).sum(), "quality": (central * share).sum()}

    def assign(self, output: PointBoxes, target: Targets) -> Tensor:
        """The smallest object that each point stands for: int64 [A]; -1 background, -2 ignored (in a crowd)."""
        anchors, boxes = output.anchors, target.boxes
        matched = torch.full((len(anchors),), BACKGROUND, device=anchors.device)
        if len(boxes) == 0:
            return matched
        stride = (anchors[:, 2] - anchors[:, 0])[:, None]  # [A,1]
        low, high = stride * self.reach, stride * self.reach * 2
        low[: output.levels[0]], high[-output.levels[-1] :] = 0, torch.inf
        near, far, off = sides(anchors, boxes).amin(2), sides(anchors, boxes).amax(2), distance(anchors, boxes)  # [A,N] each
        fit = (near > 0) & (far > low) & (far <= high) & (off < self.radius * stride) & ~target.crowd
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])  # [N]
        smallest, index = torch.where(fit, area, torch.inf).min(1)
        matched[((near > 0) & target.crowd).any(1)] = IGNORED
        return torch.where(smallest.isfinite(), index, matched)


def middle(boxes: Tensor) -> Tensor:
    """Centres of boxes [N,4] as (x, y): [N,2]."""
    return boxes.unflatten(1, (2, 2)).mean(1)


def sides(anchors: Tensor, boxes: Tensor) -> Tensor:
    """Distances from the anchors' centres to the boxes' left, top, right, bottom: [A,N,4]; negative outside."""
    points = middle(anchors)[:, None]
    return torch.cat([points - boxes[None, :, :2], boxes[None, :, 2:] - points], 2)


def distance(anchors: Tensor, boxes: Tensor) -> Tensor:
    """Chebyshev distances between the centres of anchors and boxes: [A,N]."""
    return torch.cdist(middle(anchors), middle(boxes), p=torch.inf)


def shares(matched: Tensor, count: int) -> Tensor:
    """Weights [A]: an object's points sum to 1, background points weigh as their mean, ignored points nothing."""
    hit = matched >= 0
    points = torch.bincount(matched[hit], minlength=count)  # [N]
    weight = torch.zeros(len(matched), device=matched.device)
    weight[hit] = 1.0 / points[matched[hit]]
    mean = (points > 0).sum().clamp(min=1) / hit.sum().clamp(min=1)
    return torch.where(matched == BACKGROUND, mean, weight)


def centerness(anchors: Tensor, boxes: Tensor) -> Tensor:
    """1 in the middle of its box, 0 at its edge: [P] of pairs of anchors [P,4] and boxes [P,4]."""
    points = middle(anchors)
    left_top, right_bottom = points - boxes[:, :2], boxes[:, 2:] - points  # [P,2] each
    ratio = torch.minimum(left_top, right_bottom) / torch.maximum(left_top, right_bottom)
    return ratio.prod(1).sqrt()


class DenseNms:
    """Detections of any one-stage head: threshold, non-maximum suppression per class, original size.

    Args:
        data: the data set.
        score_threshold: lowest score.
        nms_threshold: IoU above which the lower score of one class goes.
        max_detections: most boxes of an image.
    """

    accepts = DenseBoxes
    provides = frozenset({"boxes"})

    def __init__(self, data: DataSpec, *, score_threshold: float = 0.2, nms_threshold: float = 0.6, max_detections: int = 100) -> None:
        self.score_threshold, self.nms_threshold, self.max_detections = score_threshold, nms_threshold, max_detections

    def __call__(self, output: DenseBoxes, sizes: Sizes, original_sizes: Sizes) -> list[Prediction]:
        scores = output.class_logits.float().sigmoid()  # [B,A,K]
        if output.quality is not None:
            scores = (scores * output.quality.float().sigmoid()).sqrt()
        return [self._image(*image) for image in zip(output.boxes.float(), scores, sizes, original_sizes, strict=True)]

    def _image(self, boxes: Tensor, scores: Tensor, size: tuple[int, int], original: tuple[int, int]) -> Prediction:
        place, label = (scores > self.score_threshold).nonzero(as_tuple=True)
        boxes, scores = clip_boxes_to_image(boxes[place], size), scores[place, label]
        keep = remove_small_boxes(boxes, 1e-2)
        boxes, scores, label = boxes[keep], scores[keep], label[keep]
        keep = batched_nms(boxes, scores, label, self.nms_threshold)[: self.max_detections]
        scale = boxes.new_tensor([original[1] / size[1], original[0] / size[0]] * 2)
        return Prediction(boxes=boxes[keep] * scale, scores=scores[keep], labels=label[keep])
