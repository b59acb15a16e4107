"""PAN decoder (Li et al., "Pyramid Attention Network for Semantic Segmentation", 2018)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from segexp.decoders.levels import need
from segexp.layers.conv import conv_act, conv_norm_act
from segexp.layers.resample import like
from segexp.types import Features, FeatureSpec, Level


class PyramidAttention(nn.Module):
    """Feature pyramid attention: a projection, weighed by what larger and larger fields see, plus the image's mean.

    Halving rounds up, so that maps of any size have a pyramid.

    Args:
        inputs: channels of the input.
        width: channels of the pyramid and of the output.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.image = conv_act(inputs, width)
        self.project = conv_norm_act(inputs, width)
        kernels = (7, 5, 3)
        self.down = nn.ModuleList(conv_norm_act(width if i else inputs, width, k, pooled=True) for i, k in enumerate(kernels))
        self.across = nn.ModuleList(conv_norm_act(width, width, k, pooled=True) for k in kernels)

    def forward(self, x: Tensor) -> Tensor:
        projected = self.project(x)  # [B,C,h,w]
        maps, current = [], x
        for down in self.down:
            current = down(F.max_pool2d(current, 2, ceil_mode=True))
            maps.append(current)
        attention = self.across[-1](maps[-1])
        for level, across in zip(maps[-2::-1], list(self.across)[-2::-1], strict=True):
            level = across(level)
            attention = level + like(attention, level)
        return projected * like(attention, projected) + self.image(x.mean((2, 3), keepdim=True))


class GlobalAttention(nn.Module):
    """Global attention upsampling: a shallow level, its channels weighed by the deep one's mean, is added to the deep one.

    Args:
        inputs: channels of the shallow level.
        width: channels of the deep one and of the output.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.reduce = conv_norm_act(inputs, width, 3)
        self.weigh = nn.Sequential(nn.Conv2d(width, width, 1), nn.Sigmoid())

    def forward(self, shallow: Tensor, deep: Tensor) -> Tensor:
        reduced = self.reduce(shallow)  # [B,C,h,w]
        return reduced * self.weigh(deep.mean((2, 3), keepdim=True)) + like(deep, reduced)


class PAN(nn.Module):
    """Pyramid attention on the deepest level, then global attention up to the shallowest, whose size `semantic` has.

    Args:
        features: what the backbone emits.
        levels: names, shallow to deep.
        width: channels throughout.
    """

    def __init__(self, features: FeatureSpec, *, levels: Sequence[str] = ("c2", "c3", "c4", "c5"), width: int = 64) -> None:
        super().__init__()
        need(features, by="PAN", levels=levels)
        self.levels = tuple(levels)
        self.attend = PyramidAttention(features[levels[-1]].channels, width)
        self.steps = nn.ModuleList(GlobalAttention(features[name].channels, width) for name in reversed(levels[:-1]))
        self.spec: FeatureSpec = {"semantic": Level(width, features[levels[0]].stride)}

    def forward(self, features: Features) -> Features:
        x = self.attend(features[self.levels[-1]])
        for name, step in zip(self.levels[-2::-1], self.steps, strict=True):
            x = step(features[name], x)
        return {"semantic": x}  # [B,C,h,w]
