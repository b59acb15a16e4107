"""What a network says of centres: a heatmap, and a field of vectors. Pictures are uint8 [3,H,W] on the CPU."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from segexp.visualize.pixels import dimmed

FAINT = 0.1  # a heatmap with a lower peak isn't brightened further
RAMP = ((0, 0, 0), (120, 20, 90), (230, 60, 40), (255, 200, 60), (255, 255, 255))
INSET = 5  # the wheel's side is this part of the picture's shorter one


def heat_picture(image: Tensor, heat: Tensor, centers: Tensor | None = None) -> Tensor:
    """A heatmap on the dimmed image, brightest at its peak, with a ring around each true centre.

    Args:
        image: uint8 [3,H,W].
        heat: float32 [1,h,w] that covers the image.
        centers: (y, x) float [N,2] of things, in pixels of the image.

    Returns:
        uint8 [3,H,W].
    """
    values = (_covering(heat, image)[0] / max(float(heat.max()), FAINT)).clamp(0, 1)  # [H,W]
    ramp = torch.tensor(RAMP, dtype=torch.float32)
    place = values * (len(RAMP) - 1)
    low = place.long().clamp(max=len(RAMP) - 2)
    part = (place - low)[..., None]
    color = (ramp[low] * (1 - part) + ramp[low + 1] * part).permute(2, 0, 1)
    strength = (2 * values).clamp(max=1)
    picture = (dimmed(image) * (1 - strength) + color * strength).round().to(torch.uint8)
    return picture if centers is None else _rings(picture, centers)


def field_picture(image: Tensor, offset: Tensor, where: Tensor) -> tuple[Tensor, float]:
    """Vectors as colours on the dimmed image: hue is the direction, brightness the length; a wheel in the corner tells which is which.

    Args:
        image: uint8 [3,H,W].
        offset: float32 [2,h,w], (dy, dx), that covers the image.
        where: bool [H,W], the pixels whose vectors mean something.

    Returns:
        uint8 [3,H,W], and the length that has full brightness, in the unit of `offset`: that of 95 in 100 vectors is less.
    """
    field = _covering(offset, image)
    length = field.square().sum(0).sqrt()
    longest = float(torch.quantile(length[where][:: max(1, int(where.sum()) // 100_000)], 0.95)) if bool(where.any()) else 1.0
    picture = torch.where(where, _hues(field / max(longest, 1e-6)), dimmed(image))
    return _with_wheel(picture), longest


def _covering(x: Tensor, image: Tensor) -> Tensor:
    """A map at the image's size."""
    return F.interpolate(x[None].float(), size=tuple(image.shape[-2:]), mode="bilinear", align_corners=False)[0]


def _hues(field: Tensor) -> Tensor:
    """(dy, dx) [2,H,W] to colours, those of length 1 or more at full brightness: uint8 [3,H,W]."""
    angle = torch.atan2(field[0], field[1]) / (2 * math.pi)
    value = (0.25 + 0.75 * field.square().sum(0).sqrt()).clamp(max=1)
    parts = [(angle + shift) % 1 for shift in (0, 2 / 3, 1 / 3)]
    return torch.stack([value * ((part * 6 - 3).abs() - 1).clamp(0, 1) * 255 for part in parts]).round().to(torch.uint8)


def _with_wheel(picture: Tensor) -> Tensor:
    """The wheel in the lower right corner: each point has the colour of a vector from the wheel's middle to it."""
    side = max(min(picture.shape[-2:]) // INSET, 9)
    line = torch.linspace(-1, 1, min(side, *picture.shape[-2:]))
    field = torch.stack(torch.meshgrid(line, line, indexing="ij"))
    length = field.square().sum(0)
    corner = picture[:, -len(line) :, -len(line) :]
    wheel = torch.where(length <= 0.9, _hues(field), torch.tensor(255, dtype=torch.uint8))
    done = picture.clone()
    done[:, -len(line) :, -len(line) :] = torch.where(length <= 1, wheel, corner)
    return done


def _rings(picture: Tensor, centers: Tensor) -> Tensor:
    canvas = Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())
    pen, radius = ImageDraw.Draw(canvas), max(4, min(picture.shape[-2:]) // 40)
    for y, x in centers.tolist():
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=(255, 255, 255), width=max(1, radius // 5))
    data = torch.frombuffer(bytearray(canvas.tobytes()), dtype=torch.uint8)
    return data.view(canvas.height, canvas.width, 3).permute(2, 0, 1).contiguous()
