"""Pictures side by side, each under its title, with a legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from segexp.visualize import draw
from segexp.visualize.pixels import color_of

MIN_HEIGHT = 200
GUTTER = 4
ROW = 4  # pictures; more of them stand in two rows


def panel(pictures: Mapping[str, Tensor], legend: Sequence[tuple[str, draw.Color]] = ()) -> Tensor:
    """Set pictures side by side, each under its title, all of one height; more than four in two rows.

    Pictures under 200 pixels high are enlarged by a whole factor (nearest); those lower than the highest are then scaled to it.

    Args:
        pictures: title -> uint8 [3,H,W], at least one.
        legend: (text, colour) of a strip below.

    Returns:
        uint8 [3,H',W'].
    """
    enlarged = {title: enlarge(p, factor_of(p.shape[1])) for title, p in pictures.items()}
    height = max(p.shape[1] for p in enlarged.values())
    titles = list(enlarged)
    half = len(titles) if len(titles) <= ROW else -(-len(titles) // 2)
    rows = [_row({title: enlarged[title] for title in part}, height) for part in (titles[:half], titles[half:]) if part]
    width = max(row.shape[2] for row in rows)
    rows = [torch.cat([row, color_of(draw.STRIP).expand(3, row.shape[1], width - row.shape[2])], 2) for row in rows]
    strip = [draw.legend_strip(legend, width, max(20, height // 18))] if legend else []
    return torch.cat([*rows, *strip], dim=1)


def factor_of(height: int) -> int:
    """By how much a picture of this height is enlarged."""
    return -(-MIN_HEIGHT // height)


def enlarge(picture: Tensor, factor: int) -> Tensor:
    """Each pixel as a square of pixels: [...,H,W] to [...,factor H,factor W]."""
    return picture.repeat_interleave(factor, -2).repeat_interleave(factor, -1)


def _row(pictures: Mapping[str, Tensor], height: int) -> Tensor:
    strip = max(20, height // 18)
    columns = []
    for title, picture in pictures.items():
        fitted = _to_height(picture, height)
        columns += [torch.cat([draw.title_strip(title, fitted.shape[2], strip), fitted], dim=1)]
        columns += [color_of(draw.STRIP).expand(3, height + strip, GUTTER)]
    return torch.cat(columns[:-1], dim=2)


def _to_height(picture: Tensor, height: int) -> Tensor:
    if picture.shape[1] == height:
        return picture
    size = (height, max(1, round(picture.shape[2] * height / picture.shape[1])))
    return F.interpolate(picture[None].float(), size=size, mode="bilinear", antialias=True)[0].round().clamp(0, 255).to(torch.uint8)
