"""VGG-16 as DeepLabv1 has it: pools of 3x3, the last of them at stride 1 so that the stride stays 8, conv5 dilated instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torchvision import models

from segexp.backbones.geometry import check_keys, rounded_up
from segexp.backbones.pretrained import IMAGENET_MEAN, IMAGENET_STD, fetched, fill, per_channel
from segexp.errors import ConfigError
from segexp.types import DataSpec, Features, FeatureSpec, Level

WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # of the convolutions before each pool
VGG16: dict[str, models.WeightsEnum] = {"vgg16": models.VGG16_Weights.DEFAULT}


class Vgg(nn.Module):
    """Features `c1..c5`: the maps after the five pools. Its layers lie where torchvision's vgg16 has them, so that weights fit.

    Args:
        data: the data set; sets the number of input channels.
        name: `vgg16`.
        output_stride: stride of the deepest level; 8 is the published LargeFOV form.
        dilate_pools: dilate the last pool too where it would have come after a stride; not published, but then every value at
            shared positions stays as it was.
        first_block_dilation: `previous` or `full`, which are the same here: every convolution comes after its stage's stride.
        multi_grid: three factors, by which the dilations of the last three convolutions are multiplied; null: none.
        weights: `null` (random), `hub` (torchvision's ImageNet weights, downloaded), a file, or `run:<directory or id>`.
            Read by `segexp.build`, after the chain was checked.
        drop_path: 0: there is no stochastic depth without residual blocks.

    Raises:
        ConfigError: it can't have this output stride, dilation or stochastic depth.
    """

    net: Any  # holds `features`, as torchvision's network does

    def __init__(
        self,
        data: DataSpec,
        *,
        name: str = "vgg16",
        output_stride: int = 8,
        dilate_pools: bool = False,
        first_block_dilation: str = "previous",
        multi_grid: Sequence[int] | None = None,
        weights: str | None = None,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.name, self.weights = name, weights
        _check(name, output_stride, first_block_dilation, multi_grid, drop_path)
        self.net = nn.Module()
        self.net.features, self.ends = _layers(data.in_channels, output_stride, dilate_pools, tuple(multi_grid or (1, 1, 1)))
        self.spec: FeatureSpec = {f"c{i}": Level(widths[-1], min(2**i, output_stride)) for i, widths in enumerate(WIDTHS, 1)}
        self.pad_to = output_stride
        self.mean, self.std = per_channel(IMAGENET_MEAN, data.in_channels), per_channel(IMAGENET_STD, data.in_channels)

    def forward(self, images: Tensor) -> Features:
        """Images [B,C,H,W], normalised and padded to a multiple of `pad_to`."""
        levels, x = {}, images
        for i, layer in enumerate(self.net.features):
            x = layer(x)
            if name := self.ends.get(i):
                levels[name] = rounded_up(x, images.shape[-2:], self.spec[name].stride)
        return levels

    def hub_state(self) -> dict[str, Tensor]:
        """torchvision's ImageNet weights of vgg16.

        Raises:
            WeightsError: they can't be fetched.
        """
        return fetched(self.name, lambda: dict(VGG16[self.name].get_state_dict(progress=False, check_hash=True)))

    def load(self, state: dict[str, Tensor], source: str) -> list[str]:
        """Copy weights under torchvision's names; see `segexp.backbones.pretrained.fill`."""
        return fill(self.net, state, name=self.name, library="torchvision", source=source)


def _layers(channels: int, output_stride: int, dilate_pools: bool, factors: tuple[int, ...]) -> tuple[nn.Sequential, dict[int, str]]:
    """Convolutions, ReLUs and pools in one row, and the names of the levels by the place of their pools."""
    layers: list[nn.Module] = []
    ends, stride = {}, 1
    for stage, widths in enumerate(WIDTHS, 1):
        rate = max(1, stride // output_stride)
        for i, width in enumerate(widths):
            dilation = rate * (factors[i] if stage == len(WIDTHS) else 1)
            conv: Any = nn.Conv2d(channels, width, 3, padding=dilation, dilation=dilation)
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(conv.bias)
            layers += [conv, nn.ReLU(inplace=True)]
            channels = width
        ends[len(layers)] = f"c{stage}"
        layers.append(Pool(2 if stride < output_stride else 1, rate if dilate_pools else 1))
        stride *= 2
    return nn.Sequential(*layers), ends


class Pool(nn.Module):
    """The largest of 3x3 cells; sizes round up. torch's own pads by half a kernel at most, which a dilated one needs more of."""

    def __init__(self, stride: int, dilation: int) -> None:
        super().__init__()
        self.pad = nn.ConstantPad2d(dilation - 1, -float("inf")) if dilation > 1 else nn.Identity()
        self.pool = nn.MaxPool2d(3, stride, 1, dilation, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.pad(x))


def _check(name: str, output_stride: int, first_block_dilation: str, multi_grid: Sequence[int] | None, drop_path: float) -> None:
    if name not in VGG16:
        raise ConfigError("no such VGG", where=f"backbone.name={name}", fix="vgg16; backbone=torchvision or timm for others")
    check_keys(output_stride, first_block_dilation, multi_grid)
    if multi_grid is not None and len(multi_grid) != 3:
        what, where = "the last stage of vgg16 has 3 convolutions, a factor for each", f"backbone.multi_grid={list(multi_grid)}"
        raise ConfigError(what, where=where, fix="backbone.multi_grid=[1,2,4]")
    if drop_path:
        raise ConfigError("vgg16 has no stochastic depth", where="backbone.drop_path", fix="backbone.drop_path=0")
