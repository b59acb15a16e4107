"""Predict at several scales, mirrored as well, and average the probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from segexp.errors import ConfigError
from segexp.protocols.mean import MeanProbability, class_probabilities
from segexp.types import SemanticLogits, Size, Sizes

Forward = Callable[[Tensor, Sizes], SemanticLogits]


class MultiScale:
    """The mean of the class probabilities over scales of the input, each also mirrored left to right.

    The mirrored pass is the whole of the other one on the mirrored image. So with `flip` the prediction for a mirrored
    image is the mirrored prediction, bit by bit, at any size.

    Args:
        scales: of the input's height and width.
        flip: mirror, too.

    Raises:
        ConfigError: no scale, or one that isn't above 0.
    """

    accepts = SemanticLogits

    def __init__(self, *, scales: Sequence[float] = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75), flip: bool = True) -> None:
        if not scales or min(scales) <= 0:
            raise ConfigError("scales are numbers above 0", where=f"protocol.scales={list(scales)}", fix="protocol.scales=[0.75,1.0,1.25]")
        self.scales, self.flip = tuple(scales), flip

    def __call__(self, forward: Forward, images: Tensor, sizes: Sizes) -> SemanticLogits:
        """The logarithm of the mean probability.

        Args:
            forward: the model, `(images, sizes) -> SemanticLogits`; or another protocol on it.
            images: float32 [B,C,H,W] in [0, 1], padded at the right and bottom.
            sizes: valid (height, width) of each.

        Returns:
            [B,K,H,W] at stride 1.
        """
        mirrors = (False, True) if self.flip else (False,)
        mean = MeanProbability(len(images), tuple(images.shape[-2:]), len(self.scales) * len(mirrors))
        for mirrored in mirrors:
            seen = mirror(images, sizes) if mirrored else images
            for scale in self.scales:
                scaled, scaled_sizes = rescale(seen, sizes, scale)
                output = forward(scaled, scaled_sizes)
                for i, (size, original) in enumerate(zip(scaled_sizes, sizes, strict=True)):
                    found = class_probabilities(output, i, size, original)  # [K,h,w]
                    mean.add(i, 0, 0, found.flip(-1) if mirrored else found)
        return mean.output()


def mirror(images: Tensor, sizes: Sizes) -> Tensor:
    """Each image left to right within its valid size."""
    out = images.clone()
    for image, (height, width) in zip(out, sizes, strict=True):
        image[:, :height, :width] = image[:, :height, :width].flip(-1)
    return out


def rescale(images: Tensor, sizes: Sizes, scale: float) -> tuple[Tensor, Sizes]:
    """Each image at a multiple of its valid size (bilinear, antialiased), padded with zeros to one size again; and the sizes."""
    if scale == 1:
        return images, sizes
    new: list[Size] = [(max(1, round(height * scale)), max(1, round(width * scale))) for height, width in sizes]
    tallest, widest = (max(side) for side in zip(*new, strict=True))
    parts = []
    for image, (height, width), (high, wide) in zip(images, sizes, new, strict=True):
        part = F.interpolate(image[None, :, :height, :width], size=[high, wide], mode="bilinear", antialias=True)
        parts.append(F.pad(part, (0, widest - wide, 0, tallest - high)))
    return torch.cat(parts), tuple(new)
