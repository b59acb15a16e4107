"""A contact sheet: pictures beside their painted labels, with names and a legend, as one image."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Protocol

from PIL import Image, ImageDraw, ImageFont

COLUMNS = 3  # samples beside each other, each as picture and labels
SIDE = 300  # width of a picture
GAP, STRIP, MARGIN = 4, 24, 16
LINE = 28  # of the legend
PAPER, INK, FAINT, PANEL = (24, 27, 31), (232, 234, 237), (154, 160, 166), (40, 44, 50)
Legend = Sequence[tuple[str, tuple[int, int, int]]]


class Tile(Protocol):
    """What is shown of a sample."""

    @property
    def id(self) -> str: ...
    @property
    def note(self) -> str: ...
    @property
    def picture(self) -> Image.Image | None: ...
    @property
    def painted(self) -> Image.Image | None: ...


def sheet(heading: str, tiles: Sequence[Tile], legend: Legend) -> Image.Image:
    """Set samples in rows.

    Args:
        heading: above all.
        tiles: the samples; one without a picture shows its note, one without labels its picture alone.
        legend: name and colour of the classes that occur.
    """
    width = 2 * MARGIN + COLUMNS * _pair() + (COLUMNS - 1) * MARGIN
    rows = [tiles[start : start + COLUMNS] for start in range(0, len(tiles), COLUMNS)]
    heights = [max(_height(tile) for tile in row) for row in rows]
    places = list(_legend(legend, width))
    top = MARGIN + 40 + (places[-1][1] + LINE + MARGIN // 2 if places else 0)
    canvas = Image.new("RGB", (width, top + sum(h + STRIP + MARGIN for h in heights) + MARGIN), PAPER)
    pen = ImageDraw.Draw(canvas)
    pen.text((MARGIN, MARGIN), heading, fill=INK, font=ImageFont.load_default(22))
    if any(tile.painted for tile in tiles):
        pen.text((width - MARGIN, MARGIN + 4), unpainted(legend), fill=FAINT, font=_font(), anchor="ra")
    for (x, y), (name, color) in zip(places, legend, strict=True):
        pen.rectangle((x, MARGIN + 40 + y, x + 15, MARGIN + 40 + y + 15), fill=color, outline=FAINT)
        pen.text((x + 22, MARGIN + 40 + y + 8), name, fill=INK, font=_font(), anchor="lm")
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            _paste(canvas, pen, tile, (MARGIN + column * (_pair() + MARGIN), top), height)
        top += height + STRIP + MARGIN
    return canvas


def unpainted(legend: Legend) -> str:
    """What it means where the painted picture is only dimmed: no label, or a class whose colour is black."""
    black = [name for name, color in legend if not any(color)]
    return f"dark and without colour: {' or '.join(['no label', *black])}"


def _paste(canvas: Image.Image, pen: ImageDraw.ImageDraw, tile: Tile, at: tuple[int, int], height: int) -> None:
    x, y = at
    pen.rectangle((x, y, x + _pair() - 1, y + STRIP + height - 1), fill=PANEL)
    note = f"{tile.note}" if tile.picture else "can't be read"
    room = _pair() - 24 - pen.textlength(note, font=_font())
    pen.text((x + 6, y + STRIP / 2), _cut(pen, tile.id, room), fill=INK, font=_font(), anchor="lm")
    pen.text((x + _pair() - 6, y + STRIP / 2), note, fill=FAINT, font=_font(), anchor="rm")
    if tile.picture is None:
        pen.multiline_text((x + 10, y + STRIP + 10), textwrap.fill(tile.note, 72), fill=(255, 138, 128), font=_font())
    for place, picture in enumerate((tile.picture, tile.painted)):
        if picture is not None:
            small = _scaled(picture)
            canvas.paste(small, (x + place * (SIDE + GAP) + (SIDE - small.width) // 2, y + STRIP))


def _legend(legend: Legend, width: int) -> Iterator[tuple[int, int]]:
    """Where the entries go, from the upper left of the legend."""
    x = y = 0
    for name, _ in legend:
        needed = 22 + int(_font().getlength(name)) + 22
        if x and MARGIN + x + needed > width - MARGIN:
            x, y = 0, y + LINE
        yield MARGIN + x, y
        x += needed


def _pair() -> int:
    return 2 * SIDE + GAP


def _height(tile: Tile) -> int:
    return 90 if tile.picture is None else _scaled(tile.picture).height


def _scaled(picture: Image.Image) -> Image.Image:
    """Fitted into a square of `SIDE` x 1.5 `SIDE`."""
    factor = min(SIDE / picture.width, 1.5 * SIDE / picture.height)
    size = max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
    return picture if size == picture.size else picture.resize(size, Image.Resampling.LANCZOS)


def _cut(pen: ImageDraw.ImageDraw, text: str, room: float) -> str:
    """The end of a text that is too long: names differ there."""
    if pen.textlength(text, font=_font()) <= room:
        return text
    while text and pen.textlength("…" + text, font=_font()) > room:
        text = text[1:]
    return "…" + text


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(14)
