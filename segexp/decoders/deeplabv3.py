"""DeepLabv3 decoder (Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from segexp.decoders.levels import need
from segexp.layers.aspp import ASPP, atrous_rates
from segexp.layers.conv import conv_norm_act, separable_conv
from segexp.types import Features, FeatureSpec, Level


class DeepLabV3(nn.Module):
    """ASPP and a 3x3 convolution on one level; emits the level `semantic` at its stride.

    Args:
        features: what the backbone emits.
        level: the level that is read.
        width: channels of the ASPP and of the output.
        rates: dilations of the ASPP; from the level's stride unless given (3/6/9, 6/12/18, 12/24/36 at 32, 16, 8).
        separable: depthwise separable 3x3 convolutions.
        dropout: probability after the ASPP.
    """

    def __init__(
        self,
        features: FeatureSpec,
        *,
        level: str = "c5",
        width: int = 256,
        rates: Sequence[int] | None = None,
        separable: bool = False,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        need(features, by="DeepLabV3", level=level)
        self.level = level
        rates = rates or atrous_rates(features[level].stride)
        block = separable_conv if separable else conv_norm_act
        self.aspp = ASPP(features[level].channels, width, rates, separable=separable, dropout=dropout)
        self.refine = block(width, width, 3)
        self.spec: FeatureSpec = {"semantic": Level(width, features[level].stride)}

    def forward(self, features: Features) -> Features:
        return {"semantic": self.refine(self.aspp(features[self.level]))}  # [B,C,h,w]
