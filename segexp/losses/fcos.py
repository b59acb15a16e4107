"""The loss of FCOS (Tian et al., 2019): classes, boxes, and how central points lie, on the points that stand for an object."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

from segexp.errors import ConfigError, require_number
from segexp.functional.focal import focal_alpha
from segexp.functional.matching import BACKGROUND
from segexp.functional.points import centerness, match_points
from segexp.types import Batch, DataSpec, PointBoxes, Targets

REDUCTIONS = ("objects", "batch")


class FcosLoss(nn.Module):
    """Focal loss of all points, and GIoU and centre-ness losses of those that stand for an object.

    A point stands for the smallest object that it lies in, that has its middle within `radius` strides, and whose farthest
    side is as far as its level reaches: `reach` to twice `reach` strides of the first level, doubled from level to level;
    the first also takes what is smaller, the last what is larger. Points in crowds that stand for no object don't count.

    With reduction `objects` every object weighs the same: of each image, the mean over an object's points, summed over the
    objects; a point of the background weighs as much as the mean point of an object (1 where none has a point). All terms
    are divided by the number of objects, crowds left out, which doesn't depend on how the batch was cut. Objects without
    a point count there, too. With `batch`, as in published code, by the points that stand for one, in what is computed
    together: that does depend on it.

    Args:
        data: the data set's classes.
        class_weight, box_weight, quality_weight: of the terms in the total loss.
        alpha: weight of the true class in the focal loss, 1 - alpha that of the others; null: 1 for both.
        gamma: how much points that are right already count less in it.
        radius: in strides of the level.
        reach: in strides of the first level.
        reduction: `objects` or `batch`.

    Raises:
        ConfigError: a value makes no sense.
    """

    accepts = PointBoxes
    needs = frozenset({"boxes"})
    needs_things = True

    def __init__(
        self,
        data: DataSpec,
        *,
        class_weight: float = 1.0,
        box_weight: float = 1.0,
        quality_weight: float = 1.0,
        alpha: float | None = 0.25,
        gamma: float = 2.0,
        radius: float = 1.5,
        reach: float = 4.0,
        reduction: str = "objects",
    ) -> None:
        super().__init__()
        self.weights = {"class": class_weight, "box": box_weight, "quality": quality_weight}
        for name, value in self.weights.items():
            require_number(f"loss.{name}_weight", value, f"loss.{name}_weight=1", least=0)
        require_number("loss.radius", radius, "loss.radius=1.5", least=0.1)
        require_number("loss.reach", reach, "loss.reach=4", least=0.1)
        if reduction not in REDUCTIONS:
            raise ConfigError("no such reduction", where=f"loss.reduction={reduction}", fix=f"loss.reduction={'|'.join(REDUCTIONS)}")
        self.alpha, self.gamma = focal_alpha(alpha, gamma), gamma
        self.radius, self.reach, self.by_object = radius, reach, reduction == "objects"

    def forward(self, output: PointBoxes, batch: Batch) -> dict[str, Tensor]:
        middles, strides, low = self._levels(output)
        high = torch.where(low == low[-1], torch.inf, 2 * low)
        low = torch.where(low == low[0], 0.0, low)
        matches = [match_points(t.boxes, t.crowd, middles, low, high, self.radius * strides) for t in batch.targets]
        images = [self._image(output, i, *both, middles) for i, both in enumerate(zip(batch.targets, matches, strict=True))]
        divisor = 1 if self.by_object else torch.stack([(m >= 0).sum() for m in matches]).sum().clamp(min=1)
        return {name: weight * torch.stack([image[name] for image in images]).sum() / divisor for name, weight in self.weights.items()}

    def count(self, targets: list[Targets]) -> dict[str, float]:
        """The number of objects; nothing with reduction `batch`."""
        objects = float(sum(int((~target.crowd).sum()) for target in targets))
        return dict.fromkeys(self.weights, objects) if self.by_object else {}

    def _levels(self, output: PointBoxes) -> tuple[Tensor, Tensor, Tensor]:
        """Of each point (x, y) [A,2], the stride of its level [A], and how far the level reaches at least [A]."""
        anchors = output.anchors
        strides = anchors[:, 2] - anchors[:, 0]
        level = torch.cat([strides.new_full((count,), i) for i, count in enumerate(output.levels)])
        return (anchors[:, :2] + anchors[:, 2:]) / 2, strides, self.reach * strides[0] * 2**level

    def _image(self, output: PointBoxes, i: int, target: Targets, matched: Tensor, middles: Tensor) -> dict[str, Tensor]:
        """The sums of one image."""
        assert output.quality is not None  # of points there is always one
        weight = _shares(matched, len(target.boxes)) if self.by_object else (matched >= BACKGROUND).float()  # [A]
        hit = (matched >= 0).nonzero().flatten()  # [P]
        truth, share = target.boxes[matched[hit]], weight[hit]
        wanted = torch.zeros_like(output.class_logits[i], dtype=torch.float32)  # [A,K]
        wanted[hit, target.labels[matched[hit]]] = 1
        focal = sigmoid_focal_loss(output.class_logits[i].float(), wanted, self.alpha, self.gamma).sum(1)  # [A]
        giou = generalized_box_iou_loss(output.boxes[i, hit], truth)  # [P]
        logits = output.quality[i, hit, 0].float()
        central = F.binary_cross_entropy_with_logits(logits, centerness(middles[hit], truth), reduction="none")
        return {"class": (focal * weight).sum(), "box": (giou * share).sum(), "quality": (central * share).sum()}


def _shares(matched: Tensor, count: int) -> Tensor:
    """Weights [A]: those of an object's points sum to 1, one of the background is their mean, ignored points have none."""
    hit = matched >= 0
    points = torch.bincount(matched[hit], minlength=count)  # [N] of each object
    weight = torch.zeros(len(matched), device=matched.device)
    weight[hit] = 1.0 / points[matched[hit]]
    mean = (points > 0).sum().clamp(min=1) / hit.sum().clamp(min=1)
    return torch.where(matched == BACKGROUND, mean, weight)
