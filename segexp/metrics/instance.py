"""COCO's average precision of masks, by faster-coco-eval, from the pixels that masks share."""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from segexp.errors import ConfigError
from segexp.functional.mask_overlaps import mask_areas, mask_overlaps
from segexp.metrics.coco_ap import AREAS, LIMITS, Instances, mean, precision_and_recall
from segexp.types import DataSpec, Prediction, Targets

STATES = {"images": (4,), "detections": (2,), "scores": (), "objects": (3,), "overlaps": (3,)}  # name -> shape of a row


class InstanceMetrics(Metric):
    """`mask_map mask_map50 mask_map75`, `mask_map_` and `mask_mar_` with `small medium large`, `mask_mar1 mask_mar10 mask_mar100`,
    `mask_map/<class>`: as COCO defines them, for masks.

    `map` is the mean precision over recalls, over the IoUs 0.50, 0.55 .. 0.95 and over the classes that the truth holds; `mar`
    the mean of the largest recalls with so many detections an image and class. Small is below 32^2 pixels, large above 96^2. A
    detection in a crowd isn't wrong. NaN where the truth holds no object of that kind.

    An object's area is the number of its mask's pixels (COCO's own files hold the area of the polygon instead, which moves an
    object between small, medium and large now and then).

    Raises:
        ConfigError: faster-coco-eval isn't installed.
    """

    needs = frozenset({"masks"})
    full_state_update = False
    higher_is_better = True
    images: list[Tensor]
    detections: list[Tensor]
    scores: list[Tensor]
    objects: list[Tensor]
    overlaps: list[Tensor]

    def __init__(self, data: DataSpec) -> None:
        super().__init__()
        if find_spec("faster_coco_eval") is None:
            raise ConfigError("metrics=[instance] needs faster-coco-eval", where="metrics", fix="pip install 'segexp[coco]'")
        self.names = data.names
        for name in STATES:
            self.add_state(name, [], dist_reduce_fx="cat")
        self._start()

    def reset(self) -> None:
        super().reset()
        self._start()

    def measure(self, prediction: Prediction, truth: Targets) -> dict[str, Tensor]:
        """The objects of one image, and the pixels that they share.

        Returns:
            `detections` int64 [D,2]: class and area, by descending score, at most 100 of each class; `scores` float32 [D];
            `objects` int64 [N,3]: class, area, 1 for a crowd; `overlaps` int64 [M,3]: detection, object, pixels that both
            have; pairs of different classes and without a pixel are left out.
        """
        kept = best(prediction.scores, prediction.labels, LIMITS[-1])
        labels = prediction.labels[kept]
        crowd = torch.zeros_like(truth.labels) if truth.crowd is None else truth.crowd.long()
        return {
            "detections": torch.stack([labels, mask_areas(prediction.masks)[kept]], 1),
            "scores": prediction.scores[kept].float(),
            "objects": torch.stack([truth.labels, mask_areas(truth.masks), crowd], 1),
            "overlaps": mask_overlaps(prediction.masks, kept, labels, truth.masks, truth.labels),
        }

    def update(self, records: list[dict[str, Tensor]]) -> None:
        for record in records:
            counts = [len(record[name]) for name in ("detections", "objects", "overlaps")]
            # which of this rank's images it is: with it, the data set's order is found again
            self.images.append(torch.tensor([[len(self.images), *counts]], device=self.device))
            for name, values in record.items():
                getattr(self, name).append(values.to(self.device))

    def compute(self) -> dict[str, Tensor]:
        precision, recall = precision_and_recall(self._gathered(), len(self.names))  # [T,R,K,A,L], [T,K,A,L]
        figures = {"mask_map": mean(precision[:, :, :, 0, -1])}
        figures |= {"mask_map50": mean(precision[0, :, :, 0, -1]), "mask_map75": mean(precision[5, :, :, 0, -1])}
        figures |= {f"mask_map_{name}": mean(precision[:, :, :, a, -1]) for a, name in enumerate(AREAS, 1)}
        figures |= {f"mask_mar{limit}": mean(recall[:, :, 0, at]) for at, limit in enumerate(LIMITS)}
        figures |= {f"mask_mar_{name}": mean(recall[:, :, a, -1]) for a, name in enumerate(AREAS, 1)}
        figures |= {f"mask_map/{name}": mean(precision[:, :, k, 0, -1]) for k, name in enumerate(self.names)}
        return {name: torch.tensor(value, dtype=torch.float64, device=self.device) for name, value in figures.items()}

    def _start(self) -> None:
        """Each list begins with a tensor of no rows: a rank without images has something to gather."""
        for name, shape in STATES.items():
            kind = torch.float32 if name == "scores" else torch.int64
            getattr(self, name).append(torch.zeros((0, *shape), dtype=kind, device=self.device))

    def _gathered(self) -> list[Instances]:
        """The records of all images, in the order of the data set: ranks take images in turn."""
        images, *rows = (dim_zero_cat(getattr(self, name)) for name in STATES)
        if images.is_meta:  # a chain without data, which is asked for the names of its figures
            return []
        images, *rows = (x.cpu() for x in (images, *rows))
        detections, objects, overlaps = images[:, 1:].T.tolist()
        sizes = (detections, detections, objects, overlaps)
        parts = [list(values.split(size)) for values, size in zip(rows, sizes, strict=True)]
        order = images[:, 0].argsort(stable=True).tolist()
        return [Instances(*(part[i].numpy() for part in parts)) for i in order]


def best(scores: Tensor, labels: Tensor, limit: int) -> Tensor:
    """The numbers of the `limit` best of each class, by descending score, in their order where scores are equal: int64 [D]."""
    order = scores.argsort(descending=True, stable=True)
    alike = labels[order][:, None] == labels.unique()[None]  # [D,classes]
    return order[((alike.cumsum(0) <= limit) & alike).any(1)]
