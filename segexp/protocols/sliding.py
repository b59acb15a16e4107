"""Predict in overlapping windows and blend them without seams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from segexp.errors import ConfigError
from segexp.protocols.mean import MeanProbability, class_probabilities
from segexp.protocols.multi_scale import Forward, MultiScale
from segexp.types import SemanticLogits, Size, Sizes


class Place(NamedTuple):
    """A window of an image of the batch, and its weights along the two axes: float32 [h] and [w]."""

    image: int
    top: int
    left: int
    rows: Tensor
    columns: Tensor


class Sliding:
    """The mean of the class probabilities over overlapping windows, weighted by how near a pixel is to a window's centre.

    Weights fall off linearly towards a window's sides and add up to 1 in every pixel, so that nothing jumps where a window
    ends. Windows lie symmetrically: a network that doesn't tell left from right gives mirrored images mirrored results,
    bit by bit. An image, or a side of it, that is smaller than the window is predicted as a whole. Only a batch of windows
    is held at a time, beside the sums.

    Args:
        window: (height, width) of the windows, in pixels of the (scaled) input.
        overlap: of neighbouring windows, at least; as a share of the window, 0 up to below 1.
        batch: windows that are predicted together.
        scales, flip: as in `MultiScale`, around the windows.

    Raises:
        ConfigError: a value makes no sense.
    """

    accepts = SemanticLogits

    def __init__(
        self,
        *,
        window: Sequence[int],
        overlap: float = 0.5,
        batch: int = 4,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
    ) -> None:
        if len(window) != 2 or min(window) < 1:
            raise ConfigError("a window is a height and a width", where=f"protocol.window={list(window)}", fix="protocol.window=[512,512]")
        if not 0 <= overlap < 1:
            raise ConfigError("overlap is a share of the window, below 1", where=f"protocol.overlap={overlap}", fix="protocol.overlap=0.5")
        if batch < 1:
            raise ConfigError("at least one window is predicted at a time", where=f"protocol.batch={batch}", fix="protocol.batch=4")
        self.window, self.overlap, self.batch = tuple(window), overlap, batch
        self.around = MultiScale(scales=scales, flip=flip)

    def __call__(self, forward: Forward, images: Tensor, sizes: Sizes) -> SemanticLogits:
        """The logarithm of the mean probability; arguments and result are those of `MultiScale`."""
        if self.around.scales == (1.0,) and not self.around.flip:
            return self.once(forward, images, sizes)
        return self.around(partial(self.once, forward), images, sizes)

    def once(self, forward: Forward, images: Tensor, sizes: Sizes) -> SemanticLogits:
        """The same at one scale, not mirrored."""
        mean = MeanProbability(len(images), tuple(images.shape[-2:]))
        for places in self._batches(sizes):
            size = _size(places[0])
            cut = [images[p.image, :, p.top : p.top + size[0], p.left : p.left + size[1]] for p in places]
            output = forward(torch.stack(cut), (size,) * len(cut))
            for i, place in enumerate(places):
                weight = place.rows.to(images.device)[:, None] * place.columns.to(images.device)  # [h,w]
                mean.add(place.image, place.top, place.left, class_probabilities(output, i, size), weight)
        return mean.output()

    def _batches(self, sizes: Sizes) -> Iterator[list[Place]]:
        """The windows of all images, those of one size together."""
        places = [place for image, size in enumerate(sizes) for place in self._places(image, size)]
        for _, alike in groupby(sorted(places, key=_size), _size):
            listed = list(alike)
            yield from (listed[i : i + self.batch] for i in range(0, len(listed), self.batch))

    def _places(self, image: int, size: Size) -> Iterator[Place]:
        rows, columns = (cuts(length, window, self.overlap) for length, window in zip(size, self.window, strict=True))
        yield from (Place(image, top, left, high, wide) for top, high in rows for left, wide in columns)


def _size(place: Place) -> Size:
    return len(place.rows), len(place.columns)


def cuts(length: int, window: int, overlap: float) -> list[tuple[int, Tensor]]:
    """Where windows begin along an axis, and their weights, which add up to 1 everywhere: [(start, float32 [w]), ...]."""
    window = min(window, length)
    starts = positions(length, window, max(1, int(window * (1 - overlap))))
    ramp = torch.arange(1, window + 1).minimum(torch.arange(window, 0, -1))  # 1, 2, ..., 2, 1
    total = torch.zeros(length, dtype=torch.int64)
    for start in starts:
        total[start : start + window] += ramp
    return [(start, (ramp.double() / total[start : start + window]).float()) for start in starts]


def positions(length: int, window: int, stride: int) -> list[int]:
    """Starts of windows that cover an axis, at most `stride` apart and symmetric: start + mirrored start = length - window."""
    rest = length - window
    count = -(-rest // stride) + 1
    if count % 2 and rest % 2:  # no pixel to begin a middle one at
        count += 1
    first = [-(-i * rest // max(count - 1, 1)) for i in range((count + 1) // 2)]  # rounded up, so that the middle isn't wider
    return first + [rest - start for start in reversed(first[: count // 2])]
