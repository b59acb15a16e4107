"""Classes that follow the contours of the image: a fully connected CRF on the logits, at the image's original size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from segexp.errors import ConfigError
from segexp.functional.argmax import largest
from segexp.functional.mean_field import Appearance, Smoothness, mean_field, unaries
from segexp.functional.resize import to_size
from segexp.types import DataSpec, Prediction, SemanticLogits, Size, Sizes


class DenseCrf:
    """Upsample the logits to the original size, let all pixels agree by mean field, then take the most likely class.

    Args:
        data: not read; `segexp.build` gives it to every stage.
        iterations: of the mean field; 0: the largest logit.
        gaussian: `weight` and `sxy` [pixels] of the kernel that wants neighbours to agree.
        bilateral: `weight`, `sxy` [pixels] and `srgb` [0..255] of the kernel that wants pixels of like colour to agree.
        exact_below: images of fewer pixels are computed over all pairs of pixels, larger ones over cells of pixels.

    Raises:
        ConfigError: a value makes no sense.
    """

    accepts = SemanticLogits
    provides = frozenset({"semantic"})
    reads_images = True

    def __init__(
        self,
        data: DataSpec,
        *,
        iterations: int = 10,
        gaussian: Mapping[str, float] | None = None,
        bilateral: Mapping[str, float] | None = None,
        exact_below: int = 20_000,
    ) -> None:
        for name, value in (("iterations", iterations), ("exact_below", exact_below)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ConfigError(f"{name} is a whole number from 0 on", where=f"postprocess.{name}={value}", fix=f"postprocess.{name}=10")
        self.iterations, self.exact_below = iterations, exact_below
        self.gaussian = _kernel(Smoothness, "gaussian", gaussian or {})
        self.bilateral = _kernel(Appearance, "bilateral", bilateral or {})

    def __call__(self, output: SemanticLogits, sizes: Sizes, original_sizes: Sizes, images: Tensor) -> list[Prediction]:
        """Predictions, one per image.

        Args:
            output: [B,K,h,w].
            sizes: valid (height, width) of each image.
            original_sizes: the sizes to predict at.
            images: float32 [B,C,H,W] in [0, 1], as the network saw them; resized to the original size here.
        """
        found = []
        for logits, image, size, original in zip(output.logits, images, sizes, original_sizes, strict=True):
            full = to_size(logits[None].float(), output.stride, size, original, aligned=output.align_corners)[0]
            found.append(Prediction(semantic=self.labels(full, seen(image, size, original))))
        return found

    def labels(self, logits: Tensor, image: Tensor) -> Tensor:
        """The class of every pixel, the lowest of equals: uint8 [H,W], int64 for more than 256 classes.

        Args:
            logits: [K,H,W]. A pixel with a value that is no number has no opinion of its own.
            image: [C,H,W], 0..255.
        """
        exact = image[0].numel() < self.exact_below
        beliefs = mean_field(
            unaries(logits), image, iterations=self.iterations, gaussian=self.gaussian, bilateral=self.bilateral, exact=exact
        )
        return largest(beliefs)


def seen(image: Tensor, size: Size, original: Size) -> Tensor:
    """The valid part of an image in [0, 1], at original size: [C,H,W] in 0..255."""
    valid = image[:, : size[0], : size[1]].float() * 255
    if tuple(size) == tuple(original):
        return valid
    return F.interpolate(valid[None], size=list(original), mode="bilinear", antialias=True)[0]


def _kernel(kind: type[Any], section: str, values: Mapping[str, float]) -> Any:
    """A kernel of the values that the config gives, the paper's where it gives none."""
    names = [field.name for field in fields(kind)]
    for name, value in values.items():
        where = f"postprocess.{section}.{name}={value}"
        if name not in names:
            raise ConfigError(f"the kernel has no {name}", where=where, fix=f"its keys: {', '.join(names)}")
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and value == value
        if not number or value < 0 or (value == 0 and name != "weight"):
            wanted = "a number from 0 on" if name == "weight" else "a number above 0"
            raise ConfigError(f"{name} is {wanted}", where=where, fix=f"postprocess.{section}.{name}={getattr(kind(), name):g}")
    return kind(**{name: float(value) for name, value in values.items()})
