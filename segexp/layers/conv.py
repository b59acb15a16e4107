"""Convolution blocks shared by decoders and heads."""

from __future__ import annotations

from torch import nn

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


def conv_act(inputs: int, outputs: int) -> nn.Sequential:
    """1x1 convolution with bias, ReLU: for means of whole images, which are too few in a batch to norm by."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.ReLU(inplace=True))


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
