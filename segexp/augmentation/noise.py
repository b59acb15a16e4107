"""Gaussian noise on the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors

from segexp.errors import ConfigError
from segexp.functional.keys import uniform


class GaussianNoise:
    """Add independent noise to every value of some of the images.

    Args:
        probability: of being changed.
        sigma: (least, greatest) standard deviation as a share of the range of values (255, or 65535 of 16-bit images).
    """

    def __init__(self, *, probability: float = 0.5, sigma: Sequence[float] = (0.0, 0.05)) -> None:
        if not 0 <= probability <= 1 or len(sigma) != 2 or not 0 <= sigma[0] <= sigma[1]:
            raise ConfigError(
                f"probability {probability}, sigma {list(sigma)}",
                where="augmentation, GaussianNoise",
                fix="a probability of 0 to 1, sigmas of at least 0, least before greatest",
            )
        self.probability, self.sigma = probability, tuple(sigma)

    def __call__(self, sample: dict[str, Any], rng: torch.Generator) -> dict[str, Any]:
        """Add noise to the image of a sample, or don't."""
        if uniform(rng, 0, 1) >= self.probability:
            return sample
        image = sample["image"].as_subclass(Tensor)
        most = 255 if image.dtype == torch.uint8 else 65535
        noise = torch.randn(image.shape, generator=rng).mul_(most * uniform(rng, *self.sigma))
        return sample | {"image": tv_tensors.Image(noise.add_(image).round_().clamp_(0, most).to(image.dtype))}
