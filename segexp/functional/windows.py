"""One resample of one window of a sample: scale, crop, turn and mirror in a single pass over the pixels that are needed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, interpolate
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from segexp.functional import masks as mask_ops
from segexp.functional import segments as segment_ops
from segexp.types import DataSpec, Size

OUTSIDE = {"semantic": DataSpec.ignore_index, "segments": 0, "masks": 0}  # what a label map says beyond the picture


class Window(NamedTuple):
    """A source rectangle and what becomes of it: it is scaled to `size` while it is turned by `angle` and bent, then mirrored,
    then turned by quarters."""

    top: int
    left: int
    height: int
    width: int
    size: Size  # before the quarter turns
    flip: bool = False  # left to right
    upend: bool = False  # top to bottom
    turns: int = 0  # quarters, anticlockwise
    angle: float = 0.0  # degrees about the rectangle's centre, anticlockwise
    bend: Tensor | None = None  # [2,n,n] (dy, dx) in pixels of `size` at a coarse grid, by which a pixel looks aside

    @property
    def warped(self) -> bool:
        """Whether rows and columns don't stay what they are."""
        return bool(self.angle) or self.bend is not None


def resample_image(image: Tensor, window: Window) -> Tensor:
    """Bilinear with antialiasing; [C,H,W] of any integer or float type to [C,h,w] of the same type.

    What lies beyond the picture gets its mean colour.
    """
    if window.warped:
        return _orient(_warp(image, window), window)
    x = image[:, window.top : window.top + window.height, window.left : window.left + window.width]
    if tuple(x.shape[-2:]) != tuple(window.size):
        if x.dtype == torch.uint8:  # the same bits as F.resize, without its preparations
            x = interpolate(x[None], window.size, mode="bilinear", antialias=True)[0]
        else:
            x = F.resize(x, list(window.size), antialias=True)
    return _orient(x, window)


def resample_labels(labels: Tensor, window: Window, *, outside: int = 0) -> Tensor:
    """Nearest neighbour at half-pixel centres, by indexing: exact for every integer type; [...,H,W] to [...,h,w].

    Args:
        labels: bool or any integer type.
        window: what is seen of them.
        outside: the value beyond the picture, where a turned window reaches there.
    """
    if window.warped:
        height, width = labels.shape[-2:]
        rows, columns = (torch.floor(x + 1e-6).long() for x in _places(window))  # [h,w]; a centre on an edge: the pixel behind it
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        flat = (rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)).flatten()
        out = labels.flatten(-2).index_select(-1, flat).unflatten(-1, window.size)
        return _orient(out.masked_fill(~inside, outside), window)
    rows, columns = (_nearest(n, out) for n, out in zip((window.height, window.width), window.size, strict=True))
    x = labels.index_select(-2, rows + window.top)
    return _orient(x.gather(-1, (columns + window.left).expand(*x.shape[:-1], -1)), window)  # faster there than index_select


def resample_boxes(boxes: Tensor, window: Window) -> Tensor:
    """Move, scale, turn, clip and mirror xyxy boxes: float32 [N,4]; a box outside the window gets zero area.

    Of a turned or bent box it is the hull of what is seen of it, in whole pixels: larger than the object. Masks or segments
    give tight boxes.
    """
    height, width = window.size
    if window.warped:
        return _orient_boxes(_hulls(boxes, window), window)
    offset = boxes.new_tensor([window.left, window.top] * 2)
    scale = boxes.new_tensor([width / window.width, height / window.height] * 2)
    x1, y1, x2, y2 = ((boxes - offset) * scale).unbind(1)
    clipped = torch.stack([x1.clamp(0, width), y1.clamp(0, height), x2.clamp(0, width), y2.clamp(0, height)], 1)
    return _orient_boxes(clipped, window)


def resample(sample: Mapping[str, Any], window: Window) -> dict[str, Any]:
    """The sample seen through the window: image, label maps, instances; what left the picture is dropped.

    Maps of any other name are resampled as what they are: `tv_tensors.Image` as pictures, `tv_tensors.Mask` as labels.
    """
    out = dict(sample)
    for name, value in sample.items():
        if isinstance(value, tv_tensors.Image):
            out[name] = tv_tensors.Image(resample_image(value.as_subclass(Tensor), window))
        elif isinstance(value, tv_tensors.Mask) or name in OUTSIDE:
            out[name] = tv_tensors.Mask(resample_labels(value.as_subclass(Tensor), window, outside=OUTSIDE.get(name, 0)))
    if "boxes" in sample and "masks" not in sample:
        out["boxes"] = resample_boxes(sample["boxes"].as_subclass(Tensor), window)
    return tidy(out)


def tidy(sample: dict[str, Any]) -> dict[str, Any]:
    """Drop what has left the picture: segments and masks without a pixel (the rest are numbered anew), boxes below one pixel.

    Boxes beside masks are dropped, for they follow from the masks.
    """
    out = dict(sample)
    if "segments" in out:
        names = ("segments", "segment_labels", "segment_crowd")
        out |= dict(zip(names, segment_ops.compact(*(out[name] for name in names)), strict=True))
    if "masks" in out:
        out.pop("boxes", None)
        _keep(out, ("masks", "labels", "crowd"), out["masks"].flatten(1).any(1))
    elif "boxes" in out:
        x1, y1, x2, y2 = out["boxes"].unbind(1)
        _keep(out, ("boxes", "labels", "crowd"), (x2 - x1 >= 1) & (y2 - y1 >= 1))
    return out


def _nearest(source: int, target: int) -> Tensor:
    return (2 * torch.arange(target) + 1) * source // (2 * target)  # integers: a centre on an edge belongs to the pixel behind it


def _places(window: Window) -> tuple[Tensor, Tensor]:
    """Where the centre of each pixel of `window.size` looks in the source: (y, x), float64 [h,w] each, 0 = the outer edge."""
    height, width = window.size
    y = (torch.arange(height, dtype=torch.float64) + 0.5 - height / 2)[:, None]
    x = (torch.arange(width, dtype=torch.float64) + 0.5 - width / 2)[None]
    if window.bend is not None:
        dy, dx = interpolate(window.bend[None].double(), size=window.size, mode="bicubic", align_corners=True)[0]
        y, x = y + dy, x + dx
    y, x = y * (window.height / height), x * (window.width / width)
    cos, sin = math.cos(math.radians(window.angle)), math.sin(math.radians(window.angle))
    return window.top + window.height / 2 + x * sin + y * cos, window.left + window.width / 2 + x * cos - y * sin


def _warp(image: Tensor, window: Window) -> Tensor:
    """Bilinear at `_places`; where the window shrinks to half or less, of means over blocks, lest fine patterns alias."""
    places, block = _places(window), max(1, int(min(window.height / window.size[0], window.width / window.size[1])))
    spans = [_span(at, n, block) for at, n in zip(places, image.shape[-2:], strict=True)]
    exact = torch.float64 if image.dtype == torch.int32 else torch.float32  # 16-bit values need the digits
    x = image[:, *(slice(*span) for span in spans)].to(exact)
    mean = x.mean((1, 2), keepdim=True)
    x = x - mean
    if block > 1:
        x = avg_pool2d(x[None], block, ceil_mode=True, count_include_pad=False)[0]
    grid = [2 * (at - span[0]) / block / n - 1 for at, span, n in zip(places, spans, x.shape[-2:], strict=True)]
    x = grid_sample(x[None], torch.stack(grid[::-1], -1)[None].to(exact), align_corners=False)[0] + mean  # zeros outside: the mean
    return x if image.is_floating_point() else x.round_().to(image.dtype)


def _span(places: Tensor, n: int, margin: int) -> tuple[int, int]:
    """The rows or columns of `n` that these places need."""
    return max(0, int(places.min()) - margin - 1), min(n, int(places.max()) + margin + 2)


def _hulls(boxes: Tensor, window: Window) -> Tensor:
    y, x = _places(window)
    seen = [mask_ops.to_boxes(((x >= x1) & (x < x2) & (y >= y1) & (y < y2))[None]) for x1, y1, x2, y2 in boxes.tolist()]
    return torch.cat(seen) if seen else boxes


def _orient(x: Tensor, window: Window) -> Tensor:
    mirrored = [dim for dim, told in ((-1, window.flip), (-2, window.upend)) if told]
    x = x.flip(mirrored) if mirrored else x
    return torch.rot90(x, window.turns, (-2, -1)) if window.turns % 4 else x


def _orient_boxes(boxes: Tensor, window: Window) -> Tensor:
    (height, width), (x1, y1, x2, y2) = window.size, boxes.unbind(1)
    if window.flip:
        x1, x2 = width - x2, width - x1
    if window.upend:
        y1, y2 = height - y2, height - y1
    for _ in range(window.turns % 4):
        x1, y1, x2, y2 = y1, width - x2, y2, width - x1
        height, width = width, height
    return torch.stack([x1, y1, x2, y2], 1)


def _keep(sample: dict[str, Any], names: tuple[str, ...], kept: Tensor) -> None:
    for name in names:
        if name in sample:
            sample[name] = sample[name][kept]
