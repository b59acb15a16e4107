"""What bottom-up panoptic heads learn: a heatmap of the things' centres, and a vector from each of their pixels to the centre."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from segexp.functional import segments as segment_ops
from segexp.types import Size


class CenterTargets(NamedTuple):
    """The truth of one image."""

    center: Tensor  # float32 [H,W], 1 at the centres
    offset: Tensor  # float32 [2,H,W] (dy, dx) in pixels, 0 outside things
    points: Tensor  # float64 [N,2] (y, x): where the vectors end, one for each thing with a pixel, in the order of the segments


def center_targets(
    segments: Tensor, things: Tensor, *, sigma: float = 8.0, sigma_share: float = 0.0, rounded: bool = False, peaks: Tensor | None = None
) -> CenterTargets:
    """Centres and vectors, from a segment map.

    The centre of a thing is the mean of its pixels' coordinates. The heatmap peaks at a whole pixel: the centre without its
    fraction (Panoptic-DeepLab in PyTorch, Detectron2), while vectors point to the centre itself; or `rounded`, half to even,
    and then vectors point there too (DeepLab2).

    Args:
        segments: int32 [H,W], 0 = void.
        things: bool [S], the segments that have a centre.
        sigma: of the Gaussians, in pixels; they end 3 sigma + 1 pixels from the peak.
        sigma_share: a thing's sigma is at least this share of the square root of its pixels.
        rounded: see above.
        peaks: bool [S]; the things that are in the heatmap. All unless given.
    """
    pixels, sums = segment_ops.moments(segments, len(things))
    middle = sums.double() / pixels[:, None]  # [S,2], NaN where empty
    middle = middle.round() if rounded else middle
    there = things & (pixels > 0)
    shown = there if peaks is None else there & peaks
    return CenterTargets(
        center=heatmap(middle[shown].floor().long(), tuple(segments.shape), _sigmas(pixels[shown], sigma, sigma_share)),
        offset=segment_ops.offsets(segments, middle, things),
        points=middle[there],
    )


def _sigmas(pixels: Tensor, sigma: float, share: float) -> list[float]:
    """One for each thing; whole quarters of a pixel where they follow from its size."""
    if not share:
        return [sigma] * len(pixels)
    return torch.maximum((pixels.sqrt() * share * 4).round() / 4, pixels.new_tensor(sigma, dtype=torch.float64)).tolist()


def heatmap(peaks: Tensor, size: Size, sigmas: Sequence[float]) -> Tensor:
    """The largest of the Gaussians around whole pixels: float32 [H,W], 1 at a peak, 0 more than 3 sigma + 1 pixels away.

    Args:
        peaks: int64 [N,2] (y, x), inside the image.
        size: (height, width).
        sigmas: of each, in pixels.
    """
    windows = {sigma: _gaussian(sigma, peaks.device) for sigma in set(sigmas)}
    frame = max((len(window) // 2 for window in windows.values()), default=0)
    framed = torch.zeros(size[0] + 2 * frame, size[1] + 2 * frame, device=peaks.device)
    for (y, x), sigma in zip(peaks.tolist(), sigmas, strict=True):
        window = windows[sigma]
        top, left = (at + frame - len(window) // 2 for at in (y, x))
        part = framed[top : top + len(window), left : left + len(window)]
        torch.maximum(part, window, out=part)
    return framed[frame : frame + size[0], frame : frame + size[1]]


def _gaussian(sigma: float, device: torch.device) -> Tensor:
    """1 in the middle: float32, square, of an odd side."""
    reach = int(3 * sigma) + 1
    side = torch.arange(-reach, reach + 1, dtype=torch.float64, device=device)
    return (-(side[:, None] ** 2 + side**2) / (2 * sigma**2)).exp().float()


class PixelWeights(NamedTuple):
    """Which pixels of one image count, and how much; each [H,W]."""

    center: Tensor  # bool: neither void nor a crowd
    offset: Tensor  # bool: those of things, or all of these
    semantic: Tensor  # float32: 1, or that of small things


def pixel_weights(
    segments: Tensor, things: Tensor, crowd: Tensor, *, small_area: int, small_weight: float, stuff: bool = False
) -> PixelWeights:
    """Weights of the pixels in the losses.

    Args:
        segments: int32 [H,W], 0 = void.
        things: bool [S], segments whose class is a thing.
        crowd: bool [S].
        small_area: things of fewer pixels, crowds too, have the weight `small_weight` in the semantic loss.
        small_weight: 3 in the paper.
        stuff: the vectors of stuff count, too: they are to be 0.
    """
    clear = ~crowd
    area = segment_ops.areas(segments, len(things))
    small = torch.where(things & (area < small_area), small_weight, 1.0).float()
    chosen = (clear, clear if stuff else clear & things)
    return PixelWeights(*(segment_ops.of_pixels(segments, each) for each in chosen), segment_ops.of_pixels(segments, small, 1.0))
