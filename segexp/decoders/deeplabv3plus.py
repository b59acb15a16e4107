"""DeepLabv3+ decoder (Chen et al., "Encoder-Decoder with Atrous Separable Convolution", 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from segexp.decoders.levels import need
from segexp.errors import ConfigError
from segexp.layers.aspp import ASPP, atrous_rates
from segexp.layers.conv import conv_block, conv_norm_act
from segexp.types import Features, FeatureSpec, Level


class DeepLabV3Plus(nn.Module):
    """ASPP on the deepest level, upsampled and refined with a shallow one; emits the level `semantic`.

    Args:
        features: what the backbone emits.
        high: the level that the ASPP reads.
        low: the level whose resolution the output has.
        width: channels of the ASPP and of the output.
        low_width: channels that the low level is reduced to (48 in the paper).
        rates: dilations of the ASPP; from the stride of `high` unless given (3/6/9, 6/12/18, 12/24/36 at 32, 16, 8).
        separable: depthwise separable 3x3 convolutions: False, True (one norm) or `two_norms` (one after each of the pair).
        aspp_separable: those of the ASPP; as `separable` unless given.
        fuse_convs: 3x3 convolutions after the concatenation (2 in the paper).
        dropout: probability after the ASPP.
        align_corners: how the ASPP's output is resized.
        pool_norm: of the image pool: True, BatchNorm; False, neither norm nor bias; `bias`, a bias alone.
        post_conv: a 3x3 convolution after the ASPP; there is none unless True is given.

    Raises:
        ConfigError: a value that there isn't.
        WiringError: a level is missing.
    """

    def __init__(
        self,
        features: FeatureSpec,
        *,
        high: str = "c5",
        low: str = "c2",
        width: int = 256,
        low_width: int = 48,
        rates: Sequence[int] | None = None,
        separable: bool | str = True,
        aspp_separable: bool | str | None = None,
        fuse_convs: int = 2,
        dropout: float = 0.1,
        align_corners: bool = False,
        pool_norm: bool | str = True,
        post_conv: bool | None = None,
    ) -> None:
        super().__init__()
        need(features, by="DeepLabV3Plus", high=high, low=low)
        self.high, self.low, self.align_corners = high, low, align_corners
        self.rates = atrous_rates(features[high].stride, rates)
        block, inner = conv_block(separable), separable if aspp_separable is None else aspp_separable
        self.aspp = ASPP(features[high].channels, width, self.rates, separable=inner, dropout=dropout, pool_norm=pool_norm)
        self.refine = block(width, width, 3) if post_conv else nn.Identity()
        self.reduce = conv_norm_act(features[low].channels, low_width)
        if fuse_convs < 0:
            raise ConfigError(f"{fuse_convs} convolutions", where="decoder.fuse_convs", fix="decoder.fuse_convs=2, or any number from 0 on")
        self.fuse = nn.Sequential(*(block(width if i else width + low_width, width, 3) for i in range(fuse_convs)))
        self.spec: FeatureSpec = {"semantic": Level(width if fuse_convs else width + low_width, features[low].stride)}

    def forward(self, features: Features) -> Features:
        low = self.reduce(features[self.low])  # [B,48,h,w]
        high = self.refine(self.aspp(features[self.high]))  # [B,C,h',w']
        high = F.interpolate(high, low.shape[-2:], mode="bilinear", align_corners=self.align_corners)
        return {"semantic": self.fuse(torch.cat([high, low], dim=1))}  # [B,C,h,w]
