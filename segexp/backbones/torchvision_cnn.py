"""Any convolutional network of torchvision as a backbone: its features are cut out of the traced graph."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor

from segexp.backbones.geometry import dilate, level_modules, made, observe, on_meta, set_input_channels
from segexp.backbones.pretrained import IMAGENET_MEAN, IMAGENET_STD, fetched, fill, per_channel, require_name
from segexp.errors import ConfigError
from segexp.types import DataSpec, Features, FeatureSpec, Level

FITTING = ("resnet18", "mobilenet_v3_large", "efficientnet_b0", "regnet_y_400mf", "convnext_tiny", "shufflenet_v2_x1_0")


class TorchvisionCNN(nn.Module):
    """Features `c1..c5`, named by depth; each is the output of the last block of its stride in the undilated network.

    Args:
        data: the data set; sets the number of input channels.
        name: torchvision's name of the classifier, e.g. `resnet18`, `mobilenet_v3_large`, `regnet_y_400mf`.
        output_stride: stride of the deepest level; the stages beyond it are dilated (see `segexp.backbones.geometry.dilate`).
        first_block_dilation: `previous` or `full`; see there.
        multi_grid: one factor per block of the last stage, by which its dilation is multiplied; null: none.
        level_block: which block of each stride gives the level, `last` or `first`; torchvision's own segmenters take the first, of
            all levels but the deepest.
        weights: `null` (random), `hub` (torchvision's default weights, downloaded), a file, or `run:<directory or id>`.
            Read by `segexp.build`, after the chain was checked.
        drop_path: stochastic depth, for networks that have it.

    Raises:
        ConfigError: there is no such network, it has no maps of exact strides, or it can't have this output stride or
            stochastic depth.
    """

    net: Any  # a traced graph, whose attributes torch's type doesn't know

    def __init__(
        self,
        data: DataSpec,
        *,
        name: str,
        output_stride: int = 16,
        first_block_dilation: str = "previous",
        multi_grid: Sequence[int] | None = None,
        level_block: str = "last",
        weights: str | None = None,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.name, self.weights = name, weights
        require_name(name, models.list_models(module=models), library="torchvision")
        make = partial(_create, name, data.in_channels, drop_path)
        skeleton = on_meta(make)
        try:
            calls = observe(skeleton, data.in_channels)
        except (RuntimeError, AssertionError, ValueError) as error:
            raise _no_levels(name) from error  # of a fixed image size, for one
        levels = level_modules(skeleton, calls, level_block)
        if not levels or max(call.after or 0 for call in levels.values()) < 32:
            raise _no_levels(name)
        whole = made(make)
        dilate(whole, calls, output_stride, name=name, first_block_dilation=first_block_dilation, multi_grid=multi_grid)
        first = 6 - len(levels)  # the last level is c5
        names = [f"c{first + i}" for i in range(len(levels))]
        strides = (min(call.after or 0, output_stride) for call in levels.values())
        self.spec: FeatureSpec = {n: Level(c.channels, s) for n, c, s in zip(names, levels.values(), strides, strict=True)}
        self.net = create_feature_extractor(whole, dict(zip(levels, names, strict=True)))
        self.pad_to = max(level.stride for level in self.spec.values())
        self.mean, self.std = (per_channel(values, data.in_channels) for values in _colours(name))

    def forward(self, images: Tensor) -> Features:
        """Images [B,C,H,W], normalised and padded to a multiple of `pad_to`."""
        return dict(self.net(images))

    def hub_state(self) -> dict[str, Tensor]:
        """torchvision's default weights of this network.

        Raises:
            WeightsError: there are none, or they can't be fetched.
        """
        return fetched(self.name, lambda: dict(_published(self.name).get_state_dict(progress=False, check_hash=True)))

    def load(self, state: dict[str, Tensor], source: str) -> list[str]:
        """Copy weights under torchvision's names; see `segexp.backbones.pretrained.fill`."""
        return fill(self.net, state, name=self.name, library="torchvision", source=source)


def _create(name: str, in_channels: int, drop_path: float) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a random initialisation takes long, or will change
        try:
            net = models.get_model(name, weights=None, stochastic_depth_prob=drop_path)
        except TypeError as error:
            if drop_path:
                raise ConfigError(f"{name} has no stochastic depth", where="backbone.drop_path", fix="backbone.drop_path=0") from error
            net = models.get_model(name, weights=None)
    set_input_channels(net, in_channels)
    return net


def _no_levels(name: str) -> ConfigError:
    return ConfigError(
        f"torchvision's {name} has no maps [B,C,H/s,W/s] at strides up to 32",
        where="backbone.name",
        fix=f"a convolutional network, such as {', '.join(FITTING)}; or backbone=timm or timm_vit",
    )


def _published(name: str) -> Any:
    weights: Any = models.get_model_weights(name)
    return weights.DEFAULT


def _colours(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of the images that the default weights were trained on."""
    try:
        preset = _published(name).transforms()
        return tuple(preset.mean), tuple(preset.std)
    except (AttributeError, ValueError):  # without weights
        return IMAGENET_MEAN, IMAGENET_STD
