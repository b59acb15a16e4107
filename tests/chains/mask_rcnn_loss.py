"""The tiny chain of two-stage detection: its loss and its postprocesses."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection._utils import Matcher
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops import roi_align

from segexp.functional.keys import generator
from segexp.types import Batch, DataSpec, MaskRoiOutput, Prediction, Proposals, RoiOutput, Sampled, Sizes, Targets
from tests.chains.mask_rcnn import FIRST, SECOND, match, sample


class RoiLoss:
    """Objectness and boxes of both stages and, with `masks`, masks.

    Every term is the mean over what was sampled in an image, summed over images: so the count of all is the number of images.

    Args:
        data: the data set's classes.
        masks: train the mask branch.
        samples: anchors of each image that are trained on, at most half of them objects.
    """

    def __init__(self, data: DataSpec, *, masks: bool = True, samples: int = 64) -> None:
        self.masks, self.samples = masks, samples
        self.accepts = MaskRoiOutput if masks else RoiOutput
        self.needs = frozenset({"boxes", "masks"} if masks else {"boxes"})
        self.matcher = Matcher(0.7, 0.3, allow_low_quality_matches=True)
        self.terms = ("rpn_cls", "rpn_box", "cls", "box") + (("mask",) if masks else ())

    def __call__(self, output: RoiOutput, batch: Batch) -> dict[str, Tensor]:
        images = []
        for i, target in enumerate(batch.targets):
            terms = self.first(output.first, i, target) | self.second(output.sampled, i, target)
            images.append(terms | (self.mask(output.sampled, i, target) if self.masks else {}))
        return {name: torch.stack([image[name] for image in images]).sum() for name in self.terms}

    def count(self, targets: list[Targets]) -> dict[str, float]:
        return dict.fromkeys(self.terms, float(len(targets)))

    def first(self, first: Proposals, i: int, target: Targets) -> dict[str, Tensor]:
        """Objectness and deltas of a keyed sample of the anchors."""
        matched = match(self.matcher, first.anchors, target)
        hit, miss = sample(matched, self.samples, 0.5, generator(target.key, "anchors"))
        chosen = torch.cat([hit, miss])
        wanted = (matched[chosen] >= 0).float()
        objectness = F.binary_cross_entropy_with_logits(first.objectness[i, chosen], wanted, reduction="sum")
        deltas = FIRST.encode_single(target.boxes[matched[hit]], first.anchors[hit])
        box = F.smooth_l1_loss(first.deltas[i, hit], deltas, beta=1 / 9, reduction="sum")
        return {"rpn_cls": objectness / max(len(chosen), 1), "rpn_box": box / max(len(chosen), 1)}

    def second(self, sampled: Sampled, i: int, target: Targets) -> dict[str, Tensor]:
        """Classes and deltas of the sampled proposals."""
        logits, labels = sampled.class_logits[i], sampled.labels[i]
        hit = (labels < logits.shape[1] - 1).nonzero().flatten()
        deltas = SECOND.encode_single(target.boxes[sampled.matched[i][hit]], sampled.proposals[i][hit])
        found = sampled.deltas[i].unflatten(1, (-1, 4))[hit, labels[hit]]  # [positives,4]
        box = F.smooth_l1_loss(found, deltas, beta=1 / 9, reduction="sum")
        return {"cls": F.cross_entropy(logits, labels, reduction="sum") / max(len(labels), 1), "box": box / max(len(labels), 1)}

    def mask(self, sampled: Sampled, i: int, target: Targets) -> dict[str, Tensor]:
        """Masks of the positives' own classes, against the true masks cut out by the proposals."""
        logits = sampled.mask_logits[i]  # [positives,K,m,m]
        n = len(logits)
        if n == 0:
            return {"mask": logits.sum()}
        boxes = torch.cat([torch.arange(n, device=logits.device)[:, None], sampled.proposals[i][:n]], 1)
        truth = target.masks[sampled.matched[i][:n], None].float()  # [positives,1,H,W]
        wanted = roi_align(truth, boxes, logits.shape[-2:])[:, 0]
        own = logits[torch.arange(n, device=logits.device), sampled.labels[i][:n]]  # [positives,m,m]
        return {"mask": F.binary_cross_entropy_with_logits(own, wanted)}


class RoiBoxes:
    """Final boxes, scaled to the original size.

    Args:
        data: the data set.
    """

    accepts = RoiOutput
    provides = frozenset({"boxes"})

    def __init__(self, data: DataSpec) -> None:
        pass

    def __call__(self, output: RoiOutput, sizes: Sizes, original_sizes: Sizes) -> list[Prediction]:
        seen, found = output.detected, []
        for i, (size, original) in enumerate(zip(sizes, original_sizes, strict=True)):
            scale = seen.boxes[i].new_tensor([original[1] / size[1], original[0] / size[0]] * 2)
            found.append(Prediction(boxes=seen.boxes[i] * scale, scores=seen.scores[i], labels=seen.labels[i]))
        return found


class RoiMasks:
    """Final boxes and masks: scaled, pasted, thresholded.

    Args:
        data: the data set.
        threshold: probability from which a pixel belongs to the mask.
    """

    accepts = MaskRoiOutput
    provides = frozenset({"boxes", "masks"})

    def __init__(self, data: DataSpec, *, threshold: float = 0.5) -> None:
        self.boxes, self.threshold = RoiBoxes(data), threshold

    def __call__(self, output: MaskRoiOutput, sizes: Sizes, original_sizes: Sizes) -> list[Prediction]:
        found = []
        for i, p in enumerate(self.boxes(output, sizes, original_sizes)):
            pasted = paste_masks_in_image(
                output.detected.mask_logits[i].float().sigmoid()[:, None], p.boxes, original_sizes[i]
            )  # [N,1,H,W]
            found.append(Prediction(boxes=p.boxes, masks=pasted[:, 0] >= self.threshold, labels=p.labels, scores=p.scores))
        return found
