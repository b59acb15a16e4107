"""The features of the tiny chains: a five-level GroupNorm network and a feature pyramid."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from segexp.types import DataSpec, Features, FeatureSpec, Level
from segexp.wiring import require


def block(channels: int, width: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution, GroupNorm and ReLU; the output has ceil(size / stride) cells."""
    return nn.Sequential(nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.GroupNorm(8, width), nn.ReLU())


class TinyBackbone(nn.Module):
    """Five strided blocks: levels ``c1`` (stride 2) to ``c5`` (stride 32).

    Args:
        data: the data set; sets the input's channels.
        width: channels of every level, a multiple of 8.
    """

    pad_to = 32

    def __init__(self, data: DataSpec, *, width: int = 32) -> None:
        super().__init__()
        self.mean, self.std = (0.5,) * data.in_channels, (0.25,) * data.in_channels
        self.stages = nn.ModuleList(block(width if i else data.in_channels, width, 2) for i in range(5))
        self.spec: FeatureSpec = {f"c{i + 1}": Level(width, 2 ** (i + 1)) for i in range(5)}

    def forward(self, images: Tensor) -> Features:
        found, x = {}, images  # [B,C,H,W]
        for level, stage in zip(self.spec, self.stages, strict=True):
            x = found[level] = stage(x)  # [B,width,ceil(H/s),ceil(W/s)]
        return found


class Pyramid(nn.Module):
    """A feature pyramid that makes only the maps asked for, so that no parameter is out of the loss's reach.

    Args:
        features: what the backbone emits, finest level first.
        outputs: name of a map -> level whose stride it has, e.g. ``{"p3": "c3", "mask": "c2"}``.
        keep: levels of the backbone to hand on unchanged.
        width: channels of every map.
    """

    def __init__(self, features: FeatureSpec, *, outputs: dict[str, str], keep: tuple[str, ...] = (), width: int = 32) -> None:
        super().__init__()
        require(features, *outputs.values(), *keep, by="Pyramid")
        finest = min(features[level].stride for level in outputs.values())
        self.outputs, self.keep = outputs, keep
        self.sides = nn.ModuleDict({k: nn.Conv2d(v.channels, width, 1) for k, v in features.items() if v.stride >= finest})
        self.maps = nn.ModuleDict({name: block(width, width) for name in outputs})
        self.spec = {name: Level(width, features[level].stride) for name, level in outputs.items()}
        self.spec |= {level: features[level] for level in keep}

    def forward(self, features: Features) -> Features:
        merged, x = {}, None
        for level in reversed(self.sides.keys()):
            side = self.sides[level](features[level])  # [B,width,h,w]
            x = merged[level] = side if x is None else side + F.interpolate(x, size=side.shape[-2:])
        return {name: self.maps[name](merged[level]) for name, level in self.outputs.items()} | {k: features[k] for k in self.keep}
