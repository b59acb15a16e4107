"""Any convolutional network of timm as a backbone, at output stride 8, 16 or 32."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from segexp.backbones.geometry import DILATING, STRIDES, Call, dilate, made, observe, rounded_up, skeleton
from segexp.backbones.pretrained import IMAGENET_MEAN, IMAGENET_STD, fetched, fill, per_channel, require_name
from segexp.backbones.timm_layouts import Layout, layout_of, stem_of
from segexp.errors import ConfigError
from segexp.functional.imports import without
from segexp.types import DataSpec, Features, FeatureSpec, Level

with without("wandb"):  # timm imports it for a training script of its own
    import timm


class TimmCNN(nn.Module):
    """Features `c1..c5`, named by depth from the end: with output stride 16 both c4 and c5 have stride 16.

    Args:
        data: the data set; sets the number of input channels.
        name: timm's name of the network.
        output_stride: stride of the deepest level; the stages beyond it are dilated (see `segexp.backbones.geometry.dilate`).
        first_block_dilation: `previous`, as published: the first block of a dilated stage keeps the previous dilation; or `full`.
        multi_grid: one factor per block of the last stage, by which its dilation is multiplied; null: none.
        stem: of ResNets: `7x7`, or three 3x3 convolutions of 32, 32, 64 (`v1c`) or 64, 64, 128 (`beta`) channels; null: the
            network's own.
        layout: where published code departs from timm's networks; null: timm's own. Of ResNets: a block of three convolutions
            has its stride in the 3x3 (`v1.5`) or in the first 1x1, and the pool of the stem rounds sizes up (`caffe`). Of
            MobileNetV2: a block pads before its first convolution, the stem not at all (`pad_first`; there is no c1 then).
            Of aligned Xceptions: c1 to c3 are tapped before the ReLU of the convolution that follows, and c4 a block
            earlier (`tap_first`). Of HRNets: levels are the branches as they are, not widened for a classifier (`branches`).
        weights: `null` (random), `hub` (timm's pretrained weights, downloaded), a file, or `run:<directory or id>`.
            Read by `segexp.build`, after the chain was checked.
        drop_path: stochastic depth, for networks that have it.

    Raises:
        ConfigError: there is no such network, or it can't have this output stride, stem or layout.
    """

    net: Any  # timm's modules have attributes that torch's type doesn't know

    def __init__(
        self,
        data: DataSpec,
        *,
        name: str,
        output_stride: int = 16,
        first_block_dilation: str = "previous",
        multi_grid: Sequence[int] | None = None,
        stem: str | None = None,
        layout: str | None = None,
        weights: str | None = None,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.name, self.weights = name, weights
        conventions = layout_of(name, layout)
        make = partial(_create, name, data.in_channels, drop_path, stem, conventions)
        self.net = made(make)
        strides = self.net.feature_info.reduction()
        _check_stride(name, strides, output_stride)
        if output_stride != max(strides) or first_block_dilation != "previous" or multi_grid is not None:
            calls = _observed(name, skeleton(self.net, make), data.in_channels)
            dilate(self.net, calls, output_stride, name=name, first_block_dilation=first_block_dilation, multi_grid=multi_grid)
        conventions.after(self.net)
        self.rounds_up = layout == "caffe"
        info = self.net.feature_info
        levels = [Level(c, min(s, output_stride)) for c, s in zip(info.channels(), info.reduction(), strict=True)]
        self.names = [f"c{6 - len(levels) + i}" for i in range(len(levels))]  # the last level is c5
        self.spec: FeatureSpec = {name: level for name, level in zip(self.names, levels, strict=True) if name not in conventions.lacks}
        self.pad_to = max(level.stride for level in self.spec.values())
        pretrained = timm.get_pretrained_cfg(name)
        self.mean = per_channel(pretrained.mean if pretrained else IMAGENET_MEAN, data.in_channels)
        self.std = per_channel(pretrained.std if pretrained else IMAGENET_STD, data.in_channels)

    def forward(self, images: Tensor) -> Features:
        """Images [B,C,H,W], normalised and padded to a multiple of `pad_to`."""
        levels = {name: x for name, x in zip(self.names, self.net(images), strict=True) if name in self.spec}
        if not self.rounds_up:
            return levels
        return {name: rounded_up(x, images.shape[-2:], self.spec[name].stride) for name, x in levels.items()}

    def hub_state(self) -> dict[str, Tensor]:
        """timm's pretrained weights of this network.

        Raises:
            WeightsError: there are none, or they can't be fetched.
        """
        return fetched(self.name, lambda: timm.create_model(self.name, pretrained=True).state_dict())

    def load(self, state: dict[str, Tensor], source: str) -> list[str]:
        """Copy weights under timm's names, of the whole network or of its features; see `segexp.backbones.pretrained.fill`."""
        return fill(self.net, state, name=self.name, library="timm", source=source, alias=_flat)


def _flat(name: str) -> str:
    return name.replace(".", "_")  # timm flattens stage names: `stages.0` becomes `stages_0`


def _create(name: str, in_channels: int, drop_path: float, stem: str | None, conventions: Layout) -> Any:
    require_name(name, timm.list_models(), library="timm")
    options: dict[str, Any] = ({"drop_path_rate": drop_path} if drop_path else {}) | stem_of(name, stem)
    try:
        net = conventions.create(name, pretrained=False, in_chans=in_channels, **options)
    except (AssertionError, TypeError, NotImplementedError, AttributeError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"{name} can't be built as a backbone ({str(error)[:120] or type(error).__name__})",
            where="backbone",
            fix=f"a convolutional network, such as backbone={'|'.join(DILATING)}",
        ) from error
    conventions.before(net)
    return net


def _observed(name: str, net: Any, channels: int) -> dict[str, Call]:
    try:
        return observe(net, channels)
    except (RuntimeError, AssertionError, ValueError) as error:  # of a fixed image size, for one
        raise ConfigError(
            f"{name} can't be dilated: it takes no image of any size ({str(error)[:120]})",
            where="backbone.output_stride",
            fix=f"backbone.output_stride={max(net.feature_info.reduction())}, or a backbone such as {'|'.join(DILATING)}",
        ) from error


def _check_stride(name: str, strides: Sequence[int], output_stride: int) -> None:
    """Refuse what lies beyond the network's own stride; what lies below it is `dilate`'s."""
    if output_stride in STRIDES and max(strides) < output_stride:
        raise ConfigError(
            f"{name} has strides {list(strides)}, not output stride {output_stride}",
            where="backbone.output_stride",
            fix=f"backbone.output_stride={max(strides)}",
        )
