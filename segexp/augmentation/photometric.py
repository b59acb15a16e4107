"""Colour jitter as one matrix: brightness, contrast, saturation, hue and grey in a single pass over the pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors

from segexp.errors import ConfigError

Array = np.ndarray
Span = float | Sequence[float]
LUMA = np.array([0.2989, 0.587, 0.114])  # of grey, as torchvision has it
PIECE = 2**15  # pixels at a time: they stay in the cache, and the memory is reused
AROUND_GREY = np.array([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)  # cross product with the unit grey axis


class Photometric:
    """Random brightness, contrast, saturation and hue, in random order, then random grey.

    The parameters mean what those of torchvision's `ColorJitter` mean. Each change is linear in the pixel, so all are
    folded into one matrix and one offset, and values are clipped and rounded once, at the end. Two things differ from
    torchvision: nothing is clipped between two changes, and hue turns colours about the grey axis, keeping the mean of the
    channels, where HSV keeps value and saturation; the two agree for shifts of 0 and of a third of a turn.

    Args:
        brightness: the factor is drawn from 1 - x to 1 + x, or between two numbers.
        contrast: the same; 0 is the mean grey of the picture.
        saturation: the same; 0 is grey.
        hue: the shift, in turns of the colour circle, is drawn from -x to x, or between two numbers; at most half a turn.
        grayscale: probability of a grey picture.
        probability: that anything at all is changed.
    """

    def __init__(
        self,
        *,
        brightness: Span = 0.0,
        contrast: Span = 0.0,
        saturation: Span = 0.0,
        hue: Span = 0.0,
        grayscale: float = 0.0,
        probability: float = 1.0,
    ) -> None:
        for name, value in (("grayscale", grayscale), ("probability", probability)):
            if not 0 <= value <= 1:
                raise ConfigError(f"{name} {value}", where="augmentation, Photometric", fix="a probability, 0 to 1")
        factors = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        spans = {name: _span(name, value, middle=1.0, least=0.0, most=math.inf) for name, value in factors.items()}
        spans["hue"] = _span("hue", hue, middle=0.0, least=-0.5, most=0.5)
        neutral = {name: (0.0, 0.0) if name == "hue" else (1.0, 1.0) for name in spans}
        self.spans = {name: span for name, span in spans.items() if span != neutral[name]}
        self.grayscale, self.probability = grayscale, probability

    def __call__(self, sample: dict[str, Any], rng: torch.Generator) -> dict[str, Any]:
        """Change the image of a sample.

        Raises:
            ConfigError: saturation, hue or grey are asked for, and the image isn't RGB of 8 bits.
        """
        image = sample["image"].as_subclass(Tensor)
        self._check(image, sample)
        numbers = torch.rand(2 + 2 * len(self.spans), generator=rng).tolist()  # all at once: a call for each takes longer
        if numbers.pop() >= self.probability:
            return sample
        mean = image.mean((1, 2), dtype=torch.float32).tolist()
        return sample | {"image": tv_tensors.Image(recolor(image, *self.draw(np.array(mean), numbers)))}

    def draw(self, mean: Array, numbers: list[float]) -> tuple[Array, Array]:
        """A change of an image: matrix [C,C] and offset [C]; the colour x becomes matrix @ x + offset.

        Args:
            mean: the colour of the image [C].
            numbers: one from [0, 1) for grey, and for each change one that places it in the order and one for its amount.
        """
        matrix, offset = np.eye(len(mean)), np.zeros(len(mean))
        grey, places, amounts = numbers[0], numbers[1::2], numbers[2::2]
        for _, share, (name, (low, high)) in sorted(zip(places, amounts, self.spans.items(), strict=True)):
            step, shift = _change(name, low + (high - low) * share, matrix @ mean + offset)
            matrix, offset = step @ matrix, step @ offset + shift
        if grey < self.grayscale:
            matrix, offset = np.tile(LUMA @ matrix, (3, 1)), np.full(3, LUMA @ offset)
        return matrix, offset

    def _check(self, image: Tensor, sample: dict[str, Any]) -> None:
        colour = [name for name in ("saturation", "hue") if name in self.spans] + ["grayscale"] * bool(self.grayscale)
        if colour and (len(image) != 3 or image.dtype != torch.uint8):
            kind = "uint8" if image.dtype == torch.uint8 else "16-bit"
            raise ConfigError(
                f"{', '.join(colour)} need RGB images of 8 bits; this has {len(image)} channels of {kind} values",
                where=f"augmentation, Photometric, sample {sample.get('meta', {}).get('id', '?')}",
                fix="set them to 0; brightness and contrast work",
            )


def recolor(image: Tensor, matrix: Array, offset: Array) -> Tensor:
    """matrix @ colour + offset, rounded, and clipped to the range of such images: uint8 or int32 (16-bit values) [C,H,W].

    Args:
        image: the image.
        matrix: [C,C].
        offset: [C].
    """
    most = 255 if image.dtype == torch.uint8 else 65535
    matrix_, offset_ = torch.from_numpy(matrix).float(), torch.from_numpy(offset + 0.5).float()[:, None]  # 0.5: the cast cuts off
    pixels = image.flatten(1)
    out = torch.empty_like(pixels)
    for source, target in zip(pixels.split(PIECE, 1), out.split(PIECE, 1), strict=True):
        changed = torch.addmm(offset_, matrix_, source.float()).clamp_(0, most)
        target.copy_(changed.int())  # by way of int32: several times faster than from float to uint8
    return out.view(image.shape)


def _change(name: str, amount: float, mean: Array) -> tuple[Array, Array]:
    """One change of an image with this mean colour [C], as matrix and offset."""
    same, none = np.eye(len(mean)), np.zeros(len(mean))
    if name == "brightness":
        return amount * same, none
    if name == "contrast":  # of channels that aren't RGB, each about its own mean
        middle = np.full(3, LUMA @ mean) if len(mean) == 3 else mean
        return amount * same, (1 - amount) * middle
    if name == "saturation":
        return amount * same + (1 - amount) * LUMA, none
    angle = 2 * math.pi * amount
    return math.cos(angle) * same + (1 - math.cos(angle)) / 3 + math.sin(angle) * AROUND_GREY, none


def _span(name: str, value: Span, *, middle: float, least: float, most: float) -> tuple[float, float]:
    """(Least, greatest) of what is drawn."""
    if isinstance(value, (int, float)):
        low, high = (max(least, middle - value), middle + value) if value >= 0 else (math.inf, -math.inf)
    else:
        low, high = value if len(value) == 2 else (math.inf, -math.inf)
    if not least <= low <= high <= most:
        shown = value if isinstance(value, (int, float)) else list(value)
        limits = f"within {least:g} to {most:g}" if most < math.inf else f"of at least {least:g}"
        fix = f"a number of at least 0, or [least, greatest], that gives amounts {limits}"
        raise ConfigError(f"{name} {shown}", where="augmentation, Photometric", fix=fix)
    return low, high
