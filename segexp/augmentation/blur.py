"""Gaussian blur of the image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad
from torchvision import tv_tensors

from segexp.errors import ConfigError
from segexp.functional.keys import uniform

REACH = 3  # standard deviations


class GaussianBlur:
    """Blur some of the images.

    Args:
        probability: of being blurred.
        sigma: (least, greatest) standard deviation in pixels of the crop, drawn uniformly.
    """

    def __init__(self, *, probability: float = 0.5, sigma: Sequence[float] = (0.1, 2.0)) -> None:
        if not 0 <= probability <= 1 or len(sigma) != 2 or not 0 < sigma[0] <= sigma[1]:
            raise ConfigError(
                f"probability {probability}, sigma {list(sigma)}",
                where="augmentation, GaussianBlur",
                fix="a probability of 0 to 1, sigmas positive, least before greatest",
            )
        self.probability, self.sigma = probability, tuple(sigma)

    def __call__(self, sample: dict[str, Any], rng: torch.Generator) -> dict[str, Any]:
        """Blur the image of a sample, or don't."""
        if uniform(rng, 0, 1) >= self.probability:
            return sample
        return sample | {"image": tv_tensors.Image(blur(sample["image"].as_subclass(Tensor), uniform(rng, *self.sigma)))}


def blur(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur, mirrored at the borders: [C,H,W] of any integer type, to the same.

    Args:
        image: the image.
        sigma: in pixels; the kernel reaches to 3 of them, and to no more than the picture is wide.
    """
    x = image.float()[:, None]  # [C,1,H,W]
    for axis, n in ((2, x.shape[2]), (3, x.shape[3])):
        radius = min(math.ceil(REACH * sigma), n - 1)
        kernel = torch.exp(-(torch.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
        shape, edges = ([1, 1, -1, 1], (0, 0, radius, radius)) if axis == 2 else ([1, 1, 1, -1], (radius, radius, 0, 0))
        x = conv2d(pad(x, edges, mode="reflect"), (kernel / kernel.sum()).view(shape))
    return x[:, 0].round_().to(image.dtype)
