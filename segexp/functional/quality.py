"""How good the prediction of one image is: panoptic quality from its statistics, F1 of objects from the pairs that overlap.

`JUDGES` says which figure that is, by what was measured; `image_quality` gives it of a record, as in `per_image.jsonl`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from segexp.functional.overlap import mean_iou

MIN_SCORE = 0.3  # detections below it aren't shown, and don't count in the quality of a single image
SURE = 0.5  # an image shows the classes of such a score
CROWD = -1


def mean_pq(matches: Sequence[Sequence[int]], wrong: Sequence[int], missed: Sequence[int]) -> float | None:
    """Mean PQ over the classes that an image or its prediction holds a segment of; None where there is none.

    Args:
        matches: (class, intersection, union) of each match.
        wrong, missed: segments of each class without a match.
    """
    iou, weight = [0.0] * len(wrong), [(w + m) / 2 for w, m in zip(wrong, missed, strict=True)]
    for label, both, union in matches:
        iou[label] += both / union
        weight[label] += 1
    found = [i / w for i, w in zip(iou, weight, strict=True) if w > 0]
    return sum(found) / len(found) if found else None


def label_score(rank: int, score: float) -> float | None:
    """The score of the true class; None of an image without one (its rank is -1)."""
    return score if rank >= 0 else None


def classes_f1(scores: Sequence[float], shown: Sequence[bool]) -> float | None:
    """2 hits / (predicted + shown) of the classes of one image, predicted from 0.5 on; None where there is neither."""
    said = [score >= SURE for score in scores]
    total = sum(said) + sum(shown)
    return 2 * sum(a and b for a, b in zip(said, shown, strict=True)) / total if total else None


def object_f1(
    scores: Sequence[float], objects: Sequence[Sequence[int]], pairs: Sequence[Sequence[int]], ious: Sequence[float]
) -> float | None:
    """2 hits / (detections + objects) at an IoU of 0.5, of detections that are certain enough; None where there is neither.

    The arguments are the lists of `segexp.metrics.coco_ap.record`. Crowds don't count, nor do detections in one.
    """
    certain = sum(score >= MIN_SCORE for score in scores)  # the first ones
    chosen = [(pair, iou) for pair, iou in zip(pairs, ious, strict=True) if pair[0] < certain]
    found = finds(certain, [bool(crowd) for _, crowd in objects], [pair for pair, _ in chosen], [iou for _, iou in chosen])
    hits = sum(number is not None and number != CROWD for number in found)
    total = sum(number != CROWD for number in found) + sum(not crowd for _, crowd in objects)
    return 2 * hits / total if total else None


def finds(detections: int, crowd: Sequence[bool], pairs: Sequence[Sequence[int]], ious: Sequence[float]) -> list[int | None]:
    """The object that each detection finds, the first before the others: the free one of the largest overlap.

    Args:
        detections: how many there are, by descending score.
        crowd: of each object.
        pairs: (detection, object) of one class with an IoU from 0.5 on.
        ious: of the pairs.

    Returns:
        the object's number, `CROWD` where there is a crowd alone, None where there is nothing.
    """
    options: list[list[tuple[float, int]]] = [[] for _ in range(detections)]
    for (detection, number), iou in zip(pairs, ious, strict=True):
        options[detection].append((iou, number))
    found, taken = [], set()
    for choice in options:
        free = [option for option in choice if not crowd[option[1]] and option[1] not in taken]
        number = max(free)[1] if free else CROWD if any(crowd[n] for _, n in choice) else None
        taken.add(number)
        found.append(number)
    return found


class Judge(NamedTuple):
    """The figure of one image by one metric's record.

    Args:
        metric: whose record it is.
        fields: of the record, the arguments of `figure`.
        figure: gives None where there is nothing to judge.
        called: what people call it.
    """

    metric: str
    fields: tuple[str, ...]
    figure: Callable[..., float | None]
    called: str


OF_OBJECTS = ("scores", "objects", "pairs", "ious")
JUDGES = (  # the first whose metric was measured judges
    Judge("panoptic", ("matches", "wrong", "missed"), mean_pq, "PQ"),
    Judge("instance", OF_OBJECTS, object_f1, "F1 of objects"),
    Judge("detection", OF_OBJECTS, object_f1, "F1 of objects"),
    Judge("semantic", ("intersection", "predicted", "labelled"), mean_iou, "mIoU"),
    Judge("classification", ("rank", "score"), label_score, "score of the true class"),
    Judge("multi_label", ("scores", "shown"), classes_f1, "F1 of classes"),
)


def image_quality(record: Mapping[str, Any]) -> tuple[str, float] | None:
    """How the quality of one image's prediction is called, and its value.

    Args:
        record: metric -> field -> plain lists and numbers. What is strange (of another version, or a user's own metric of the
            same name) is as if it weren't there.

    Returns:
        None where nothing that was measured has a judge, or the judge finds nothing in the image.
    """
    for metric, fields, figure, called in JUDGES:
        try:
            value = figure(*(record[metric][name] for name in fields))
            known = value is not None and math.isfinite(value)
        except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError):
            continue
        return (called, value) if known else None
    return None
