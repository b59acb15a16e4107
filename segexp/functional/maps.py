"""Label maps of different sizes as one tensor."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def stack_maps(maps: Sequence[Tensor], fill: int) -> Tensor:
    """Stack [H,W] maps, padded with `fill` at the right and bottom to the largest: [B,H,W]."""
    height, width = max(m.shape[0] for m in maps), max(m.shape[1] for m in maps)
    out = maps[0].new_full((len(maps), height, width), fill)
    for row, m in zip(out, maps, strict=True):
        row[: m.shape[0], : m.shape[1]] = m
    return out
