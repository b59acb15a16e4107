"""Where a crop is placed, with a view to the classes in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from segexp.errors import ConfigError
from segexp.functional.keys import randint
from segexp.functional.segments import to_semantic
from segexp.functional.windows import Window
from segexp.types import DataSpec, Size

IGNORE = DataSpec.ignore_index


def class_map(sample: Mapping[str, Any]) -> Tensor:
    """The class of every pixel, from whichever annotation there is: uint8 or int64 [H,W], 255 where there is none.

    Masks and boxes are painted over one another in their order; of boxes alone, whole rectangles count as their class.

    Raises:
        ConfigError: the sample has no annotation with a place.
    """
    if "semantic" in sample:
        return sample["semantic"].as_subclass(Tensor)
    if "segments" in sample:
        return to_semantic(sample["segments"].as_subclass(Tensor), sample["segment_labels"], IGNORE)
    out = torch.full(tuple(sample["image"].shape[-2:]), IGNORE)
    if "masks" in sample:
        for mask, label in zip(sample["masks"].as_subclass(Tensor), sample["labels"].tolist(), strict=True):
            out[mask] = label
    elif "boxes" in sample:
        corners = sample["boxes"].as_subclass(Tensor).round().long().clamp(min=0).tolist()
        for (x1, y1, x2, y2), label in zip(corners, sample["labels"].tolist(), strict=True):
            out[y1:y2, x1:x2] = label
    else:
        raise ConfigError(
            "crops can't be chosen by class: samples have no semantic, segments, masks or boxes",
            where=f"augmentation, sample {sample.get('meta', {}).get('id', '?')}",
            fix="augmentation.max_class_share=1 augmentation.center_on_class=0",
        )
    return out


def largest_share(classes: Tensor) -> float:
    """The share that the commonest class has of the labelled pixels; 1 where none is labelled."""
    pixels = _pixels(classes)
    return float(pixels.max() / pixels.sum()) if pixels.any() else 1.0


def anywhere(window: Window, size: Size, rng: torch.Generator) -> Window:
    """The window at a random place of an image of `size`."""
    return window._replace(top=randint(rng, 0, size[0] - window.height), left=randint(rng, 0, size[1] - window.width))


def around(window: Window, classes: Tensor, rng: torch.Generator) -> Window:
    """The window around a random pixel of a class that is drawn evenly from those in the picture; anywhere if there is none.

    At the borders it is moved into the picture.
    """
    present = _pixels(classes).nonzero().flatten()
    if not len(present):
        return anywhere(window, tuple(classes.shape), rng)
    chosen = present[randint(rng, 0, len(present) - 1)]
    pixels = (classes == chosen).flatten().nonzero()
    row, column = divmod(int(pixels[randint(rng, 0, len(pixels) - 1)]), classes.shape[1])
    top, left = (
        min(max(0, at - part // 2), n - part)
        for at, part, n in zip((row, column), (window.height, window.width), classes.shape, strict=True)
    )
    return window._replace(top=top, left=left)


def _pixels(classes: Tensor) -> Tensor:
    """Pixels of each class, none of what is ignored: int64 [K']."""
    counts = torch.bincount(classes.flatten())
    counts[IGNORE : IGNORE + 1] = 0
    return counts
