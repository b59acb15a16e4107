"""Clips of discs and squares whose motion is known, and which may hide each other: the truth of every frame."""

from dataclasses import dataclass

import numpy as np
import torch

from segexp.types import ClassInfo, DataSpec

SPEC = DataSpec(
    (ClassInfo("ground", False, (90, 90, 90)), ClassInfo("disc", True, (0, 0, 200)), ClassInfo("square", True, (200, 40, 0))),
    frozenset({"segments"}),
)
SIZE = (72, 96)


@dataclass
class Mover:
    """A disc (class 1) or square (class 2) that is at `start` in frame 0 and bounces off the borders; later ones lie on top."""

    label: int
    start: tuple[float, float]
    speed: tuple[float, float]
    radius: float

    def mask(self, frame, size=SIZE):
        at = []
        for start, speed, side in zip(self.start, self.speed, size, strict=True):
            span = side - 2 * self.radius
            way = (start - self.radius + speed * frame) % (2 * span)
            at.append(self.radius + min(way, 2 * span - way))
        y, x = np.mgrid[: size[0], : size[1]] + 0.5
        away = np.stack([abs(y - at[0]), abs(x - at[1])])
        return (np.hypot(*away) if self.label == 1 else away.max(0)) <= self.radius


def scene(movers, frame, size=SIZE, rng=None):
    """One frame: segments int32 [H,W], labels int64 [S], and of each segment which mover it is (-1: ground).

    The order of the segments is random where `rng` is given, so that it tells nothing of the things.
    """
    owner = np.full(size, -1)
    for number, mover in enumerate(movers):
        owner[mover.mask(frame, size)] = number
    there = np.unique(owner)
    if rng is not None:
        there = rng.permutation(there)
    segments = np.zeros(size, np.int32)
    for place, number in enumerate(there, 1):
        segments[owner == number] = place
    labels = [0 if number < 0 else movers[number].label for number in there]
    return torch.from_numpy(segments), torch.tensor(labels), there.tolist()


def many(seed, count=6, size=SIZE):
    """Movers of random speed, up to 4 pixels a frame."""
    rng = np.random.default_rng(seed)
    return [
        Mover(int(rng.integers(1, 3)), tuple(rng.uniform(15, side - 15) for side in size), tuple(rng.uniform(-4, 4, 2)), rng.uniform(6, 11))
        for _ in range(count)
    ]


def picture(segments, labels):
    """A picture in which each class has its colour: uint8 [3,H,W]."""
    table = torch.tensor([(0, 0, 0), *(SPEC.classes[i].color for i in labels.tolist())], dtype=torch.uint8)
    return table[segments.long()].permute(2, 0, 1).contiguous()
