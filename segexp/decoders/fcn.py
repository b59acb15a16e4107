"""FCN decoder (Long et al., "Fully Convolutional Networks for Semantic Segmentation", 2015), on a dilated backbone."""

from __future__ import annotations

import torch
from torch import nn

from segexp.decoders.levels import need
from segexp.errors import ConfigError
from segexp.layers.conv import conv_norm_act
from segexp.types import Features, FeatureSpec, Level


class FCN(nn.Module):
    """3x3 convolutions on one level; emits the level `semantic` at its stride.

    Args:
        features: what the backbone emits.
        level: the level that is read.
        width: channels of each convolution and of the output.
        convs: their number, at least one.
        concat: a last convolution reads their result beside the level itself.
        dropout: probability of dropping a channel of the result.

    Raises:
        WiringError: the level is missing.
        ConfigError: no convolution.
    """

    def __init__(
        self, features: FeatureSpec, *, level: str = "c5", width: int = 512, convs: int = 2, concat: bool = True, dropout: float = 0.1
    ) -> None:
        super().__init__()
        need(features, by="FCN", level=level)
        if convs < 1:
            raise ConfigError(f"{convs} convolutions", where="decoder.convs", fix="decoder.convs=1, or more")
        self.level, channels = level, features[level].channels
        self.convs = nn.Sequential(*(conv_norm_act(width if i else channels, width, 3) for i in range(convs)))
        self.merge = conv_norm_act(channels + width, width, 3) if concat else None
        self.dropout = nn.Dropout2d(dropout)
        self.spec: FeatureSpec = {"semantic": Level(width, features[level].stride)}

    def forward(self, features: Features) -> Features:
        level = features[self.level]
        x = self.convs(level)
        if self.merge is not None:
            x = self.merge(torch.cat([level, x], dim=1))
        return {"semantic": self.dropout(x)}  # [B,C,h,w]
