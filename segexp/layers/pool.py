"""Averages over the part of a map that an image covers."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from segexp.types import Sizes

Pool = Callable[[Tensor], Tensor]
SMALLEST = 1e-6  # powers of GeM are taken of what is at least this


def pooled(maps: Tensor, stride: int, sizes: Sizes, pool: Pool) -> Tensor:
    """Each image's own cells as one vector; cells that only padding reaches don't count.

    Args:
        maps: [B,C,h,w].
        stride: of the maps.
        sizes: valid (height, width) of each image.
        pool: [B,C,h,w] -> [B,C].

    Returns:
        [B,C].
    """
    full = tuple(maps.shape[-2:])
    cells = [(min(math.ceil(h / stride), full[0]), min(math.ceil(w / stride), full[1])) for h, w in sizes]
    if all(own == full for own in cells):
        return pool(maps)
    return torch.cat([pool(one[None, :, :rows, :columns]) for one, (rows, columns) in zip(maps, cells, strict=True)])


def average(maps: Tensor) -> Tensor:
    """The mean over cells: [B,C,h,w] to [B,C]."""
    return maps.mean((2, 3))


def largest(maps: Tensor) -> Tensor:
    """The maximum over cells: [B,C,h,w] to [B,C]."""
    return maps.amax((2, 3))


class GeneralisedMean(nn.Module):
    """The mean of powers, and its root (GeM, Radenovic et al., 2018): 1 is the mean, infinity the maximum; the power is learned.

    Args:
        power: that it begins with.
    """

    def __init__(self, power: float = 3.0) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.tensor(power))

    def forward(self, maps: Tensor) -> Tensor:
        return maps.float().clamp(min=SMALLEST).pow(self.power).mean((2, 3)).pow(1 / self.power)
