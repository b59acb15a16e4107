"""The loss of RetinaNet (Lin et al., 2017): focal loss of the classes, distance of the boxes of matched anchors."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

from segexp.errors import ConfigError, require_number
from segexp.functional.boxes import encode
from segexp.functional.focal import focal_alpha
from segexp.functional.matching import IGNORED, match
from segexp.types import AnchorBoxes, Batch, DataSpec, Targets

DISTANCES = ("l1", "smooth_l1", "giou")


class RetinaNetLoss(nn.Module):
    """Of each image the sum over its anchors, divided by those that are matched; summed over the images.

    Anchors are matched as `segexp.functional.matching.match` says, every object with its best. All terms are divided by
    the number of images.

    Args:
        data: the data set's classes.
        class_weight, box_weight: of the terms in the total loss.
        alpha: weight of the true class in the focal loss, 1 - alpha that of the others; null: 1 for both.
        gamma: how much anchors that are right already count less in it.
        high: overlap (IoU) from which an anchor is matched.
        low: overlap below which it is background.
        distance: of the boxes: `l1` or `smooth_l1` of what moves the anchors onto them, or `giou`.
        beta: of `smooth_l1`, where it turns from square to straight.

    Raises:
        ConfigError: a value makes no sense.
    """

    accepts = AnchorBoxes
    needs = frozenset({"boxes"})
    needs_things = True

    def __init__(
        self,
        data: DataSpec,
        *,
        class_weight: float = 1.0,
        box_weight: float = 1.0,
        alpha: float | None = 0.25,
        gamma: float = 2.0,
        high: float = 0.5,
        low: float = 0.4,
        distance: str = "l1",
        beta: float = 0.1,
    ) -> None:
        super().__init__()
        self.weights = {"class": class_weight, "box": box_weight}
        for name, value in self.weights.items():
            require_number(f"loss.{name}_weight", value, f"loss.{name}_weight=1", least=0)
        require_number("loss.beta", beta, "loss.beta=0.1", least=0)
        require_number("loss.high", high, "loss.high=0.5", least=0, below=1)
        if not 0 <= low <= high:
            raise ConfigError("low is between 0 and high", where=f"loss.low={low} loss.high={high}", fix="loss.low=0.4 loss.high=0.5")
        if distance not in DISTANCES:
            raise ConfigError("no such distance", where=f"loss.distance={distance}", fix=f"loss.distance={'|'.join(DISTANCES)}")
        self.alpha, self.gamma = focal_alpha(alpha, gamma), gamma
        self.high, self.low, self.distance, self.beta = high, low, distance, beta

    def forward(self, output: AnchorBoxes, batch: Batch) -> dict[str, Tensor]:
        images = [self._image(output, i, target) for i, target in enumerate(batch.targets)]
        return {name: weight * torch.stack([image[name] for image in images]).sum() for name, weight in self.weights.items()}

    def count(self, targets: list[Targets]) -> dict[str, float]:
        """The number of images."""
        return dict.fromkeys(self.weights, float(len(targets)))

    def _image(self, output: AnchorBoxes, i: int, target: Targets) -> dict[str, Tensor]:
        """The means of one image."""
        matched = match(target.boxes, target.crowd, output.anchors, self.high, self.low, True)  # [A]
        hit = (matched >= 0).nonzero().flatten()  # [P]
        wanted = torch.zeros_like(output.class_logits[i], dtype=torch.float32)  # [A,K]
        wanted[hit, target.labels[matched[hit]]] = 1
        focal = sigmoid_focal_loss(output.class_logits[i].float(), wanted, self.alpha, self.gamma).sum(1)  # [A]
        total = {"class": (focal * (matched != IGNORED)).sum(), "box": self._distance(output, i, hit, target.boxes[matched[hit]])}
        return {name: value / max(len(hit), 1) for name, value in total.items()}

    def _distance(self, output: AnchorBoxes, i: int, hit: Tensor, truth: Tensor) -> Tensor:
        """Of the matched anchors to their objects [P,4], the sum."""
        if self.distance == "giou":
            return generalized_box_iou_loss(output.boxes[i, hit], truth, reduction="sum")
        found, wanted = output.deltas[i, hit].float(), encode(truth, output.anchors[hit])
        if self.distance == "l1":
            return F.l1_loss(found, wanted, reduction="sum")
        return F.smooth_l1_loss(found, wanted, reduction="sum", beta=self.beta)
