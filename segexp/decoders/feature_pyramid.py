"""Feature pyramid (Lin et al., "Feature Pyramid Networks for Object Detection", 2017): a map of one width for each scale of objects."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from segexp.decoders.levels import need
from segexp.errors import ConfigError
from segexp.layers.conv import check_width
from segexp.types import Features, FeatureSpec, Level

EXTRA = ("none", "pool", "convs", "convs_on_backbone")


class FeaturePyramid(nn.Module):
    """Levels `c<n>` of the backbone to levels `p<n>`, from the deepest down, and perhaps coarser ones; takes any strides.

    Args:
        features: what the backbone emits.
        levels: names, shallow to deep; each becomes one of the pyramid.
        extra: coarser levels, each of twice the stride: `none`; `pool`, one, every other cell of the deepest (Faster R-CNN);
            `convs`, two, by convolutions on the deepest of the pyramid (FCOS), or `convs_on_backbone`, on the backbone's
            (RetinaNet's paper).
        width: channels of every level.
        norm: BatchNorm after each convolution of the pyramid (`norm.type=group`: GroupNorm), as where the backbone's maps have
            values far from 1; published detectors have none.

    Raises:
        ConfigError: a value makes no sense.
        WiringError: a level is missing.
    """

    def __init__(
        self,
        features: FeatureSpec,
        *,
        levels: Sequence[str] = ("c2", "c3", "c4", "c5"),
        extra: str = "pool",
        width: int = 256,
        norm: bool = False,
    ) -> None:
        super().__init__()
        need(features, by="FeaturePyramid", levels=levels)
        check_width(width, key="decoder.width", usual=256)
        if not levels or not all(re.fullmatch(r"c\d+", name) for name in levels):
            raise ConfigError("levels c<n> become p<n>", where=f"decoder.levels=[{','.join(levels)}]", fix="decoder.levels=[c2,c3,c4,c5]")
        if extra not in EXTRA:
            raise ConfigError("no such extra levels", where=f"decoder.extra={extra}", fix=f"decoder.extra={'|'.join(EXTRA)}")
        self.levels = tuple(levels)
        deepest, number = features[levels[-1]], int(levels[-1][1:])
        more = {"none": 0, "pool": 1}.get(extra, 2)
        block = None
        if extra == "pool":
            block = LastLevelMaxPool()
        elif more:
            block = LastLevelP6P7(width if extra == "convs" else deepest.channels, width)
            block.use_P5 = extra == "convs"  # which torchvision guesses from the channels
        self.fpn = FeaturePyramidNetwork([features[name].channels for name in levels], width, block, nn.BatchNorm2d if norm else None)
        strides = {f"p{name[1:]}": features[name].stride for name in levels}
        strides |= {f"p{number + i}": deepest.stride * 2**i for i in range(1, more + 1)}
        self.spec: FeatureSpec = {name: Level(width, stride) for name, stride in strides.items()}

    def forward(self, features: Features) -> Features:
        maps = self.fpn({name: features[name] for name in self.levels})
        return dict(zip(self.spec, maps.values(), strict=True))
