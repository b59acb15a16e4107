"""COCO's average precision as a metric: what is kept of each image, gathered over batches and ranks, and the figures of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from segexp.functional.average_precision import AREAS, IOUS, LIMITS, Objects, joined, mean, precision_and_recall
from segexp.functional.bootstrap import Figure
from segexp.functional.weighted import Record as Plain
from segexp.functional.weighted_precision import average_precision, wanted
from segexp.types import DataSpec, Prediction, Targets

Record = dict[str, Tensor]
STATES: dict[str, tuple[tuple[int, ...], torch.dtype]] = {  # name -> shape of a row, kind
    "images": ((4,), torch.int64),
    "labels": ((), torch.int64),
    "areas": ((), torch.float64),
    "scores": ((), torch.float32),
    "objects": ((2,), torch.int64),
    "object_areas": ((), torch.float64),
    "pairs": ((2,), torch.int64),
    "ious": ((), torch.float64),
}


class AveragePrecision(Metric):
    """`map map50 map75`, `map_` and `mar_` with `small medium large`, `mar1 mar10 mar100`, `map/<class>`, as COCO defines them.

    `map` is the mean precision over recalls, over the IoUs 0.50, 0.55 .. 0.95 and over the classes that the truth holds; `mar`
    the mean of the largest recalls with so many detections an image and class. Small is up to 32^2 pixels, large from 96^2 on. A
    detection in a crowd isn't wrong. NaN where the truth holds no object of that kind. The figures are those of pycocotools.

    A subclass says by `measure` what overlaps what.
    """

    full_state_update = False
    higher_is_better = True
    prefix = ""  # of the figures' names
    resamples = 1000  # at most, behind an interval: each goes through the ranking anew
    images: list[Tensor]

    def __init__(self, data: DataSpec) -> None:
        super().__init__()
        self.names = data.names
        for name in STATES:
            self.add_state(name, [], dist_reduce_fx="cat")
        self._start()

    @abstractmethod
    def measure(self, prediction: Prediction, truth: Targets) -> Record:
        """What is kept of one image: see `record`."""

    def reset(self) -> None:
        super().reset()
        self._start()

    def update(self, records: list[Record]) -> None:
        for record in records:
            counts = [len(record[name]) for name in ("labels", "objects", "pairs")]
            # which of this rank's images it is: with it, the data set's order is found again
            self.images.append(torch.tensor([[len(self.images), *counts]], device=self.device))
            for name, values in record.items():
                getattr(self, name).append(values.to(self.device))

    def compute(self) -> dict[str, Tensor]:
        precision, recall = precision_and_recall(self._gathered(), len(self.names))  # [T,R,K,A], [T,K,A,L]
        p, sizes = self.prefix, list(AREAS)[1:]
        figures = {f"{p}map": mean(precision[..., 0])}
        figures |= {f"{p}map50": mean(precision[0, :, :, 0]), f"{p}map75": mean(precision[5, :, :, 0])}
        figures |= {f"{p}map_{name}": mean(precision[..., a]) for a, name in enumerate(sizes, 1)}
        figures |= {f"{p}mar{limit}": mean(recall[:, :, 0, at]) for at, limit in enumerate(LIMITS)}
        figures |= {f"{p}mar_{name}": mean(recall[:, :, a, -1]) for a, name in enumerate(sizes, 1)}
        figures |= {f"{p}map/{name}": mean(precision[:, :, k, 0]) for k, name in enumerate(self.names)}
        return {name: torch.tensor(value, dtype=torch.float64, device=self.device) for name, value in figures.items()}

    def weighted(self, figure: str, records: Sequence[Plain]) -> Figure | None:
        """The figure of this name, given how often each image counts; None if it is none of these."""
        which = wanted(figure.removeprefix(self.prefix), self.names) if figure.startswith(self.prefix) else None
        return average_precision(records, which, len(self.names)) if which else None

    def _start(self) -> None:
        """Each list begins with a tensor of no rows: a rank without images has something to gather."""
        for name, (shape, kind) in STATES.items():
            getattr(self, name).append(torch.zeros((0, *shape), dtype=kind, device=self.device))

    def _gathered(self) -> Objects:
        """The records of all images, in the order of the data set: ranks take images in turn."""
        state = {name: dim_zero_cat(getattr(self, name)) for name in STATES}
        if state["images"].is_meta:  # a chain without data, which is asked for the names of its figures
            state = {name: torch.zeros((0, *shape), dtype=kind, device="cpu") for name, (shape, kind) in STATES.items()}
        images, *rows = (values.cpu().numpy() for values in state.values())
        return joined(images, Objects(*rows[:3], rows[0], *rows[3:]))


def record(labels: Tensor, areas: Tensor, scores: Tensor, truth: Targets, object_areas: Tensor, overlap: Tensor) -> Record:
    """What is kept of one image, whatever overlaps.

    Args:
        labels, areas, scores: [D] of the detections, by descending score.
        truth: classes and crowds [N].
        object_areas: [N].
        overlap: float64 [D,N] IoU, or with a crowd the share of the detection that lies in it.

    Returns:
        `labels` int64 [D], `areas` float64 [D], `scores` float32 [D]; `objects` int64 [N,2]: class, 1 for a crowd;
        `object_areas` float64 [N]; `pairs` int64 [M,2]: detection, object, and `ious` float64 [M], of one class and from 0.5 on.
    """
    pairs = ((overlap >= IOUS[0]) & (labels[:, None] == truth.labels)).nonzero()
    return {
        "labels": labels,
        "areas": areas.double(),
        "scores": scores.float(),
        "objects": torch.stack([truth.labels, crowds(truth).long()], 1),
        "object_areas": object_areas.double(),
        "pairs": pairs,
        "ious": overlap[pairs[:, 0], pairs[:, 1]],
    }


def crowds(truth: Targets) -> Tensor:
    """bool [N]."""
    return torch.zeros_like(truth.labels, dtype=torch.bool) if truth.crowd is None else truth.crowd


def best(scores: Tensor, labels: Tensor, limit: int = LIMITS[-1]) -> Tensor:
    """The numbers of the `limit` best of each class, by descending score, in their order where scores are equal: int64 [D]."""
    order = scores.argsort(descending=True, stable=True)
    if len(order) <= limit:
        return order
    alike = labels[order][:, None] == labels.unique()[None]  # [D,classes]
    return order[((alike.cumsum(0) <= limit) & alike).any(1)]
