"""Colours, tints and lines: what every picture is made of. Pictures are uint8 [3,H,W] on the CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from segexp.visualize import draw

BORDER = 0.25  # brightness of the line around a segment, as a share of the picture's
DIM = 0.45  # of the grey picture under errors and maps


def dimmed(image: Tensor) -> Tensor:
    """The picture in dark grey, for colours to stand on."""
    return (image.float().mean(0, keepdim=True) * DIM).round().to(torch.uint8).expand(3, -1, -1)


def color_of(color: tuple[int, int, int]) -> Tensor:
    """A colour that spreads over any picture: uint8 [3,1,1]."""
    return torch.tensor(color, dtype=torch.uint8)[:, None, None]


def blend(image: Tensor, color: Tensor, alpha: float) -> Tensor:
    """The picture with so much of a colour in it."""
    return (image.float() * (1 - alpha) + color.float() * alpha).round().clamp(0, 255).to(torch.uint8)


def borders(ids: Tensor) -> Tensor:
    """Pixels whose neighbour to the right or below has another id: bool [N,H,W]; thicker in large pictures."""
    edge = torch.zeros(ids.shape, dtype=torch.bool)
    edge[:, :, :-1] |= ids[:, :, :-1] != ids[:, :, 1:]
    edge[:, :-1] |= ids[:, :-1] != ids[:, 1:]
    width = draw.line_width(*ids.shape[-2:])
    return F.max_pool2d(edge.float(), 2 * (width // 2) + 1, stride=1, padding=width // 2) > 0


def darken(picture: Tensor, where: Tensor) -> Tensor:
    """Dark lines where bool [H,W] says so."""
    return torch.where(where, (picture.float() * BORDER).round().to(torch.uint8), picture)
