"""PSPNet decoder (Zhao et al., "Pyramid Scene Parsing Network", 2017)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from segexp.decoders.levels import need
from segexp.layers.conv import conv_norm_act
from segexp.layers.pyramid_pool import PyramidPool
from segexp.types import Features, FeatureSpec, Level


class PSPNet(nn.Module):
    """Pyramid pooling and a 3x3 convolution on one level; emits the level `semantic` at its stride.

    Args:
        features: what the backbone emits.
        level: the level that is read.
        width: channels of each pooled map and of the output.
        bins: cells a side of each pooled map.
        dropout: probability of dropping a channel of the result.
    """

    def __init__(
        self, features: FeatureSpec, *, level: str = "c5", width: int = 512, bins: Sequence[int] = (1, 2, 3, 6), dropout: float = 0.1
    ) -> None:
        super().__init__()
        need(features, by="PSPNet", level=level)
        self.level = level
        self.pool = PyramidPool(features[level].channels, width, bins)
        self.fuse = nn.Sequential(conv_norm_act(self.pool.channels, width, 3), nn.Dropout2d(dropout))
        self.spec: FeatureSpec = {"semantic": Level(width, features[level].stride)}

    def forward(self, features: Features) -> Features:
        return {"semantic": self.fuse(self.pool(features[self.level]))}  # [B,C,h,w]
