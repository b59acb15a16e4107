"""COCO's average precision where images count more or less than once.

What a detection has found is settled within its image, so that no weight changes it: of each resample only the precision along
the ranking is worked out anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from segexp.functional.average_precision import AREAS, FALSE, IOUS, LIMITS, RECALLS, TRUE, Objects, joined, matches, out_of_range, ranks_of
from segexp.functional.bootstrap import Figure
from segexp.functional.weighted import Record, mean_of, pooled

_CELLS = 2**19  # resamples times detections of a class that are in work at once


def objects_of(records: Sequence[Record]) -> Objects:
    """The detections and objects of all images, from what `per_image.jsonl` holds of each."""
    images = np.array([[n, *(len(r[name]) for name in ("labels", "objects", "pairs"))] for n, r in enumerate(records)]).reshape(-1, 4)
    kinds = {"labels": int, "areas": float, "scores": float, "objects": int, "object_areas": float, "pairs": int, "ious": float}
    shapes: dict[str, tuple[int, ...]] = {"objects": (-1, 2), "pairs": (-1, 2)}  # an image may have none
    rows = {
        name: np.concatenate([np.array(record[name], dtype=kind).reshape(shapes.get(name, (-1,))) for record in records])
        for name, kind in kinds.items()
    }
    labels, areas, scores, *others = rows.values()
    return joined(images, Objects(labels, areas, scores, labels, *others))


class Wanted(NamedTuple):
    """Which of COCO's figures is meant: of which IoUs, classes and range of areas; recall where `limit` is given."""

    ious: tuple[int, ...]
    classes: tuple[int, ...]
    area: int
    limit: int | None = None


def wanted(name: str, classes: Sequence[str]) -> Wanted | None:
    """What a figure's name without its prefix means, such as `map50`, `mar_small` or `map/person`; None if nothing."""
    every, sizes = tuple(range(len(classes))), list(AREAS)
    whole = tuple(range(len(IOUS)))
    known = {"map": Wanted(whole, every, 0), "map50": Wanted((0,), every, 0), "map75": Wanted((5,), every, 0)}
    known |= {f"map_{size}": Wanted(whole, every, a) for a, size in enumerate(sizes) if a}
    known |= {f"mar_{size}": Wanted(whole, every, a, LIMITS[-1]) for a, size in enumerate(sizes) if a}
    known |= {f"mar{limit}": Wanted(whole, every, 0, limit) for limit in LIMITS}
    known |= {f"map/{label}": Wanted(whole, (k,), 0) for k, label in enumerate(classes)}
    return known.get(name)


def average_precision(records: Sequence[Record], which: Wanted, classes: int) -> Figure:
    """One of COCO's figures of a data set, given how often each image counts; with ones, that of pycocotools.

    Args:
        records: of the images, as `per_image.jsonl` holds them.
        which: the figure.
        classes: K.
    """
    found, images = objects_of(records), len(records)
    owners = np.repeat(np.arange(images), [len(record["objects"]) for record in records])
    ends = list(AREAS.values())[which.area]
    excused = out_of_range(found.object_areas, *ends) | (found.objects[:, 1] == 1)  # [N] objects that needn't be found
    ranks = ranks_of(found, classes)
    hit, marks = matches(found, ranks, excused[None])
    objects = np.zeros((images, classes))
    np.add.at(objects, (owners[~excused], found.objects[~excused, 0]), 1)
    if which.limit is not None:
        return _recall(found, hit, marks[:, 0], ranks, objects, which)
    counted = ~out_of_range(found.areas, *ends)
    curves = [_curve(found, hit, marks[list(which.ious), 0], counted, k) for k in which.classes]
    return lambda weights: _mean_precision(weights, objects, which.classes, curves)


def _recall(found: Objects, hit: np.ndarray, marks: np.ndarray, ranks: np.ndarray, objects: np.ndarray, which: Wanted) -> Figure:
    """The share of objects that are found: a ratio of sums."""
    tops = np.zeros((len(which.ious), *objects.shape))  # [T,images,K]
    for t in which.ious:
        true = hit[(marks[t] == TRUE) & (ranks[hit] < which.limit)]
        np.add.at(tops[t], (found.images[true], found.labels[true]), 1)
    return pooled(np.concatenate(list(tops), axis=1), np.tile(objects, len(which.ious)))


class _Curve(NamedTuple):
    """The ranking of one class."""

    images: np.ndarray  # [D] of the detections by descending score
    counted: np.ndarray  # [D] 1 where the area is in the range
    hit: np.ndarray  # [C] places of those that overlap an object
    true: list[np.ndarray]  # per IoU: which of `hit` have found one
    mended: list[np.ndarray]  # per IoU [C]: what `counted` must be changed by, since with an object that decides


def _curve(found: Objects, hit: np.ndarray, marks: np.ndarray, counted: np.ndarray, k: int) -> _Curve:
    mine = np.flatnonzero(found.labels == k)
    order = mine[np.argsort(-found.scores[mine], kind="stable")]
    place = np.full(len(found.labels), -1)
    place[order] = np.arange(len(order))
    chosen = np.flatnonzero(found.labels[hit] == k)
    chosen = chosen[np.argsort(place[hit[chosen]])]
    places, kinds = place[hit[chosen]], marks[:, chosen]
    inside = counted[order].astype(np.float64)
    mended = [np.where(kind == FALSE, 0.0, (kind == TRUE) - inside[places]) for kind in kinds]
    return _Curve(found.images[order], inside, places, [np.flatnonzero(kind == TRUE) for kind in kinds], mended)


def _mean_precision(weights: np.ndarray, objects: np.ndarray, classes: Sequence[int], curves: Sequence[_Curve]) -> np.ndarray:
    """The mean over IoUs and classes: [R]; classes without an object in a resample are left out of it."""
    needed = (weights @ objects)[:, list(classes)]  # [R,classes]
    values = np.zeros_like(needed)
    for k, curve in enumerate(curves):
        rows = max(1, _CELLS // max(len(curve.images), 1))
        for begin in range(0, len(weights), rows):
            piece = slice(begin, begin + rows)
            values[piece, k] = _of_class(weights[piece], curve, needed[piece, k])
    return mean_of(values, needed > 0)


def _of_class(weights: np.ndarray, curve: _Curve, needed: np.ndarray) -> np.ndarray:
    """The mean precision of one class over the IoUs: [R]."""
    drawn = weights[:, curve.images]  # [R,D]
    seen = np.cumsum(drawn * curve.counted, axis=1)[:, curve.hit]  # [R,C] detections that count, up to here
    drawn = drawn[:, curve.hit]
    found = [_of_iou(drawn, seen, true, mended, needed) for true, mended in zip(curve.true, curve.mended, strict=True)]
    return np.mean(found, axis=0)


def _of_iou(drawn: np.ndarray, seen: np.ndarray, true: np.ndarray, mended: np.ndarray, needed: np.ndarray) -> np.ndarray:
    """The mean over 101 recalls of the best precision from there on: [R]."""
    if not len(true):
        return np.zeros(len(drawn))
    hits = np.cumsum(drawn[:, true], axis=1)  # [R,T]
    shown = (seen + np.cumsum(drawn * mended, axis=1))[:, true]
    precision = np.divide(hits, shown, out=np.zeros_like(hits), where=shown > 0)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = hits / np.maximum(needed, 1)[:, None]
    nearest = np.rint(recall * (len(RECALLS) - 1)).astype(np.int64)
    reached = nearest + (RECALLS[nearest] <= recall)  # how many of the 101
    return (best * np.diff(reached, axis=1, prepend=0)).sum(1) / len(RECALLS)
