"""Atrous spatial pyramid pooling (Chen et al., "Rethinking Atrous Convolution", 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segexp.errors import ConfigError
from segexp.layers.conv import check_width, conv_act, conv_block, conv_norm_act

RATES = (6, 12, 18)  # at stride 16


def atrous_rates(
    stride: int, rates: Sequence[int] | None = None, *, published: Sequence[int] = RATES, key: str = "decoder.rates"
) -> tuple[int, ...]:
    """Dilations: those given, else the published ones of stride 16, scaled so that the field of view in pixels stays.

    Args:
        stride: of the level that is read.
        rates: as configured; None: 3/6/9 at stride 32, 6/12/18 at 16, 12/24/36 at 8.
        published: those of stride 16.
        key: of the config, for messages.

    Raises:
        ConfigError: no rate, or one that is no whole number above 0.
    """
    if rates is None:
        return tuple(max(1, round(rate * 16 / stride)) for rate in published)
    listed = isinstance(rates, list | tuple) and len(rates) > 0
    if not listed or any(not isinstance(rate, int) or isinstance(rate, bool) or rate < 1 for rate in rates):
        fit = ",".join(map(str, atrous_rates(stride, published=published)))
        raise ConfigError(
            "rates are a list of whole numbers above 0", where=f"{key}={shown(rates)}", fix=f"{key}=[{fit}], or null: from stride {stride}"
        )
    return tuple(rates)


def shown(value: object) -> str:
    """A value as one types it on the command line."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, list | tuple) else str(value)


class ImagePool(nn.Module):
    """Global average, 1x1 convolution, norm, ReLU, spread over the map again.

    Args:
        inputs: channels in.
        outputs: channels out.
        norm: True, with BatchNorm; False, the convolution has neither norm nor bias; `bias`, a bias in the norm's place.

    Raises:
        ConfigError: another `norm`.
    """

    def __init__(self, inputs: int, outputs: int, *, norm: bool | str = True) -> None:
        super().__init__()
        if norm not in (True, False, "bias"):
            raise ConfigError("no such norm of the image pool", where=f"decoder.pool_norm={norm}", fix="decoder.pool_norm=true|false|bias")
        self.project = conv_norm_act(inputs, outputs, pooled=True) if norm is True else conv_act(inputs, outputs, bias=norm == "bias")

    def forward(self, x: Tensor) -> Tensor:
        return self.project(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[-2:])  # [B,C,h,w]


class ASPP(nn.Module):
    """Parallel atrous convolutions and an image pool, concatenated and projected.

    Args:
        inputs: channels of the input.
        width: channels of each branch and of the output.
        rates: dilation of each 3x3 branch.
        separable: depthwise separable 3x3 branches; see `conv_block`.
        key: of `separable` in the config, for messages.
        dropout: probability after the projection.
        pool_norm: of the image pool: BatchNorm, neither norm nor bias, or `bias`.

    Raises:
        ConfigError: a width of 0, or another `separable` or `pool_norm`.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        rates: Sequence[int],
        *,
        separable: bool | str,
        key: str = "decoder.separable",
        dropout: float,
        pool_norm: bool | str = True,
    ) -> None:
        super().__init__()
        check_width(width, key="decoder.width", usual=256)
        block = conv_block(separable, key=key)
        self.branches = nn.ModuleList([conv_norm_act(inputs, width), *(block(inputs, width, 3, dilation=r) for r in rates)])
        self.pool = ImagePool(inputs, width, norm=pool_norm)
        self.project = nn.Sequential(conv_norm_act(width * (len(rates) + 2), width), nn.Dropout(dropout))

    def forward(self, x: Tensor) -> Tensor:
        return self.project(torch.cat([*(branch(x) for branch in self.branches), self.pool(x)], dim=1))
