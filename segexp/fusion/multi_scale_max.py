"""Multi-scale max fusion of DeepLabv2 (Chen et al., "DeepLab: Semantic Image Segmentation ...", 2016)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from segexp.errors import ConfigError, WiringError
from segexp.functional.resize import regrid
from segexp.types import AuxiliaryLogits, SemanticLogits, Sizes, Targets

Run = Callable[[Tensor, Sizes, list[Targets] | None], SemanticLogits]


class MultiScaleMax:
    """The largest logit of every cell over several scales of the input, on the grid of scale 1.

    Where targets are given, the logits of each scale are beside the maximum, so that each has a loss (`loss=auxiliary`).

    Args:
        head: what emits the logits.
        scales: of the input's height and width; 1 is always there, and first.

    Raises:
        ConfigError: a scale isn't above 0, or 1 isn't among them.
        WiringError: the head emits something else than class logits.
    """

    output_type = AuxiliaryLogits

    def __init__(self, head: Any, *, scales: Sequence[float] = (1.0, 0.75, 0.5)) -> None:
        numbers = isinstance(scales, list | tuple) and all(isinstance(scale, int | float) for scale in scales)
        if not numbers or 1 not in scales or min(scales) <= 0 or len(set(scales)) < len(scales):
            what, fix = "scales are a list of different numbers above 0, one of them 1", "fusion.scales=[1.0,0.75,0.5]"
            raise ConfigError(what, where=f"fusion.scales={scales}", fix=fix)
        if head.output_type is not SemanticLogits:
            what = f"MultiScaleMax takes the largest of SemanticLogits, but {type(head).__name__} emits {_name(head.output_type)}"
            raise WiringError(what, where="fusion", fix="fusion=none, or a head of one output, such as head=semantic")
        self.needs: frozenset[str] = head.needs
        self.scales = tuple(scale for scale in scales if scale != 1)

    def __call__(self, run: Run, images: Tensor, sizes: Sizes, targets: list[Targets] | None = None) -> AuxiliaryLogits:
        """The maximum, and with targets the logits of each scale as they came.

        Args:
            run: the network, `(images, sizes, targets) -> SemanticLogits`.
            images: float32 [B,C,H,W] in [0, 1].
            sizes: valid (height, width) of each.
            targets: given in training; not read.
        """
        whole = run(images, sizes, targets)
        best, found = whole.logits, {"scale_1": whole}
        for scale in self.scales:
            height, width = (max(1, round(side * scale)) for side in images.shape[-2:])
            ratios = images.shape[2] / height, images.shape[3] / width
            smaller = F.interpolate(images, [height, width], mode="bilinear", align_corners=False)
            shrunk = tuple((max(1, round(h * scale)), max(1, round(w * scale))) for h, w in sizes)
            output = run(smaller, shrunk, targets)
            logits = regrid(output.logits, whole.logits, ratios, whole.stride, aligned=whole.align_corners)
            best = torch.maximum(best, logits)
            found[f"scale_{scale:g}"] = SemanticLogits(logits, whole.stride, align_corners=whole.align_corners)
        return AuxiliaryLogits(best, whole.stride, {} if targets is None else found, align_corners=whole.align_corners)


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind))
