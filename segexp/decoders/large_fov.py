"""LargeFOV, the classifier of DeepLabv1 (Chen et al., "Semantic Image Segmentation with Deep Convolutional Nets ...", 2015)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from segexp.decoders.levels import need
from segexp.errors import ConfigError
from segexp.layers.aspp import atrous_rates
from segexp.layers.conv import fully_connected
from segexp.types import Features, FeatureSpec, Level

PUBLISHED_RATE = 6  # at stride 16: 12 at the paper's stride 8


class LargeFOV(nn.Module):
    """VGG-16's fully connected layers as convolutions: a 3x3 one with a large dilation and a 1x1 one; emits the level `semantic`.

    Args:
        features: what the backbone emits.
        level: the level that is read.
        width: channels of both convolutions.
        rate: dilation of the first; from the level's stride unless given (12 at stride 8, as published).
        pool: side of the average pooling before it, 3 as published; 1: none.
        dropout: probability after each of the two.

    Raises:
        ConfigError: a rate or a side that makes no sense.
        WiringError: the level is missing.
    """

    def __init__(
        self,
        features: FeatureSpec,
        *,
        level: str = "c5",
        width: int = 1024,
        rate: int | None = None,
        pool: int = 3,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        need(features, by="LargeFOV", level=level)
        channels, stride = features[level]
        self.rates = atrous_rates(stride, None if rate is None else (rate,), published=(PUBLISHED_RATE,), key="decoder.rate")
        self.level, self.side = level, odd(pool)
        self.layers = fully_connected(channels, width, self.rates[0], dropout)
        self.spec: FeatureSpec = {"semantic": Level(width, stride)}

    def forward(self, features: Features) -> Features:
        x: Tensor = features[self.level]
        if self.side > 1:
            x = F.avg_pool2d(x, self.side, 1, self.side // 2)
        return {"semantic": self.layers(x)}  # [B,C,h,w]


def odd(pool: int) -> int:
    """The side of a pooling that keeps the size.

    Raises:
        ConfigError: it is even or below 1.
    """
    if not isinstance(pool, int) or pool < 1 or pool % 2 == 0:
        raise ConfigError("the side of the pooling is odd", where=f"decoder.pool={pool}", fix="decoder.pool=3, or 1: none")
    return pool
