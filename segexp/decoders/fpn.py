"""Semantic FPN decoder (Kirillov et al., "Panoptic Feature Pyramid Networks", 2019)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torch.nn import functional as F

from segexp.decoders.levels import need
from segexp.layers.climb import Climb
from segexp.layers.resample import like
from segexp.types import Features, FeatureSpec, Level


class FPN(nn.Module):
    """A feature pyramid from the deepest level down, its levels brought to one size and added; takes any strides.

    Args:
        features: what the backbone emits.
        levels: names, shallow to deep; the level `semantic` has the size of the first.
        pyramid_width: channels of the pyramid.
        width: channels of the output.
        dropout: probability of dropping a channel of the result.
    """

    def __init__(
        self,
        features: FeatureSpec,
        *,
        levels: Sequence[str] = ("c2", "c3", "c4", "c5"),
        pyramid_width: int = 256,
        width: int = 128,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        need(features, by="FPN", levels=levels)
        self.levels, finest = tuple(levels), features[levels[0]].stride
        self.lateral = nn.ModuleList(nn.Conv2d(features[name].channels, pyramid_width, 1) for name in levels)
        climbs = [(features[name].stride // finest).bit_length() - 1 for name in levels]
        self.climbs = nn.ModuleList(Climb(pyramid_width, width, doublings) for doublings in climbs)
        self.dropout = nn.Dropout2d(dropout)
        self.spec: FeatureSpec = {"semantic": Level(width, finest)}

    def forward(self, features: Features) -> Features:
        pyramid = [lateral(features[name]) for name, lateral in zip(self.levels, self.lateral, strict=True)]
        for number in range(len(pyramid) - 2, -1, -1):
            pyramid[number] = pyramid[number] + F.interpolate(pyramid[number + 1], pyramid[number].shape[-2:], mode="nearest")
        total = self.climbs[0](pyramid[0])  # [B,C,h,w]
        for climb, level in zip(list(self.climbs)[1:], pyramid[1:], strict=True):
            total = total + like(climb(level), total)
        return {"semantic": self.dropout(total)}
