"""The tiny chain of mask queries: a transformer decoder, Hungarian matching at every layer, panoptic merging."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from segexp.functional.resize import to_size
from segexp.functional.segments import to_masks
from segexp.types import Batch, DataSpec, Features, FeatureSpec, MaskQueries, Prediction, Size, Sizes, Targets
from segexp.wiring import require


class QueryHead(nn.Module):
    """Queries read one level per layer and answer, before and after each, with a class and a mask.

    Args:
        features: what the decoder emits; needs ``mask`` and `levels`, all of one width.
        data: the data set's classes; "no object" is one more, the last.
        levels: the level that each layer reads.
        queries: number of queries.
        heads: attention heads.
    """

    output_type = MaskQueries
    needs: frozenset[str] = frozenset()

    def __init__(
        self, features: FeatureSpec, data: DataSpec, *, levels: tuple[str, ...] = ("p5", "p4"), queries: int = 16, heads: int = 4
    ) -> None:
        super().__init__()
        require(features, "mask", *levels, by="QueryHead")
        width = features["mask"].channels
        self.stride, self.levels = features["mask"].stride, [(level, features[level].stride) for level in levels]
        self.queries = nn.Embedding(queries, width)
        self.layers = nn.ModuleList(nn.TransformerDecoderLayer(width, heads, 2 * width, 0.0, batch_first=True) for _ in levels)
        self.classify = nn.Linear(width, data.num_classes + 1)
        self.embed = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, features: Features, sizes: Sizes, targets: list[Targets] | None = None) -> MaskQueries:
        queries = self.queries.weight.expand(len(sizes), -1, -1)  # [B,Q,C]
        answers = [self._answer(queries, features["mask"])]
        for layer, (level, stride) in zip(self.layers, self.levels, strict=True):
            memory = features[level]  # [B,C,h,w]
            cells = memory.flatten(2).transpose(1, 2)  # [B,h*w,C]
            queries = layer(queries, cells, memory_key_padding_mask=padding(sizes, stride, memory).flatten(1))
            answers.append(self._answer(queries, features["mask"]))
        logits, masks = answers.pop()
        return MaskQueries(logits, masks, self.stride, tuple(MaskQueries(*answer, self.stride) for answer in answers))

    def _answer(self, queries: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits [B,Q,K+1] and mask logits [B,Q,h,w]."""
        return self.classify(queries), torch.einsum("bqc,bchw->bqhw", self.embed(queries), mask)


def padding(sizes: Sizes, stride: int, feature: Tensor) -> Tensor:
    """Cells that lie beyond the valid area: bool [B,h,w]."""
    outside = torch.ones(len(sizes), *feature.shape[-2:], dtype=torch.bool, device=feature.device)
    for row, (height, width) in zip(outside, sizes, strict=True):
        row[: math.ceil(height / stride), : math.ceil(width / stride)] = False
    return outside


class MaskSetLoss:
    """Match queries to the truth's masks, at every layer anew; then cross-entropy, mask cross-entropy and Dice.

    `cls` is a mean over an image's queries; `mask` and `dice` are sums over segments of means over labelled pixels.

    Args:
        data: the data set's classes.
        truth: what a query stands for: each of the ``segments``, of the ``masks``, or each class of ``semantic``.
        empty_weight: weight of queries that match nothing.
        mask_weight, dice_weight: factors of these terms, in the loss and in the matching.
    """

    accepts = MaskQueries

    def __init__(
        self, data: DataSpec, *, truth: str = "segments", empty_weight: float = 0.1, mask_weight: float = 5.0, dice_weight: float = 5.0
    ) -> None:
        self.needs = frozenset({truth})
        self.truth, self.ignore, self.classes = truth, data.ignore_index, data.num_classes
        self.empty_weight, self.mask_weight, self.dice_weight = empty_weight, mask_weight, dice_weight

    def __call__(self, output: MaskQueries, batch: Batch) -> dict[str, Tensor]:
        found = dict.fromkeys(("cls", "mask", "dice"), output.class_logits.new_zeros(()))
        for layer in (output, *output.aux):
            for i, (target, size) in enumerate(zip(batch.targets, batch.sizes, strict=True)):
                terms = self._image(layer, i, target, size)
                found = {name: found[name] + terms[name] for name in found}
        return found

    def count(self, targets: list[Targets]) -> dict[str, float]:
        segments = float(sum(len(self._labels(t)) for t in targets))
        return {"cls": float(len(targets)), "mask": segments, "dice": segments}

    def _image(self, layer: MaskQueries, i: int, target: Targets, size: Size) -> dict[str, Tensor]:
        labels, masks, labelled = self._truth(target)  # [N], float [N,H*W], float [H*W]
        logits = to_size(layer.mask_logits[i : i + 1], layer.stride, size)[0].flatten(1)  # [Q,H*W]
        rows, columns = self._match(layer.class_logits[i], logits, labels, masks, labelled)
        wanted = torch.full((len(logits),), self.classes, device=logits.device)
        wanted[rows] = labels[columns]
        weight = torch.where(wanted == self.classes, self.empty_weight, 1.0)  # [Q]
        cls = F.cross_entropy(layer.class_logits[i], wanted, reduction="none")
        mask, dice = (x.diagonal() for x in pairs(logits[rows], masks[columns], labelled))
        return {
            "cls": (cls * weight).sum() / weight.sum(),
            "mask": self.mask_weight * mask.sum(),
            "dice": self.dice_weight * dice.sum(),
        }

    @torch.no_grad()
    def _match(self, class_logits: Tensor, logits: Tensor, labels: Tensor, masks: Tensor, labelled: Tensor) -> tuple[Tensor, Tensor]:
        """The cheapest assignment: queries and segments as int64 [min(Q,N)] each."""
        mask, dice = pairs(logits, masks, labelled)  # [Q,N] each
        cost = self.mask_weight * mask + self.dice_weight * dice - class_logits.softmax(1)[:, labels]
        return tuple(torch.as_tensor(x, device=logits.device) for x in linear_sum_assignment(cost.cpu().double().numpy()))

    def _labels(self, target: Targets) -> Tensor:
        """Classes of what the queries stand for, crowds left out: int64 [N]."""
        if self.truth == "semantic":
            present = target.semantic.unique().long()
            return present[present != self.ignore]
        if self.truth == "masks":
            return target.labels[~target.crowd]
        return target.segment_labels[~target.segment_crowd]

    def _truth(self, target: Targets) -> tuple[Tensor, Tensor, Tensor]:
        """Classes int64 [N], masks float [N,H*W], and which pixels count, float [H*W]."""
        labels = self._labels(target)
        if self.truth == "semantic":
            masks, labelled = target.semantic[None] == labels[:, None, None], target.semantic != self.ignore
        elif self.truth == "masks":
            masks, labelled = target.masks[~target.crowd], ~target.masks[target.crowd].any(0)
        else:
            masks = to_masks(target.segments, (~target.segment_crowd).nonzero().flatten() + 1)
            labelled = masks.any(0)
        return labels, masks.flatten(1).float(), labelled.flatten().float()


def pairs(logits: Tensor, masks: Tensor, labelled: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy and Dice loss of each query's mask [Q,P] with each true mask [N,P] over the labelled pixels: [Q,N] each."""
    pixels = labelled.sum().clamp(min=1)
    background = (F.softplus(logits) * labelled).sum(1, keepdim=True)  # -log(1 - p), summed
    cross = (background - (logits * labelled) @ masks.T) / pixels  # softplus(x) - x t
    probability = logits.sigmoid() * labelled
    overlap = 2 * probability @ masks.T
    dice = 1 - (overlap + 1) / (probability.sum(1, keepdim=True) + (masks * labelled).sum(1) + 1)
    return cross, dice


class QueryPanoptic:
    """Every pixel goes to the query that claims it most; queries of one stuff class unite.

    Args:
        data: the data set's classes.
        threshold: lowest class score of a query.
        overlap: least share of a query's own mask that it has to win.
    """

    accepts = MaskQueries
    provides = frozenset({"segments"})

    def __init__(self, data: DataSpec, *, threshold: float = 0.5, overlap: float = 0.6) -> None:
        self.things, self.threshold, self.overlap = data.thing_ids, threshold, overlap

    def __call__(self, output: MaskQueries, sizes: Sizes, original_sizes: Sizes) -> list[Prediction]:
        return [self._image(output, i, *image) for i, image in enumerate(zip(sizes, original_sizes, strict=True))]

    def _image(self, output: MaskQueries, i: int, size: Size, original: Size) -> Prediction:
        scores, labels = output.class_logits[i].float().softmax(1)[:, :-1].max(1)  # [Q] each
        sure = scores > self.threshold
        scores, labels = scores[sure], labels[sure]
        masks = to_size(output.mask_logits[i : i + 1].float(), output.stride, size, original)[0].sigmoid()[sure]  # [N,H,W]
        segments = torch.zeros(original, dtype=torch.int32, device=masks.device)
        classes, values, stuff = [], [], {}
        winner = (masks * scores[:, None, None]).argmax(0) if len(masks) else segments  # [H,W]
        for n, (mask, label, score) in enumerate(zip(masks, labels.tolist(), scores, strict=True)):
            own = (winner == n) & (mask >= 0.5)
            if own.sum() == 0 or own.sum() < self.overlap * (mask >= 0.5).sum():
                continue
            if label not in stuff:
                classes.append(label)
                values.append(score)
            segments[own] = stuff.get(label, len(classes))
            if label not in self.things:
                stuff.setdefault(label, len(classes))
        return Prediction(
            segments=segments,
            segment_labels=torch.tensor(classes, dtype=torch.int64, device=masks.device),
            segment_scores=torch.stack(values) if values else scores.new_zeros(0),
        )


class QuerySemantic:
    """The class with the largest sum of class scores times masks at every pixel.

    Args:
        data: the data set's classes.
    """

    accepts = MaskQueries
    provides = frozenset({"semantic"})

    def __init__(self, data: DataSpec) -> None:
        pass

    def __call__(self, output: MaskQueries, sizes: Sizes, original_sizes: Sizes) -> list[Prediction]:
        found = []
        for i, (size, original) in enumerate(zip(sizes, original_sizes, strict=True)):
            masks = to_size(output.mask_logits[i : i + 1].float(), output.stride, size, original)[0].sigmoid()
            scores = torch.einsum("qk,qhw->khw", output.class_logits[i].float().softmax(1)[:, :-1], masks)
            found.append(Prediction(semantic=scores.argmax(0)))
        return found
