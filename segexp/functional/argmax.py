"""The most likely class of every pixel without the logits of every pixel."""

from __future__ import annotations

import torch
from torch import Tensor

from segexp.functional.resize import Taps, mixed_rows, scales, shift, taps, to_size, widened
from segexp.types import Size

WORKING_SET = 2**21  # values that a step works on: they stay in the processor's cache, and kernels take about a millisecond
FEW = 2**19  # upsampled values up to which the plain form is as fast
MOST_MIXED = 0.9  # share of mixed cells up to which they are looked at one by one


def largest(planes: Tensor) -> Tensor:
    """The index of the largest value along the first dimension, the lowest of equals, as `argmax(0)` gives it.

    Args:
        planes: [K,...], finite where a CPU holds it: there a NaN is never the largest.

    Returns:
        [...], uint8 for K <= 256, else int64.
    """
    kind = torch.uint8 if len(planes) <= 256 else torch.int64
    if planes.device.type != "cpu" or len(planes) > 2**15:
        return planes.argmax(0).to(kind)
    dtype = torch.uint8 if len(planes) <= 256 else torch.int16
    planes = planes.detach()  # what is written in place has no gradient
    best = planes[0].clone(memory_format=torch.contiguous_format)
    index = torch.zeros(best.shape, dtype=dtype)
    for number, plane in enumerate(planes[1:], 1):
        higher = (plane > best).view(torch.uint8)
        torch.maximum(best, plane, out=best)
        torch.maximum(index, higher * number if dtype == torch.uint8 else higher.to(dtype).mul_(number), out=index)
    return index.to(kind)


def upsampled_argmax(logits: Tensor, stride: float, size: Size, original: Size | None = None, *, aligned: bool = False) -> Tensor:
    """The most likely class after `to_size`, the lowest of equals.

    A bilinear value is a mean of the four cells around it: where these agree on the class, so does every pixel between
    them. Only the pixels between cells that differ are computed, and where most cells differ (noise), strips of rows.
    The class may differ from that of `to_size` where the two highest logits are equal but for rounding.

    Args:
        logits: [K,h,w] at `stride` of the padded input.
        stride: input pixels per cell.
        size: valid (height, width) of the input.
        original: the size to return; `size` unless given.
        aligned: as in `to_size`.

    Returns:
        [H,W], uint8 for K <= 256, else int64.
    """
    height, width = original or size
    ratios = scales(stride, size, (height, width))
    logits = logits.detach()
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    few = len(logits) * height * width <= FEW
    if few or logits.device.type != "cpu" or not bool(logits.sum().isfinite()):  # a NaN is the largest value there is
        best = to_size(logits[None], stride, size, original, aligned=aligned)[0].max(0).indices
        return best.to(torch.uint8 if len(logits) <= 256 else torch.int64)
    logits = logits.contiguous()
    if (height, width) == tuple(logits.shape[1:]) and ratios == (1, 1):
        return largest(logits)
    offset = shift(stride, aligned)
    rows, columns = (taps(n, cells, ratio, offset) for n, cells, ratio in zip((height, width), logits.shape[1:], ratios, strict=True))
    found = _by_cells(logits, rows, columns) if min(ratios) >= 2 else None
    return _by_strips(logits, rows, width, ratios[1], offset) if found is None else found


def mixed_cells(classes: Tensor, rows: Taps, columns: Taps) -> Tensor:
    """Which gaps between cells have corners of more than one class: bool [gaps down, gaps across].

    Args:
        classes: [h,w], of the cells.
        rows, columns: of the output.
    """
    down, across = int(rows.cell[-1]) + 1, int(columns.cell[-1]) + 1
    edged = torch.cat([classes[:1], classes, classes[-1:]])[: down + 1]
    edged = torch.cat([edged[:, :1], edged, edged[:, -1:]], 1)[:, : across + 1]  # beyond the outermost centres: the outermost
    beside, below = edged[:, 1:] != edged[:, :-1], edged[1:] != edged[:-1]
    return beside[1:] | beside[:-1] | below[:, 1:]


def _by_cells(logits: Tensor, rows: Taps, columns: Taps) -> Tensor | None:
    """Fill what the corners agree on, then compute the rest; None where that would be slower than strips."""
    classes = largest(logits)
    down, across = (torch.bincount(axis.cell) for axis in (rows, columns))  # pixels in each gap
    mixed = mixed_cells(classes, rows, columns) & (down > 0)[:, None] & (across > 0)
    i, j = mixed.nonzero(as_tuple=True)  # [M]
    if len(i) > MOST_MIXED * mixed.numel():
        return None
    out = classes.index_select(1, columns.low).index_select(0, rows.low)
    step = max(WORKING_SET // (len(logits) * int(down.max()) * int(across.max())), 1)
    for start in range(0, len(i), step):
        here = slice(start, start + step)
        y, x = _pixels(i[here], down), _pixels(j[here], across)  # [S,M], [T,M]
        value = _between(logits, rows, columns, y, x)  # [K,S,T,M]
        out.view(-1)[(y[:, None] * out.shape[1] + x).flatten()] = largest(value).flatten()
    return out


def _pixels(gaps: Tensor, sizes: Tensor) -> Tensor:
    """The output pixels in each gap; the last is repeated where a gap has fewer than others: int64 [most,M]."""
    first = sizes.cumsum(0) - sizes
    inside = torch.arange(int(sizes.max()))[:, None]
    return first[gaps] + torch.minimum(inside, sizes[gaps] - 1)


def _between(logits: Tensor, rows: Taps, columns: Taps, y: Tensor, x: Tensor) -> Tensor:
    """Bilinear values at rows y [S,M] x columns x [T,M] of M gaps: [K,S,T,M]."""
    flat, width = logits.flatten(1), logits.shape[2]
    above, under = rows.low[y[0]] * width, rows.high[y[0]] * width
    down, across = rows.fraction[y].to(logits.dtype), columns.fraction[x].to(logits.dtype)
    sides = []
    for column in (columns.low[x[0]], columns.high[x[0]]):
        top, bottom = flat.index_select(1, above + column), flat.index_select(1, under + column)  # [K,M]
        sides.append(torch.lerp(top[:, None], bottom[:, None], down))  # [K,S,M]
    return torch.lerp(sides[0][:, :, None], sides[1][:, :, None], across)


def _by_strips(logits: Tensor, rows: Taps, width: int, ratio: float, offset: float) -> Tensor:
    """All values, a few rows at a time."""
    height = len(rows.cell)
    step = max(WORKING_SET // (len(logits) * width), 1)
    strips = []
    for start in range(0, height, step):
        thin = mixed_rows(logits, rows, start, min(start + step, height))  # [K,R,w]
        strips.append(largest(widened(thin[None], width, ratio, offset)[0]))
    return torch.cat(strips)
