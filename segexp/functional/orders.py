"""In which order samples are read: keyed by (seed, epoch), sharded over ranks by position."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from segexp.functional.keys import generator


class Draw(NamedTuple):
    """Which sample, drawn in which epoch for the how manieth time: all that its randomness depends on, beside the seed."""

    epoch: int
    index: int
    repeat: int = 0


class TrainOrder:
    """Batch sampler: a permutation keyed by (seed, epoch), sharded by position, in windows of one optimizer step.

    Args:
        length: samples in the split.
        batch_size: of one rank's micro-batch.
        accumulate: micro-batches in an optimizer step.
        seed: of the run.
        rank, world: which part of each global batch is ours.
        start: (epoch, windows of it that are behind us): where a training goes on.
        weights: [length] how often each sample is drawn in relation to others; an epoch is as long as without.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        accumulate: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        *,
        start: tuple[int, int] = (0, 0),
        weights: Tensor | None = None,
    ) -> None:
        self.batches = length // (batch_size * world)  # micro-batches of one epoch; what is left over waits for the next order
        self.length, self.batch_size, self.accumulate, self.seed, self.rank, self.world = length, batch_size, accumulate, seed, rank, world
        self.epoch, self.start, self.weights = 0, start, weights

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls it before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.batches // self.accumulate)

    def __iter__(self) -> Iterator[list[Draw]]:
        order = self._order()
        whole = self.batch_size * self.world
        behind = self.start[1] * self.accumulate if self.epoch == self.start[0] else 0
        for start in range(behind, self.batches, self.accumulate):
            window = []
            for batch in range(start, min(start + self.accumulate, self.batches)):
                first = batch * whole + self.rank * self.batch_size
                window += order[first : first + self.batch_size]
            yield window

    def _order(self) -> list[Draw]:
        rng = generator(self.seed, "order", self.epoch)
        if self.weights is None:
            return [Draw(self.epoch, index) for index in torch.randperm(self.length, generator=rng).tolist()]
        seen: dict[int, int] = {}
        order = []
        for index in weighted(self.weights, rng).tolist():
            order.append(Draw(self.epoch, index, seen.get(index, 0)))
            seen[index] = order[-1].repeat + 1
        return order


class EvaluationOrder:
    """Batch sampler: every sample once over all ranks, none repeated to fill a batch.

    A rank without samples has one empty batch: it takes part in what all ranks do.

    Args:
        length: samples in the split.
        batch_size: of one rank.
        rank, world: it takes every `world`-th sample from `rank` on.
    """

    def __init__(self, length: int, batch_size: int, rank: int = 0, world: int = 1) -> None:
        self.indices, self.batch_size = range(rank, length, world), batch_size
        self.common = -(-(length // world) // batch_size)  # batches that every rank has, with samples

    def __len__(self) -> int:
        return max(1, -(-len(self.indices) // self.batch_size))

    def __iter__(self) -> Iterator[list[Draw]]:
        for start in range(0, max(1, len(self.indices)), self.batch_size):
            yield [Draw(0, index) for index in self.indices[start : start + self.batch_size]]


def weighted(weights: Tensor, rng: torch.Generator) -> Tensor:
    """As many indices as there are weights, each as often as its share of their sum says, rounded up or down by chance.

    Marks at equal distances on a line of the weights in random order (systematic sampling), so that counts vary least.

    Args:
        weights: float64 [N], positive.
        rng: all that is random.

    Returns:
        int64 [N] in random order.
    """
    count = len(weights)
    line = torch.randperm(count, generator=rng)
    ends = weights[line].double().cumsum(0)
    marks = (torch.arange(count) + torch.rand((), generator=rng, dtype=torch.float64)) * (ends[-1] / count)
    drawn = line[torch.searchsorted(ends, marks, right=True).clamp_(max=count - 1)]
    return drawn[torch.randperm(count, generator=rng)]


def repeat_factors(pixels: Tensor) -> Tensor:
    """How often images are drawn so that rare classes are seen more often (Gupta et al., LVIS, 2019).

    An image's weight is that of its rarest class, 1 / sqrt(share of the images that have it): their rule with the threshold 1,
    since a semantic data set has few classes and none of them is in a thousandth of the images alone.

    Args:
        pixels: int64 [N,K] of each class in each image.

    Returns:
        float64 [N], at least 1.
    """
    there = pixels > 0  # [N,K]
    share = there.double().mean(0).clamp(min=1 / len(pixels))  # [K]
    return torch.where(there, share.rsqrt(), 1.0).amax(1)
