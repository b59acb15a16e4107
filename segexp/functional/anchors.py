"""Where detectors look: boxes and points on the cells of feature maps, from their true strides.

Cell (i, j) of a map lies at pixel (i, j) x stride, as in torchvision: its symmetrically padded convolutions look there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from segexp.types import Size


def grid_points(shapes: Sequence[Size], strides: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
    """The middle (x, y) of each cell of each level, row by row: float32 [A,2]."""
    return torch.cat([_points(shape, stride, device) for shape, stride in zip(shapes, strides, strict=True)])


def grid_anchors(
    shapes: Sequence[Size],
    strides: Sequence[int],
    sizes: Sequence[Sequence[float]],
    ratios: Sequence[float],
    device: torch.device | str = "cpu",
) -> list[Tensor]:
    """Anchors of each level.

    Args:
        shapes: (height, width) of each level in cells.
        strides: of each level, pixels to a cell.
        sizes: of each level, the sides of its square anchors in pixels.
        ratios: height over width, of every anchor; the area stays.
        device: of the result.

    Returns:
        per level float32 [h*w*R*S,4]: cells row by row; of a cell ratio by ratio, of a ratio size by size.
    """
    levels = []
    for shape, stride, sides in zip(shapes, strides, sizes, strict=True):
        points = _points(shape, stride, device)  # [h*w,2]
        around = _around(sides, ratios).to(device)  # [R*S,4]
        levels.append((points.repeat(1, 2)[:, None] + around[None]).flatten(0, 1))
    return levels


def _points(shape: Size, stride: int, device: torch.device | str) -> Tensor:
    rows, columns = (torch.arange(count, device=device) * float(stride) for count in shape)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], 1)


def _around(sides: Sequence[float], ratios: Sequence[float]) -> Tensor:
    """Anchors around 0, their corners at whole pixels: [R*S,4]."""
    stretch = torch.tensor(ratios, dtype=torch.float32, device="cpu").sqrt()[:, None]
    side = torch.tensor(sides, dtype=torch.float32, device="cpu")[None]
    wide, tall = (1 / stretch * side).flatten(), (stretch * side).flatten()
    return (torch.stack([-wide, -tall, wide, tall], 1) / 2).round()
