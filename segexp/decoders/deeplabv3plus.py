"""DeepLabv3+ decoder (Chen et al., "Encoder-Decoder with Atrous Separable Convolution", 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segexp.decoders.levels import need
from segexp.errors import ConfigError
from segexp.layers.aspp import ASPP, atrous_rates, shown
from segexp.layers.conv import check_kernel, check_width, conv_block, conv_norm_act
from segexp.types import Features, FeatureSpec, Level


class DeepLabV3Plus(nn.Module):
    """ASPP on the deepest level, upsampled and refined with a shallow one, or with several in turn; emits the level `semantic`.

    Args:
        features: what the backbone emits.
        high: the level that the ASPP reads.
        low: the level whose resolution the output has; or several, the coarsest first (as in Panoptic-DeepLab).
        width: channels of the output.
        low_width: channels that the low level is reduced to (48 in the paper); a list for several.
        rates: dilations of the ASPP; from the stride of `high` unless given (3/6/9, 6/12/18, 12/24/36 at 32, 16, 8).
        separable: depthwise separable convolutions: False, True (one norm) or `two_norms` (one after each of the pair).
        aspp_separable: those of the ASPP; as `separable` unless given.
        fuse_convs: convolutions after each concatenation (2 in the paper).
        fuse_kernel: of these, odd.
        aspp_width: channels of the ASPP; `width` unless given.
        dropout: probability after the ASPP.
        align_corners: how the ASPP's output is resized.
        pool_norm: of the image pool: True, BatchNorm; False, neither norm nor bias; `bias`, a bias alone.
        post_conv: a 3x3 convolution after the ASPP; there is none unless True is given.

    Raises:
        ConfigError: a value that there isn't.
        WiringError: a level is missing.
    """

    def __init__(
        self,
        features: FeatureSpec,
        *,
        high: str = "c5",
        low: str | Sequence[str] = "c2",
        width: int = 256,
        low_width: int | Sequence[int] = 48,
        rates: Sequence[int] | None = None,
        separable: bool | str = True,
        aspp_separable: bool | str | None = None,
        fuse_convs: int = 2,
        fuse_kernel: int = 3,
        aspp_width: int | None = None,
        dropout: float = 0.1,
        align_corners: bool = False,
        pool_norm: bool | str = True,
        post_conv: bool | None = None,
    ) -> None:
        super().__init__()
        need(features, by="DeepLabV3Plus", high=high, low=low)
        lows = [low] if isinstance(low, str) else list(low)
        _check_order(features, lows)
        low_widths = _widths(low, low_width, len(lows))
        _check_convs(fuse_convs, fuse_kernel)
        channels = width if aspp_width is None else aspp_width
        check_width(width, key="decoder.width", usual=256)
        check_width(channels, key="decoder.aspp_width", usual=256)
        self.high, self.lows = high, lows
        self.rates = atrous_rates(features[high].stride, rates)
        block = conv_block(separable)
        inner, key = (separable, "separable") if aspp_separable is None else (aspp_separable, "aspp_separable")
        options = {"separable": inner, "key": f"decoder.{key}", "dropout": dropout, "pool_norm": pool_norm}
        self.aspp = ASPP(features[high].channels, channels, self.rates, **options)
        self.refine = block(channels, channels, 3) if post_conv else nn.Identity()
        self.stages = nn.ModuleList()
        for name, reduced in zip(lows, low_widths, strict=True):
            reduce = conv_norm_act(features[name].channels, reduced)
            fuse = nn.Sequential(*(block(width if i else channels + reduced, width, fuse_kernel) for i in range(fuse_convs)))
            self.stages.append(_Stage(reduce, fuse, align_corners=align_corners))
            channels = width if fuse_convs else channels + reduced
        self.spec: FeatureSpec = {"semantic": Level(channels, features[lows[-1]].stride)}

    def forward(self, features: Features) -> Features:
        x = self.refine(self.aspp(features[self.high]))  # [B,C,h',w']
        for name, stage in zip(self.lows, self.stages, strict=True):
            x = stage(x, features[name])  # [B,C,h,w]
        return {"semantic": x}


class _Stage(nn.Module):
    """A map resized to a shallower level's cells, and fused with that level's reduced channels."""

    def __init__(self, reduce: nn.Module, fuse: nn.Module, *, align_corners: bool) -> None:
        super().__init__()
        self.reduce, self.fuse, self.align_corners = reduce, fuse, align_corners

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        low = self.reduce(level)  # [B,C',h,w]
        x = F.interpolate(x, low.shape[-2:], mode="bilinear", align_corners=self.align_corners)
        return self.fuse(torch.cat([x, low], dim=1))


def _check_order(features: FeatureSpec, lows: Sequence[str]) -> None:
    """Refuse low levels that don't go from coarse to fine: each is resized to the next one's cells.

    Raises:
        ConfigError: gives the right order.
    """
    strides = [features[name].stride for name in lows]
    if len(set(lows)) < len(lows) or any(former < latter for former, latter in pairwise(strides)):
        right = sorted(dict.fromkeys(lows), key=lambda name: features[name].stride, reverse=True)
        widths = "" if len(right) == len(lows) else ", and as many widths in decoder.low_width"
        raise ConfigError(
            f"low levels go from coarse to fine, each once; these have the strides {', '.join(map(str, strides))}",
            where=f"decoder.low={shown(lows)}",
            fix=f"decoder.low={shown(right)}{widths}",
        )


def _widths(low: str | Sequence[str], low_width: int | Sequence[int], count: int) -> list[int]:
    """The widths of the low levels; one may stand for all.

    Raises:
        ConfigError: another number of widths than of levels, or one that is no whole number above 0.
    """
    widths = [low_width] * count if isinstance(low_width, int) else list(low_width)
    if not count or len(widths) != count or not all(isinstance(width, int) and width > 0 for width in widths):
        raise ConfigError(
            "each low level has one width, a whole number above 0",
            where=f"decoder.low={shown(low)}, decoder.low_width={shown(low_width)}",
            fix="decoder.low=c2 decoder.low_width=48, or two lists of one length",
        )
    return widths


def _check_convs(count: int, kernel: int) -> None:
    if not isinstance(count, int) or count < 0:
        raise ConfigError(f"{count} convolutions", where="decoder.fuse_convs", fix="decoder.fuse_convs=2, or any number from 0 on")
    check_kernel(kernel, key="decoder.fuse_kernel")
