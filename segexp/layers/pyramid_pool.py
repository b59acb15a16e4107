"""Pyramid pooling (Zhao et al., "Pyramid Scene Parsing Network", 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segexp.layers.conv import conv_act, conv_norm_act
from segexp.layers.resample import like


class PyramidPool(nn.Module):
    """The map beside its means over grids of several sizes, each projected and spread over the map again.

    Args:
        inputs: channels of the input.
        width: channels of each mean after its projection.
        bins: cells a side of each grid.
    """

    def __init__(self, inputs: int, width: int, bins: Sequence[int]) -> None:
        super().__init__()
        self.bins = tuple(bins)
        self.project = nn.ModuleList(
            conv_act(inputs, width) if side == 1 else conv_norm_act(inputs, width, pooled=True) for side in self.bins
        )
        self.channels = inputs + width * len(self.bins)

    def forward(self, x: Tensor) -> Tensor:
        """[B,C,h,w] to [B,C + width x bins,h,w]."""
        means = (project(F.adaptive_avg_pool2d(x, side)) for side, project in zip(self.bins, self.project, strict=True))
        return torch.cat([x, *(like(mean, x) for mean in means)], dim=1)
