"""Scale jitter, random crop, rotation and flips, as one resample; then further steps."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from segexp.augmentation.balance import IGNORE, anywhere, around, class_map, largest_share
from segexp.errors import ConfigError
from segexp.functional.keys import generator, randint, uniform
from segexp.functional.windows import Window, resample, resample_labels
from segexp.types import DataSpec, Size

Step = Callable[[dict[str, Any], torch.Generator], dict[str, Any]]
TRIES = 10  # crops that are drawn again, as in the published code of `cat_max_ratio`
KNOTS = 3  # of the coarse grid of elastic deformations, as in U-Net (Ronneberger et al., 2015)


class ScaleCrop:
    """Random scale, crop, rotation and flips in training; the plain scale in evaluation.

    What is off draws nothing, and each of scale with crop and flip, rotation, elastic, vertical flip, turns, placing by
    class, and every step draws from a generator of its own: to switch one on changes none of the others.

    Args:
        crop: (height, width) of a training sample; unless given, the size that the image has at `scale`.
        scale: of every image, in training and in evaluation (0.5 = half size).
        jitter: (least, greatest) factor on the scale in training, drawn uniformly.
        flip: probability of mirroring left to right.
        pad: where the scaled image is smaller than the crop: keep the scale and let the batch be padded with ignored
            pixels (true), or raise the scale until the crop is filled (false).
        rotate: greatest angle in degrees, either way, about the centre of the crop. What it shows from beyond the picture
            is ignored, and has the mean colour. Boxes without masks become hulls.
        elastic: standard deviation, in pixels of the crop, of random displacements at a grid of 3x3 points, with smooth
            ones between; what reaches beyond the picture is as for `rotate`.
        vertical_flip: probability of mirroring top to bottom.
        quarter_turns: turn by 0, 90, 180 or 270 degrees (aerial pictures, microscopy). A crop that isn't square is taken
            as tall as it is wide, and turned.
        max_class_share: place the crop again, up to 10 times, while one class has more than this share of its labelled
            pixels.
        center_on_class: probability that the crop is placed around a random pixel of a class drawn evenly from those in
            the picture.
        steps: by name, what follows the resample in training, in order: `(sample, generator) -> sample`; None is left out.
    """

    def __init__(
        self,
        *,
        crop: Sequence[int] | None = None,
        scale: float = 1.0,
        jitter: Sequence[float] = (1.0, 1.0),
        flip: float = 0.5,
        pad: bool = False,
        rotate: float = 0.0,
        elastic: float = 0.0,
        vertical_flip: float = 0.0,
        quarter_turns: bool = False,
        max_class_share: float = 1.0,
        center_on_class: float = 0.0,
        steps: Mapping[str, Step | None] | None = None,
    ) -> None:
        if scale <= 0 or not 0 < jitter[0] <= jitter[1]:
            raise ConfigError(f"scale {scale}, jitter {list(jitter)}", where="augmentation", fix="positive, least before greatest")
        for name, value, most in (
            ("flip", flip, 1),
            ("vertical_flip", vertical_flip, 1),
            ("center_on_class", center_on_class, 1),
            ("max_class_share", max_class_share, 1),
            ("rotate", rotate, 180),
            ("elastic", elastic, float("inf")),
        ):
            if not 0 <= value <= most:
                fix = f"a number from 0 to {most}" if most < float("inf") else "0 or more"
                raise ConfigError(f"{name} {value}", where=f"augmentation.{name}", fix=fix)
        self.crop = tuple(crop) if crop else None
        self.scale, self.jitter, self.flip, self.pad = scale, tuple(jitter), flip, pad
        self.rotate, self.elastic, self.vertical_flip, self.quarter_turns = rotate, elastic, vertical_flip, quarter_turns
        self.max_class_share, self.center_on_class = max_class_share, center_on_class
        self.steps = {name: step for name, step in (steps or {}).items() if step is not None}

    def __call__(self, sample: Mapping[str, Any], rng: torch.Generator | None) -> dict[str, Any]:
        """Resample one sample, and in training apply the steps; `rng` is None in evaluation."""
        height, width = sample["image"].shape[-2:]
        if rng is None:
            return resample(sample, Window(0, 0, height, width, _scaled((height, width), self.scale)))
        out = self.seen(sample, rng)
        for name, step in self.steps.items():
            out = step(out, _own(rng, f"step {name}"))
        return out

    def seen(self, sample: Mapping[str, Any], rng: torch.Generator) -> dict[str, Any]:
        """One training sample before the steps."""
        return resample(sample, self.place(sample, self.draw(tuple(sample["image"].shape[-2:]), rng), rng))

    def reading(self, read: Callable[[int], dict[str, Any]], length: int, spec: DataSpec) -> ScaleCrop:
        """A copy whose steps may draw other samples, as `CopyPaste` does.

        Args:
            read: index -> sample of the split that is trained on.
            length: of the split.
            spec: the classes.
        """
        bound = copy.copy(self)
        steps: dict[str, Any] = self.steps
        bound.steps = {
            name: step.reading(read, length, spec, self.seen) if hasattr(step, "reading") else step for name, step in steps.items()
        }
        return bound

    def draw(self, size: Size, rng: torch.Generator) -> Window:
        """The window of one training sample of an image of `size`."""
        turns = randint(_own(rng, "quarter_turns"), 0, 3) if self.quarter_turns else 0
        scale = self.scale * uniform(rng, *self.jitter)
        crop = (self.crop or _scaled(size, self.scale))[:: -1 if turns % 2 else 1]
        if not self.pad:
            scale = max(scale, crop[0] / size[0], crop[1] / size[1])
        source = tuple(min(n, max(1, round(c / scale))) for n, c in zip(size, crop, strict=True))
        out = tuple(min(c, max(1, round(n * scale))) if self.pad else c for n, c in zip(source, crop, strict=True))
        top, left = (randint(rng, 0, n - part) for n, part in zip(size, source, strict=True))
        return Window(
            top,
            left,
            *source,
            size=out,
            flip=uniform(rng, 0, 1) < self.flip,
            upend=bool(self.vertical_flip) and uniform(_own(rng, "vertical_flip"), 0, 1) < self.vertical_flip,
            turns=turns,
            angle=uniform(_own(rng, "rotate"), -self.rotate, self.rotate) if self.rotate else 0.0,
            bend=self.elastic * torch.randn(2, KNOTS, KNOTS, generator=_own(rng, "elastic")) if self.elastic else None,
        )

    def place(self, sample: Mapping[str, Any], window: Window, rng: torch.Generator) -> Window:
        """The window, moved to where the classes in it are as asked for.

        Raises:
            ConfigError: the sample has no annotation to go by.
        """
        if self.max_class_share >= 1 and not self.center_on_class:
            return window
        classes, own = class_map(sample), _own(rng, "place")
        centred = uniform(own, 0, 1) < self.center_on_class
        if centred:
            window = around(window, classes, own)
        for _ in range(TRIES if self.max_class_share < 1 else 0):
            if largest_share(resample_labels(classes, window, outside=IGNORE)) <= self.max_class_share:
                break
            window = around(window, classes, own) if centred else anywhere(window, tuple(classes.shape), own)
        return window


def _own(rng: torch.Generator, name: str) -> torch.Generator:
    return generator(rng.initial_seed(), name)


def _scaled(size: Size, scale: float) -> Size:
    return (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
