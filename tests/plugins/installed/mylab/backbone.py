"""Five strided convolutions: a backbone for tests of a user's package."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from segexp.types import DataSpec, Features, FeatureSpec, Level


class Tiny(nn.Module):
    """Levels `c1..c5` at strides 2 to 32, each from one convolution.

    Args:
        data: the data set; sets the number of input channels.
        width: channels of `c1`; each level has as many more.
    """

    weights = None  # random

    def __init__(self, data: DataSpec, *, width: int = 16) -> None:
        super().__init__()
        channels = [data.in_channels, *(width * level for level in range(1, 6))]
        self.levels = nn.ModuleList(nn.Conv2d(i, o, 3, stride=2, padding=1) for i, o in pairwise(channels))
        self.spec: FeatureSpec = {f"c{n}": Level(width * n, 2**n) for n in range(1, 6)}
        self.pad_to = 32
        self.mean = (0.5,) * data.in_channels
        self.std = (0.25,) * data.in_channels

    def forward(self, images: Tensor) -> Features:
        """Images [B,C,H,W], normalised and padded to a multiple of `pad_to`."""
        features, x = {}, images
        for name, level in zip(self.spec, self.levels, strict=True):
            x = features[name] = level(x).relu()
        return features
