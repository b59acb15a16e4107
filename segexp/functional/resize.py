"""Dense outputs to image size: one rule (and its aligned form) for losses and post-processing, whole or in strips of rows."""

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


HALF = 0.5  # of a pixel or cell: where its centre lies


def to_size(x: Tensor, stride: float, size: Size, original: Size | None = None, *, aligned: bool = False) -> Tensor:
    """Bring a map at `stride` to image size, bilinear, with half-pixel centres.

    The map covers the padded input; cell (0, 0) and the input's corner agree, so scaling by the exact ratio and
    stopping at the wanted size both resizes and cuts the padding away, in one pass over memory.

    Args:
        x: [B,C,h,w] at `stride` of the padded input.
        stride: input pixels per cell.
        size: valid (height, width) of the input.
        original: the size to return; `size` unless given.
        aligned: input pixel x lies at cell x / stride, the centre of pixel 0 being that of cell 0; for an input of k x stride + 1
            this is `align_corners=True`. Between the input and `original` pixels keep their half-pixel centres.

    Returns:
        [B,C,H,W] at `original`.
    """
    height, width = original or size
    scale_y, scale_x = scales(stride, size, (height, width))
    if (height, width) == tuple(x.shape[-2:]) and scale_y == scale_x == 1:
        return x
    x = x.contiguous()  # planar: for few channels the kernel, and whatever reduces over classes next, is faster
    if not aligned:
        return torch.ops.aten.upsample_bilinear2d(x, [height, width], False, scale_y, scale_x)
    whole = [(cells - 1) * int(stride) + 1 for cells in x.shape[-2:]]  # of the input that the map covers
    if (height, width) == tuple(size) and stride == int(stride) and height <= whole[0] and width <= whole[1]:
        return torch.ops.aten.upsample_bilinear2d(x, whole, True)[..., :height, :width]
    for dim, count, scale in ((2, height, scale_y), (3, width, scale_x)):
        x = _mixed(x, taps(count, x.shape[dim], scale, shift(stride, aligned)), dim)
    return x


def regrid(x: Tensor, like: Tensor, ratios: tuple[float, float], stride: int, *, aligned: bool = False) -> Tensor:
    """Bring a map of a rescaled input to the cells of the input itself.

    Args:
        x: [B,C,h',w'] at `stride` of the rescaled input.
        like: [B,C,h,w] at `stride` of the input.
        ratios: the input's height and width over the rescaled one's.
        stride: pixels per cell.
        aligned: of both maps; see `to_size`.

    Returns:
        [B,C,h,w].
    """
    if not aligned:
        return torch.ops.aten.upsample_bilinear2d(x, list(like.shape[-2:]), False, *map(float, ratios))
    for dim, ratio in zip((2, 3), ratios, strict=True):
        offset = HALF / stride - (HALF / stride - HALF) / ratio  # between pixels the half-pixel rule holds
        x = _mixed(x, taps(like.shape[dim], x.shape[dim], ratio, offset), dim)
    return x


def scales(stride: float, size: Size, original: Size) -> tuple[float, float]:
    """Pixels of `original` per cell, vertically and horizontally."""
    return stride * original[0] / size[0], stride * original[1] / size[1]


def shift(stride: float, aligned: bool) -> float:
    """What `taps` subtracts, in cells: the centre of cell 0 is half a cell from the map's corner, or, aligned, half a pixel."""
    return HALF / stride if aligned else HALF


def taps(count: int, cells: int, scale: float, shift: float = HALF) -> Taps:
    """What `to_size` mixes along an axis, computed in float32 as torch does, so that the fractions are its own.

    Args:
        count: output pixels.
        cells: input cells.
        scale: output pixels per cell.
        shift: the centre of output pixel x lies at cell (x + 0.5) / scale - shift; see the function of this name.
    """
    step = torch.tensor(1 / scale, dtype=torch.float32)
    source = step * (torch.arange(count, dtype=torch.float32) + HALF) - shift
    below = source.floor()
    cell = below.long().add_(1).clamp_(0, cells)
    return Taps(cell, (cell - 1).clamp_(min=0), cell.clamp(max=cells - 1), source - below)


def _mixed(x: Tensor, taps: Taps, dim: int) -> Tensor:
    """Resize along a dimension."""
    low, high, fraction = (part.to(x.device) for part in taps[1:])
    weight = fraction.to(x.dtype).view(-1, *(1,) * (x.dim() - 1 - dim))
    return torch.lerp(x.index_select(dim, low), x.index_select(dim, high), weight)


def mixed_rows(x: Tensor, taps: Taps, start: int, stop: int) -> Tensor:
    """Rows start..stop-1 of the output, at the input's width: [..., h, w, ...] with rows on dimension 1 to [..., rows, w, ...]."""
    return _mixed(x, Taps(*(part[start:stop] for part in taps)), 1)


def widened(rows: Tensor, width: int, scale: float, shift: float = HALF) -> Tensor:
    """Stretch [B,C,R,w] horizontally: [B,C,R,width], in the memory format of `rows`; `scale` and `shift` as in `taps`."""
    if shift == HALF:
        return torch.ops.aten.upsample_bilinear2d(rows, [rows.shape[2], width], False, 1.0, scale)
    return _mixed(rows, taps(width, rows.shape[3], scale, shift), 3)
