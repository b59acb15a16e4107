"""Pure functions on segment maps: int32 [H,W], 0 = void, 1..S contiguous, class of segment s at `labels[s - 1]`."""

from __future__ import annotations

import torch
from torch import Tensor


def areas(segments: Tensor, count: int) -> Tensor:
    """Pixels of segments 1..count: int64 [count]."""
    return torch.bincount(segments.flatten(), minlength=count + 1)[1 : count + 1]


def compact(segments: Tensor, labels: Tensor, crowd: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Drop segments without a pixel (cropped away, covered) and number the rest 1..N in the same order."""
    present = areas(segments, len(labels)) > 0  # [S]
    if bool(present.all()):
        return segments, labels, crowd
    new = torch.zeros(len(labels) + 1, dtype=segments.dtype)
    new[1:][present] = torch.arange(1, int(present.sum()) + 1, dtype=segments.dtype)
    return new[segments.long()], labels[present], crowd[present]


def to_semantic(segments: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
    """The class of every pixel, `ignore_index` in void: uint8 [H,W] where ids fit, else int64."""
    small = ignore_index < 256 and (len(labels) == 0 or int(labels.max()) < 256)
    table = torch.full((len(labels) + 1,), ignore_index, dtype=torch.uint8 if small else torch.int64)
    table[1:] = labels.to(table.dtype)
    return table[segments.long()]


def to_masks(segments: Tensor, chosen: Tensor) -> Tensor:
    """Binary masks of the segments whose ids are given: bool [N,H,W]."""
    return segments[None] == chosen[:, None, None].to(segments.dtype)


def centers(segments: Tensor, count: int) -> Tensor:
    """Centre of mass (y, x) of segments 1..count, in pixel coordinates: float32 [count,2]; NaN where a segment is empty.

    The integer pixel grid is used: a one-pixel segment at row 3, column 5 has its centre at (3, 5).
    """
    height, width = segments.shape
    ids = segments.flatten().long()
    ys = torch.arange(height, device=ids.device, dtype=torch.float64)[:, None].expand(height, width).flatten()
    xs = torch.arange(width, device=ids.device, dtype=torch.float64)[None].expand(height, width).flatten()
    n = torch.bincount(ids, minlength=count + 1).double()
    sums = [torch.bincount(ids, weights=axis, minlength=count + 1) for axis in (ys, xs)]
    return torch.stack([s[1 : count + 1] / n[1 : count + 1] for s in sums], dim=1).float()


def offsets(segments: Tensor, middle: Tensor) -> Tensor:
    """Vector (dy, dx) from every pixel to the centre of its segment: float32 [2,H,W], 0 in void."""
    height, width = segments.shape
    table = torch.cat([middle.new_zeros(1, 2), middle])[segments.long()]  # [H,W,2]
    ys = torch.arange(height, device=segments.device, dtype=torch.float32)[:, None]
    xs = torch.arange(width, device=segments.device, dtype=torch.float32)[None]
    there = (segments > 0).float()
    return torch.stack([(table[..., 0] - ys) * there, (table[..., 1] - xs) * there])
