"""What an annotation is called and coloured: per pixel, per class, per instance."""

from __future__ import annotations

import torch
from torch import Tensor

from segexp.types import DataSpec, Prediction, Targets

Annotation = Prediction | Targets
UNKNOWN = (128, 128, 128)
SHOWN = 0.5  # from this score an image shows a class
SUM_OFF = 1e-3  # how far a sum of scores that sum to 1 may be from it
GOLDEN = 0.618  # a step that keeps neighbours in the sequence far apart


def pixel_colors(ids: Tensor, data: DataSpec) -> Tensor:
    """The colour of every pixel, black where it has no class: float32 [3,H,W]."""
    table = torch.cat([class_colors(torch.arange(data.num_classes), data.num_classes, data).float(), torch.zeros(1, 3)])
    ids = ids.long()
    known = (ids >= 0) & (ids < data.num_classes) & (ids != data.ignore_index)
    return table[torch.where(known, ids, data.num_classes)].permute(2, 0, 1)


def class_colors(labels: Tensor | None, count: int, data: DataSpec) -> Tensor:
    """Colours of `count` objects, grey where the class isn't known: uint8 [count,3]."""
    table = torch.tensor([c.color for c in data.classes] + [UNKNOWN], dtype=torch.uint8)
    labels = torch.full((count,), -1) if labels is None else labels.long()
    return table[torch.where((labels >= 0) & (labels < data.num_classes), labels, data.num_classes)]


def instance_colors(labels: Tensor, data: DataSpec, numbers: Tensor | None = None) -> Tensor:
    """Class colours; the n-th thing of a class is brighter or darker by a fixed sequence: float32 [N,3].

    Args:
        labels: int64 [N].
        data: the classes.
        numbers: int64 [N], of each thing its number among those of its class, from 1: one that stays through a clip keeps the
            colour. Unless given, things are counted in their order.
    """
    colors = class_colors(labels, len(labels), data).float()
    earlier = (labels[:, None] == labels[None]).tril(-1).sum(1) if numbers is None else (numbers - 1).clamp(min=0)  # [N]
    shift = ((earlier * GOLDEN + 0.5) % 1 - 0.5)[:, None]  # golden steps in [-0.5, 0.5), 0 for the first
    thing = torch.isin(labels, torch.tensor([-1, *data.thing_ids]))[:, None]
    varied = torch.where(shift > 0, colors + shift * (255 - colors), colors * (1 + shift))
    return torch.where(thing, varied, colors)


def segment_names(annotation: Annotation, data: DataSpec, numbers: Tensor | None = None) -> list[tuple[str, ...]]:
    """What may be written on each segment, the longest first: class and number (or that alone), class and score, or the class."""
    names = [data.names[i] if 0 <= i < data.num_classes else str(i) for i in annotation.segment_labels.tolist()]
    scores, crowd = getattr(annotation, "segment_scores", None), getattr(annotation, "segment_crowd", None)
    if numbers is not None:
        return [(f"{name} {n}", str(n)) if n else (name,) for name, n in zip(names, numbers.tolist(), strict=True)]
    if scores is not None:
        return [(f"{name} {score:.2f}", name) for name, score in zip(names, scores.tolist(), strict=True)]
    groups = [False] * len(names) if crowd is None else crowd.tolist()
    return [(f"{name} (crowd)", name) if group else (name,) for name, group in zip(names, groups, strict=True)]


def box_names(annotation: Annotation, data: DataSpec) -> list[str]:
    if annotation.labels is None:
        return [""] * len(annotation.boxes)
    names = [data.names[i] if 0 <= i < data.num_classes else str(i) for i in annotation.labels.tolist()]
    scores = getattr(annotation, "scores", None)
    return names if scores is None else [f"{name} {score:.2f}" for name, score in zip(names, scores.tolist(), strict=True)]


def image_label(annotation: Annotation, data: DataSpec) -> tuple[str, int]:
    """The image label or labels as (text, class id of its colour); an empty text where there is none.

    Scores that sum to 1 are of one class, the highest; others are of any number, of which those from 0.5 are named.
    """
    scores, label = getattr(annotation, "label_scores", None), getattr(annotation, "label", None)
    if scores is not None:
        top = int(scores.argmax())
        if abs(float(scores.sum()) - 1) < SUM_OFF:
            return f"{data.names[top]} {float(scores[top]):.2f}", top
        named = [f"{data.names[i]} {float(scores[i]):.2f}" for i in shown_classes(scores, data)]
        return ", ".join(named) or "none", top
    if label is None:
        label = getattr(annotation, "present", None)
    if label is None:
        return "", 0
    ids = shown_classes(label, data) if label.ndim else [int(label)]
    ids = [i for i in ids if i < data.num_classes and i != data.ignore_index]
    return ", ".join(data.names[i] for i in ids), ids[0] if ids else 0


def shown_classes(values: Tensor, data: DataSpec) -> list[int]:
    """The classes of which an image has at least half: of scores or truth [K], in the order of their ids."""
    return (values[: data.num_classes] >= SHOWN).nonzero().flatten().tolist()
