"""Centres of a heatmap, and which of them each point lies nearest to."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from segexp.functional.contours import sliding

CELL = 8.0  # pixels: side of the squares that share a list of centres
BLOCK = 8  # cells: side of the squares whose lists those of cells are chosen from
SLACK = 1e-2  # pixels, and this much more per 1000 pixels of reach: above what float32 rounds off
AROUND = 512.0  # pixels around the centres that cells cover; points beyond are compared with all centres
MOST_CELLS = 2**20
STEP = 2**17  # points at a time: what a step works on stays in the processor's cache
TABLE = 2**21  # values of a step over cells x centres


def find_centers(heat: Tensor, *, threshold: float, window: int, most: int | None) -> tuple[Tensor, Tensor]:
    """Pixels above the threshold that are the highest of the square around them; equals all remain.

    As in published code only centres strictly above the `most`-th highest remain where there are so many or more: at most
    `most` - 1 of them.

    Args:
        heat: float [H,W].
        threshold: centres are above it, and above 0.
        window: side of the square in pixels, odd.
        most: see above; None: all.

    Returns:
        (y, x) int64 [N,2] in raster order, and their values [N].
    """
    above = heat > max(threshold, 0.0)
    points = (above & (heat == window_max(heat, window))).nonzero()  # [N,2]
    values = heat[points[:, 0], points[:, 1]]
    if most is not None and len(points) >= most:
        kept = values > values.topk(most).values[-1]
        points, values = points[kept], values[kept]
    return points, values


def window_max(x: Tensor, window: int) -> Tensor:
    """The largest value of the `window` x `window` square around each pixel of [H,W], `window` odd."""
    return sliding(F.pad(x, [window // 2] * 4, value=float("-inf")), window, torch.maximum)


def nearest_direct(y: Tensor, x: Tensor, centers: Tensor) -> Tensor:
    """Which centre each point is nearest to, the first of equals, from all distances in float32: int64 [P].

    Args:
        y, x: float32 [P].
        centers: float32 [N,2] (y, x), N > 0.
    """
    step = max(TABLE * 4 // len(centers), 1)
    return torch.cat(
        [_distance(a[None], b[None], *centers.T[..., None]).argmin(0) for a, b in zip(y.split(step), x.split(step), strict=True)]
    )


def nearest(y: Tensor, x: Tensor, centers: Tensor) -> Tensor:
    """As `nearest_direct`, to the last tie, in a time that hardly depends on the number of centres.

    The plane is cut into square cells. A centre can be nearest to a point of a cell only if its least distance to the cell
    isn't above the least of all centres' greatest distances. Points are compared with these centres alone, in the same
    arithmetic; most cells have one.

    Args:
        y, x: float32 [P].
        centers: float32 [N,2] (y, x), N > 0.
    """
    if y.device.type != "cpu" or len(y) == 0:
        return nearest_direct(y, x, centers)
    grid = _grid(centers)
    inside = grid.holds(y, x)
    if bool(inside.all()):
        return _by_cells(y, x, grid, centers)
    out = torch.empty(len(y), dtype=torch.int64)
    out[~inside] = nearest_direct(y[~inside], x[~inside], centers)  # far away, or no number
    out[inside] = _by_cells(y[inside], x[inside], grid, centers)
    return out


class _Grid(NamedTuple):
    """Cells over the centres and what is around them."""

    top: float
    left: float
    side: float
    rows: int
    columns: int

    def holds(self, y: Tensor, x: Tensor) -> Tensor:
        """Which points it covers: bool [P]."""
        bottom, right = self.top + self.rows * self.side, self.left + self.columns * self.side
        return (y >= self.top) & (y <= bottom) & (x >= self.left) & (x <= right)

    def cell_of(self, y: Tensor, x: Tensor) -> Tensor:
        """The cell of each point: int32 [P]."""
        row = ((y - self.top) / self.side).int().clamp_(0, self.rows - 1)
        return ((x - self.left) / self.side).int().clamp_(0, self.columns - 1).add_(row, alpha=self.columns)


class _Lists(NamedTuple):
    """The centres that may be nearest, cell after cell, lowest first."""

    centers: Tensor  # int64 [L]
    first: Tensor  # int64 [cells], where the list of a cell begins
    length: Tensor  # int64 [cells]


def _distance(y: Tensor, x: Tensor, to_y: Tensor, to_x: Tensor) -> Tensor:
    """In float32, every step rounded: equal wherever it is computed."""
    down, across = to_y - y, to_x - x
    return down.mul_(down).add_(across.mul_(across)).sqrt_()


def _grid(centers: Tensor) -> _Grid:
    (top, left), (bottom, right) = ((edge + by).tolist() for edge, by in ((centers.amin(0), -AROUND), (centers.amax(0), AROUND)))
    side = CELL
    while (bottom - top) * (right - left) > MOST_CELLS * side**2:
        side *= 2
    return _Grid(top, left, side, int((bottom - top) / side) + 1, int((right - left) / side) + 1)


def _by_cells(y: Tensor, x: Tensor, grid: _Grid, centers: Tensor) -> Tensor:
    """The nearest centre of points on the grid: int64 [P]."""
    out = torch.empty(len(y), dtype=torch.int64)
    cell = torch.empty(len(y), dtype=torch.int32)
    steps = [slice(start, start + STEP) for start in range(0, len(y), STEP)]
    for step in steps:
        cell[step] = grid.cell_of(y[step], x[step])
    if not steps:
        return out
    lists = _lists(cell, grid, centers)
    for step in steps:
        out[step] = _of_lists(y[step], x[step], cell[step], lists, centers)
    return out


def _lists(cell: Tensor, grid: _Grid, centers: Tensor) -> _Lists:
    """For the cells that hold points: first for blocks of cells, then for each cell among the centres of its block."""
    taken = (torch.bincount(cell, minlength=grid.rows * grid.columns) > 0).nonzero().flatten()  # [C]
    row, column = taken // grid.columns, taken % grid.columns
    across = -(-grid.columns // BLOCK)
    blocks, block = ((row // BLOCK) * across + column // BLOCK).unique(return_inverse=True)  # [B], [C]
    all_of = torch.arange(len(centers)).expand(len(blocks), -1)
    of_blocks, lengths = _chosen(grid, BLOCK, blocks // across, blocks % across, all_of, centers)
    ranks = torch.arange(int(lengths.max()))
    padded = torch.full((len(blocks), len(ranks)), len(centers))
    padded[ranks < lengths[:, None]] = of_blocks
    found, counts = [], []
    for part in torch.arange(len(taken)).split(max(TABLE // len(ranks), 1)):
        several, count = _chosen(grid, 1, row[part], column[part], padded[block[part]], centers)
        found.append(several)
        counts.append(count)
    first, length = torch.zeros(2, grid.rows * grid.columns, dtype=torch.int64)
    length[taken] = torch.cat(counts)
    first[taken] = length[taken].cumsum(0) - length[taken]
    return _Lists(torch.cat(found), first, length)


def _chosen(grid: _Grid, size: int, row: Tensor, column: Tensor, among: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
    """Which of `among` [c,M] may be nearest in squares of `size` x `size` cells: one list after the other, and their lengths.

    The number of centres stands for none.
    """
    least, greatest = torch.zeros(2, *among.shape)
    far = torch.cat([centers, centers.new_full((1, 2), float("inf"))])
    extent = 0.0
    for start, place, axis in ((grid.top, row, far[:, 0]), (grid.left, column, far[:, 1])):
        side = grid.side * size
        low = start + side * place[:, None]
        to = axis[among]
        before, after = low - to, to - low - side  # [c,M]
        least += torch.maximum(before, after).clamp_(min=0).square_()
        greatest += torch.maximum(before, after).add_(side).square_()
        extent = max(extent, float(low.abs().max()), float(axis[:-1].abs().max()))
    may = least.sqrt_() <= greatest.amin(1, keepdim=True).sqrt_() + SLACK * (1 + extent / 1000)
    return among[may], may.sum(1)


def _of_lists(y: Tensor, x: Tensor, cell: Tensor, lists: _Lists, centers: Tensor) -> Tensor:
    """The nearest centre of some points: int64 [P]."""
    first, length = (table.index_select(0, cell) for table in (lists.first, lists.length))
    out = lists.centers.index_select(0, first)
    open_ = (length > 1).nonzero().flatten()  # the points that have a choice
    y, x, first, length, best = (values[open_] for values in (y, x, first, length, out))
    to_y, to_x = centers[:, 0].contiguous(), centers[:, 1].contiguous()
    least = _distance(y, x, to_y[best], to_x[best])
    rank = 1
    while len(open_):
        other = lists.centers.index_select(0, first + rank)
        distance = _distance(y, x, to_y.index_select(0, other), to_x.index_select(0, other))
        nearer = distance < least
        least, best = torch.minimum(least, distance), torch.where(nearer, other, best)
        out[open_] = best
        rank += 1
        left = (length > rank).nonzero().flatten()
        open_, y, x, first, length, best, least = (v[left] for v in (open_, y, x, first, length, best, least))
    return out
