"""Outlines and text on pictures: the part that needs PIL. Pictures are uint8 [3,H,W] on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from segexp.functional.panoptic_png import tight_boxes

Color = tuple[int, int, int]
STRIP: Color = (24, 27, 31)
SMALLEST = 12  # pixels of the letters of a list


class Line(NamedTuple):
    """One line of a list on a picture: a name, shortened where it doesn't fit, and what follows it whole."""

    name: str
    value: str
    color: Color


def line_width(height: int, width: int) -> int:
    """Pixels of a line that stays visible when a large picture is shown small."""
    return max(1, round(min(height, width) / 300))


def outlines(image: Tensor, boxes: Tensor, colors: Sequence[Color], texts: Sequence[str]) -> Tensor:
    """Draw boxes with a name tag each; later boxes lie on top. Boxes less than half as wide as their tag get none.

    Args:
        image: uint8 [3,H,W].
        boxes: [N,4] xyxy, half-open.
        colors: N colours.
        texts: N tags; an empty one draws none.

    Returns:
        A new uint8 [3,H,W].
    """
    if len(boxes) == 0:
        return image.clone()
    canvas = _to_pil(image)
    pen = ImageDraw.Draw(canvas)
    width = line_width(canvas.height, canvas.width)
    for (x1, y1, x2, y2), color, text in zip(boxes.round().long().tolist(), colors, texts, strict=True):
        pen.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=color, width=width)
        if 0 < pen.textlength(text, font=_tag_font(canvas.size)) <= 2 * (x2 - x1):
            _tag(pen, (x1, y1), text, color, canvas.size)
    return _to_tensor(canvas)


def write_on(image: Tensor, segments: Tensor, texts: Sequence[Sequence[str]]) -> Tensor:
    """Write on each segment the first of its texts that fits inside it, as near to its middle as it can stand.

    Args:
        image: uint8 [3,H,W].
        segments: int32 [H,W], 0 = void, 1..S.
        texts: of each segment what may be written, the dearest first.

    Returns:
        A new uint8 [3,H,W].
    """
    canvas = _to_pil(image)
    pen, font = ImageDraw.Draw(canvas), _tag_font(canvas.size)
    ids = segments.numpy()
    for number, (left, top, width, height) in enumerate(tight_boxes(ids, len(texts)).tolist(), 1):
        inside = ids[top : top + height, left : left + width] == number
        for text in texts[number - 1]:
            x1, y1, x2, y2 = (int(side) for side in pen.textbbox((0, 0), text, font=font, stroke_width=1))
            if (at := free_place(inside, y2 - y1 + 2, x2 - x1 + 2)) is not None:
                where = (left + at[1] + 1 - x1, top + at[0] + 1 - y1)
                pen.text(where, text, fill=(255, 255, 255), font=font, stroke_width=1, stroke_fill=(0, 0, 0))
                break
    return _to_tensor(canvas)


def free_place(inside: np.ndarray, height: int, width: int) -> tuple[int, int] | None:
    """The upper left corner (y, x) of a rectangle that lies within a mask bool [h,w], next to the mask's middle; None where none fits."""
    if inside.shape[0] < height or inside.shape[1] < width:
        return None
    sums = np.pad(inside, ((1, 0), (1, 0))).cumsum(0, dtype=np.int32).cumsum(1, dtype=np.int32)
    covered = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    places = np.argwhere(covered == height * width)
    if not len(places):
        return None
    middle = [(np.arange(n) * inside.sum(1 - axis)).sum() / inside.sum() for axis, n in enumerate(inside.shape)]
    away = places + np.array([height - 1, width - 1]) / 2 - np.array(middle)
    return tuple(places[np.hypot(*away.T).argmin()].tolist())


def legend_strip(entries: Sequence[tuple[str, Color]], width: int, height: int = 20) -> Tensor:
    """A dark strip with a coloured square before each text, in as many lines as they need: uint8 [3,H,width], H = height x lines."""
    font = _font(round(height * 0.62))
    places, x, line = [], 4, 0
    for text, _ in entries:
        span = height + int(font.getlength(text)) + 10
        if x + span > width and x > 4:
            x, line = 4, line + 1
        places.append((x, line * height))
        x += span
    canvas = Image.new("RGB", (width, height * (line + 1)), STRIP)
    pen, side = ImageDraw.Draw(canvas), round(height * 0.5)
    for (text, color), (left, top) in zip(entries, places, strict=True):
        at = top + (height - side) // 2
        pen.rectangle((left, at, left + side, at + side), fill=color)
        pen.text((left + side + 5, top + height / 2), text, fill=(232, 234, 237), font=font, anchor="lm")
    return _to_tensor(canvas)


def corner_tag(image: Tensor, text: str, color: Color) -> Tensor:
    """Write `text` in the upper left corner of uint8 [3,H,W]."""
    canvas = _to_pil(image)
    _tag(ImageDraw.Draw(canvas), (0, 0), text, color, canvas.size)
    return _to_tensor(canvas)


def listing(image: Tensor, lines: Sequence[Line]) -> Tensor:
    """Write lines from the upper left corner down, each on its colour; the last one counts those for which there is no room.

    Args:
        image: uint8 [3,H,W].
        lines: the first on top.

    Returns:
        A new uint8 [3,H,W].
    """
    canvas = _to_pil(image)
    size = max(SMALLEST, canvas.height // 20)
    height = round(size * 1.5)
    room = max(1, (canvas.height - 4) // height)
    if len(lines) > room:
        lines = [*lines[: room - 1], Line(f"{len(lines) - room + 1} more", "", STRIP)]
    pen, font = ImageDraw.Draw(canvas), _font(size)
    for row, (name, value, color) in enumerate(lines):
        text = _shortened(pen, f"{name} {value}".rstrip(), len(name), canvas.width - 12, font)
        top = 2 + row * height
        pen.rectangle((2, top, 10 + round(pen.textlength(text, font=font)), top + height - 2), fill=color)
        pen.text((6, top + height / 2 - 1), text, fill=_readable_on(color), font=font, anchor="lm")
    return _to_tensor(canvas)


def _shortened(pen: ImageDraw.ImageDraw, text: str, length: int, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """`text` with the first `length` letters cut until it fits, or none of them is left."""
    name, rest = text[:length], text[length:]
    while name and pen.textlength(name + rest, font=font) > width:
        name = name[:-2] + "…" if len(name) > 2 else ""
    return (name + rest).strip()


def title_strip(text: str, width: int, height: int = 20) -> Tensor:
    """A dark strip with `text` in it, shortened to fit: uint8 [3,height,width]."""
    canvas = Image.new("RGB", (width, height), STRIP)
    pen, font = ImageDraw.Draw(canvas), _font(round(height * 0.62))
    text = _shortened(pen, text, len(text), width - 8, font)
    pen.text((4, height / 2), text, fill=(232, 234, 237), font=font, anchor="lm")
    return _to_tensor(canvas)


def _tag(pen: ImageDraw.ImageDraw, at: tuple[int, int], text: str, color: Color, size: tuple[int, int]) -> None:
    font = _tag_font(size)
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    x = max(0, min(at[0], size[0] - int(right - left) - 4))
    y = at[1] - int(bottom - top) - 4
    y = y if y >= 0 else max(at[1], 0)  # inside the box where there is no room above it
    pen.rectangle((x, y, x + right - left + 3, y + bottom - top + 3), fill=color)
    pen.text((x + 2 - left, y + 2 - top), text, fill=_readable_on(color), font=font)


def _readable_on(color: Color) -> Color:
    red, green, blue = color
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)


@lru_cache(maxsize=8)  # a font is read from its packed form each time
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _tag_font(size: tuple[int, int]) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return _font(max(10, min(size) // 32))


def _to_pil(image: Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())


def _to_tensor(canvas: Image.Image) -> Tensor:
    data = torch.frombuffer(bytearray(canvas.tobytes()), dtype=torch.uint8)
    return data.view(canvas.height, canvas.width, 3).permute(2, 0, 1).contiguous()
