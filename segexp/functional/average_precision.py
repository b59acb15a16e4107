"""COCO's average precision and recall of a whole data set, from the pairs of detections and objects that overlap."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

IOUS = np.linspace(0.5, 0.95, 10)  # from which on a detection finds an object
RECALLS = np.linspace(0, 1, 101)
LIMITS = (1, 10, 100)  # detections of each image and class that count
AREAS = {"all": (0, 1e10), "small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}  # pixels, both ends included
FALSE, TRUE, IGNORED = 0, 1, 2


class Objects(NamedTuple):
    """Detections (D) and true objects (N) of a data set, and the pairs of them (M) that overlap.

    Args:
        labels: int [D] classes; the detections of an image follow each other by descending score.
        areas: float64 [D].
        scores: float [D].
        images: int [D] number of the image, ascending.
        objects: int [N,2] class, 1 for a crowd.
        object_areas: float64 [N].
        pairs: int [M,2] detection, object: of one image and class, with an IoU from 0.5 on.
        ious: float64 [M]; with a crowd, the share of the detection that lies in it.
    """

    labels: np.ndarray
    areas: np.ndarray
    scores: np.ndarray
    images: np.ndarray
    objects: np.ndarray
    object_areas: np.ndarray
    pairs: np.ndarray
    ious: np.ndarray


def precision_and_recall(found: Objects, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """What pycocotools' `accumulate` gives, -1 where the truth holds no object.

    Returns:
        precision, float64 [IoUs,recalls,classes,areas], of at most 100 detections an image and class; and the largest recall,
        float64 [IoUs,classes,areas,limits].
    """
    ranks = ranks_of(found, classes)
    outside = np.stack([out_of_range(found.areas, *ends) for ends in AREAS.values()])  # [A,D]
    excused = np.stack([out_of_range(found.object_areas, *ends) for ends in AREAS.values()]) | (found.objects[:, 1] == 1)  # [A,N]
    wanted = np.stack([np.bincount(found.objects[~row, 0], minlength=classes) for row in excused])  # [A,K] objects to find
    order = np.lexsort((-found.scores, found.labels))  # by class, then by descending score, then as the data set has them
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    hit, marks = matches(found, ranks, excused)
    by_place = np.argsort(place[hit])
    hit, marks = hit[by_place], marks[:, :, by_place]
    state = _Sorted(found.labels[hit], place[hit], ranks[hit], outside[:, hit], np.cumsum(~outside[:, order], axis=1), found.labels[order])
    precision = np.full((len(IOUS), len(RECALLS), classes, len(AREAS)), -1.0)
    recall = np.full((len(IOUS), classes, len(AREAS), len(LIMITS)), -1.0)
    for a in range(len(AREAS)):
        needed, there = _needed(wanted[a]), wanted[a] > 0
        for t in range(len(IOUS)):
            curve, most = _accumulated(state, marks[t, a], a, wanted[a], needed)
            precision[t, :, there, a], recall[t, there, a] = curve[there], most[there]
    return precision, recall


def ranks_of(found: Objects, classes: int) -> np.ndarray:
    """The place of each detection among those of its image and class, from 0 on: int64 [D]."""
    group = found.images.astype(np.int64) * classes + found.labels
    order = np.argsort(group, kind="stable")
    _, first, count = np.unique(group[order], return_index=True, return_counts=True)
    ranks = np.empty(len(group), np.int64)
    ranks[order] = np.arange(len(group)) - np.repeat(first, count)
    return ranks


def matches(found: Objects, ranks: np.ndarray, excused: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give each detection, the best of an image and class first, the object that it overlaps most.

    An object is found once, a crowd any number of times; one that doesn't count (`excused`) is taken where no other is left. Of
    equal overlaps the later object is taken. All images and classes are gone through at once: first the best detection of
    each, then the second, ...

    Args:
        found: the detections and objects.
        ranks: int [D], see `ranks_of`.
        excused: bool [A,N] objects that don't count, per range of areas.

    Returns:
        int [C], the detections that occur in a pair; and int8 [IoUs,A,C], what each of them is: `FALSE`, `TRUE` or `IGNORED`.
    """
    detections, objects = found.pairs.T
    order = np.lexsort((objects, found.ious, detections, ranks[detections]))
    detections, objects, ious = detections[order], objects[order], found.ious[order]
    crowd = found.objects[:, 1] == 1
    taken = np.zeros((len(IOUS), len(excused), len(crowd) + 1), dtype=bool)  # the last is nobody's
    hit = detections[_starts(detections)]
    marks = np.zeros((len(IOUS), len(excused), len(hit)), np.int8)
    rounds = [*_starts(ranks[detections]).tolist(), len(order)]
    done = 0
    for begin, end in pairwise(rounds):
        mine, count = objects[begin:end], end - begin
        free = ~taken[:, :, mine] | crowd[mine]
        free &= (ious[begin:end] >= IOUS[:, None])[:, None]  # [T,A,pairs]
        worth = np.arange(1, count + 1, dtype=np.int32) + np.where(excused[:, mine], 0, count).astype(np.int32)  # [A,pairs]
        starts = _starts(detections[begin:end])
        best = np.maximum.reduceat(np.where(free, worth, 0), starts, axis=-1)  # [T,A,detections]
        marks[:, :, done : done + len(starts)] = np.where(best == 0, FALSE, np.where(best > count, TRUE, IGNORED))
        np.put_along_axis(taken, np.where(best > 0, mine[(best - 1) % count], len(crowd)), True, -1)
        done += len(starts)
    return hit, marks


def joined(images: np.ndarray, rows: Objects) -> Objects:
    """The rows of all images, one image after the other.

    Args:
        images: int [I,4] place in the data set, and how many detections, objects and pairs.
        rows: as the images stand in `images`; pairs are numbered within their image.
    """
    order = np.argsort(images[:, 0], kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    of_detections, of_objects, of_pairs = (np.repeat(place, count) for count in images[:, 1:].T)
    by_image, by_object = (np.argsort(owner, kind="stable") for owner in (of_detections, of_objects))
    before = np.cumsum(images[order, 1:3], axis=0) - images[order, 1:3]  # [I,2]
    return Objects(
        *(part[by_image] for part in rows[:3]),
        of_detections[by_image],
        *(part[by_object] for part in rows[4:6]),
        rows.pairs + before[of_pairs],
        rows.ious,
    )


def mean(values: np.ndarray) -> float:
    """The mean of what is defined; NaN where nothing is."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else float("nan")


class _Sorted(NamedTuple):
    """Of the detections that occur in a pair (C), by class and descending score."""

    labels: np.ndarray  # [C]
    places: np.ndarray  # [C] in the order of all detections
    ranks: np.ndarray  # [C]
    outside: np.ndarray  # [A,C]
    inside_until: np.ndarray  # [A,D] of all detections in order: how many up to here have an area in the range
    all_labels: np.ndarray  # [D]


def _accumulated(state: _Sorted, marks: np.ndarray, a: int, wanted: np.ndarray, needed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision [K,recalls] and recall [K,limits] of one IoU and range of areas.

    Precision only falls from one true detection to the next, so what it is at the true ones says all.
    """
    classes = np.arange(len(wanted))
    first, first_of_all = np.searchsorted(state.labels, classes), np.searchsorted(state.all_labels, classes)
    # a detection without an object is ignored where its area is out of the range; with one, as its object is
    mended = np.where(marks == FALSE, 0, (marks == TRUE).astype(np.int64) - ~state.outside[a])
    until, mended = (np.concatenate([[0], x]) for x in (state.inside_until[a], np.cumsum(mended)))
    before = until[first_of_all] + mended[first]  # [K] of the classes before
    true = np.flatnonzero(marks == TRUE)
    labels = state.labels[true]
    begin, finds = np.searchsorted(labels, classes), np.bincount(labels, minlength=len(classes))
    number = np.arange(1, len(true) + 1) - begin[labels]  # of the class's true ones
    precision = number / (until[state.places[true] + 1] + mended[true + 1] - before[labels])
    for k in np.flatnonzero(finds > 1):
        part = precision[begin[k] : begin[k] + finds[k]][::-1]
        np.maximum.accumulate(part, out=part)
    reached = needed <= finds[:, None]  # [K,recalls]
    at = np.where(reached, begin[:, None] + needed - 1, 0)
    curve = np.where(reached, precision[at], 0) if len(true) else np.zeros(needed.shape)
    counts = np.stack([np.bincount(labels[state.ranks[true] < limit], minlength=len(classes)) for limit in LIMITS], 1)
    return curve, counts / np.maximum(wanted, 1)[:, None]


def _needed(wanted: np.ndarray) -> np.ndarray:
    """How many objects have to be found for each recall: int [K,recalls]."""
    kinds, place = np.unique(wanted, return_inverse=True)
    return np.stack([np.searchsorted(np.arange(1, n + 1) / max(n, 1), RECALLS) + 1 for n in kinds])[place]


def _starts(values: np.ndarray) -> np.ndarray:
    """Where runs of equal values begin."""
    return np.flatnonzero(np.concatenate([np.ones(min(len(values), 1), dtype=bool), values[1:] != values[:-1]]))


def out_of_range(areas: np.ndarray, least: float, most: float) -> np.ndarray:
    """Which areas lie out of a range."""
    return (areas < least) | (areas > most)
