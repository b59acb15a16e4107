"""How sure a network is of the classes of segments, without the probabilities of every pixel in memory."""

from __future__ import annotations

import torch
from torch import Tensor

from segexp.functional.resize import mixed_rows, scales, shift, taps, widened
from segexp.functional.segments import of_pixels
from segexp.types import Size

WORKING_SET = 2**21  # values of a strip of rows: it stays in the processor's cache


def mean_probabilities(
    logits: Tensor, stride: float, size: Size, original: Size, segments: Tensor, labels: Tensor, *, aligned: bool = False
) -> Tensor:
    """The mean over a segment's pixels of the softmax of its class, after `segexp.functional.resize.to_size`.

    Args:
        logits: [K,h,w] at `stride` of the padded input.
        stride: input pixels per cell.
        size: valid (height, width) of the input.
        original: the size of `segments`.
        segments: int32 [H,W], 0 = void.
        labels: int64 [S], the class of each segment.
        aligned: as in `to_size`.

    Returns:
        float32 [S]; 0 for a segment without a pixel.
    """
    (height, width), ratios, offset = original, scales(stride, size, original), shift(stride, aligned)
    logits, rows = logits.detach().float().contiguous(), taps(height, logits.shape[1], ratios[0], offset)
    classes = of_pixels(segments, labels)
    sums = torch.zeros(len(labels) + 1, dtype=torch.float64, device=logits.device)
    step = max(WORKING_SET // (len(logits) * width), 1)
    for start in range(0, height, step):
        stop = min(start + step, height)
        full = widened(mixed_rows(logits, rows, start, stop)[None], width, ratios[1], offset)[0]  # [K,R,W]
        own = full.gather(0, classes[None, start:stop])[0]
        highest = full.amax(0)
        own = (own - highest).exp_() / full.sub_(highest).exp_().sum(0)
        sums.index_add_(0, segments[start:stop].flatten(), own.flatten().double())
    pixels = torch.bincount(segments.flatten(), minlength=len(sums))
    return (sums / pixels.clamp(min=1))[1:].float()
