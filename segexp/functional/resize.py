"""Dense outputs to image size: one rule for losses and post-processing, whole or in strips of rows."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from segexp.types import Size


class Taps(NamedTuple):
    """The two cells that each output pixel mixes along one axis: (1 - fraction) x low + fraction x high."""

    cell: Tensor  # int64 [n], 0..cells: the gap between two cells, 0 and the last beyond the outermost centres; sorted
    low: Tensor  # int64 [n]
    high: Tensor  # int64 [n], low + 1, or low beyond the outermost centres
    fraction: Tensor  # float32 [n]


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
    scale_y, scale_x = scales(stride, size, (height, width))
    if (height, width) == tuple(x.shape[-2:]) and scale_y == scale_x == 1:
        return x
    x = x.contiguous()  # planar: for few channels the kernel, and whatever reduces over classes next, is faster
    return torch.ops.aten.upsample_bilinear2d(x, [height, width], False, scale_y, scale_x)


def scales(stride: int, size: Size, original: Size) -> tuple[float, float]:
    """Pixels of `original` per cell, vertically and horizontally."""
    return stride * original[0] / size[0], stride * original[1] / size[1]


def taps(count: int, cells: int, scale: float) -> Taps:
    """What `to_size` mixes along an axis, computed in float32 as torch does, so that the fractions are its own.

    Args:
        count: output pixels.
        cells: input cells.
        scale: output pixels per cell.
    """
    step = torch.tensor(1 / scale, dtype=torch.float32)
    source = step * (torch.arange(count, dtype=torch.float32) + 0.5) - 0.5
    below = source.floor()
    cell = below.long().add_(1).clamp_(max=cells)
    return Taps(cell, (cell - 1).clamp_(min=0), cell.clamp(max=cells - 1), source - below)


def mixed_rows(x: Tensor, taps: Taps, start: int, stop: int) -> Tensor:
    """Rows start..stop-1 of the output, at the input's width: [..., h, w, ...] with rows on dimension 1 to [..., rows, w, ...]."""
    weight = taps.fraction[start:stop].to(x.dtype).view(-1, *(1,) * (x.dim() - 2))
    return torch.lerp(x.index_select(1, taps.low[start:stop]), x.index_select(1, taps.high[start:stop]), weight)


def widened(rows: Tensor, width: int, scale: float) -> Tensor:
    """Stretch [B,C,R,w] horizontally: [B,C,R,width], in the memory format of `rows`."""
    return torch.ops.aten.upsample_bilinear2d(rows, [rows.shape[2], width], False, 1.0, scale)
