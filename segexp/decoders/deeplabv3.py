"""DeepLabv3 decoder (Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from segexp.decoders.levels import need
from segexp.layers.aspp import ASPP, atrous_rates
from segexp.layers.conv import conv_block
from segexp.types import Features, FeatureSpec, Level


class DeepLabV3(nn.Module):
    """ASPP and a 3x3 convolution on one level; emits the level `semantic` at its stride.

    Args:
        features: what the backbone emits.
        level: the level that is read.
        width: channels of the ASPP and of the output.
        rates: dilations of the ASPP; from the level's stride unless given (3/6/9, 6/12/18, 12/24/36 at 32, 16, 8).
        separable: depthwise separable 3x3 convolutions: False, True (one norm) or `two_norms` (one after each of the pair).
        dropout: probability after the ASPP.
        pool_norm: of the image pool: True, BatchNorm; False, neither norm nor bias; `bias`, a bias alone.
        post_conv: the 3x3 convolution after the ASPP; it is there unless False is given.

    Raises:
        ConfigError: a value that there isn't.
        WiringError: the level is missing.
    """

    def __init__(
        self,
        features: FeatureSpec,
        *,
        level: str = "c5",
        width: int = 256,
        rates: Sequence[int] | None = None,
        separable: bool | str = False,
        dropout: float = 0.1,
        pool_norm: bool | str = True,
        post_conv: bool | None = None,
    ) -> None:
        super().__init__()
        need(features, by="DeepLabV3", level=level)
        self.level = level
        self.rates = atrous_rates(features[level].stride, rates)
        self.aspp = ASPP(features[level].channels, width, self.rates, separable=separable, dropout=dropout, pool_norm=pool_norm)
        self.refine = nn.Identity() if post_conv is False else conv_block(separable)(width, width, 3)
        self.spec: FeatureSpec = {"semantic": Level(width, features[level].stride)}

    def forward(self, features: Features) -> Features:
        return {"semantic": self.refine(self.aspp(features[self.level]))}  # [B,C,h,w]
