"""The encoders of segmentation-models-pytorch as backbones: Mix Transformers (SegFormer's), MobileOne, DPN, SENet, ..."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any

import segmentation_models_pytorch as smp
from torch import Tensor, nn

from segexp.backbones.geometry import dilate, made, observe, set_input_channels, skeleton
from segexp.backbones.pretrained import IMAGENET_MEAN, IMAGENET_STD, fetched, fill, per_channel, require_name
from segexp.errors import ConfigError
from segexp.types import DataSpec, Features, FeatureSpec, Level

ENCODERS: dict[str, Any] = smp.encoders.encoders

# where the published weights want other colours than ImageNet's; the library keeps them on the hub, next to the weights
COLOURS = {
    "inception": ((0.5,) * 3, (0.5,) * 3),
    "xception": ((0.5,) * 3, (0.5,) * 3),
    "dpn": ((124 / 255, 117 / 255, 104 / 255), (1 / (0.0167 * 255),) * 3),
}


class SmpEncoder(nn.Module):
    """Features `c1..c5` as the library numbers its stages; those without channels (a transformer's c1) are left out.

    Args:
        data: the data set; sets the number of input channels.
        name: the library's name of the encoder, e.g. `mit_b0`, `mobileone_s0`.
        output_stride: stride of the deepest level. The stages beyond it are dilated by this project, not by the library
            (see `segexp.backbones.geometry.dilate`).
        first_block_dilation: `previous`; or `full`, which gives the library's own numbers.
        multi_grid: one factor per block of the last stage, by which its dilation is multiplied; null: none.
        weights: `null` (random), `hub` (the library's ImageNet weights, downloaded), a file, or `run:<directory or id>`.
            Read by `segexp.build`, after the chain was checked.
        drop_path: stochastic depth, for encoders that have it (the published recipe of Mix Transformers: 0.1).

    Raises:
        ConfigError: there is no such encoder, or it can't have this output stride or stochastic depth.
    """

    net: Any  # the encoders have attributes that torch's type doesn't know

    def __init__(
        self,
        data: DataSpec,
        *,
        name: str,
        output_stride: int = 16,
        first_block_dilation: str = "previous",
        multi_grid: Sequence[int] | None = None,
        weights: str | None = None,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.name, self.weights = name, weights
        require_name(name, ENCODERS, library="segmentation-models-pytorch", also="or backbone=timm for timm's")
        make = partial(_create, name, data.in_channels, drop_path)
        self.net = made(make)
        calls = observe(skeleton(self.net, make), data.in_channels)
        dilate(self.net, calls, output_stride, name=name, first_block_dilation=first_block_dilation, multi_grid=multi_grid)
        levels = enumerate(self.net.out_channels)
        self.spec: FeatureSpec = {f"c{i}": Level(c, min(2**i, output_stride)) for i, c in levels if i > 0 and c > 0}
        self.pad_to = max(level.stride for level in self.spec.values())
        mean, std = next((colours for family, colours in COLOURS.items() if name.startswith(family)), (IMAGENET_MEAN, IMAGENET_STD))
        self.mean, self.std = per_channel(mean, data.in_channels), per_channel(std, data.in_channels)

    def forward(self, images: Tensor) -> Features:
        """Images [B,C,H,W], normalised and padded to a multiple of `pad_to`."""
        levels = self.net(images)
        return {name: levels[int(name[1:])] for name in self.spec}

    def hub_state(self) -> dict[str, Tensor]:
        """The library's weights of this encoder, those of plain ImageNet where it has several.

        Raises:
            WeightsError: they can't be fetched.
        """
        offered = list(ENCODERS[self.name]["pretrained_settings"])
        chosen = "imagenet" if "imagenet" in offered else offered[0]
        return fetched(self.name, lambda: smp.encoders.get_encoder(self.name, weights=chosen).state_dict())

    def load(self, state: dict[str, Tensor], source: str) -> list[str]:
        """Copy weights under the library's names; see `segexp.backbones.pretrained.fill`."""
        return fill(self.net, state, name=self.name, library="segmentation-models-pytorch", source=source)


def _create(name: str, in_channels: int, drop_path: float) -> Any:
    entry = ENCODERS[name]
    options = copy.deepcopy(entry["params"])
    if "drop_path_rate" in options:
        options["drop_path_rate"] = drop_path
    net: Any = entry["encoder"](**options, depth=5, output_stride=32)
    if hasattr(net, "_drop_connect_rate"):  # EfficientNet, which has 0.2 unless told
        net._drop_connect_rate = drop_path
    elif drop_path and "drop_path_rate" not in options:
        raise ConfigError(f"{name} has no stochastic depth", where="backbone.drop_path", fix="backbone.drop_path=0")
    set_input_channels(net, in_channels)
    return net
