"""The head of RetinaNet (Lin et al., "Focal Loss for Dense Object Detection", 2017): boxes from anchors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn
from torchvision.models.detection.retinanet import RetinaNetClassificationHead, RetinaNetRegressionHead

from segexp.errors import ConfigError, require_number
from segexp.functional.anchors import grid_anchors
from segexp.functional.boxes import decode
from segexp.heads.dense import GROUPS, one_width
from segexp.types import AnchorBoxes, DataSpec, Features, FeatureSpec, Sizes, Targets


class RetinaNetHead(nn.Module):
    """For each anchor of each cell class logits and what moves the anchor onto a box.

    The layers are torchvision's, with its names. A level's anchors are twice as large as those of the level before, also
    where both have one stride (a dilated backbone); their middles follow from the true strides.

    Args:
        features: what the decoder emits.
        data: the data set's classes.
        levels: that are read, finest first; of one width.
        size: side in pixels of the smallest anchor; null: 4 strides of the first level.
        scales: so many sizes between one level's and the next's, evenly on the logarithmic scale.
        ratios: height over width of the anchors of each size.
        norm: GroupNorms of 32 groups between the hidden layers (torchvision's second version); without, there is none.

    Raises:
        ConfigError: a value makes no sense.
        WiringError: a level is missing, or has another width.
    """

    output_type = AnchorBoxes
    needs: frozenset[str] = frozenset()

    def __init__(
        self,
        features: FeatureSpec,
        data: DataSpec,
        *,
        levels: Sequence[str] = ("p3", "p4", "p5", "p6", "p7"),
        size: float | None = None,
        scales: int = 3,
        ratios: Sequence[float] = (0.5, 1.0, 2.0),
        norm: bool = False,
    ) -> None:
        super().__init__()
        width = one_width(features, levels, by="RetinaNetHead", groups=norm)
        require_number("head.scales", scales, "head.scales=3", least=1, whole=True)
        if size is not None:
            require_number("head.size", size, "head.size=32", least=1)
        if not ratios or min(ratios) <= 0:
            given = ",".join(map(str, ratios))
            raise ConfigError("ratios are positive, and one at least", where=f"head.ratios=[{given}]", fix="head.ratios=[0.5,1.0,2.0]")
        self.strides = {name: features[name].stride for name in levels}
        smallest = size or 4 * features[levels[0]].stride
        bases = [smallest * 2**i for i in range(len(levels))]
        self.sizes = [tuple(int(base * 2 ** (i / scales)) for i in range(scales)) for base in bases]  # whole pixels, as torchvision's
        self.ratios = tuple(ratios)
        number, between = scales * len(ratios), partial(nn.GroupNorm, GROUPS) if norm else None
        self.classification_head = RetinaNetClassificationHead(width, number, data.num_classes, norm_layer=between)
        self.regression_head = RetinaNetRegressionHead(width, number, norm_layer=between)

    def forward(self, features: Features, sizes: Sizes, targets: list[Targets] | None = None) -> AnchorBoxes:
        maps = [features[name] for name in self.strides]
        shapes = [tuple(x.shape[-2:]) for x in maps]
        deltas = self.regression_head(maps)  # [B,A,4] (dx, dy, dw, dh)
        levels = grid_anchors(shapes, list(self.strides.values()), self.sizes, self.ratios, deltas.device)
        anchors = torch.cat(levels)  # [A,4]
        counts = tuple(len(level) for level in levels)
        return AnchorBoxes(self.classification_head(maps), deltas, decode(deltas, anchors), anchors, counts)
