"""Dense outputs to image size: one rule for losses and post-processing."""

from __future__ import annotations

import torch
from torch import Tensor

from segexp.types import Size


def to_size(x: Tensor, stride: int, size: Size, original: Size | None = None) -> Tensor:
    """Bring a map at `stride` to image size, bilinear, with half-pixel centres.

    The map covers the padded input; cell (0, 0) and the input's corner agree, so scaling by the exact ratio and
    stopping at the wanted size both resizes and cuts the padding away, in one pass over memory.

    Args:
        x: [B,C,h,w] at `stride` of the padded input.
        stride: input pixels per cell.
        size: valid (height, width) of the input.
        original: the size to return; `size` unless given.

    Returns:
        [B,C,H,W] at `original`.
    """
    height, width = original or size
    scale_y, scale_x = stride * height / size[0], stride * width / size[1]
    if (height, width) == tuple(x.shape[-2:]) and scale_y == scale_x == 1:
        return x
    x = x.contiguous()  # planar: for few channels the kernel, and whatever reduces over classes next, is faster
    return torch.ops.aten.upsample_bilinear2d(x, [height, width], False, scale_y, scale_x)
