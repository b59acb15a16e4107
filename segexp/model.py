"""Normalise, pad, backbone, decoder, head: from images to what the head emits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segexp.types import Features, Prediction, Size, Sizes, Targets, alike


class Model(nn.Module):
    """A chain of stages, ready to be called.

    Args:
        backbone: gives `spec`, `mean`, `std`, `pad_to`.
        decoder: maps features to features.
        head: maps features to its output.
        postprocess: maps the head's output to predictions at original size.
        protocol: how images are predicted, `(forward, images, sizes) -> output`; None: as they are, in one pass.
        fusion: how the network is run, in training as well, `(run, images, sizes, targets) -> output`; None: once, on the images.
    """

    backbone: Any  # stages are known by their contracts (docs/architecture.md), not by a base class
    decoder: Any
    head: Any
    mean: Tensor
    std: Tensor
    still: tuple[str, ...] = ()  # names of modules that stay in eval mode: norms that keep their statistics

    def __init__(
        self, backbone: nn.Module, decoder: nn.Module, head: nn.Module, postprocess: Any, protocol: Any = None, fusion: Any = None
    ) -> None:
        super().__init__()
        self.backbone, self.decoder, self.head = backbone, decoder, head
        self.postprocess, self.protocol, self.fusion = postprocess, protocol, fusion
        self.register_buffer("mean", torch.tensor(backbone.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std)[:, None, None], persistent=False)

    def train(self, mode: bool = True) -> Model:
        super().train(mode)
        for name in self.still:
            self.get_submodule(name).eval()
        return self

    def features(self, images: Tensor, sizes: Sizes | None = None) -> Features:
        """Images float32 [B,C,H,W] in [0, 1] to what the head reads: the decoder's levels, and the backbone's beside them.

        Images are normalised, then padded with zeros (the mean colour) to `padded` sizes; what lies beyond an image's valid
        size becomes zero too. What is pooled over the whole image still sees it: predictions are made of images of one
        size (`Batch.of_one_size`).
        """
        x = (images - self.mean) / self.std
        height, width = images.shape[-2:]
        tall, wide = self.padded((height, width))
        for image, (h, w) in zip(x, sizes or (), strict=False):
            if (h, w) != (height, width):
                image[:, h:] = 0
                image[:, :, w:] = 0
        if (tall, wide) != (height, width):
            x = F.pad(x, (0, wide - width, 0, tall - height))
        levels = self.backbone(x.contiguous(memory_format=torch.channels_last))
        return levels | self.decoder(levels)

    def padded(self, size: Size) -> Size:
        """The size that an image is padded to: k x `backbone.pad_to`, and one more where cells lie on corner pixels (`align_corners`)."""
        more, step = int(getattr(self.head, "align_corners", False)), self.backbone.pad_to
        return tuple(side + (more - side) % step for side in size)

    def forward(self, images: Tensor, sizes: Sizes | None = None, targets: list[Targets] | None = None) -> Any:
        """The head's output: what the loss needs where targets are given, else what the postprocess needs."""
        sizes = sizes or (tuple(images.shape[-2:]),) * len(images)
        return self.once(images, sizes, targets) if self.fusion is None else self.fusion(self.once, images, sizes, targets)

    def once(self, images: Tensor, sizes: Sizes, targets: list[Targets] | None = None) -> Any:
        """The head's output for the images as they are."""
        return self.head(self.features(images, sizes), sizes, targets)

    def both(self, images: Tensor, sizes: Sizes, targets: list[Targets]) -> tuple[Any, Any]:
        """What the loss needs, and what the postprocess needs if there is no protocol; computed once where they agree."""
        if self.fusion is not None:
            output = self(images, sizes, targets)
            return output, self(images, sizes) if self.head.needs else output
        features = self.features(images, sizes)
        output = self.head(features, sizes, targets)
        return output, self.head(features, sizes) if self.head.needs and self.protocol is None else output

    def output(self, images: Tensor, sizes: Sizes) -> Any:
        """What the postprocess needs, by the protocol."""
        return self(images, sizes) if self.protocol is None else self.protocol(self, images, sizes)

    def predictions(self, output: Any, images: Tensor, sizes: Sizes, original_sizes: Sizes) -> list[Prediction]:
        """What the postprocess makes of an output; one with `reads_images` gets the images, too."""
        seen = (images,) if getattr(self.postprocess, "reads_images", False) else ()
        return self.postprocess(output, sizes, original_sizes, *seen)

    @torch.no_grad()
    def predict(self, images: Tensor, sizes: Sizes | None = None, original_sizes: Sizes | None = None) -> list[Prediction]:
        """Predictions for float32 images [B,C,H,W] in [0, 1], one per image, at `original_sizes` (the images' own unless given)."""
        sizes = sizes or (tuple(images.shape[-2:]),) * len(images)
        found: dict[int, Prediction] = {}
        for (height, width), members in alike(sizes).items():  # of one size, so that none is padded
            cut, valid = images[members, :, :height, :width], ((height, width),) * len(members)
            originals = tuple((original_sizes or sizes)[i] for i in members)
            found |= dict(zip(members, self.predictions(self.output(cut, valid), cut, valid, originals), strict=True))
        return [found[i] for i in range(len(images))]

    def stages(self) -> Sequence[tuple[str, Any]]:
        """The stages by name, in the order that data flow."""
        return (("backbone", self.backbone), ("decoder", self.decoder), ("head", self.head))
