"""Panoptic segments from the classes of pixels and detections with masks, as Panoptic-FPN (Kirillov et al., 2019) makes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from segexp.errors import ConfigError, require_number
from segexp.functional.parts import completed
from segexp.types import DataSpec, Prediction, Size, Sizes


class PanopticMerge:
    """Detections take their pixels, the most certain first; what they leave belongs to the stuff of the semantic map.

    A detection of whose mask more than `overlap` is taken already is dropped. Pixels that the semantic map gives to a thing
    and no detection takes are void. Things come first, by descending score, then stuff in the order of the classes; stuff has
    the score 1. Boxes, masks, scores and the semantic map stay beside the segments, as the parts made them.

    Args:
        data: the data set's classes.
        parts: by the names of the head's parts, a postprocess that provides `semantic`, and one that provides `boxes` and
            `masks`, where each mask lies in its box; both lack only `data`.
        threshold: detections with a lower score are left out.
        overlap: see above.
        stuff_area: stuff of fewer pixels of the input is void (4096 on COCO).

    Raises:
        ConfigError: a value makes no sense, or the parts aren't these two.
        SegexpError: a part refuses what it is given; with the keys of that part.
    """

    provides = frozenset({"segments", "semantic", "masks", "boxes"})

    def __init__(
        self,
        data: DataSpec,
        *,
        parts: Mapping[str, Callable[..., Any]],
        threshold: float = 0.5,
        overlap: float = 0.5,
        stuff_area: int = 64,
    ) -> None:
        for name, share in (("threshold", threshold), ("overlap", overlap)):
            require_number(f"postprocess.{name}", share, f"postprocess.{name}=0.5", least=0, below=1.0000001)
        require_number("postprocess.stuff_area", stuff_area, "postprocess.stuff_area=64", least=0)
        self.parts = completed("postprocess", parts, data)
        self.accepts = {name: part.accepts for name, part in self.parts.items()}
        self.semantic, self.instances = self._part("semantic"), self._part("boxes", "masks")
        if len(self.parts) != 2 or self.semantic == self.instances:
            what = "a part for the semantic map and one for the detections are wanted"
            raise ConfigError(what, where=f"postprocess.parts: {', '.join(parts)}", fix="postprocess=panoptic_merge has both")
        self.threshold, self.overlap, self.stuff_area = threshold, overlap, stuff_area
        self.is_thing = torch.tensor([c.is_thing for c in data.classes], device="cpu")  # [K]

    def __call__(self, output: dict[str, Any], sizes: Sizes, original_sizes: Sizes) -> list[Prediction]:
        maps, found = (self.parts[name](output[name], sizes, original_sizes) for name in (self.semantic, self.instances))
        return [self._image(*image) for image in zip(maps, found, sizes, original_sizes, strict=True)]

    def _part(self, *kinds: str) -> str:
        """The name of the first part that provides these."""
        names = [name for name, part in self.parts.items() if set(kinds) <= set(part.provides)]
        if not names:
            what = f"no part provides {' and '.join(kinds)}"
            raise ConfigError(what, where=f"postprocess.parts: {', '.join(self.parts)}", fix="postprocess=panoptic_merge has both")
        return names[0]

    def _image(self, semantic: Prediction, found: Prediction, size: Size, original: Size) -> Prediction:
        segments, kept = self._things(found, original)
        stuff = self._stuff(segments, semantic.semantic, len(kept), original[0] / size[0] * original[1] / size[1])
        labels = torch.cat([found.labels[kept], stuff])
        scores = torch.cat([found.scores[kept], found.scores.new_ones(len(stuff))])
        both = replace(found, semantic=semantic.semantic)
        return replace(both, segments=segments, segment_labels=labels, segment_scores=scores)

    def _things(self, found: Prediction, original: Size) -> tuple[Tensor, Tensor]:
        """The pixels that detections take, int32 [H,W], and the numbers of the detections that took some."""
        segments = torch.zeros(original, dtype=torch.int32, device=found.masks.device)
        order = found.scores.argsort(descending=True, stable=True)
        order = order[(found.scores[order] >= self.threshold) & self.is_thing.to(order.device)[found.labels[order]]]
        kept = []
        for number, (x1, y1, x2, y2) in zip(order.tolist(), found.boxes[order].tolist(), strict=True):
            here = slice(max(math.floor(y1), 0), math.ceil(y2)), slice(max(math.floor(x1), 0), math.ceil(x2))
            mask, taken = found.masks[number][here], segments[here]
            free = mask & (taken == 0)
            area, left = torch.stack([mask.sum(), free.sum()]).tolist()
            if left > 0 and area - left <= self.overlap * area:
                kept.append(number)
                taken[free] = len(kept)
        return segments, torch.tensor(kept, dtype=torch.int64, device=segments.device)

    def _stuff(self, segments: Tensor, semantic: Tensor, things: int, scale: float) -> Tensor:
        """Number the stuff on free pixels, in place; returns its classes.

        Args:
            segments: int32 [H,W], 0 = free.
            semantic: [H,W] classes.
            things: how many segments there are.
            scale: pixels of the original to one of the input.
        """
        is_thing = self.is_thing.to(segments.device)
        free = segments == 0
        areas = torch.bincount(semantic[free].long(), minlength=len(is_thing))
        large = (areas >= max(self.stuff_area * scale, 1)) & ~is_thing
        ids = (large.cumsum(0) + things) * large  # [K] number of the segment of each class, 0 for void
        torch.where(free, ids.int()[semantic.long()], segments, out=segments)
        return large.nonzero().flatten()
