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


def moments(segments: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Pixels of segments 1..count, int64 [count], and the sums of their coordinates (y, x), int64 [count,2].

    Runs of equal pixels in a row are added up, not pixels, so the cost hardly depends on the number of segments.
    """
    width, flat = segments.shape[1], segments.flatten()
    starts = torch.ones_like(flat, dtype=torch.bool)
    torch.ne(flat[1:], flat[:-1], out=starts[1:])
    starts[::width] = True
    first = starts.nonzero().flatten()  # [R] where each run begins
    length = torch.diff(first, append=first.new_tensor([len(flat)]))
    x = first % width
    of_runs = torch.stack([length, (first // width) * length, x * length + length * (length - 1) // 2], 1)
    sums = first.new_zeros(count + 1, 3).index_add_(0, flat[first].long(), of_runs)[1:]
    return sums[:, 0], sums[:, 1:]


def centers(segments: Tensor, count: int) -> Tensor:
    """Centre of mass (y, x) of segments 1..count, in pixel coordinates: float32 [count,2]; NaN where a segment is empty.

    The integer pixel grid is used: a one-pixel segment at row 3, column 5 has its centre at (3, 5).
    """
    pixels, sums = moments(segments, count)
    return (sums.double() / pixels[:, None]).float()


def offsets(segments: Tensor, middle: Tensor, chosen: Tensor | None = None) -> Tensor:
    """Vector (dy, dx) from every pixel to the centre of its segment: float32 [2,H,W], 0 in void.

    Args:
        segments: [H,W].
        middle: [S,2] centres (y, x).
        chosen: bool [S]; the pixels of other segments get 0, too. All unless given.
    """
    height, width = segments.shape
    there = torch.ones(len(middle), dtype=torch.bool, device=middle.device) if chosen is None else chosen
    y, x, there = (of_pixels(segments, values.float()) for values in (*middle.unbind(1), there))
    ys, xs = (torch.arange(n, device=segments.device, dtype=torch.float32) for n in (height, width))
    return torch.stack([(y - ys[:, None]).mul_(there), (x - xs).mul_(there)])


def of_pixels(segments: Tensor, values: Tensor, void: float = 0) -> Tensor:
    """The value of every pixel's segment, `void` where there is none: values [S] to [H,W]."""
    table = torch.cat([values.new_full((1,), void), values])
    return table.index_select(0, segments.flatten()).view(segments.shape)
