"""The losses of Faster R-CNN (Ren et al., 2015) and Mask R-CNN (He et al., 2017)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from segexp.errors import ConfigError, WiringError, require_number
from segexp.functional.boxes import EVEN, Weights, encode
from segexp.functional.matching import IGNORED, match
from segexp.functional.rois import BOX_WEIGHTS, lies_in, objects, sample
from segexp.types import Batch, DataSpec, MaskRoiOutput, Proposals, RoiOutput, Sampled, Size, Targets

BETA = 1 / 9  # below it the error of a box is squared, above it absolute


class RoiLoss(nn.Module):
    """Cross-entropy and smooth absolute error of both stages, and binary cross-entropy of the masks.

    Of each image the mean over its samples (of the anchors, of the proposals; of the masks' cells, the mean over those of
    sampled objects); the sums over images are divided by their number. An image with no sample of a kind counts 0 for it.
    torchvision takes the mean over all samples of the batch: the same where each image has as many.

    ============== ===============================================================================
    rpn_objectness anchors: object or background
    rpn_box        the vectors of anchors of objects; the others count in the mean with 0
    roi_class      proposals: the class, or background
    roi_box        the vectors of proposals that show an object, of its class; the others count with 0
    mask           of these the mask of their class, as far as the proposal shows it
    ============== ===============================================================================

    Args:
        data: the data set's classes.
        masks: with the masks' term; for a head with a mask branch.
        samples: anchors of an image that the first stage learns from.
        positives: share of these that are of objects, at most.
        high: an anchor that overlaps an object as much is its; so are those that overlap it most.
        low: one that overlaps all objects less is background; those between are ignored.
        weights: of the terms in the total loss; 1 where none is given.

    Raises:
        ConfigError: a value makes no sense.
    """

    needs_things = True  # without one there is nothing to detect

    def __init__(
        self,
        data: DataSpec,
        *,
        masks: bool = False,
        samples: int = 256,
        positives: float = 0.5,
        high: float = 0.7,
        low: float = 0.3,
        rpn_objectness_weight: float = 1.0,
        rpn_box_weight: float = 1.0,
        roi_class_weight: float = 1.0,
        roi_box_weight: float = 1.0,
        mask_weight: float = 1.0,
    ) -> None:
        super().__init__()
        require_number("loss.samples", samples, "loss.samples=256", least=1, whole=True)
        for name, share in (("positives", positives), ("high", high), ("low", low)):
            require_number(f"loss.{name}", share, f"loss.{name}=0.5", least=0, below=1.0000001)
        if low > high:
            where, fix = f"loss.low={low} loss.high={high}", "loss.low=0.3 loss.high=0.7"
            raise ConfigError("`low` is above `high`; overlaps between them are ignored", where=where, fix=fix)
        weights = {"rpn_objectness": rpn_objectness_weight, "rpn_box": rpn_box_weight}
        weights |= {"roi_class": roi_class_weight, "roi_box": roi_box_weight} | ({"mask": mask_weight} if masks else {})
        for name, weight in weights.items():
            require_number(f"loss.{name}_weight", weight, f"loss.{name}_weight=1", least=0)
        self.accepts = MaskRoiOutput if masks else RoiOutput
        self.needs = frozenset({"boxes", "masks"} if masks else {"boxes"})
        self.masks, self.weights, self.classes = masks, weights, data.num_classes
        self.samples, self.positives, self.high, self.low = samples, positives, high, low

    def forward(self, output: RoiOutput, batch: Batch) -> dict[str, Tensor]:
        if isinstance(output, MaskRoiOutput) and not self.masks:
            raise WiringError("the head has masks, and this loss none", where="loss.masks=false", fix="loss=mask_roi")
        images = [self._image(output, number, *both) for number, both in enumerate(zip(batch.targets, batch.sizes, strict=True))]
        return {name: weight * torch.stack([image[name] for image in images]).sum() for name, weight in self.weights.items()}

    def count(self, targets: list[Targets]) -> dict[str, float]:
        """The images."""
        return dict.fromkeys(self.weights, float(len(targets)))

    def _image(self, output: RoiOutput, number: int, target: Targets, size: Size) -> dict[str, Tensor]:
        sampled: Any = output.sampled  # which is there, because targets were given
        terms = self._first(output.first, number, target, size) | self._second(sampled, number, target)
        return terms | {"mask": self._mask(sampled, number, target)} if self.masks else terms

    def _first(self, first: Proposals, number: int, target: Targets, size: Size) -> dict[str, Tensor]:
        boxes, _, crowd = objects(target, first.anchors.device)
        with torch.no_grad():
            there = lies_in(first.anchors, size).nonzero().flatten()  # nothing is learned of padding
            matched = torch.full((len(first.anchors),), IGNORED, device=there.device)
            matched[there] = match(boxes, crowd, first.anchors[there], self.high, self.low, True)
            chosen = sample(matched, self.samples, self.positives, target.key, "rpn")
        matched, anchors = matched[chosen], first.anchors[chosen]
        found = matched >= 0
        logits, deltas = first.objectness[number, chosen].float(), first.deltas[number, chosen].float()
        objectness = F.binary_cross_entropy_with_logits(logits, found.float(), reduction="sum")
        box = box_error(deltas[found], boxes[matched[found]], anchors[found], EVEN)
        return {"rpn_objectness": objectness / max(len(chosen), 1), "rpn_box": box / max(len(chosen), 1)}

    def _second(self, sampled: Sampled, number: int, target: Targets) -> dict[str, Tensor]:
        labels, proposals = sampled.labels[number], sampled.proposals[number]
        found = labels < self.classes
        truth = objects(target, proposals.device)[0][sampled.matched[number][found]]
        deltas = sampled.deltas[number].float().view(len(labels), self.classes + 1, 4)[found, labels[found]]
        classed = F.cross_entropy(sampled.class_logits[number].float(), labels, reduction="sum")
        box = box_error(deltas, truth, proposals[found], BOX_WEIGHTS)
        return {"roi_class": classed / max(len(labels), 1), "roi_box": box / max(len(labels), 1)}

    def _mask(self, sampled: Any, number: int, target: Targets) -> Tensor:
        logits = sampled.mask_logits[number].float()  # [P,K,m,m]
        found = sampled.labels[number] < self.classes
        labels, proposals = sampled.labels[number][found], sampled.proposals[number][found]
        truth = masks_within(target.masks.to(logits.device), sampled.matched[number][found], proposals, logits.shape[-1])
        chosen = logits[torch.arange(len(labels), device=labels.device), labels]  # [P,m,m]
        return F.binary_cross_entropy_with_logits(chosen, truth, reduction="sum") / max(truth.numel(), 1)


def box_error(deltas: Tensor, boxes: Tensor, anchors: Tensor, weights: Weights) -> Tensor:
    """The sum of smooth absolute errors of vectors [P,4] that are to move anchors [P,4] onto boxes [P,4]."""
    return F.smooth_l1_loss(deltas, encode(boxes, anchors, weights), beta=BETA, reduction="sum")


def masks_within(masks: Tensor, numbers: Tensor, boxes: Tensor, side: int) -> Tensor:
    """What of the mask with each number shows in each box, in cells: float32 [P,side,side].

    Args:
        masks: bool [N,H,W].
        numbers: int64 [P].
        boxes: [P,4].
        side: of the result.
    """
    used, place = numbers.unique(return_inverse=True)
    rois = torch.cat([place[:, None].float(), boxes.float()], 1)
    return roi_align(masks[used, None].float(), rois, side, spatial_scale=1.0)[:, 0]
