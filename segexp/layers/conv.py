"""Convolution blocks shared by decoders and heads."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from segexp.errors import ConfigError
from segexp.layers.norm import SingleValueNorm


def conv_norm_act(inputs: int, outputs: int, kernel: int = 1, *, dilation: int = 1, pooled: bool = False) -> nn.Sequential:
    """Convolution without bias, BatchNorm, ReLU; keeps the size.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: its side, odd.
        dilation: of the kernel.
        pooled: the map may have one cell: in training, a batch of one image is normed by the running statistics then.
    """
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, bias=False),
        SingleValueNorm(outputs) if pooled else nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def conv_act(inputs: int, outputs: int, *, bias: bool = True) -> nn.Sequential:
    """1x1 convolution, with bias unless it is left out, and ReLU: for means of whole images, which are too few in a batch to norm by."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=bias), nn.ReLU(inplace=True))


def fully_connected(inputs: int, width: int, dilation: int, dropout: float) -> nn.Sequential:
    """VGG-16's fc6 and fc7 as the first two DeepLabs have them: 3x3 with a dilation, then 1x1, each with bias, ReLU and dropout.

    Args:
        inputs: channels in.
        width: channels of both, and out.
        dilation: of the first.
        dropout: probability after each.
    """
    return nn.Sequential(
        nn.Conv2d(inputs, width, 3, padding=dilation, dilation=dilation),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Conv2d(width, width, 1),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
    )


def separable_conv(inputs: int, outputs: int, kernel: int = 3, *, dilation: int = 1) -> nn.Sequential:
    """Depthwise then pointwise convolution, one BatchNorm and ReLU after the pair; keeps the size.

    The depthwise result goes to the pointwise convolution as it is: one pass over memory less than with a norm between.
    """
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, kernel, padding=padding, dilation=dilation, groups=inputs, bias=False),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def separable_conv_two_norms(inputs: int, outputs: int, kernel: int = 3, *, dilation: int = 1) -> nn.Sequential:
    """Depthwise then pointwise convolution, each with BatchNorm and ReLU (the form of the DeepLabv3+ paper); keeps the size."""
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, kernel, padding=padding, dilation=dilation, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU(inplace=True),
        *conv_norm_act(inputs, outputs),
    )


def check_kernel(side: int, *, key: str) -> None:
    """Refuse a kernel that has no centre.

    Args:
        side: in cells.
        key: of the config, for the message.

    Raises:
        ConfigError: it isn't a whole odd number.
    """
    if not isinstance(side, int) or isinstance(side, bool) or side < 1 or side % 2 == 0:
        raise ConfigError("a kernel's side is a whole odd number", where=f"{key}={side}", fix=f"{key}=3|5")


def check_width(width: int, *, key: str, usual: int) -> None:
    """Refuse a number of channels that no convolution can have.

    Args:
        width: channels.
        key: of the config, for the message.
        usual: a number that makes sense there.

    Raises:
        ConfigError: it isn't a whole number above 0.
    """
    if not isinstance(width, int) or isinstance(width, bool) or width < 1:
        raise ConfigError("a width is a whole number of channels above 0", where=f"{key}={width}", fix=f"{key}={usual}")


def conv_block(separable: bool | str, *, key: str = "decoder.separable") -> Callable[..., nn.Sequential]:
    """The block that a decoder's 3x3 convolutions are.

    Args:
        separable: False (dense), True (depthwise separable, one norm) or `two_norms` (a norm after both of the pair).
        key: of the config, for messages.

    Returns:
        `(inputs, outputs, kernel, dilation=1) -> block`.

    Raises:
        ConfigError: another value.
    """
    blocks = {False: conv_norm_act, True: separable_conv, "two_norms": separable_conv_two_norms}
    if not isinstance(separable, bool | str) or separable not in blocks:
        raise ConfigError("no such form of a convolution", where=f"{key}={separable}", fix=f"{key}=false|true|two_norms")
    return blocks[separable]
