"""Sums over all pairs of points, weighted by a Gaussian of their distance, without most of the pairs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LEAF = 256  # points of a leaf: so many rows of weights are made at once
WORKING_SET = 2**19  # weights at a time: they stay in the processor's cache, and kernels take about a millisecond
LEAST = -60.0  # exponent below which weights are made no smaller: subnormal numbers are slow, and these add nothing


class GaussSums:
    """out[i] = sum_j exp(-|x_i - x_j|^2 / 2) values[j], pair i = j included.

    Points that lie in one cell of a grid count as one at their mean, so that the work depends on how many different
    points there are. The cells are ordered as the leaves of a k-d tree; pairs of leaves whose boxes are further apart
    than `reach` are left out, and with small leaves in many-coloured pictures these are most. With `cell` = 0 and a
    reach of 9 (weights of 3e-18) the sums are those of all pairs to float32.

    Args:
        points: float32 [N,D], in units of the Gaussian's standard deviation.
        cell: side of a grid cell; 0: every point counts by itself.
        reach: distance from which on pairs are left out.
    """

    def __init__(self, points: Tensor, *, cell: float, reach: float) -> None:
        self.count = len(points)
        self.member = cells_of(points, cell) if cell else torch.arange(self.count, device=points.device)
        total = int(self.member.max()) + 1
        means = points
        if cell:
            sizes = torch.bincount(self.member, minlength=total).to(points.dtype)
            means = points.new_zeros(total, points.shape[1]).index_add_(0, self.member, points) / sizes[:, None]
        depth = max(0, math.ceil(math.log2(max(total, 1) / LEAF)))
        order = leaves(means, depth)  # [2^depth, n]; -1 where there is none
        self.slots = order.flatten().clamp(min=0)
        self.filled = (order.flatten() >= 0).to(points.dtype)
        self.place = order.flatten().argsort()[-total:]  # of each cell among the leaves' points
        self.leaves = means[self.slots].view(*order.shape, -1)
        low, high = self.leaves.amin(1), self.leaves.amax(1)  # a missing point repeats one of cell 0: see `leaves`
        self.near = [row.nonzero()[:, 0] for row in close(low, high, reach)]
        self.total = total

    @property
    def pairs(self) -> int:
        """How many weights are computed for one sum."""
        return sum(len(near) for near in self.near) * self.leaves.shape[1] ** 2

    def __call__(self, values: Tensor) -> Tensor:
        """The sums of float32 [C,N]: [C,N]."""
        if self.total < self.count:
            values = values.new_zeros(len(values), self.total).index_add_(1, self.member, values)
        count, size, _ = self.leaves.shape
        sources = (values[:, self.slots] * self.filled).view(-1, count, size)
        sums = torch.cat([self._leaf(number, sources) for number in range(count)], 1)
        return sums[:, self.place[self.member]]

    def _leaf(self, number: int, sources: Tensor) -> Tensor:
        """The sums of one leaf's points. Seen from its middle, near points have small coordinates: differences stay exact."""
        middle = self.leaves[number].mean(0)
        here = (self.leaves[number] - middle).T  # [D,n]
        half = here.square().sum(0, keepdim=True) / 2
        here = torch.cat([here, -half, torch.ones_like(half)])
        out = torch.zeros_like(sources[:, 0])
        for near in self.near[number].split(max(1, WORKING_SET // here.shape[1] ** 2)):
            there = self.leaves[near].flatten(0, 1) - middle
            half = there.square().sum(1, keepdim=True) / 2
            weights = torch.cat([there, torch.ones_like(half), -half], 1) @ here
            out.addmm_(sources[:, near].flatten(1), weights.clamp_(min=LEAST).exp_())
        return out


def cells_of(points: Tensor, cell: float) -> Tensor:
    """The number of each point's grid cell, counted through those that hold a point: int64 [N]."""
    index = (points / cell).floor().long()
    index -= index.amin(0)
    key = torch.zeros_like(index[:, 0])
    for axis in index.T:  # one by one, so that the key stays small however many dimensions there are
        key = (key * (int(axis.max()) + 1) + axis).unique(return_inverse=True)[1]
    return key


def leaves(points: Tensor, depth: int) -> Tensor:
    """The points in 2^depth groups of near ones, halved again and again across their widest extent: int64 [2^depth, n].

    Args:
        points: [N,D].
        depth: how often to halve.

    Returns:
        Indices of points; where N doesn't fill the groups, -1 at places of point 0's group.
    """
    count = len(points)
    missing = -count % 2**depth
    order = torch.arange(-missing, count, device=points.device)[None]  # below 0: copies of point 0
    for _ in range(depth):
        here = points[order.clamp(min=0)]  # [groups, n, D]
        widest = (here.amax(1) - here.amin(1)).argmax(1)
        along = here.gather(2, widest[:, None, None].expand(-1, here.shape[1], 1))[..., 0]
        order = order.gather(1, along.sort(dim=1, stable=True).indices).view(2 * len(order), -1)
    return order.clamp(min=-1)


def close(low: Tensor, high: Tensor, reach: float) -> Tensor:
    """Which boxes, [L,D] each, are less than `reach` apart: bool [L,L]."""
    apart = low.new_zeros(len(low), len(low))
    for lowest, highest in zip(low.T, high.T, strict=True):
        apart += torch.maximum(lowest[:, None] - highest, lowest - highest[:, None]).clamp_(min=0).square_()
    return apart <= reach**2
