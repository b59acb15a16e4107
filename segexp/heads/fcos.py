"""The head of FCOS (Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection", 2019): boxes from points."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torchvision.models.detection.fcos import FCOSClassificationHead, FCOSRegressionHead

from segexp.errors import require_number
from segexp.functional.anchors import grid_anchors
from segexp.heads.dense import one_width
from segexp.types import DataSpec, Features, FeatureSpec, PointBoxes, Sizes, Targets


class FcosHead(nn.Module):
    """For each cell of each level class logits, the distances to the sides of a box, and how central the cell is in it.

    The layers are torchvision's, with its names. A cell is given as the box of one stride around its point.

    Args:
        features: what the decoder emits.
        data: the data set's classes.
        levels: that are read, finest first; of one width, a multiple of 32. The loss gives each objects twice as large.
        convs: hidden layers of each of the two branches.

    Raises:
        ConfigError: no level, or no convolution.
        WiringError: a level is missing, or has another width.
    """

    output_type = PointBoxes
    needs: frozenset[str] = frozenset()

    def __init__(
        self, features: FeatureSpec, data: DataSpec, *, levels: Sequence[str] = ("p3", "p4", "p5", "p6", "p7"), convs: int = 4
    ) -> None:
        super().__init__()
        require_number("head.convs", convs, "head.convs=4", least=1, whole=True)
        width = one_width(features, levels, by="FcosHead", groups=True)
        self.strides = {name: features[name].stride for name in levels}
        self.classification_head = FCOSClassificationHead(width, 1, data.num_classes, convs)
        self.regression_head = FCOSRegressionHead(width, 1, convs)

    def forward(self, features: Features, sizes: Sizes, targets: list[Targets] | None = None) -> PointBoxes:
        maps = [features[name] for name in self.strides]
        shapes, strides = [tuple(x.shape[-2:]) for x in maps], list(self.strides.values())
        deltas, quality = self.regression_head(maps)  # [B,A,4] left, top, right, bottom in strides; [B,A,1] logits
        anchors = torch.cat(grid_anchors(shapes, strides, [(stride,) for stride in strides], (1.0,), deltas.device))  # [A,4]
        points, side = (anchors[:, :2] + anchors[:, 2:]) / 2, anchors[:, 2:] - anchors[:, :2]  # [A,2] each, (x, y)
        reach = deltas.float()
        boxes = torch.cat([points - reach[..., :2] * side, points + reach[..., 2:] * side], -1)  # [B,A,4]
        levels = tuple(height * width for height, width in shapes)
        return PointBoxes(self.classification_head(maps), deltas, boxes, anchors, levels, quality)
