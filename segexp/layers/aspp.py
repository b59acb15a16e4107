"""Atrous spatial pyramid pooling (Chen et al., "Rethinking Atrous Convolution", 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segexp.layers.conv import conv_norm_act, separable_conv


def atrous_rates(stride: int) -> tuple[int, ...]:
    """The published rates 6, 12, 18 at stride 16, scaled so that the field of view in pixels stays: 32 -> 3/6/9, 8 -> 12/24/36."""
    return tuple(max(1, round(rate * 16 / stride)) for rate in (6, 12, 18))


class ImagePool(nn.Module):
    """Global average, 1x1 convolution, norm, ReLU, spread over the map again."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.project = conv_norm_act(inputs, outputs, pooled=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[-2:])  # [B,C,h,w]


class ASPP(nn.Module):
    """Parallel atrous convolutions and an image pool, concatenated and projected.

    Args:
        inputs: channels of the input.
        width: channels of each branch and of the output.
        rates: dilation of each 3x3 branch.
        separable: depthwise separable 3x3 branches.
        dropout: probability after the projection.
    """

    def __init__(self, inputs: int, width: int, rates: Sequence[int], *, separable: bool, dropout: float) -> None:
        super().__init__()
        block = separable_conv if separable else conv_norm_act
        self.branches = nn.ModuleList([conv_norm_act(inputs, width), *(block(inputs, width, 3, dilation=r) for r in rates)])
        self.pool = ImagePool(inputs, width)
        self.project = nn.Sequential(conv_norm_act(width * (len(rates) + 2), width), nn.Dropout(dropout))

    def forward(self, x: Tensor) -> Tensor:
        return self.project(torch.cat([*(branch(x) for branch in self.branches), self.pool(x)], dim=1))
