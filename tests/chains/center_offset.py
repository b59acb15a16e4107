"""The tiny chain of bottom-up panoptic segmentation: classes, a centre heatmap, a vector to the centre, grouping."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segexp.functional.resize import to_size
from segexp.functional.segments import areas, centers, offsets
from segexp.types import Batch, CenterOffset, DataSpec, Features, FeatureSpec, Prediction, Size, Sizes, Targets
from segexp.wiring import require


class CenterOffsetHead(nn.Module):
    """Predict per-pixel classes and, for things, a centre score and a vector to that centre.

    Args:
        features: what the decoder emits; needs levels ``semantic`` and ``instance`` of one stride.
        data: the data set's classes; sets the number of semantic channels.
        reach: offsets are predicted in units of so many input pixels.
    """

    output_type = CenterOffset
    needs: frozenset[str] = frozenset()

    def __init__(self, features: FeatureSpec, data: DataSpec, *, reach: float = 16.0) -> None:
        super().__init__()
        require(features, "semantic", "instance", by="CenterOffsetHead")
        self.stride, self.reach = features["semantic"].stride, reach
        self.semantic = nn.Conv2d(features["semantic"].channels, data.num_classes, 1)
        self.center = nn.Conv2d(features["instance"].channels, 1, 1)
        self.offset = nn.Conv2d(features["instance"].channels, 2, 1)

    def forward(self, features: Features, sizes: Sizes, targets: list[Targets] | None = None) -> CenterOffset:
        x_sem, x_ins = features["semantic"], features["instance"]  # [B,C,h,w] each
        return CenterOffset(
            semantic=self.semantic(x_sem),  # [B,K,h,w] logits
            center=self.center(x_ins),  # [B,1,h,w] logits
            offset=self.offset(x_ins) * self.reach,  # [B,2,h,w] (dy, dx) in input pixels
            stride=self.stride,
        )


class CenterOffsetLoss:
    """Cross-entropy, squared error of the heatmap, absolute error of the offsets; centres and offsets follow from the segments.

    Pixels of void and of crowds count nowhere but, where crowds have a class, in the cross-entropy.

    Args:
        data: the data set's classes; only things have centres.
        sigma: width of the heatmap's Gaussians in input pixels.
        center_weight, offset_weight: factors of these terms.
    """

    accepts = CenterOffset
    needs = frozenset({"segments", "semantic"})

    def __init__(self, data: DataSpec, *, sigma: float = 4.0, center_weight: float = 10.0, offset_weight: float = 0.1) -> None:
        self.things, self.ignore, self.sigma = data.thing_ids, data.ignore_index, sigma
        self.weights = {"ce": 1.0, "center": center_weight, "offset": offset_weight}

    def __call__(self, output: CenterOffset, batch: Batch) -> dict[str, Tensor]:
        images = [self._image(output, i, *image) for i, image in enumerate(zip(batch.targets, batch.sizes, strict=True))]
        return {name: weight * torch.stack([image[name] for image in images]).sum() for name, weight in self.weights.items()}

    def count(self, targets: list[Targets]) -> dict[str, float]:
        """Labelled pixels, pixels outside void and crowds, and pixels of things."""
        counts = {"ce": 0, "center": 0, "offset": 0}
        for t in targets:
            clear, things = self._masks(t)
            for name, mask in {"ce": t.semantic != self.ignore, "center": clear, "offset": things}.items():
                counts[name] += int(mask.sum())
        return {name: float(n) for name, n in counts.items()}

    def _image(self, output: CenterOffset, i: int, target: Targets, size: Size) -> dict[str, Tensor]:
        logits, center, offset = (to_size(x[i : i + 1], output.stride, size)[0] for x in (output.semantic, output.center, output.offset))
        clear, things = self._masks(target)  # [H,W] each
        middle = centers(target.segments, len(target.segment_labels))  # [S,2] (y, x)
        error = (center[0].sigmoid() - heatmap(middle[self._chosen(target)], size, self.sigma)).square()
        distance = (offset - offsets(target.segments, middle)).abs().sum(0)
        ce = F.cross_entropy(logits[None], target.semantic[None].long(), ignore_index=self.ignore, reduction="sum")
        return {"ce": ce, "center": (error * clear).sum(), "offset": (distance * things).sum()}

    def _chosen(self, target: Targets) -> Tensor:
        """Segments that have a centre: bool [S]."""
        labels = target.segment_labels
        return torch.isin(labels, torch.tensor(self.things, dtype=labels.dtype, device=labels.device)) & ~target.segment_crowd

    def _masks(self, target: Targets) -> tuple[Tensor, Tensor]:
        """Pixels outside void and crowds, and pixels of things: bool [H,W] each."""
        edge = target.segment_crowd.new_zeros(1)
        clear, things = torch.cat([edge, ~target.segment_crowd]), torch.cat([edge, self._chosen(target)])
        return clear[target.segments.long()], things[target.segments.long()]


def heatmap(middle: Tensor, size: Size, sigma: float) -> Tensor:
    """The largest of the Gaussians around the centres (y, x) [N,2] at every pixel: float32 [H,W]."""
    ys, xs = (torch.arange(n, device=middle.device) for n in size)
    down = (-((ys - middle[:, :1]) ** 2) / (2 * sigma**2)).exp()  # [N,H]
    right = (-((xs - middle[:, 1:]) ** 2) / (2 * sigma**2)).exp()  # [N,W]
    peaks = down[:, :, None] * right[:, None]
    return torch.cat([peaks, peaks.new_zeros(1, *size)]).amax(0)


class CenterGrouping:
    """Things are pixels that point to the same centre; stuff is one segment per class.

    Args:
        data: the data set's classes.
        threshold: lowest score of a centre.
        window: a centre is the highest cell of a square of so many cells.
        max_centers: most things of an image.
        min_area: stuff of fewer pixels becomes void.
    """

    accepts = CenterOffset
    provides = frozenset({"segments", "semantic"})

    def __init__(self, data: DataSpec, *, threshold: float = 0.3, window: int = 3, max_centers: int = 50, min_area: int = 16) -> None:
        self.classes, self.things = data.num_classes, data.thing_ids
        self.threshold, self.window, self.max_centers, self.min_area = threshold, window, max_centers, min_area

    def __call__(self, output: CenterOffset, sizes: Sizes, original_sizes: Sizes) -> list[Prediction]:
        return [self._image(output, i, *image) for i, image in enumerate(zip(sizes, original_sizes, strict=True))]

    def _image(self, output: CenterOffset, i: int, size: Size, original: Size) -> Prediction:
        logits, offset = (to_size(x[i : i + 1].float(), output.stride, size, original)[0] for x in (output.semantic, output.offset))
        semantic = logits.argmax(0)  # [H,W]
        scale = offset.new_tensor([original[0] / size[0], original[1] / size[1]])
        middle, scores = self._centers(output.center[i].float(), output.stride, scale)
        thing = torch.isin(semantic, torch.tensor(self.things, dtype=semantic.dtype, device=semantic.device))
        nearest = assign(offset * scale[:, None, None], middle) * thing  # [H,W] 0 = no thing
        return self._merge(semantic, nearest, thing, scores)

    def _centers(self, center: Tensor, stride: int, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Peaks of the heatmap, best first: (y, x) in pixels of the original [N,2], scores [N]."""
        heat = center.sigmoid()  # [1,h,w]
        peaks = heat == F.max_pool2d(heat, self.window, 1, self.window // 2)
        scores, place = (heat * peaks).flatten().topk(min(self.max_centers, heat.numel()))
        place = place[scores > self.threshold]
        cell = torch.stack([place // heat.shape[2], place % heat.shape[2]], 1)  # [N,2]
        return (cell + 0.5) * stride * scale - 0.5, scores[: len(place)]

    def _merge(self, semantic: Tensor, nearest: Tensor, thing: Tensor, scores: Tensor) -> Prediction:
        """Number the things 1..N with the class of most of their pixels, then the stuff; drop the empty."""
        votes = torch.bincount((nearest * self.classes + semantic)[nearest > 0], minlength=(len(scores) + 1) * self.classes)
        votes = votes.view(-1, self.classes)[1:]  # [N,K]
        stuff = areas(torch.where(thing, 0, semantic + 1), self.classes)  # [K]
        kept, regions = votes.sum(1) > 0, (stuff >= self.min_area).nonzero().flatten()
        ids = torch.cat([kept.new_zeros(1), kept]).cumsum(0) * torch.cat([kept.new_zeros(1), kept])  # old number -> new
        segments, n = ids[nearest], int(kept.sum())
        for region in regions.tolist():
            n += 1
            segments[(semantic == region) & ~thing] = n
        labels = torch.cat([votes.argmax(1)[kept], regions])
        return Prediction(
            semantic=semantic,
            segments=segments.int(),
            segment_labels=labels,
            segment_scores=torch.cat([scores[kept], scores.new_ones(len(regions))]),
        )


def assign(offset: Tensor, middle: Tensor) -> Tensor:
    """Which centre (y, x) [N,2] each pixel's vector (dy, dx) [2,H,W] ends nearest to: int64 [H,W], 1..N; 0 where N is 0."""
    height, width = offset.shape[1:]
    if len(middle) == 0:
        return torch.zeros(height, width, dtype=torch.int64, device=offset.device)
    ys, xs = (torch.arange(n, device=offset.device) for n in (height, width))
    ends = torch.stack([offset[0] + ys[:, None], offset[1] + xs], -1).flatten(0, 1)  # [H*W,2]
    return torch.cdist(ends, middle).argmin(1).view(height, width) + 1
