"""The first, not aligned Xception as a backbone; the aligned ones of the DeepLab papers are timm's `xception41` to `xception71`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from segexp.backbones.geometry import dilate, made, observe, skeleton
from segexp.backbones.pretrained import fetched, fill, per_channel
from segexp.errors import ConfigError
from segexp.functional.imports import without
from segexp.types import DataSpec, Features, FeatureSpec, Level

with without("wandb"):  # timm imports it for a training script of its own
    import timm

ENDS = {"act2": 64, "block1": 128, "block2": 256, "block11": 728, "conv4": 2048}  # the parts after which the levels lie: channels
LAYERS = ("conv1", "bn1", "act1", "conv2", "bn2", "act2", *(f"block{i}" for i in range(1, 13)), "conv3", "bn3", "act3", "conv4")


class Xception(nn.Module):
    """Features `c1..c5`, the deepest without its norm; timm's names of weights. Maps are padded to exact strides, unlike timm's.

    Args:
        data: the data set; sets the number of input channels.
        name: timm's name, `legacy_xception`.
        output_stride, first_block_dilation, multi_grid: see `segexp.backbones.geometry.dilate`; the last stage has one block.
        weights: `null` (random), `hub` (timm's ImageNet weights, downloaded), a file, or `run:<directory or id>`.
            Read by `segexp.build`, after the chain was checked.
        drop_path: 0: it has no stochastic depth.

    Raises:
        ConfigError: it can't have this output stride, dilation or stochastic depth.
    """

    net: Any

    def __init__(
        self,
        data: DataSpec,
        *,
        name: str = "legacy_xception",
        output_stride: int = 16,
        first_block_dilation: str = "previous",
        multi_grid: Sequence[int] | None = None,
        weights: str | None = None,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.name, self.weights = name, weights
        if name != "legacy_xception":
            raise ConfigError("no such network", where=f"backbone.name={name}", fix="legacy_xception; backbone=timm for others")
        if drop_path:
            raise ConfigError(f"{name} has no stochastic depth", where="backbone.drop_path", fix="backbone.drop_path=0")
        make = partial(_Trunk, data.in_channels)
        self.net = made(make)
        calls = observe(skeleton(self.net, make), data.in_channels)
        dilate(self.net, calls, output_stride, name=name, first_block_dilation=first_block_dilation, multi_grid=multi_grid)
        levels = enumerate(ENDS.values(), 1)
        self.spec: FeatureSpec = {f"c{i}": Level(channels, min(2**i, output_stride)) for i, channels in levels}
        self.pad_to = output_stride
        self.mean, self.std = (per_channel((0.5,) * 3, data.in_channels) for _ in range(2))

    def forward(self, images: Tensor) -> Features:
        """Images [B,C,H,W], normalised and padded to a multiple of `pad_to`."""
        return dict(zip(self.spec, self.net(images), strict=True))

    def hub_state(self) -> dict[str, Tensor]:
        """timm's pretrained weights of this network.

        Raises:
            WeightsError: they can't be fetched.
        """
        return fetched(self.name, lambda: timm.create_model(self.name, pretrained=True).state_dict())

    def load(self, state: dict[str, Tensor], source: str) -> list[str]:
        """Copy weights under timm's names; see `segexp.backbones.pretrained.fill`."""
        return fill(self.net, state, name=self.name, library="timm", source=source)


class _Trunk(nn.Module):
    """timm's layers up to the last convolution, called in a row."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        whole: Any = timm.create_model("legacy_xception", in_chans=channels)
        for name in LAYERS:
            self.add_module(name, getattr(whole, name))
        whole.conv1.padding = whole.conv2.padding = (1, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        levels = []
        for name, part in self.named_children():
            x = part(x)
            if name in ENDS:
                levels.append(x)
        return levels
