"""Panoptic segments from classes, centres and vectors to the centres, as Panoptic-DeepLab (Cheng et al., 2020) makes them."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from segexp.errors import ConfigError, require_number
from segexp.functional.argmax import upsampled_argmax
from segexp.functional.grouping import find_centers, nearest
from segexp.functional.probabilities import mean_probabilities
from segexp.functional.resize import HALF, to_size
from segexp.functional.segments import centers
from segexp.types import CenterOffset, DataSpec, Prediction, Size, Sizes

SCORES = ("semantic", "center", "both")
CENTER_SCORES = ("middle", "peak")


class CenterGrouping:
    """Pixels of things belong to the centre that their vector ends nearest to; a stuff class is one segment.

    A thing has the class of most of its pixels, of equals the lowest. Things come first, in the raster order of their
    centres, then stuff in the order of the classes. Without a centre, pixels of things are void. With `lone_area` a connected
    part of things in which no centre lies is a thing by itself, after those that have one, and not one with a distant centre:
    what is missing in a weak heatmap is then lost only where things touch.

    All keys in pixels are in those of the input. The heatmap is searched at the input's size; classes are decided, and
    vectors followed, at the original size, where they are as long as the image is larger.

    Args:
        data: the data set's classes.
        threshold: centres are above it.
        nms_kernel: a centre is the highest pixel of a square of this side, odd.
        top_k: only centres above the `top_k`-th highest remain, as in published code (so `top_k` - 1 of them); null: all.
        stuff_area: stuff of fewer pixels is void.
        lone_area: connected parts (by their sides) without a centre are things if they have so many pixels; null: none are.
        score: of a thing: `semantic`, the mean probability of its class over its pixels; `center`, the heatmap's value;
            or `both`, their product. Stuff has its mean probability, or 1 with `center`.
        center_score: where the heatmap is read: at the `middle` of the thing's pixels (Detectron2), or at its `peak`, the
            centre (DeepLab2).

    Raises:
        ConfigError: a value makes no sense.
    """

    accepts = CenterOffset
    provides = frozenset({"segments", "semantic"})

    def __init__(
        self,
        data: DataSpec,
        *,
        threshold: float = 0.1,
        nms_kernel: int = 7,
        top_k: int | None = 200,
        stuff_area: int = 64,
        lone_area: int | None = None,
        score: str = "both",
        center_score: str = "middle",
    ) -> None:
        require_number("postprocess.threshold", threshold, "postprocess.threshold=0.1", least=0, below=1)
        require_number("postprocess.nms_kernel", nms_kernel, "postprocess.nms_kernel=7", least=1, whole=True)
        require_number("postprocess.stuff_area", stuff_area, "postprocess.stuff_area=64", least=0)
        if lone_area is not None:
            require_number("postprocess.lone_area", lone_area, "postprocess.lone_area=10, or null: off", least=1)
        if nms_kernel % 2 == 0:
            why = "the square around a centre has an odd side"
            raise ConfigError(why, where=f"postprocess.nms_kernel={nms_kernel}", fix="postprocess.nms_kernel=7")
        if top_k is not None:  # of one centre none would remain, see `top_k`
            require_number("postprocess.top_k", top_k, "postprocess.top_k=200, or null: all", least=2, whole=True)
        for key, value, known in (("score", score, SCORES), ("center_score", center_score, CENTER_SCORES)):
            if value not in known:
                fix = f"postprocess.{key}={'|'.join(known)}"
                raise ConfigError(f"no such {key}", where=f"postprocess.{key}={value}", fix=fix)
        self.find = partial(find_centers, threshold=threshold, window=nms_kernel, most=top_k)
        self.stuff_area, self.lone_area, self.score, self.center_score = stuff_area, lone_area, score, center_score
        self.is_thing = torch.tensor([c.is_thing for c in data.classes], device="cpu")  # [K]

    def __call__(self, output: CenterOffset, sizes: Sizes, original_sizes: Sizes) -> list[Prediction]:
        return [self._image(output, number, *both) for number, both in enumerate(zip(sizes, original_sizes, strict=True))]

    def _image(self, output: CenterOffset, number: int, size: Size, original: Size) -> Prediction:
        here, stride, aligned = slice(number, number + 1), output.stride, output.align_corners
        logits = output.semantic[number]
        semantic = upsampled_argmax(logits, stride, size, original, aligned=aligned)  # [H,W]
        heat = to_size(output.center[here].float(), stride, size, aligned=aligned)[0, 0]
        offset = to_size(output.offset[here].float(), stride, size, original, aligned=aligned)[0]
        image = _Image(semantic, heat, offset, self.is_thing.to(semantic.device), (original[0] / size[0], original[1] / size[1]))
        grouped = self._grouped(image)
        scores = self._scores(image, grouped)
        if self.score != "center":
            scores = scores * mean_probabilities(logits, stride, size, original, grouped.segments, grouped.labels, aligned=aligned)
        return Prediction(
            semantic=semantic,
            segments=grouped.segments,
            segment_labels=grouped.labels,
            segment_scores=scores.clamp(0, 1),
            maps=_maps(output, here, size),
        )

    def _grouped(self, image: _Image) -> _Grouped:
        """Number the things that have a pixel, then the stuff that is large enough."""
        classes = len(image.is_thing)
        peaks, values = self.find(image.heat)
        code = image.semantic.flatten().int()  # [H*W] a class, or the number of classes + that of a thing
        things = image.is_thing.index_select(0, code).nonzero().flatten()  # [P] places
        chosen = image.nearest(things, peaks) if len(peaks) else torch.full_like(things, -1)
        if self.lone_area is not None:
            lone, count = image.lone_parts(peaks, self.lone_area)
            chosen = torch.where(lone[things] > 0, lone[things] + (len(peaks) - 1), chosen)
            values = torch.cat([values, values.new_full((count,), torch.nan)])
        voted, votes = code[things], torch.zeros(len(values), classes, dtype=torch.int64, device=code.device)
        if len(values):
            things, chosen, voted = (x[chosen >= 0] for x in (things, chosen, voted))
            votes = torch.bincount(chosen * classes + voted, minlength=votes.numel()).view_as(votes)
            code[things] = (chosen + classes).int()
        areas = torch.bincount(code, minlength=classes)[:classes]
        stuff = (areas >= max(self.stuff_area * image.ratios[0] * image.ratios[1], 1)) & ~image.is_thing
        kept = votes.sum(1) > 0
        labels = torch.cat([votes[kept].argmax(1), stuff.nonzero().flatten()])
        order = torch.cat([kept, stuff]).cumsum(0) * torch.cat([kept, stuff])  # things first
        ids = torch.cat([order[len(kept) :], order[: len(kept)]]).int()
        return _Grouped(ids.index_select(0, code).view(image.semantic.shape), labels, values[kept])

    def _scores(self, image: _Image, grouped: _Grouped) -> Tensor:
        """Of each segment what the heatmap says: float32 [S], 1 for stuff."""
        number = len(grouped.peaks)
        scores = grouped.peaks.new_ones(len(grouped.labels))
        if self.score == "semantic":
            return scores
        middle = centers(grouped.segments, len(grouped.labels))[:number]  # [N,2] in pixels of the original
        middle = ((middle + HALF) / middle.new_tensor(image.ratios) - HALF).clamp(min=0).long()
        scores[:number] = image.heat[middle[:, 0], middle[:, 1]]
        if self.center_score == "peak":
            scores[:number] = torch.where(grouped.peaks.isnan(), scores[:number], grouped.peaks)
        return scores


def _maps(output: CenterOffset, here: slice, size: Size) -> dict[str, Tensor]:
    """The heatmap and the vectors, a cell for `stride` pixels, laid on the image without its padding."""
    cells = tuple(-(-side // output.stride) for side in size)
    maps = {"center": output.center, "offset": output.offset}
    return {name: to_size(x[here].float(), output.stride, size, cells, aligned=output.align_corners)[0].clone() for name, x in maps.items()}


class _Image(NamedTuple):
    """What a network says of one image."""

    semantic: Tensor  # uint8 or int64 [H,W], at original size
    heat: Tensor  # float32 [h,w], at the input's
    offset: Tensor  # float32 [2,H,W], in the input's pixels
    is_thing: Tensor  # bool [K]
    ratios: tuple[float, float]  # of the sizes, original to input

    def nearest(self, places: Tensor, peaks: Tensor) -> Tensor:
        """Which of the centres (y, x) [N,2] these pixels point to: int64 [P]."""
        width = self.semantic.shape[1]
        ends, aims = [], []
        for at, offset, peak, ratio in zip((places // width, places % width), self.offset, peaks.T, self.ratios, strict=True):
            ends.append(at + offset.flatten()[places] * ratio)
            aims.append((peak + HALF) * ratio - HALF)
        return nearest(*ends, torch.stack(aims, 1))

    def lone_parts(self, peaks: Tensor, least: float) -> tuple[Tensor, int]:
        """The connected parts of things without one of the centres [N,2], numbered from 1: int64 [H*W], and how many there are.

        Args:
            peaks: (y, x) in the input's pixels.
            least: pixels of a part, the input's.
        """
        parts, count = ndimage.label(self.is_thing[self.semantic.long()].cpu().numpy())
        taken = np.bincount(parts.ravel(), minlength=count + 1) < least * self.ratios[0] * self.ratios[1]
        taken[0] = True
        for y, x in ((peaks + HALF) * peaks.new_tensor(self.ratios, dtype=torch.float32)).long().tolist():
            taken[parts[y, x]] = True
        numbers = np.where(taken, 0, np.cumsum(~taken))
        return torch.from_numpy(numbers[parts].ravel()).to(self.semantic.device), int((~taken).sum())


class _Grouped(NamedTuple):
    """The segments, things first."""

    segments: Tensor  # int32 [H,W]
    labels: Tensor  # int64 [S]
    peaks: Tensor  # float32 [N], the heatmap at the centres of the things, NaN of those without
