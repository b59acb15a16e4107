"""How well boxes and masks are found: precision by recall, and average precision by the size of the object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from segexp.functional.average_precision import AREAS, IOUS, RECALLS, Objects, joined, mean, precision_and_recall
from segexp.report.charts import Chart, chart
from segexp.report.figures import classes
from segexp.report.record import RunRecord, section

KINDS = (("detection", "Boxes"), ("instance", "Masks"), ("boundary_instance", "Contours of masks"))  # metrics that keep such records
DRAWN = (0, 3, 5, 8)  # of IOUS
LISTS: dict[str, tuple[tuple[int, ...], type]] = {  # of an image's record: shape of a row, kind
    "labels": ((), int),
    "areas": ((), float),
    "scores": ((), float),
    "objects": ((2,), int),
    "object_areas": ((), float),
    "pairs": ((2,), int),
    "ious": ((), float),
}
SAYS = {"all": "all", "small": "small, ≤ 32²", "medium": "medium", "large": "large, ≥ 96²"}


@dataclass(frozen=True)
class SizeRow:
    """One range of areas; None where the truth holds no object of it."""

    name: str
    objects: int
    precision: float | None
    recall: float | None


@dataclass(frozen=True)
class ObjectFigures:
    """One kind of object in one split."""

    title: str
    split: str
    images: int
    chart: Chart
    sizes: tuple[SizeRow, ...]


def object_figures(record: RunRecord) -> list[ObjectFigures]:
    """What `per_image.jsonl` says of boxes and masks, of the first split in it; kinds that weren't measured are left out."""
    split = next((str(image.get("split", "")) for image in record.per_image.values()), "")
    count, found = len(classes(record)), []
    for metric, title in KINDS:
        images = [section(i[metric]) for i in record.per_image.values() if str(i.get("split", "")) == split and metric in i]
        if images and (objects := objects_of(images, count)) is not None:
            found.append(_figures(objects, count, title, split, len(images)))
    return found


def objects_of(images: Sequence[dict[str, Any]], classes: int) -> Objects | None:
    """The records of images as one; None where they are of another version or don't fit each other."""
    try:
        parts = {name: [np.asarray(image[name], kind).reshape(-1, *shape) for image in images] for name, (shape, kind) in LISTS.items()}
        counts = np.array([[len(parts[name][i]) for name in ("labels", "objects", "pairs")] for i in range(len(images))])
        found, (detections, objects) = {name: np.concatenate(values) for name, values in parts.items()}, counts[:, :2].T
        limits = np.repeat(np.stack([detections, objects], 1), counts[:, 2], axis=0)
        kinds = np.concatenate([found["labels"], found["objects"][:, 0]])
        if (found["pairs"] >= limits).any() or (found["pairs"] < 0).any() or ((kinds < 0) | (kinds >= classes)).any():
            return None
        rows = Objects(**found, images=found["labels"])
        return joined(np.concatenate([np.arange(len(images))[:, None], counts], 1), rows)
    except (KeyError, TypeError, ValueError, IndexError):
        return None


def _figures(objects: Objects, classes: int, title: str, split: str, images: int) -> ObjectFigures:
    precision, recall = precision_and_recall(objects, classes)  # [T,R,K,A], [T,K,A,L]
    there = precision[0, 0, :, 0] > -1  # [K]
    curves = {f"IoU {IOUS[t]:.2f}": precision[t][:, there, 0].mean(1) if there.any() else np.zeros(len(RECALLS)) for t in DRAWN}
    drawn = chart(
        "precision by recall",
        {name: list(zip(RECALLS.tolist(), v.tolist(), strict=True)) for name, v in curves.items()},
        f"pr-{title[:5]}",
        whole=False,
    )
    drawn = replace(drawn, lines=tuple(replace(line, last=float(curves[line.name].mean())) for line in drawn.lines))
    areas, counted = objects.object_areas, objects.objects[:, 1] == 0
    rows = []
    for a, (name, (least, most)) in enumerate(AREAS.items()):
        number = int((counted & (areas >= least) & (areas <= most)).sum())
        values = (mean(precision[..., a]), mean(recall[:, :, a, -1])) if number else (None, None)
        rows.append(SizeRow(SAYS[name], number, *values))
    return ObjectFigures(title, split, images, drawn, tuple(rows))
