"""Scale jitter, random crop and flip, as one resample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from segexp.errors import ConfigError
from segexp.functional.keys import randint, uniform
from segexp.functional.windows import Window, resample
from segexp.types import Size


class ScaleCrop:
    """Random scale, crop and flip in training; the plain scale in evaluation.

    Args:
        crop: (height, width) of a training sample; unless given, the size that the image has at `scale`.
        scale: of every image, in training and in evaluation (0.5 = half size).
        jitter: (least, greatest) factor on the scale in training, drawn uniformly.
        flip: probability of mirroring left to right.
        pad: where the scaled image is smaller than the crop: keep the scale and let the batch be padded with ignored
            pixels (true), or raise the scale until the crop is filled (false).
    """

    def __init__(
        self,
        *,
        crop: Sequence[int] | None = None,
        scale: float = 1.0,
        jitter: Sequence[float] = (1.0, 1.0),
        flip: float = 0.5,
        pad: bool = False,
    ) -> None:
        if scale <= 0 or not 0 < jitter[0] <= jitter[1]:
            raise ConfigError(f"scale {scale}, jitter {list(jitter)}", where="augmentation", fix="positive, least before greatest")
        self.crop = tuple(crop) if crop else None
        self.scale, self.jitter, self.flip, self.pad = scale, tuple(jitter), flip, pad

    def __call__(self, sample: Mapping[str, Any], rng: torch.Generator | None) -> dict[str, Any]:
        """Resample one sample; `rng` is None in evaluation."""
        height, width = sample["image"].shape[-2:]
        if rng is None:
            return resample(sample, Window(0, 0, height, width, _scaled((height, width), self.scale)))
        return resample(sample, self.draw((height, width), rng))

    def draw(self, size: Size, rng: torch.Generator) -> Window:
        """The window of one training sample of an image of `size`."""
        scale = self.scale * uniform(rng, *self.jitter)
        crop = self.crop or _scaled(size, self.scale)
        if not self.pad:
            scale = max(scale, crop[0] / size[0], crop[1] / size[1])
        source = tuple(min(n, max(1, round(c / scale))) for n, c in zip(size, crop, strict=True))
        out = tuple(min(c, max(1, round(n * scale))) if self.pad else c for n, c in zip(source, crop, strict=True))
        top, left = (randint(rng, 0, n - part) for n, part in zip(size, source, strict=True))
        return Window(top, left, *source, size=out, flip=uniform(rng, 0, 1) < self.flip)


def _scaled(size: Size, scale: float) -> Size:
    return (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
