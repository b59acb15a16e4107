"""Brushes of the synthetic street scenes of `segexp.data.shapes`: stuff in layers back to front, then trees and things by depth.

Only +, -, *, /, comparisons and integer random bits are used (no sin, exp, BLAS or normal deviates), so that a
scene is the same to the last bit on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

Array = np.ndarray
Colors = tuple[tuple[int, int, int], ...]
Window = tuple[slice, slice]

SKIES = (((92, 148, 222), (190, 214, 238)), ((170, 178, 188), (214, 216, 216)), ((96, 104, 150), (240, 176, 128)))  # zenith, horizon
WALLS: Colors = ((150, 84, 68), (198, 178, 146), (140, 140, 146), (112, 134, 158), (214, 210, 200), (118, 104, 92))
LEAVES: Colors = ((62, 110, 48), (86, 128, 56), (104, 116, 58), (48, 88, 52))
BARK: Colors = ((92, 70, 52), (78, 66, 58))
ASPHALT: Colors = ((84, 84, 90), (100, 98, 98), (72, 74, 82))
PAVING: Colors = ((164, 156, 150), (150, 140, 128), (178, 168, 152))
PAINT: Colors = (
    (178, 34, 34),
    (30, 62, 140),
    (232, 230, 226),
    (40, 42, 46),
    (150, 154, 160),
    (212, 170, 50),
    (50, 114, 76),
    (140, 86, 140),
)
TROUSERS: Colors = ((40, 48, 78), (52, 50, 50), (110, 96, 76), (92, 98, 110))
SKIN: Colors = ((232, 190, 160), (198, 148, 112), (140, 96, 70), (96, 66, 50))
PANELS = (((204, 30, 36), (240, 238, 232)), ((240, 240, 240), (28, 84, 180)), ((30, 30, 30), (246, 200, 40)))  # rim, inside
MATERIALS = np.array(((46, 56, 70), (26, 26, 28), (120, 122, 126), (210, 30, 30), (250, 244, 210)), np.float32)
GLASS, RUBBER, STEEL, RED, CREAM = MATERIALS[..., None, None]  # [3,1,1] each


@dataclass(frozen=True)
class Street:
    """Where things are. Depth is a number in 0..1: 0 at the horizon, 1 at the bottom of the picture; lengths in pixels."""

    height: int
    width: int
    horizon: float
    vanish: float  # column where the road ends
    foot: float  # column of the road's axis at depth 1
    road: float  # half width of the road at depth 1
    walk: float  # half width of road and sidewalks at depth 1
    camera: float  # height of the camera in metres

    @classmethod
    def draw(cls, rng: Generator, size: tuple[int, int]) -> Street:
        height, width = size
        horizon, road = height * between(rng, 0.36, 0.48), width * between(rng, 0.36, 0.46)
        vanish, foot = width * between(rng, 0.38, 0.62), width * between(rng, 0.4, 0.6)
        return cls(height, width, horizon, vanish, foot, road, road + width * between(rng, 0.16, 0.3), between(rng, 1.6, 2.1))

    def row(self, depth: float) -> float:
        return self.horizon + depth * (self.height - self.horizon)

    def axis(self, depth: float) -> float:
        return self.vanish + depth * (self.foot - self.vanish)

    def metre(self, depth: float) -> float:
        """Pixels of a metre."""
        return depth * (self.height - self.horizon) / self.camera


class Canvas:
    """What has been painted so far: picture = color * shade. A class that isn't asked for leaves no trace.

    Args:
        rng: draws the noise that textures are made of.
        size: (height, width) of the picture.
        classes: names of the classes to paint.
        mixing: how far colours may stray from those of their class, 0..1.
    """

    def __init__(self, rng: Generator, size: tuple[int, int], classes: Sequence[str], mixing: float) -> None:
        height, width = size
        self.classes, self.mixing = classes, mixing
        self.color = np.full((3, height, width), 150, np.float32)
        self.shade = np.ones((height, width), np.float32)
        self.framed = np.zeros((height + 2, width + 2), np.int32)  # segments within a border, so that rims need no clipping
        self.segments = self.framed[1:-1, 1:-1]  # [H,W] 0 = void
        self.coarse = _smooth(rng, height, width)  # [H,W] in -1..1
        self.fine = noise(rng, (height, width))  # [H,W] in -1..1, independent pixels
        self.names: list[str] = []  # the class of segment s is names[s - 1]
        self.crowd: list[bool] = []

    def segment(self, name: str, *, crowd: bool = False) -> int:
        """A new segment's id; -1 if the class isn't painted."""
        if name not in self.classes:
            return -1
        self.names.append(name)
        self.crowd.append(crowd)
        return len(self.names)

    def stuff(self, name: str) -> int:
        """The id of the only segment of this class; -1 if the class isn't painted."""
        return self.names.index(name) + 1 if name in self.names else self.segment(name)

    def paint(self, window: Window, mask: Array, color: Array, segment: int, shade: Array | float = 1.0) -> None:
        """Set colour ([3,h,w] or broadcast), shade and segment of the pixels of the window where `mask` bool [h,w] holds."""
        if segment >= 0:
            np.copyto(self.color[:, *window], color, where=mask)
            np.copyto(self.shade[window], shade, where=mask)
            np.copyto(self.segments[window], segment, where=mask)


def between(rng: Generator, low: float, high: float) -> float:
    return low + (high - low) * rng.random()


def noise(rng: Generator, shape: tuple[int, ...]) -> Array:
    """Independent numbers in -1..1, dense at 0: float32 `shape`."""
    bits = rng.integers(0, 256, (2, *shape), np.uint8).astype(np.float32)
    return (bits[0] - bits[1]) / 255


def _smooth(rng: Generator, height: int, width: int, cells: int = 9) -> Array:
    """Random numbers on a grid, interpolated: float32 [H,W] in -1..1."""
    grid = rng.random((cells + 1, cells + 1), np.float32) * 2 - 1
    for length in (height, width):
        place = np.arange(length, dtype=np.float32) * (cells / length)
        left = place.astype(np.int64)
        part = (place - left)[:, None]
        grid = (grid[left] * (1 - part) + grid[left + 1] * part).T  # one axis, then the other
    return np.ascontiguousarray(grid)


def _color(rng: Generator, canvas: Canvas, choices: Colors, count: int = 1) -> Array:
    """Each one of the class's colours, mixed with any colour: float32 [3,1,count]."""
    base = np.array(choices, np.float32)[(rng.random(count) * len(choices)).astype(np.int64)].T  # [3,count]
    other, share = rng.random((3, count), np.float32) * 255, rng.random(count, np.float32) * canvas.mixing
    return (base + (other - base) * share)[:, None]


def _grid(window: Window) -> tuple[Array, Array]:
    """Centres of the pixels of a window: rows float32 [h,1], columns float32 [1,w]."""
    rows, columns = (np.arange(s.start, s.stop, dtype=np.float32) + 0.5 for s in window)
    return rows[:, None], columns[None]


def sky(canvas: Canvas, street: Street, rng: Generator) -> None:
    window = slice(0, street.height), slice(0, street.width)
    zenith, low = (_color(rng, canvas, (c,)) for c in SKIES[rng.integers(len(SKIES))])
    clouds = between(rng, -0.2, 0.9)
    rows, _ = _grid(window)
    share = np.minimum(rows / street.horizon, 1)  # [H,1]
    shade = 1 + 0.35 * np.clip(canvas.coarse - clouds, 0, 0.5)
    canvas.paint(window, np.ones_like(canvas.shade, bool), zenith * (1 - share) + low * share, canvas.stuff("sky"), shade)


def ground(canvas: Canvas, street: Street, rng: Generator) -> None:
    """A far row of trees, and grass under everything else."""
    window = slice(0, street.height), slice(0, street.width)
    leaves, rise = _color(rng, canvas, LEAVES), street.height * between(rng, 0.02, 0.1)
    rows, _ = _grid(window)
    top = street.horizon - rise * (1 + 0.6 * canvas.coarse[0] + 0.5 * canvas.fine[0])  # [W]
    canvas.paint(window, rows >= top, leaves, canvas.stuff("vegetation"), 1 + 0.12 * canvas.coarse + 0.4 * canvas.fine)


def buildings(canvas: Canvas, street: Street, rng: Generator) -> None:
    """Blocks along both sides, taller towards the sides, with rows of windows; some gaps."""
    blocks = 16
    _, columns = _grid((slice(0, 1), slice(0, street.width)))
    ends = np.cumsum(rng.random(blocks) * 0.18 + 0.08) * street.width
    block = np.minimum(np.searchsorted(ends, columns[0]), blocks - 1)  # [W]
    gap = (rng.random(blocks) < 0.22)[block]  # [W]
    rise = (rng.random(blocks, np.float32) * 0.32 + 0.14)[block] * street.height
    floors = rng.integers(3, 7, blocks).astype(np.float32)[block]
    walls = _color(rng, canvas, WALLS, blocks)[..., block]  # [3,1,W]
    panes = (rng.random(blocks, np.float32) * 0.35 + 0.4)[block]
    lit = rng.random((8, 64), np.float32)  # by floor and window
    set_back, spacing = between(rng, 0.55, 1.0), street.width * between(rng, 0.045, 0.075)

    left, right = street.walk + street.vanish - street.foot, street.walk + street.foot - street.vanish
    off = columns[0] - street.vanish
    depth = np.abs(off) / np.where(off < 0, left, right).astype(np.float32)  # [W] where the sidewalk ends in this column
    top = street.horizon - rise * (0.4 + depth)
    base = street.horizon + np.minimum(depth * set_back, 0.5) * (street.height - street.horizon)
    first, last = max(int(top.min()), 0), min(int(base.max()) + 1, street.height)
    window = slice(first, last), slice(0, street.width)
    rows, _ = _grid(window)
    level = (rows - top) / (base - top) * floors  # [h,W] counts floors from the roof
    along = columns / spacing
    storey = np.clip(level, 0, 7).astype(np.int64)
    column = along.astype(np.int64) % 64
    glass = (level - storey > 0.3) & (level - storey < 0.8) & (along - along.astype(np.int64) > 0.35)
    shade = np.where(glass, np.where(lit[storey, column] < 0.15, 1.3, panes), 1 + 0.05 * canvas.fine[window])
    shade = np.where(level < 0.18, 0.75, shade)
    canvas.paint(window, (rows >= top) & (rows < base) & ~gap, walls, canvas.stuff("building"), shade)


def _lower(street: Street) -> tuple[Window, Array, Array]:
    """The window below the horizon, and in it depth [h,1] and signed distance to the road's axis [h,W]."""
    window = slice(int(street.horizon) + 1, street.height), slice(0, street.width)
    rows, columns = _grid(window)
    depth = (rows - street.horizon) / (street.height - street.horizon)
    return window, depth, columns - street.vanish - depth * (street.foot - street.vanish)


def sidewalk(canvas: Canvas, street: Street, rng: Generator) -> None:
    window, depth, across = _lower(street)
    paving, slabs = _color(rng, canvas, PAVING), between(rng, 1.5, 3)
    seam = (slabs / depth) % 1 < 0.1 + 0.1 / (depth * street.height)
    kerb = np.abs(across) < depth * street.road + 1.5 * depth + 0.5
    shade = np.where(kerb, 1.2, np.where(seam, 0.82, 1 + 0.05 * canvas.coarse[window] + 0.06 * canvas.fine[window]))
    canvas.paint(window, np.abs(across) < depth * street.walk + 1, paving, canvas.stuff("sidewalk"), shade)


def road(canvas: Canvas, street: Street, rng: Generator) -> None:
    """Asphalt with a dashed middle line, often lines at the edges, sometimes a shadow across."""
    window, depth, across = _lower(street)
    asphalt, phase, edges = _color(rng, canvas, ASPHALT), rng.random(), rng.random() < 0.6
    shadow, darkness = between(rng, 0.1, 0.9), between(rng, 0.6, 0.8) if rng.random() < 0.5 else 1.0
    half, line = depth * street.road, depth * street.width * 0.012 + 0.3
    shade = 1 + 0.08 * canvas.coarse[window] + 0.1 * canvas.fine[window]
    shade = np.where(np.abs(depth + 0.1 * canvas.coarse[window] - shadow) < 0.07, darkness * shade, shade)
    marks = (np.abs(across) < line) & ((1.2 / (depth + 0.08) + phase) % 1 < 0.5)
    marks |= (np.abs(np.abs(across) - 0.9 * half) < 0.7 * line) & edges
    shade = np.where(marks, 2.2, shade)
    canvas.paint(window, np.abs(across) < half + 0.5, asphalt, canvas.stuff("road"), shade)


class Patch(NamedTuple):
    """The box of an object: `v` 0..1 from its top to its base, `u` -0.5..0.5 from left to right."""

    window: Window
    v: Array  # float32 [h,1]
    u: Array  # float32 [1,w]


Part = tuple[Array, Array]  # mask bool [h,w], colour float32 [3,1,1]
Build = tuple[float, float, Callable[[Patch], list[Part]]]  # height and width in pixels, parts back to front
Job = tuple[float, Callable[[], None]]  # depth, painter


def _patch(street: Street, x: float, base: float, height: float, width: float) -> Patch:
    """The box of an object that stands at (base, x), cut at the borders of the picture."""
    top, left = base - height, x - width / 2
    spans = ((top, base, street.height), (left, left + width, street.width))
    rows, columns = (slice(min(max(int(a), 0), n - 1), min(max(int(b) + 1, 1), n)) for a, b, n in spans)
    y, x_ = _grid((rows, columns))
    return Patch((rows, columns), (y - top) / height, (x_ - x) / width)


def hood(canvas: Canvas, street: Street, rng: Generator) -> Job:
    """In some pictures the bonnet of the car with the camera, unlabelled."""
    share, paint = between(rng, 0.05, 0.09) * (rng.random() < 0.35), _color(rng, canvas, PAINT)
    rows = round(street.height * share)
    window = slice(street.height - rows, street.height), slice(0, street.width)
    y, x = _grid(window)
    bend = (2 * x / street.width - 1) ** 2
    return 1, partial(canvas.paint, window, y - window[0].start > rows * bend * 0.8, paint * 0.6, 0, 1 - 0.3 * bend)


def tree(canvas: Canvas, street: Street, rng: Generator) -> Job:
    """Depth and painter of a tree at the outer end of a sidewalk; its noise is the canvas's, so painting draws no numbers."""
    depth, side = between(rng, 0.2, 0.55), 1 if rng.random() < 0.5 else -1
    x = street.axis(depth) + side * depth * between(rng, 0.9 * street.walk, 1.4 * street.walk)
    leaves, bark = _color(rng, canvas, LEAVES), _color(rng, canvas, BARK)
    base, metre, size = street.row(depth), street.metre(depth), between(rng, 2.6, 4.4)
    trunk = _patch(street, x, base, 2.4 * metre, max(0.3 * metre, 2))
    crown = _patch(street, x, base - 1.8 * metre, size * metre, size * metre)

    def paint() -> None:
        segment = canvas.stuff("vegetation")
        canvas.paint(trunk.window, (trunk.v < 1) & (np.abs(trunk.u) < 0.5), bark, segment)
        coarse, fine = canvas.coarse[crown.window], canvas.fine[crown.window]
        ragged = 4 * (crown.u**2 + (crown.v - 0.5) ** 2) < 0.75 + 0.25 * coarse + 0.35 * fine
        canvas.paint(crown.window, ragged, leaves, segment, 1.15 - 0.5 * crown.v + 0.45 * fine)

    return depth, paint


def thing(canvas: Canvas, street: Street, rng: Generator, name: str, depth: float, outlined: bool) -> None:
    """Paint a thing with its shadow; where outlined, with a rim of void."""
    side = 1 if rng.random() < 0.5 else -1
    x = street.axis(depth) + side * depth * street.road * between(rng, *REACH[name])
    x = min(max(x, 0.08 * street.width), 0.92 * street.width)
    height, width, model = THINGS[name](canvas, rng, street.metre(depth))
    patch = _patch(street, x, street.row(depth), height, width)
    shadow = _patch(street, x, street.row(depth) + 0.04 * height, 0.1 * height, 1.15 * width)
    canvas.shade[shadow.window] *= 0.65
    _assemble(canvas, patch, model(patch), canvas.segment(name), outlined)


def crowd(canvas: Canvas, street: Street, rng: Generator) -> None:
    """Small people side by side as one segment."""
    segment, count = canvas.segment("person", crowd=True), int(between(rng, 5, 11))
    start, metre = between(rng, 0.05, 0.7) * street.width, street.metre(0.2)
    for place in range(count):
        height, width, model = _person(canvas, rng, metre)
        patch = _patch(street, start + 0.8 * place * width, street.row(between(rng, 0.17, 0.22)), height, width)
        _assemble(canvas, patch, model(patch), segment, outlined=False)


def _assemble(canvas: Canvas, patch: Patch, parts: list[Part], segment: int, outlined: bool) -> None:
    """Paint parts over one another; where outlined, the pixels that touch their union from outside become void."""
    color, union = canvas.color[:, *patch.window], np.zeros(canvas.shade[patch.window].shape, bool)
    for mask, paint in parts:
        np.copyto(color, paint, where=mask)
        union |= mask
    if outlined:
        rows, columns = patch.window
        rim = canvas.framed[rows.start : rows.stop + 2, columns.start : columns.stop + 2]
        rim[_grown(union)] = 0
    shade = 1.12 - 0.3 * patch.v + 0.08 * canvas.fine[patch.window]
    canvas.paint(patch.window, union, color, segment, shade)


def _grown(mask: Array) -> Array:
    """The mask and all pixels that touch it: bool [h+2,w+2]."""
    grown = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), bool)
    grown[1:-1, 1:-1] = mask
    for array in (grown, grown.T):
        array[1:] |= array[:-1]
        array[:-1] |= array[1:]
    return grown


def _car(canvas: Canvas, rng: Generator, metre: float) -> Build:
    """A car from the front, from behind or, if far, from the side."""
    body, rear = _color(rng, canvas, PAINT), rng.random() < 0.5
    aside = rng.random() < 0.4 and 4.0 * metre < 0.55 * canvas.shade.shape[1]
    lamps = RED if rear else CREAM

    def across(patch: Patch) -> list[Part]:
        v, u = patch.v, np.abs(patch.u)
        return [
            ((v > 0.75) & (v < 1) & (u > 0.26) & (u < 0.46), RUBBER),
            ((v > 0.38) & (v < 0.88) & (u < 0.49), body),
            ((v > 0) & (v < 0.42) & (u < 0.3 + 0.3 * v), body * 0.9),
            ((v > 0.09) & (v < 0.38) & (u < 0.24 + 0.3 * v), GLASS),
            ((v > 0.48) & (v < 0.62) & (u > 0.32) & (u < 0.46), lamps),
            ((v > 0.66) & (v < 0.78) & (u < 0.14), STEEL),
        ]

    def along(patch: Patch) -> list[Part]:
        v, u = patch.v, patch.u if rear else -patch.u
        off = np.abs(np.abs(u) - 0.29)
        return [
            ((v > 0.4) & (v < 0.84) & (np.abs(u) < 0.49), body),
            ((v > 0) & (v < 0.45) & (u > -0.22 - 0.35 * v) & (u < 0.14 + 0.4 * v), body * 0.9),
            ((v > 0.1) & (v < 0.4) & (u > -0.18 - 0.35 * v) & (u < 0.1 + 0.4 * v) & (np.abs(u + 0.02) > 0.015), GLASS),
            ((v > 0.48) & (v < 0.6) & (u > 0.44) & (u < 0.49), lamps),
            ((off / 0.1) ** 2 + ((v - 0.8) / 0.2) ** 2 < 1, RUBBER),
            ((off / 0.05) ** 2 + ((v - 0.8) / 0.1) ** 2 < 1, STEEL),
        ]

    return (1.35 * metre, 4.0 * metre, along) if aside else (1.45 * metre, 1.8 * metre, across)


def _person(canvas: Canvas, rng: Generator, metre: float) -> Build:
    """A person on foot."""
    shirt, trousers, skin = (_color(rng, canvas, choices) for choices in (PAINT, TROUSERS, SKIN))
    hair, stride = skin * 0.35, between(rng, 0.05, 0.3)

    def parts(patch: Patch) -> list[Part]:
        v, u = patch.v, np.abs(patch.u)
        head = (u / 0.2) ** 2 + ((v - 0.09) / 0.09) ** 2 < 1
        return [
            ((v > 0.5) & (v < 1) & (np.abs(u - 0.13 - stride * (v - 0.5)) < 0.15), trousers),
            ((v > 0.17) & (v < 0.56) & (u < 0.3 + 0.1 * (1 - v)), shirt),
            ((v > 0.2) & (v < 0.55) & (u > 0.34) & (u < 0.48), shirt * 0.8),
            (head, skin),
            (head & (v < 0.07), hair),
        ]

    return 1.8 * metre, max(0.8 * metre, 3), parts


def _sign(canvas: Canvas, rng: Generator, metre: float) -> Build:
    """A traffic sign on a pole."""
    rim, inside = (_color(rng, canvas, (c,)) for c in PANELS[rng.integers(len(PANELS))])
    shape = rng.integers(3)
    width, height = max(1.05 * metre, 6), 2.6 * metre
    share, pole = width / height, max(0.1 * metre, 1.5) / width

    def parts(patch: Patch) -> list[Part]:
        v, u = patch.v / share, np.abs(patch.u)  # v 0..1 is the panel
        disc, square = 4 * (u**2 + (v - 0.5) ** 2), np.maximum(2 * u, np.abs(2 * v - 1)) ** 2
        triangle = np.maximum(2 * u + 1 - v, 1.5 * v - 0.5) ** 2
        size = (disc, square, triangle)[shape]
        return [((v > 0.5) & (patch.v < 1) & (u < pole), STEEL), (size < 1, rim), (size < 0.5, inside)]

    return height, width, parts


THINGS: dict[str, Callable[[Canvas, Generator, float], Build]] = {"car": _car, "person": _person, "sign": _sign}
REACH = {"car": (0.0, 0.75), "person": (0.1, 1.35), "sign": (1.05, 1.4)}  # from the road's axis, in half widths of the road
