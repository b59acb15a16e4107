"""The lattice of annotations: pure functions that derive the poorer truth from the richer.

segments -> masks + labels -> boxes + labels -> image label -> classes present; segments -> semantic; segments -> image label.
Boxes and offsets are derived after geometric transforms, so no rounding of corners accumulates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from segexp.errors import DataError
from segexp.functional import masks as mask_ops
from segexp.functional import segments as segment_ops
from segexp.types import DataSpec, Prediction, Targets
from segexp.wiring import TARGET_LATTICE, derivable

# fields of `Targets` that belong to each kind
FIELDS: Mapping[str, tuple[str, ...]] = {
    "segments": ("segments", "segment_labels", "segment_crowd"),
    "masks": ("masks", "labels", "crowd"),
    "boxes": ("boxes", "labels", "crowd"),
    "semantic": ("semantic",),
    "label": ("label",),
    "present": ("present",),
}


def derive(sample: Mapping[str, Any], wanted: Iterable[str], data: DataSpec, *, key: int = 0) -> Targets:
    """Make the targets of one sample: exactly the kinds `wanted`, from the richest that the sample carries.

    A kind that isn't among `FIELDS` is one of a user's own, and taken as the sample has it.

    Args:
        sample: the dict that a data set yields (see HOUSE: `segments`, `masks`, `boxes`, `semantic`, `label`).
        wanted: kinds of annotation.
        data: the classes.
        key: stored in the result; seeds any sampling on this image.

    Raises:
        DataError: a kind can't be derived from what the sample carries.
    """
    kinds = [k for k in FIELDS if k in sample]
    wanted = set(wanted)
    own = [k for k in sorted(wanted - FIELDS.keys()) if k in sample]
    lacking = wanted - derivable([*kinds, *own], TARGET_LATTICE)
    if lacking:
        where = f"sample {sample.get('meta', {}).get('id', '?')} carries {', '.join(kinds) or 'no annotation'}"
        raise DataError(f"{', '.join(sorted(lacking))} can't be derived", where=where, fix="use a data set with richer annotation")
    found = {name: _plain(sample[name]) for kind in kinds for name in FIELDS[kind] if name in sample}
    if wanted & {"masks", "boxes"} and "labels" not in found:
        found |= _things(found, data)
    if "boxes" in wanted and "boxes" not in found:
        found["boxes"] = mask_ops.to_boxes(found["masks"])
    if "semantic" in wanted and "semantic" not in found:
        found["semantic"] = segment_ops.to_semantic(found["segments"], found["segment_labels"], data.ignore_index)
    if "label" in wanted and "label" not in found:
        found["label"] = _largest(found, data)
    if "present" in wanted and "present" not in found:
        found["present"] = _present(found, data)
    keep = {name for kind in wanted & FIELDS.keys() for name in FIELDS[kind]}
    plain = {f.name: found[f.name] for f in fields(Targets) if f.name in keep and f.name in found}
    return Targets(**plain, extra={name: _plain(sample[name]) for name in own}, key=key)


def _plain(value: Any) -> Any:
    return value.as_subclass(Tensor) if isinstance(value, Tensor) else torch.as_tensor(value)


def _things(found: dict[str, Tensor], data: DataSpec) -> dict[str, Tensor]:
    """Masks, labels and crowd flags of the segments whose class is a thing, in the order of their ids."""
    labels = found["segment_labels"]
    chosen = torch.isin(labels, torch.tensor(data.thing_ids, dtype=labels.dtype))  # [S]
    ids = chosen.nonzero().flatten() + 1
    return {"masks": segment_ops.to_masks(found["segments"], ids), "labels": labels[chosen], "crowd": found["segment_crowd"][chosen]}


def _present(found: dict[str, Tensor], data: DataSpec) -> Tensor:
    """1 for each class of which a segment, a thing or the image is, crowds too: float32 [K]."""
    if "segments" in found:
        labels = found["segment_labels"][segment_ops.areas(found["segments"], len(found["segment_labels"])) > 0]
    elif "labels" in found:
        labels = found["labels"]
    else:
        labels = found["label"].reshape(-1)
    present = torch.zeros(data.num_classes)
    present[labels[labels != data.ignore_index].long()] = 1
    return present


def _largest(found: dict[str, Tensor], data: DataSpec) -> Tensor:
    """The class of the largest thing (crowds left out); of the largest segment where there is no thing; else ignore."""
    if "segments" in found:
        labels, crowd = found["segment_labels"], found["segment_crowd"]
        area = segment_ops.areas(found["segments"], len(labels)).double()
        things = torch.isin(labels, torch.tensor(data.thing_ids, dtype=labels.dtype)) & ~crowd
        area = torch.where(things, area + area.sum() + 1, area) if len(labels) else area  # things before stuff
    elif "masks" in found:
        labels, area = found["labels"], found["masks"].flatten(1).sum(1).double() * ~found["crowd"]
    else:
        labels, boxes = found["labels"], found["boxes"]
        area = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).double() * ~found["crowd"]
    if len(labels) == 0 or float(area.max()) <= 0:
        return torch.tensor(data.ignore_index)
    return labels[area.argmax()].long()


def complete(prediction: Prediction, wanted: Iterable[str], data: DataSpec) -> Prediction:
    """Add the kinds that follow from what was predicted: segments -> masks (labels, scores) -> boxes.

    Fields that are there already stay as they are. Never segments -> semantic: an argmax field isn't the fused one.
    """
    wanted = set(wanted)
    lacking = "masks" in wanted or ("boxes" in wanted and prediction.boxes is None)
    if lacking and prediction.masks is None and prediction.segments is not None:
        labels, scores = prediction.segment_labels, prediction.segment_scores
        chosen = torch.isin(labels, torch.tensor(data.thing_ids, dtype=labels.dtype, device=labels.device))  # [S]
        prediction = replace(
            prediction,
            masks=segment_ops.to_masks(prediction.segments, chosen.nonzero().flatten() + 1),
            labels=labels[chosen],
            scores=scores[chosen] if scores is not None else torch.ones(int(chosen.sum()), device=labels.device),
        )
    if "boxes" in wanted and prediction.boxes is None and prediction.masks is not None:
        prediction = replace(prediction, boxes=mask_ops.to_boxes(prediction.masks))
    return prediction
