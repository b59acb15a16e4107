"""One resample of one window of a sample: scale, crop and flip in a single pass over the pixels that are needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from segexp.functional import segments as segment_ops
from segexp.types import Size


class Window(NamedTuple):
    """The source rectangle, the size that it becomes, and whether it is mirrored left to right."""

    top: int
    left: int
    height: int
    width: int
    size: Size
    flip: bool = False


def resample_image(image: Tensor, window: Window) -> Tensor:
    """Bilinear with antialiasing; [C,H,W] of any integer or float type to [C,h,w] of the same type."""
    x = image[:, window.top : window.top + window.height, window.left : window.left + window.width]
    if tuple(x.shape[-2:]) != tuple(window.size):
        x = F.resize(x, list(window.size), antialias=True)
    return x.flip(-1) if window.flip else x


def resample_labels(labels: Tensor, window: Window) -> Tensor:
    """Nearest neighbour at half-pixel centres, by indexing: exact for every integer type; [...,H,W] to [...,h,w]."""
    rows, columns = (_nearest(n, out) for n, out in zip((window.height, window.width), window.size, strict=True))
    if window.flip:
        columns = columns.flip(0)
    return labels.index_select(-2, rows + window.top).index_select(-1, columns + window.left)


def resample_boxes(boxes: Tensor, window: Window) -> Tensor:
    """Move, scale, clip and mirror xyxy boxes: float32 [N,4]; a box outside the window gets zero area."""
    height, width = window.size
    offset = boxes.new_tensor([window.left, window.top] * 2)
    scale = boxes.new_tensor([width / window.width, height / window.height] * 2)
    x1, y1, x2, y2 = ((boxes - offset) * scale).unbind(1)
    x1, x2 = x1.clamp(0, width), x2.clamp(0, width)
    if window.flip:
        x1, x2 = width - x2, width - x1
    return torch.stack([x1, y1.clamp(0, height), x2, y2.clamp(0, height)], 1)


def resample(sample: Mapping[str, Any], window: Window) -> dict[str, Any]:
    """The sample seen through the window: image, label maps, instances; what left the picture is dropped."""
    out = dict(sample)
    out["image"] = tv_tensors.Image(resample_image(sample["image"].as_subclass(Tensor), window))
    for name in ("semantic", "segments", "masks"):
        if name in sample:
            out[name] = tv_tensors.Mask(resample_labels(sample[name].as_subclass(Tensor), window))
    if "segments" in sample:
        names = ("segments", "segment_labels", "segment_crowd")
        out |= dict(zip(names, segment_ops.compact(*(out[name] for name in names)), strict=True))
    if "masks" in sample:
        out.pop("boxes", None)  # they follow from the masks
        _keep(out, ("masks", "labels", "crowd"), out["masks"].flatten(1).any(1))
    elif "boxes" in sample:
        out["boxes"] = resample_boxes(sample["boxes"].as_subclass(Tensor), window)
        x1, y1, x2, y2 = out["boxes"].unbind(1)
        _keep(out, ("boxes", "labels", "crowd"), (x2 - x1 >= 1) & (y2 - y1 >= 1))
    return out


def _nearest(source: int, target: int) -> Tensor:
    return (2 * torch.arange(target) + 1) * source // (2 * target)  # integers: a centre on an edge belongs to the pixel behind it


def _keep(sample: dict[str, Any], names: tuple[str, ...], kept: Tensor) -> None:
    for name in names:
        if name in sample:
            sample[name] = sample[name][kept]
