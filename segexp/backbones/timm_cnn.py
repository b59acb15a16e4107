"""Any convolutional network of timm as a backbone, at output stride 8, 16 or 32."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from segexp.backbones.pretrained import IMAGENET_MEAN, IMAGENET_STD, fetched, fill, per_channel, require_name
from segexp.errors import ConfigError
from segexp.functional.imports import without
from segexp.types import DataSpec, Features, FeatureSpec, Level

with without("wandb"):  # timm imports it for a training script of its own
    import timm

# a few that dilate, named in messages; any other that takes timm's `output_stride` works too
DILATING = ("resnet18", "resnet50", "tf_efficientnet_lite0", "mobilenetv2_100", "mobilenetv3_large_100", "regnety_008", "convnext_tiny")


class TimmCNN(nn.Module):
    """Features `c1..c5`, named by depth from the end: with output stride 16 both c4 and c5 have stride 16.

    Args:
        data: the data set; sets the number of input channels.
        name: timm's name of the network.
        output_stride: stride of the deepest level; the stages beyond it are dilated, and the first block of a dilated
            stage keeps the previous dilation, as published.
        weights: `null` (random), `hub` (timm's pretrained weights, downloaded), a file, or `run:<directory or id>`.
            Read by `segexp.build`, after the chain was checked.
        drop_path: stochastic depth, for networks that have it.
    """

    net: Any  # timm's modules have attributes that torch's type doesn't know

    def __init__(self, data: DataSpec, *, name: str, output_stride: int = 16, weights: str | None = None, drop_path: float = 0.0) -> None:
        super().__init__()
        self.name, self.weights = name, weights
        self.net = _create(name, output_stride, data.in_channels, drop_path)
        info = self.net.feature_info
        levels = list(zip(info.channels(), info.reduction(), strict=True))
        first = 6 - len(levels)  # the last level is c5
        self.spec: FeatureSpec = {f"c{first + i}": Level(c, s) for i, (c, s) in enumerate(levels) if c > 0}
        self.pad_to = max(level.stride for level in self.spec.values())
        pretrained = timm.get_pretrained_cfg(name)
        self.mean = per_channel(pretrained.mean if pretrained else IMAGENET_MEAN, data.in_channels)
        self.std = per_channel(pretrained.std if pretrained else IMAGENET_STD, data.in_channels)

    def forward(self, images: Tensor) -> Features:
        """Images [B,C,H,W], normalised and padded to a multiple of `pad_to`."""
        return dict(zip(self.spec, self.net(images), strict=True))

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


def _create(name: str, output_stride: int, in_channels: int, drop_path: float) -> Any:
    require_name(name, timm.list_models(), library="timm")
    if output_stride not in (8, 16, 32):
        raise ConfigError(f"output stride {output_stride}", where="backbone.output_stride", fix="8, 16 or 32")
    options: dict[str, Any] = {"drop_path_rate": drop_path} if drop_path else {}
    if output_stride != 32:
        options["output_stride"] = output_stride
    try:
        net: Any = timm.create_model(name, pretrained=False, features_only=True, in_chans=in_channels, **options)
    except (AssertionError, TypeError, NotImplementedError, AttributeError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"{name} can't be built at output stride {output_stride} ({str(error)[:120] or type(error).__name__})",
            where="backbone",
            fix=f"backbone.output_stride=32, or a network that dilates, such as {', '.join(DILATING)}",
        ) from error
    strides = net.feature_info.reduction()
    if max(strides) != output_stride:
        raise ConfigError(
            f"{name} has strides {strides}, not output stride {output_stride}",
            where="backbone",
            fix=f"backbone.output_stride={max(strides)}",
        )
    return net
