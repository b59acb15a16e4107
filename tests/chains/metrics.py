"""The figures of the tiny chains: top-1 accuracy, F1 of boxes and of masks at IoU 0.5, panoptic quality."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric
from torchvision.ops import box_area, box_iou

from segexp.types import DataSpec, Prediction, Targets

Record = dict[str, Tensor]


def add(metric: Metric, records: list[Record]) -> None:
    """Add the statistics of images to the states of the same names."""
    for record in records:
        for name, value in record.items():
            setattr(metric, name, getattr(metric, name) + value.to(metric.device))


class Accuracy(Metric):
    """`top1`: the share of labelled images whose best class is the true one.

    Args:
        data: the data set; sets the ignored value.
    """

    needs = frozenset({"label"})
    full_state_update = False

    def __init__(self, data: DataSpec) -> None:
        super().__init__()
        self.ignore = data.ignore_index
        for name in ("correct", "labelled"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def measure(self, prediction: Prediction, truth: Targets) -> Record:
        """int64 [] each; an ignored label is above every class, so it is never the best."""
        return {"correct": (prediction.label_scores.argmax() == truth.label).long(), "labelled": (truth.label != self.ignore).long()}

    def update(self, records: list[Record]) -> None:
        add(self, records)

    def compute(self) -> Record:
        return {"top1": self.correct / self.labelled.clamp(min=1)}


class InstanceF1(Metric):
    """`box_f1` or `mask_f1`: 2 matches / (predictions + objects), matched greedily by score within a class at IoU above 0.5.

    Crowds are no objects, and what lies more than half in one is no prediction.

    Args:
        data: the data set's classes.
        kind: ``boxes`` or ``masks``.
    """

    full_state_update = False

    def __init__(self, data: DataSpec, *, kind: str = "boxes") -> None:
        super().__init__()
        self.kind, self.needs = kind, frozenset({kind})
        for name in ("matched", "predicted", "objects"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def measure(self, prediction: Prediction, truth: Targets) -> Record:
        """int64 [] each."""
        iou, inside = overlaps(getattr(prediction, self.kind), getattr(truth, self.kind))  # [P,N] each
        same = prediction.labels[:, None] == truth.labels
        fit = torch.where(same & ~truth.crowd, iou, 0.0)
        matched = torch.zeros(len(fit), dtype=torch.bool, device=fit.device)
        for row in prediction.scores.argsort(descending=True).tolist() if fit.numel() else ():
            best = fit[row].argmax()
            if fit[row, best] > 0.5:
                matched[row], fit[:, best] = True, 0.0
        excused = ~matched & (inside * (same & truth.crowd) > 0.5).any(1)
        return {"matched": matched.sum(), "predicted": (~excused).sum(), "objects": (~truth.crowd).sum()}

    def update(self, records: list[Record]) -> None:
        add(self, records)

    def compute(self) -> Record:
        name = {"boxes": "box_f1", "masks": "mask_f1"}[self.kind]
        return {name: 2 * self.matched / (self.predicted + self.objects).clamp(min=1)}


def overlaps(found: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """IoU, and the share of each found that lies in each true one, of boxes [N,4] or masks [N,H,W]: [P,N] each."""
    if found.ndim == 2:
        iou, area = box_iou(found, truth), box_area(found)[:, None]
        overlap = iou / (1 + iou) * (area + box_area(truth))
    else:
        a, b = found.flatten(1).float(), truth.flatten(1).float()
        overlap, area = a @ b.T, a.sum(1, keepdim=True)
        iou = overlap / (area + b.sum(1) - overlap).clamp(min=1)
    return iou, overlap / area.clamp(min=1e-6)


class PanopticQuality(Metric):
    """`pq sq rq`, means over the classes that truth or predictions hold.

    A predicted and a true segment of one class match at IoU above 0.5, void pixels left out of the union. Unmatched
    predictions that lie more than half in void, or in a crowd of their class, aren't counted.

    Args:
        data: the data set's classes.
    """

    needs = frozenset({"segments"})
    full_state_update = False

    def __init__(self, data: DataSpec) -> None:
        super().__init__()
        self.classes = data.num_classes
        self.add_state("iou", torch.zeros(self.classes, dtype=torch.float64), dist_reduce_fx="sum")
        for name in ("hits", "extra", "missed"):
            self.add_state(name, torch.zeros(self.classes, dtype=torch.int64), dist_reduce_fx="sum")

    def measure(self, prediction: Prediction, truth: Targets) -> Record:
        """Per class, [K] each: float64 sum of IoU, int64 matches, unmatched predictions, unmatched truth."""
        found, wanted, crowd = prediction.segment_labels, truth.segment_labels, truth.segment_crowd  # [P], [S], [S]
        width = len(found) + 1
        pixels = torch.bincount((truth.segments.long() * width + prediction.segments).flatten(), minlength=width * (len(wanted) + 1))
        pixels = pixels.view(-1, width).double()  # [1+S,1+P] pixels shared, row and column 0 are void
        area, overlap = pixels.sum(0)[1:], pixels[1:, 1:]  # [P], [S,P]
        same = wanted[:, None] == found
        iou = overlap / (pixels.sum(1)[1:, None] + area - overlap - pixels[0, 1:]).clamp(min=1)
        match = (iou > 0.5) & same & ~crowd[:, None]
        forgiven = pixels[0, 1:] + (overlap * (same & crowd[:, None])).sum(0)
        extra = ~match.any(0) & (forgiven <= 0.5 * area)
        return {
            "iou": torch.zeros(self.classes, dtype=torch.float64, device=iou.device).index_add(0, wanted, (iou * match).sum(1)),
            "hits": self._tally(wanted[match.any(1)]),
            "extra": self._tally(found[extra]),
            "missed": self._tally(wanted[~match.any(1) & ~crowd]),
        }

    def _tally(self, labels: Tensor) -> Tensor:
        return torch.bincount(labels, minlength=self.classes)

    def update(self, records: list[Record]) -> None:
        add(self, records)

    def compute(self) -> Record:
        hits, errors = self.hits.double(), (self.extra + self.missed) / 2
        seen = hits + errors > 0  # [K]
        sq = self.iou / hits.clamp(min=1)
        rq = hits / (hits + errors).clamp(min=0.5)
        return {name: x[seen].sum() / seen.sum().clamp(min=1) for name, x in {"pq": sq * rq, "sq": sq, "rq": rq}.items()}
