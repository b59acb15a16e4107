"""The loss of Panoptic-DeepLab (Cheng et al., 2020): classes, a heatmap of centres, vectors to the centres."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from segexp.errors import ConfigError, require_number
from segexp.functional.centers import CenterTargets, PixelWeights, center_targets, pixel_weights
from segexp.functional.resize import to_size
from segexp.functional.segments import areas, of_pixels
from segexp.losses.ohem import Ohem
from segexp.types import Batch, CenterOffset, DataSpec, SemanticLogits, Targets

ROUNDINGS = ("floor", "round")


class CenterOffsetLoss(nn.Module):
    """Cross-entropy of the hardest pixels, squared error of the heatmap, absolute error of the vectors; at the input's size.

    The truth follows from the segments, on whichever device they are. Void counts nowhere; crowds have no vectors and don't
    count in the heatmap. What each sum is divided by, all of it known from the targets:

    ======== ============================================== ================================================================
    term     reduction valid and batch                      reduction nonzero
    ======== ============================================== ================================================================
    semantic see `segexp.losses.ohem.Ohem`                  see there
    center   pixels outside void and crowds                 of each image the mean over pixels with an error; the images
    offset   twice the pixels of things (two coordinates)   the same
    ======== ============================================== ================================================================

    Args:
        data: the data set's classes; things have centres.
        semantic_weight, center_weight, offset_weight: of the terms in the total loss.
        fraction: share of the pixels that the cross-entropy keeps, the hardest.
        reduction: `valid`, or as in published code `batch` (PyTorch, Detectron2) and `nonzero` (DeepLab2).
        small_instance_area: things of fewer pixels have the weight `small_instance_weight` in the cross-entropy.
        small_instance_weight: see above.
        sigma: of the heatmap's Gaussians, in input pixels.
        sigma_share: a thing's sigma is at least this share of the square root of its pixels: large things have broad peaks.
        center_rounding: `floor`, the heatmap's peaks are the centres without fraction and vectors end at the centres
            themselves; `round`, both are at the nearest pixel (DeepLab2).
        crowd_centers: crowds have a peak, as in published code; it reaches pixels around them.
        ignore_stuff_in_offset: else vectors of stuff are learnt, too, to be 0.
        ignore_crowd_in_semantic: pixels of crowds have no class.
        fused: see `segexp.losses.ohem.Ohem`.

    Raises:
        ConfigError: a value makes no sense.
    """

    accepts = CenterOffset
    needs = frozenset({"segments"})
    needs_things = True  # without one there is no centre to learn

    def __init__(
        self,
        data: DataSpec,
        *,
        semantic_weight: float = 1.0,
        center_weight: float = 200.0,
        offset_weight: float = 0.01,
        fraction: float = 0.2,
        reduction: str = "valid",
        small_instance_area: int = 4096,
        small_instance_weight: float = 3.0,
        sigma: float = 8.0,
        sigma_share: float = 0.0,
        center_rounding: str = "floor",
        crowd_centers: bool = True,
        ignore_stuff_in_offset: bool = True,
        ignore_crowd_in_semantic: bool = False,
        fused: bool = True,
    ) -> None:
        super().__init__()
        require_number("loss.sigma", sigma, "loss.sigma=8", least=0.1)
        require_number("loss.sigma_share", sigma_share, "loss.sigma_share=0", least=0)
        require_number("loss.small_instance_area", small_instance_area, "loss.small_instance_area=4096", least=0)
        weights = {"semantic": semantic_weight, "center": center_weight, "offset": offset_weight, "small_instance": small_instance_weight}
        for name, value in weights.items():
            require_number(f"loss.{name}_weight", value, f"loss.{name}_weight=1", least=0)
        if center_rounding not in ROUNDINGS:
            fix = f"loss.center_rounding={'|'.join(ROUNDINGS)}"
            raise ConfigError("no such rounding", where=f"loss.center_rounding={center_rounding}", fix=fix)
        self.semantic = Ohem(data, weight=semantic_weight, fraction=fraction, reduction=reduction, fused=fused)
        self.center_weight, self.offset_weight = center_weight, offset_weight
        self.small_area, self.small_weight = small_instance_area, small_instance_weight
        self.gaussians = {"sigma": sigma, "sigma_share": sigma_share}
        self.rounded, self.crowd_centers = center_rounding == "round", crowd_centers
        self.stuff_counts, self.crowd_has_class = not ignore_stuff_in_offset, not ignore_crowd_in_semantic
        self.things, self.ignore_index = data.thing_ids, data.ignore_index

    def forward(self, output: CenterOffset, batch: Batch) -> dict[str, Tensor]:
        truths = [self._truth(target) for target in batch.targets]
        labels = [truth.labels for truth in truths]
        logits = SemanticLogits(output.semantic, output.stride, align_corners=output.align_corners)
        size = (max(m.shape[0] for m in labels), max(m.shape[1] for m in labels))
        found = torch.cat([output.center, output.offset], 1).float()
        fields = to_size(found, output.stride, size, aligned=output.align_corners)  # [B,3,H,W]
        errors = [self._errors(field, truth) for field, truth in zip(fields, truths, strict=True)]
        return {
            "semantic": self.semantic.total(logits, labels, [truth.weights.semantic for truth in truths]),
            "center": self.center_weight * torch.stack([center for center, _ in errors]).sum(),
            "offset": self.offset_weight * torch.stack([offset for _, offset in errors]).sum(),
        }

    def count(self, targets: list[Targets]) -> dict[str, float]:
        """What the sums are divided by: see the table."""
        pixels = [self._pixels(target) for target in targets]
        labelled, center, offset = ([row[i] for row in pixels] for i in range(3))
        found = {"semantic": self.semantic.kept(labelled, [tuple(t.segments.shape) for t in targets])}
        if self._by_image:
            return found | {"center": float(sum(n > 0 for n in center)), "offset": float(sum(n > 0 for n in offset))}
        return found | {"center": float(sum(center)), "offset": float(2 * sum(offset))}

    @property
    def _by_image(self) -> bool:
        return self.semantic.reduction == "nonzero"

    def _pixels(self, target: Targets) -> tuple[int, int, int]:
        """Pixels with a class, those that count for the centres, those that count for the vectors."""
        area, clear = areas(target.segments, len(target.segment_labels)), ~target.segment_crowd
        chosen = clear if self.stuff_counts else clear & self._things(target)
        labelled = area if self.crowd_has_class else area[clear]
        return int(labelled.sum()), int(area[clear].sum()), int(area[chosen].sum())

    def _things(self, target: Targets) -> Tensor:
        """Which segments are of a thing's class: bool [S]."""
        return torch.isin(target.segment_labels, target.segment_labels.new_tensor(self.things))

    def _truth(self, target: Targets) -> _Truth:
        things, crowd = self._things(target), target.segment_crowd
        classes = target.segment_labels if self.crowd_has_class else target.segment_labels.masked_fill(crowd, self.ignore_index)
        peaks = None if self.crowd_centers else ~crowd
        return _Truth(
            of_pixels(target.segments, classes, self.ignore_index),
            center_targets(target.segments, things, **self.gaussians, rounded=self.rounded, peaks=peaks),
            pixel_weights(
                target.segments, things, crowd, small_area=self.small_area, small_weight=self.small_weight, stuff=self.stuff_counts
            ),
        )

    def _errors(self, field: Tensor, truth: _Truth) -> tuple[Tensor, Tensor]:
        """The sums of one image; of the vectors over both coordinates."""
        (height, width), weights = truth.labels.shape, truth.weights
        center, offset = field[0, :height, :width], field[1:, :height, :width]
        squared = (center - truth.targets.center).square() * weights.center
        absolute = (offset - truth.targets.offset).abs() * weights.offset
        if self._by_image:
            return _mean(squared), _mean(absolute.mean(0))
        return squared.sum(), absolute.sum()


def _mean(losses: Tensor) -> Tensor:
    """Over those that aren't 0; 0 where all are."""
    return losses.sum() / losses.detach().count_nonzero().clamp(min=1)


class _Truth(NamedTuple):
    """Of one image."""

    labels: Tensor  # int64 [H,W]
    targets: CenterTargets
    weights: PixelWeights
